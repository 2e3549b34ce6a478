"""JSON lines, in both dialects: plain objects with a prompt, and the lines of the OpenAI Batch API.

Called by `read`. Splits on the LF byte only, since prompts may contain U+2028 and U+0085; the first row decides the
dialect and a row of the other one is an error. A bad line is one problem, and reading goes on.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

from jobs.catalogue.matrix import matrix
from jobs.manifest.drafts import ID_FIELDS, Draft, Spot, empty_place, finish, put
from jobs.manifest.options import ManifestOptions
from jobs.manifest.rows import Complaint, Problem, Row, error, warning
from jobs.manifest.strictjson import BadLine, parse_line
from jobs.manifest.template import Template

MAX_LINE_BYTES = 1 << 20
BATCH_URL = "/v1/images/generations"
_BOM = b"\xef\xbb\xbf"
_BATCH_KEYS = frozenset({"custom_id", "method", "url", "body", "tags"})


def read_jsonl(file: BinaryIO, options: ManifestOptions) -> Iterator[Row | Problem]:
    """Rows and problems in file order. Blank lines are no rows."""
    template = Template.parse(options.prompt_template) if options.prompt_template is not None else None
    dialect: bool | None = None
    for row, (line, content) in enumerate(_lines(file), 1):
        spot = Spot(row, line)
        try:
            record = _record(content)
            dialect = _is_batch(record) if dialect is None else dialect
            draft = _draft(record, options, template, batch=dialect)
        except BadLine as bad:
            yield put(bad.complaint, spot)
        else:
            yield from finish(draft, options, spot)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """(line number, content) of lines that are not blank; None stands for a line over the limit."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(_BOM)
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            _skip_line(file)
            yield number, None
        elif not line.isspace() and line:
            yield number, line


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass


def _record(content: bytes | None) -> dict[str, Any]:
    if content is None:
        raise BadLine(error("line_too_long", f"the line is over {MAX_LINE_BYTES:,} bytes", "shorten the prompt"))
    record = parse_line(content)
    if not isinstance(record, dict):
        raise BadLine(error("not_object", "the line is not a JSON object", "write {...}", value=record))
    return record


def _is_batch(record: dict[str, Any]) -> bool:
    return "body" in record or ("method" in record and "url" in record)


def _draft(record: dict[str, Any], options: ManifestOptions, template: Template | None, *, batch: bool) -> Draft:
    if _is_batch(record) is not batch:
        asked = "an OpenAI Batch line" if batch else "a plain object with a prompt"
        raise BadLine(
            error("mixed_dialects", f"the file began with {asked}, this is the other kind", "split the file")
        )
    return _batch(record) if batch else _plain(record, options, template)


def _batch(record: dict[str, Any]) -> Draft:
    draft = Draft()
    if record.get("method") != "POST":
        draft.complaints.append(_expected("method", "POST", record.get("method")))
    if record.get("url") != BATCH_URL:
        draft.complaints.append(_expected("url", BATCH_URL, record.get("url")))
    for key in record.keys() - _BATCH_KEYS:
        message = f"{key!r} is not part of a batch line and is ignored"
        draft.complaints.append(warning("unknown_key", message, "move it into body or remove it", field=key))
    body = record.get("body")
    if isinstance(body, dict):
        draft.request = _without_nulls(body)
    else:
        draft.complaints.append(error("bad_body", "body is not an object", "put the request there", field="body"))
    if record.get("custom_id") is not None:
        draft.name(record["custom_id"])
    _take_tags(draft, record.get("tags"))
    return draft


def _expected(field: str, wanted: str, value: object) -> Complaint:
    return error(f"bad_{field}", f"{field} must be {wanted}", f"write {wanted}", field=field, value=value)


def _plain(record: dict[str, Any], options: ManifestOptions, template: Template | None) -> Draft:
    draft = Draft()
    fields = _without_nulls(record)
    for field, column in options.map.items():
        if column in fields:
            fields[field] = fields.pop(column)
    _take_tags(draft, fields.pop("tags", None))
    if template is not None or options.tag_columns or options.tags_from_rest:
        _take_columns(draft, fields, options, template)
    ids = [fields.pop(name) for name in ID_FIELDS if name in fields]
    if len(ids) > 1 and ids[0] != ids[1]:
        complaint = error("two_ids", "custom_id and id differ", "keep one of them", field="id", value=ids[1])
        draft.complaints.append(complaint)
    if ids:
        draft.name(ids[0])
    draft.request = fields
    return draft


def _take_columns(
    draft: Draft, fields: dict[str, Any], options: ManifestOptions, template: Template | None
) -> None:
    """Fill the template and move tag columns out of the request. Only text and whole numbers can serve."""
    known = matrix().fields
    texts = {name: str(value) for name, value in fields.items() if type(value) in (str, int)}
    wanted = {name for name in fields if name not in known and name not in ID_FIELDS}
    from_rest = wanted if options.tags_from_rest else set()
    for name in [name for name in fields if name in from_rest or name in options.tag_columns]:
        if name in texts:
            draft.tags.setdefault(name, texts[name])
        else:
            draft.complaints.append(_bad_tag(name, fields[name]))
    if template is not None:
        for name in template.empty_places(texts):
            draft.complaints.append(empty_place(name))
        if not template.empty_places(texts):
            fields["prompt"] = template.fill(texts)
    consumed = {*options.tag_columns, *from_rest, *(template.columns if template else ())}
    for name in consumed & wanted:
        del fields[name]


def _take_tags(draft: Draft, tags: object) -> None:
    if tags is None:
        return
    if not isinstance(tags, dict):
        draft.complaints.append(_bad_tag("tags", tags))
        return
    for name, value in tags.items():
        if isinstance(value, str):
            draft.tags[name] = value
        elif value is not None:
            draft.complaints.append(_bad_tag(name, value))


def _bad_tag(name: str, value: object) -> Complaint:
    return error("bad_tag", f"the tag {name!r} is not text", 'write it as "text"', field="tags", value=value)


def _without_nulls(record: dict[str, Any]) -> dict[str, Any]:
    if None not in record.values():
        return dict(record)
    return {name: value for name, value in record.items() if value is not None}
