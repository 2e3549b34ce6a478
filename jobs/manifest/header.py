"""The header of a sheet: which column is prompt, id, request field or tag, and which is none of these.

Decided once per file, so that rows are read by position. Called by `sheet`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.catalogue.matrix import matrix, nearest_word
from jobs.errors import ManifestError
from jobs.manifest.drafts import ID_FIELDS
from jobs.manifest.excel import INVISIBLE
from jobs.manifest.options import ManifestOptions
from jobs.manifest.rows import Complaint, error, warning
from jobs.manifest.template import Template, unknown_column

FieldType = Literal["string", "integer", "boolean", "object"]
_DELIMITERS = ",;\t|"
_SEP_LINE = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)
_MOST_NAMED = 20
_QUOTED = re.compile(r'"[^"]*"?')


@dataclass(frozen=True, slots=True)
class Plan:
    """Columns by position, from 0."""

    width: int
    prompt: int | None
    template: Template | None
    places: Mapping[str, int]
    """The template's columns."""
    id: int | None
    fields: tuple[tuple[str, int, FieldType], ...]
    tags: tuple[tuple[str, int], ...]
    letters: Mapping[str, str]
    """Field or tag -> column letter."""
    complaints: tuple[Complaint, ...]


def sep_line(line: str) -> str | None:
    """The delimiter that Excel's `sep=;` line names, if this is one."""
    match = _SEP_LINE.fullmatch(line)
    return match[1] if match else None


def sniff_delimiter(line: str) -> str:
    """The candidate that stands most often in the header outside of quotes; a comma if none does."""
    bare = _QUOTED.sub("", line)
    return max(_DELIMITERS, key=bare.count)


def column_letter(index: int) -> str:
    """0 -> A, 26 -> AA, as Excel counts."""
    letters = ""
    number = index + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def read_header(cells: Sequence[str], options: ManifestOptions) -> Plan:
    """The plan for this header. Raises ManifestError when a named column is missing or there is no prompt."""
    names = [_clean(cell) for cell in cells]
    columns = _first_of_each(names)
    template = Template.parse(options.prompt_template) if options.prompt_template is not None else None
    fields = _fields(columns, options)
    if template is not None:
        template.require(columns)
    elif "prompt" not in fields:
        known = ", ".join(columns) or "none"
        raise ManifestError(f"there is no prompt column; name it: --map prompt=COLUMN; columns are: {known}")
    tags = _tags(columns, fields, options)
    places = {name: columns[name] for name in (template.columns if template else ())}
    ids = [fields[name] for name in ID_FIELDS if name in fields][:1]
    # Complaints about an id may call it either way.
    named = columns | tags | fields | {name: index for name in ID_FIELDS for index in ids}
    used = {*fields.values(), *tags.values(), *places.values()}
    return Plan(
        width=len(names),
        prompt=fields.get("prompt"),
        template=template,
        places=places,
        id=ids[0] if ids else None,
        fields=_typed(fields),
        tags=tuple(tags.items()),
        letters={name: column_letter(index) for name, index in named.items()},
        complaints=(*_twins(names, columns), *_nameless(names), *_unused(columns, used)),
    )


def _typed(fields: Mapping[str, int]) -> tuple[tuple[str, int, FieldType], ...]:
    """Request fields with the type their cells are read as; prompt and id are read apart."""
    rules = matrix().fields
    return tuple(
        (name, index, rules[name].type if name in rules else "string")
        for name, index in fields.items()
        if name not in ("prompt", *ID_FIELDS)
    )


def _clean(cell: str) -> str:
    """A header without the blanks and invisible characters that Excel and web pages leave in it."""
    return cell.translate(dict.fromkeys(map(ord, INVISIBLE))).replace("\u00a0", " ").strip()


def _first_of_each(names: Sequence[str]) -> dict[str, int]:
    columns: dict[str, int] = {}
    for index, name in enumerate(names):
        if name:
            columns.setdefault(name, index)
    return columns


def _fields(columns: Mapping[str, int], options: ManifestOptions) -> dict[str, int]:
    """Request fields, prompt and ids by position: mapped ones first, then those named like a field."""
    known = {*matrix().fields, *ID_FIELDS}
    fields = {field: _column(column, columns, f"--map {field}") for field, column in options.map.items()}
    mapped = set(fields.values())
    for name, index in columns.items():
        field = name if name in known else name.lower()
        if field in known and index not in mapped:
            fields.setdefault(field, index)
    return fields


def _tags(columns: Mapping[str, int], fields: Mapping[str, int], options: ManifestOptions) -> dict[str, int]:
    tags = {name: _column(name, columns, "--tag-columns") for name in options.tag_columns}
    if options.tags_from_rest:
        taken = set(fields.values())
        tags |= {name: index for name, index in columns.items() if index not in taken}
    return tags


def _column(name: str, columns: Mapping[str, int], asked_by: str) -> int:
    if name not in columns:
        raise ManifestError(f"{asked_by}: {unknown_column(name, columns)}")
    return columns[name]


def _twins(names: Sequence[str], columns: Mapping[str, int]) -> Iterator[Complaint]:
    for index, name in enumerate(names):
        if name and columns[name] != index:
            letters = f"{column_letter(columns[name])} and {column_letter(index)}"
            message = f"the column {name!r} stands twice, in {letters}"
            yield error("duplicate_header", message, "rename one of them", field=name)


def _nameless(names: Sequence[str]) -> Iterator[Complaint]:
    nameless = [column_letter(index) for index, name in enumerate(names) if not name]
    if nameless:
        message = f"columns without a header are ignored: {', '.join(nameless[:_MOST_NAMED])}"
        yield warning("empty_header", message, "name them or delete them")


def _unused(columns: Mapping[str, int], used: set[int]) -> Iterator[Complaint]:
    unused = [name for name, index in columns.items() if index not in used]
    if not unused:
        return
    named = unused[:_MOST_NAMED]
    near = [f"{name!r} is like {field!r}" for name in named if (field := nearest_word(name, matrix().fields))]
    message = "; ".join([f"columns that are not used: {', '.join(named)}", *near])
    yield warning("ignored_columns", message, "--map FIELD=COLUMN, --tag-columns or --tags-from-rest use them")
