"""A file of any bytes, read and checked as `imagemill check` does: rows and problems fit to be kept and shown.

The first byte chooses the options and whether a ceiling is stated; the rest is the file.
"""

import csv
import io
import json
from datetime import date

import msgspec

from jobs.catalogue.prices import PriceBook
from jobs.errors import ManifestError
from jobs.ledger.intake import tags_id
from jobs.manifest import ManifestOptions, Problem, Row, read_stream, scan
from jobs.manifest.problems import problem_writer
from jobs.report.problems import ProblemDigest
from jobs.report.table import tab_separated

OPTIONS = (
    ManifestOptions(),
    ManifestOptions(strict=True, limit=3, require_tags=("brand",)),
    ManifestOptions(prompt_template="a {title} by {id}", map={"id": "sku"}, defaults={"model": "gpt-image-2"}),
    ManifestOptions(tags_from_rest=True, defaults={"n": 2, "size": "1024x1024"}),
    ManifestOptions(tag_columns=("brand", "n"), encoding="cp1252"),
    ManifestOptions(tags_from_rest=True, encoding="utf-7"),
)
PLAIN = b'{"id": "a", "prompt": "a cup", "model": "gpt-image-2", "size": "1024x1024", "quality": "low", "n": 2}\n'
BATCH = (
    b'{"custom_id": "a", "method": "POST", "url": "/v1/images/generations", "body": {"model": "gpt-image-2", '
    b'"prompt": "a cup", "output_format": "svg", "svg": {"model": "x", "reasoning": {"effort": "low"}}}}\n'
)
SHEET = (
    "sep=;\nid;prompt;model;size;n;quality;svg;brand;title\n"
    '1;"a ""cup""\nwith\u2028 tea";gpt-image-2;1024x1024;2;low;"{""model"": ""x""}";acme;Tasse\n'
    "2;=1+1;dall-e-3;auto;#REF!;hd;;;\n"
).encode()
_OWN_MODEL = b'prompt,model,svg\na cup,own,"{""model"": ""x"", ""reasoning"": 1}"\n'
SEEDS = [bytes([252]) + _OWN_MODEL] + [
    bytes([number]) + content
    for number in range(len(OPTIONS))
    for content in (PLAIN, BATCH, SHEET, PLAIN + BATCH, SHEET.decode().encode("utf-16"))
]

_BOOK = PriceBook.load()
_DAY = date(2026, 6, 1)


def target(data: bytes) -> None:
    """Raises AssertionError, or whatever the product let through."""
    options = OPTIONS[data[0] % len(OPTIONS)] if data else OPTIONS[0]
    rows: list[Row] = []
    problems: list[Problem] = []
    ceiling = 10**9 if data[:1] >= b"\x80" else None
    try:
        entries = read_stream(io.BytesIO(data[1:]), options)
        result = scan(
            entries,
            options,
            _BOOK,
            _DAY,
            ceiling,
            on_row=lambda row, _cost: rows.append(row),
            on_problem=problems.append,
        )
    except ManifestError as error:
        assert len(str(error)) < 10_000
        return
    assert (result.accepted, result.errors + result.warnings) == (len(rows), len(problems))
    assert rows or problems
    assert len({row.custom_id for row in rows}) == len(rows)
    for row in rows:
        _check_row(row, lines=data.count(b"\n") + data.count(b"\r") + 1)
    _check_problems(problems)


def _check_row(row: Row, lines: int) -> None:
    """It can be stored and sent as it is, and comes from a line that there is."""
    wire = msgspec.json.encode(row.request).decode()
    assert json.loads(wire) == row.request
    assert "\0" not in row.custom_id + wire
    row.custom_id.encode()
    tags_id(row.tags)
    assert isinstance(row.request["prompt"], str)
    assert 1 <= row.row <= row.line <= lines


def _check_problems(problems: list[Problem]) -> None:
    """They can be shown and kept: no control characters on a terminal, no formula in a spreadsheet."""
    digest = ProblemDigest()
    sink = io.StringIO(newline="")
    write = problem_writer(sink)
    for problem in problems:
        assert problem.next
        assert len(problem.message) <= 500
        digest.add(problem)
        write(problem)
    assert not any(character < " " and character not in "\n\t" for character in tab_separated(digest.table()))
    sink.getvalue().encode("utf-8", "surrogatepass")
    for record in csv.reader(io.StringIO(sink.getvalue(), newline="")):
        assert not any(cell.lstrip().startswith(("=", "+", "@", "-")) for cell in record), record
