"""Cost and counts, grouped: what `report` shows. The groups add up to the totals, in integers, always.

Three figures stay three: confirmed, possible (maybe billed), reserved (in flight). What has no price is counted as
unpriced and never shown as 0.
"""

from dataclasses import dataclass
from typing import Any

from jobs.ledger.figures import Group, Span, Standing, report_groups, standing
from jobs.ledger.overview import Transaction, whole_ledger
from jobs.money import dollars
from jobs.report.standing import standing_json
from jobs.report.table import Column, Table
from jobs.report.words import counted, usd, with_unpriced
from jobs.states import Outcome

_LOST = {
    Outcome.IMAGE_LOST: "paid, no usable image",
    Outcome.BILLED_LOST: "billed, answer lost",
    Outcome.REFUSED: "refused, yet billed",
    Outcome.REJECTED: "rejected, yet billed",
    Outcome.ERRORED: "error, yet billed",
    Outcome.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class CostReport:
    """One report, read in one transaction."""

    by: str
    span: Span
    standing: Standing
    """Of the batch, or of the whole ledger; jobs by state and reserved money are as of now, whatever the span."""
    groups: list[Group]
    outcomes: list[Group]

    @property
    def total(self) -> Group:
        return _sum(self.groups)

    @property
    def attempted(self) -> Group:
        """The sums of the span by attempt; equal to `total` but where a report is by meter."""
        return _sum(self.outcomes)


def read_report(tx: Transaction, by: str, span: Span) -> CostReport:
    stands = standing(tx, span.batch_id) if span.batch_id else whole_ledger(tx)
    return CostReport(by, span, stands, report_groups(tx, by, span), report_groups(tx, "outcome", span))


def report_json(report: CostReport) -> dict[str, Any]:
    """The standing's fields with the span's sums, and the groups."""
    sums = report.attempted
    fields = standing_json(report.standing)
    opened = {"open": fields["attempts"]["open"]} if "open" in fields["attempts"] else {}
    return fields | {
        "by": report.by,
        "from": report.span.since,
        "to": report.span.until,
        "attempts": {group.key: group.attempts for group in report.outcomes} | opened,
        "images": sums.images,
        "confirmed_nanodollars": sums.charged_nano,
        "confirmed_dollars": dollars(sums.charged_nano),
        "possible_nanodollars": sums.possible_nano,
        "possible_dollars": dollars(sums.possible_nano),
        "unpriced_attempts": sums.unpriced,
        "groups": [group_json(group) for group in report.groups],
    }


def group_json(group: Group) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "key": group.key,
        "attempts": group.attempts,
        "images": group.images,
        "charged_nanodollars": group.charged_nano,
        "charged_dollars": dollars(group.charged_nano),
        "possible_nanodollars": group.possible_nano,
        "unpriced": group.unpriced,
    }
    return fields if group.quantity is None else fields | {"quantity": group.quantity}


def report_table(report: CostReport) -> Table:
    """For reading: exact dollars, a last line that is the sum of the lines above it."""
    if report.by == "meter":
        columns = (Column("meter"), *_numbers("charges", "quantity", "confirmed"))
        rows = [_meter_cells(group) for group in report.groups]
        return Table(columns, rows, _meter_cells(report.total))
    columns = (Column(report.by), *_numbers("attempts", "images", "confirmed", "possible"))
    return Table(columns, [_cells(group) for group in report.groups], _cells(report.total))


def report_sheet(report: CostReport) -> Table:
    """For spreadsheets: plain numbers, dollars without a sign, nano-dollars beside them."""
    names = ("attempts", "images", "quantity", "charged_usd", "charged_nanodollars", "possible_usd")
    columns = (Column(report.by), *_numbers(*names, "possible_nanodollars", "unpriced"))
    return Table(columns, [_sheet_cells(group) for group in report.groups], _sheet_cells(report.total))


def report_remarks(report: CostReport) -> list[str]:
    """The key figures below the table."""
    sums, stands = report.attempted, report.standing
    cap = f" of {usd(stands.budget_nano)}" if stands.budget_nano is not None else ""
    confirmed = with_unpriced(sums.charged_nano, sums.unpriced)
    lines = [
        f"confirmed {confirmed} + possible {usd(sums.possible_nano)} + reserved {usd(stands.reserved_nano)}{cap}",
        f"per delivered image: {_per_image(sums)}",
        cost_of_failures(report.outcomes),
    ]
    if sums.unpriced:
        lines.append(
            "unpriced: no price is known for these; `imagemill doctor` names the models, --prices adds them"
        )
    return lines


def cost_of_failures(outcomes: list[Group]) -> str:
    """What was paid, or may have been, without an image to show for it."""
    lost = [group for group in outcomes if group.key in _LOST and (group.charged_nano or group.possible_nano)]
    sums = _sum(lost)
    text = f"cost of failures: {with_unpriced(sums.charged_nano, sums.unpriced)}"
    if sums.possible_nano:
        text += f" + {usd(sums.possible_nano)} possible"
    words = [f"{_LOST[Outcome(group.key)]} ×{group.attempts}" for group in lost]
    return f"{text} ({' · '.join(words)})" if words else text


def _sum(groups: list[Group]) -> Group:
    quantities = [group.quantity for group in groups if group.quantity is not None]
    return Group(
        "total",
        attempts=sum(group.attempts for group in groups),
        images=sum(group.images for group in groups),
        charged_nano=sum(group.charged_nano for group in groups),
        possible_nano=sum(group.possible_nano for group in groups),
        unpriced=sum(group.unpriced for group in groups),
        quantity=sum(quantities) if quantities else None,
    )


def _per_image(sums: Group) -> str:
    """All confirmed cost over the images that came; to a ten-thousandth of a cent."""
    if not sums.images:
        return "–"
    return f"${dollars(sums.charged_nano // sums.images, 6)} ({counted(sums.images, 'image')})"


def _numbers(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, number=True) for name in names)


def _cells(group: Group) -> list[str | int | None]:
    confirmed = with_unpriced(group.charged_nano, group.unpriced)
    return [group.key, group.attempts, group.images, confirmed, usd(group.possible_nano)]


def _meter_cells(group: Group) -> list[str | int | None]:
    return [group.key, group.attempts, group.quantity, with_unpriced(group.charged_nano, group.unpriced)]


def _sheet_cells(group: Group) -> list[str | int | None]:
    counts: list[str | int | None] = [group.key, group.attempts, group.images, group.quantity]
    charged: list[str | int | None] = [dollars(group.charged_nano), group.charged_nano]
    return [*counts, *charged, dollars(group.possible_nano), group.possible_nano, group.unpriced]
