"""What it cost: by day, model, tag, outcome; as a chart, as the table under it, as CSV. The numbers of `report`."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from jobs.api.access import Reader
from jobs.api.dashboard.pages import missing, show
from jobs.api.problems import Problem
from jobs.api.service import Service, Serving
from jobs.ledger.browsing import batch_row, tag_keys
from jobs.ledger.figures import Span
from jobs.report.charts import bars, columns
from jobs.report.costs import CostReport, read_report, report_remarks, report_sheet, report_table
from jobs.report.table import comma_separated

router = APIRouter()

KEYS = ("day", "model", "batch", "outcome", "meter")


@dataclass(frozen=True, slots=True)
class Asked:
    """The query of a cost page."""

    by: str
    since: str | None
    until: str | None
    batch: str | None


@router.get("/costs")
def costs(
    request: Request,
    _caller: Reader,
    service: Serving,
    by: str = "day",
    since: Annotated[str, Query(alias="from")] = "",
    until: Annotated[str, Query(alias="to")] = "",
    batch: str = "",
) -> Response:
    asked = _asked(by, since, until, batch)
    report = _report(service, asked)
    with service.ledger.read() as tx:
        keys = [*KEYS, *(f"tag:{key}" for key in tag_keys(tx))]
    chart = columns(report.groups) if asked.by == "day" else bars(report.groups)
    remarks, table = report_remarks(report), report_table(report)
    return show(
        request, "costs.html", asked=asked, keys=keys, chart=chart, remarks=remarks, table=table, report=report
    )


@router.get("/costs.csv")
def costs_csv(
    _caller: Reader,
    service: Serving,
    by: str = "day",
    since: Annotated[str, Query(alias="from")] = "",
    until: Annotated[str, Query(alias="to")] = "",
    batch: str = "",
) -> Response:
    asked = _asked(by, since, until, batch)
    text = comma_separated(report_sheet(_report(service, asked)))
    headers = {"Content-Disposition": 'attachment; filename="imagemill-costs.csv"'}
    return Response(text.encode(), media_type="text/csv; charset=utf-8", headers=headers)


def _report(service: Service, asked: Asked) -> CostReport:
    with service.ledger.read() as tx:
        if asked.batch and batch_row(tx, asked.batch) is None:
            raise missing(f"batch {asked.batch}")
        return read_report(tx, asked.by, Span(asked.batch, asked.since, asked.until))


def _asked(by: str, since: str, until: str, batch: str) -> Asked:
    if by not in KEYS and not (by.startswith("tag:") and len(by) > 4):
        raise Problem(400, "usage", f"there is no grouping {by!r}", next_=f"known are {', '.join(KEYS)}, tag:KEY")
    return Asked(by, _day(since), _day(until), batch or None)


def _day(text: str) -> str | None:
    try:
        return date.fromisoformat(text).isoformat() if text else None
    except ValueError:
        raise Problem(400, "usage", f"{text!r} is not a day", next_="write it like 2026-11-22") from None
