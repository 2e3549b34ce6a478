"""CSV as spreadsheets write it: every cell is text until a known field says otherwise.

Called by `read` with decoded text. Honours `sep=` lines, finds the delimiter in the header, ignores blank rows,
and reports what Excel did to ids and parameters instead of sending it.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TextIO

from jobs.errors import ManifestError
from jobs.manifest.drafts import Draft, Spot, empty_place, finish, put
from jobs.manifest.excel import ROW_LIMIT, damage
from jobs.manifest.header import FieldType, Plan, read_header, sep_line, sniff_delimiter
from jobs.manifest.options import ManifestOptions
from jobs.manifest.records import Lines, Record, records
from jobs.manifest.rows import Complaint, Problem, Row, error, place, warning
from jobs.manifest.strictjson import BadLine, parse_line

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_CACHED_CHARS = 200
_TRUE = frozenset(["true", "1", "yes", "wahr", "ja"])
_FALSE = frozenset(["false", "0", "no", "falsch", "nein"])


def read_sheet(text: TextIO, options: ManifestOptions) -> Iterator[Row | Problem]:
    """Rows and problems in file order. Raises ManifestError for a header that gives no plan."""
    lines = Lines(text)
    delimiter = _delimiter(lines)
    all_records = records(lines, delimiter)
    header = next((record for record in all_records if any(map(str.strip, record.cells)) or record.complaint), None)
    if header is None:
        raise ManifestError("the file is empty")
    if header.complaint is not None:
        raise ManifestError(f"line {header.line}: {header.complaint.message}; {header.complaint.next}")
    plan = read_header(header.cells, options)
    for complaint in plan.complaints:
        yield place(complaint, line=header.line, row=None, excel_row=1)
    yield from _rows(all_records, plan, options)


def _delimiter(lines: Lines) -> str:
    first = next(lines, "")
    stated = sep_line(first)
    if stated is None:
        lines.return_to(1)
    return stated or sniff_delimiter(first)


def _rows(all_records: Iterator[Record], plan: Plan, options: ManifestOptions) -> Iterator[Row | Problem]:
    row = blank = blank_line = 0
    excel_row = 1
    for record in all_records:
        excel_row += 1
        if record.complaint is None and not any(map(str.strip, record.cells)):
            blank_line = blank_line if blank else record.line
            blank += 1
            continue
        if blank:
            yield _blank_rows(blank, blank_line)
            blank = 0
        row += 1
        spot = Spot(row, record.line, excel_row, plan.letters)
        if record.complaint is not None:
            yield put(record.complaint, spot)
        else:
            yield from finish(_draft(record.cells, plan), options, spot)
    if excel_row == ROW_LIMIT:
        yield _full_sheet()


def _draft(cells: list[str], plan: Plan) -> Draft:
    draft = Draft()
    _check_width(draft, cells, plan)
    if plan.id is not None:
        _check(draft, cells[plan.id], "id", code=True)
        draft.name(cells[plan.id])
    for field, index, field_type in plan.fields:
        cell = cells[index]
        parse = _parameter if len(cell) <= _CACHED_CHARS else _parameter.__wrapped__
        value, complaints = parse(cell, field, field_type)
        if value is not None:
            draft.request[field] = value
            draft.complaints.extend(complaints)
    for tag, index in plan.tags:
        if cells[index].strip():
            _check(draft, cells[index], tag, code=False)
            draft.tags[tag] = cells[index].strip()
    _take_prompt(draft, cells, plan)
    return draft


@lru_cache(maxsize=1024)
def _parameter(cell: str, field: str, field_type: FieldType) -> tuple[Any, tuple[Complaint, ...]]:
    """Value and complaints; None for an empty cell. Cached, since a column holds few different values."""
    text = cell.strip()
    return (_PARSERS[field_type](text), damage(cell, field, code=True)) if text else (None, ())


def _take_prompt(draft: Draft, cells: list[str], plan: Plan) -> None:
    if plan.template is None:
        assert plan.prompt is not None  # the header has one or the other
        prompt = cells[plan.prompt]
        _check(draft, prompt, "prompt", code=False)
        draft.request["prompt"] = prompt
        return
    values = {name: cells[index].strip() for name, index in plan.places.items()}
    for name, value in values.items():
        _check(draft, value, name, code=False)
    empty = plan.template.empty_places(values)
    draft.complaints.extend(empty_place(name) for name in empty)
    draft.request["prompt"] = "" if empty else plan.template.fill(values)


def _check(draft: Draft, cell: str, field: str, *, code: bool) -> None:
    if complaints := damage(cell, field, code=code):
        draft.complaints.extend(complaints)


def _check_width(draft: Draft, cells: list[str], plan: Plan) -> None:
    """Fill short records up in place; a record with more text than columns is torn."""
    if len(cells) < plan.width:
        cells.extend([""] * (plan.width - len(cells)))
    elif any(map(str.strip, cells[plan.width :])):
        message = f"the row has {len(cells)} cells, the header {plan.width}"
        extra = next(cell for cell in cells[plan.width :] if cell.strip())
        draft.complaints.append(
            error("too_many_cells", message, "quote cells that hold the delimiter", value=extra)
        )


def _blank_rows(count: int, line: int) -> Problem:
    rows = "a blank row was" if count == 1 else f"{count} blank rows were"
    return place(warning("blank_rows", f"{rows} skipped", "nothing, or delete them"), line=line, row=None)


def _full_sheet() -> Problem:
    message = f"the file has exactly {ROW_LIMIT:,} rows, the most Excel can hold: it may be cut off"
    complaint = warning("excel_rows_cut", message, "compare with the source, or export as CSV without Excel")
    return place(complaint, line=ROW_LIMIT, row=None)


def _integer(cell: str) -> int | str:
    """What is not a whole number stays text, and the check names it."""
    return int(cell) if _INTEGER.fullmatch(cell) else cell


def _boolean(cell: str) -> bool | str:
    word = cell.lower()
    return word in _TRUE if word in _TRUE or word in _FALSE else cell


def _object(cell: str) -> Any:
    """As strictly as a line of JSON: NaN would be sent as null, and of a key that stands twice one value."""
    try:
        return parse_line(cell.encode("utf-8", "surrogatepass"))
    except BadLine:
        return cell


_PARSERS: dict[FieldType, Callable[[str], Any]] = {
    "string": str,
    "integer": _integer,
    "boolean": _boolean,
    "object": _object,
}
