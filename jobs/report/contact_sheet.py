"""The contact sheet: one batch on one HTML page, with pictures, costs and what failed and why.

One file, no script, no network: pictures are embedded small, or linked by relative path where they cannot be. All
foreign text is escaped, and a content policy in the page forbids what should not be there anyway.
"""

import base64
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from html import escape
from importlib import resources
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from jobs.ledger.overview import Picture, PicturedJob
from jobs.report.causes import advice
from jobs.report.costs import CostReport, report_remarks
from jobs.report.standing import spend
from jobs.report.thumbnails import Thumbnails
from jobs.report.words import counted, escaped, usd

MOST_EMBEDDED_BYTES = 60_000_000
_AT_ONCE = 64
_THREADS = 2
_SHOWABLE = ("png", "jpeg", "webp", "gif")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data: file:"

PathOf = Callable[[str], Path]


def contact_sheet(report: CostReport, jobs: Iterable[PicturedJob], path_of: PathOf, folder: Path) -> Iterator[str]:
    """The page in pieces. `folder` is where the file will stand: links are relative to it."""
    yield from _head(report)
    shown = 0
    with Thumbnails(_THREADS) as thumbnails, ThreadPoolExecutor(_THREADS) as pool:
        sheet = _Sheet(report.standing.batch or "", path_of, folder, thumbnails)
        rest = iter(jobs)
        while piece := list(islice(rest, _AT_ONCE)):
            yield from pool.map(sheet.card, piece)
            shown += len(piece)
    left = report.standing.total_jobs - shown
    more = f"<p class=more>{counted(left, 'job')} more in this batch; --limit shows them</p>" if left > 0 else ""
    yield f"</main>{more}</body></html>\n"


class _Sheet:
    """Makes cards; keeps count of what is embedded, so that the file stays one that a browser opens."""

    def __init__(self, batch_id: str, path_of: PathOf, folder: Path, thumbnails: Thumbnails) -> None:
        self._batch_id, self._path_of, self._folder, self._thumbnails = batch_id, path_of, folder, thumbnails
        self._embedded_bytes = 0

    def card(self, job: PicturedJob) -> str:
        body = "".join(self._picture(job, picture) for picture in job.pictures) or self._reason(job)
        many = " many" if len(job.pictures) > 1 else ""
        return (
            f'<article class="{_html(job.state)}">'
            f'<div class="pictures{many}">{body}</div>'
            f"<h2 title='{_html(job.custom_id)}'>{_html(job.custom_id)}</h2>"
            f"<p class=prompt title='{_html(job.prompt[:500])}'>{_html(job.prompt[:300])}</p>"
            f"<p class=facts><b>{_html(job.state)}</b><span>{_html(_money(job))}</span></p></article>\n"
        )

    def _picture(self, job: PicturedJob, picture: Picture) -> str:
        """What can hold scripts is named and neither shown nor linked."""
        if picture.format not in _SHOWABLE:
            return f"<div class=none><b>{_html(picture.format)}</b><span>{_html(picture.path)}</span></div>"
        path = self._path_of(picture.path)
        link = quote(os.path.relpath(path, self._folder))
        small = None
        if self._embedded_bytes < MOST_EMBEDDED_BYTES:
            small = self._thumbnails.small(path, picture.width, picture.height)
        if small:
            self._embedded_bytes += len(small)
        source = f"data:image/webp;base64,{base64.b64encode(small).decode()}" if small else link
        note = "<em>paid twice</em>" if picture.surplus else ""
        size = f"{picture.width}×{picture.height}" if picture.width else "size unknown"
        return (
            f'<a href="{_html(link)}" title="{size} {_html(picture.format)}">'
            f'<img src="{_html(source)}" alt="{_html(job.custom_id)}" loading=lazy decoding=async>{note}</a>'
        )

    def _reason(self, job: PicturedJob) -> str:
        """In the place of a picture: why there is none, and what to do."""
        if job.state in ("queued", "running"):
            return f"<div class=none><b>{_html(job.state)}</b></div>"
        kind = job.error_kind or ("cancelled" if job.state == "cancelled" else "cause not known")
        told = (
            advice(self._batch_id, job.state, job.error_kind) if job.state in ("failed", "refused", "held") else ""
        )
        message = (job.error_message or "")[:240]
        return f"<div class=none><b>{_html(kind)}</b><span>{_html(message)}</span><i>{_code(told)}</i></div>"


def _head(report: CostReport) -> Iterator[str]:
    stands = report.standing
    title = _html(f"{stands.name} · {stands.batch}")
    style = resources.files("jobs.report").joinpath("contact_sheet.css").read_text(encoding="utf-8")
    yield (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>{title}</title><style>{style}</style></head><body>\n"
    )
    yield f"<header><div class=top><h1>{_html(stands.name or '')}</h1>"
    yield f"<code>{_html(stands.batch or '')}</code></div>\n"
    yield f"<p class=spend>{_html(spend(stands))}</p><ul class=remarks>"
    yield "".join(f"<li>{_code(line)}</li>" for line in report_remarks(report)[1:])
    yield f"</ul>{_filters(report)}</header><main>\n"


def _filters(report: CostReport) -> str:
    """Radio buttons that the style sheet reads: filtering without a script."""
    chips = [_chip("all", "all", report.standing.total_jobs, checked=True)]
    chips += [_chip(state, state, number) for state, number in report.standing.jobs.items() if number]
    return f"<fieldset><legend>show</legend>{''.join(chips)}</fieldset>"


def _chip(name: str, word: str, number: int, *, checked: bool = False) -> str:
    mark = " checked" if checked else ""
    return (
        f'<label class="{_html(name)}"><input type=radio name=show value={_html(name)}{mark}>'
        f"{_html(word)} <b>{number:,}</b></label>"
    )


def _money(job: PicturedJob) -> str:
    possible = f" + {usd(job.possible_nano)} possible" if job.possible_nano else ""
    return f"{usd(job.charged_nano)}{possible}"


def _code(text: str) -> str:
    """Advice with its commands between back-ticks set as code."""
    parts = _html(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _html(text: str) -> str:
    return escape(escaped(text), quote=True)
