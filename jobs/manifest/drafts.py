"""The last step of every reader: a draft of a row becomes the row, or its problems.

Names rows without a custom_id, fills in defaults, and sees that required tags are there.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from jobs.manifest.options import ManifestOptions
from jobs.manifest.rows import Complaint, Problem, Row, error, place

MAX_ID_BYTES = 1024
"""In UTF-8. Ids are unique by an index, and PostgreSQL's takes no entry over 2,704 bytes."""
ID_FIELDS = ("custom_id", "id")


class Draft(msgspec.Struct):
    """What one record says, before it is known to be a row."""

    custom_id: str = ""
    request: dict[str, Any] = msgspec.field(default_factory=dict)
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    complaints: list[Complaint] = msgspec.field(default_factory=list)

    def name(self, value: object) -> None:
        """Take the record's id: text, or a whole number, which becomes text."""
        if isinstance(value, bool) or not isinstance(value, str | int):
            self.complaints.append(
                error("bad_id", "the id is not text", "write it as text", field="id", value=value)
            )
            return
        self.custom_id = str(value).strip()
        size = len(self.custom_id.encode("utf-8", "surrogatepass"))
        if size > MAX_ID_BYTES:
            message = f"the id has {size:,} bytes in UTF-8, at most {MAX_ID_BYTES:,} are kept"
            self.complaints.append(error("long_id", message, "shorten it", field="id", value=value))


class Spot(msgspec.Struct, frozen=True):
    """Where a record stands."""

    row: int
    line: int
    excel_row: int | None = None
    columns: Mapping[str, str] = msgspec.field(default_factory=dict)


def finish(draft: Draft, options: ManifestOptions, spot: Spot) -> Iterator[Row | Problem]:
    """The draft's problems, then its row if none of them is an error."""
    complaints = draft.complaints
    if options.require_tags:
        complaints = [*complaints, *_missing_tags(draft, options)]
    for complaint in complaints:
        yield put(complaint, spot)
    if all(complaint.severity == "warning" for complaint in complaints):
        yield Row(
            row=spot.row,
            line=spot.line,
            custom_id=draft.custom_id or f"row-{spot.row}",
            request={**options.defaults, **draft.request},
            tags=draft.tags,
            excel_row=spot.excel_row,
            columns=spot.columns,
        )


def put(complaint: Complaint, spot: Spot) -> Problem:
    """The complaint at its spot."""
    column = spot.columns.get(complaint.field or "")
    return place(complaint, line=spot.line, row=spot.row, excel_row=spot.excel_row, excel_column=column)


def empty_place(name: str) -> Complaint:
    """For a prompt that would have a hole."""
    return error(
        "empty_place", f"the prompt template needs {name!r}, which is empty here", "fill it in", field=name
    )


def _missing_tags(draft: Draft, options: ManifestOptions) -> Iterator[Complaint]:
    for tag in options.require_tags:
        if not draft.tags.get(tag):
            yield error("missing_tag", f"the tag {tag} is required", "fill it in", field=tag)
