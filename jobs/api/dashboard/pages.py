"""How a page is made: templates, the words for money and time in them, and the rules of forms.

Every value in a template is escaped twice: characters that would turn or hide text are written out, then HTML's.
Pages bring a Referrer-Policy of their own: without a referrer, browsers would not say where a form comes from.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources
from typing import Annotated, Any
from urllib.parse import urlencode

import jinja2
from fastapi import Depends, Form, Request
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, RedirectResponse

from jobs.api.access import Caller, caller_of, needs
from jobs.api.dashboard import static
from jobs.api.problems import Problem
from jobs.api.service import Service
from jobs.api.sessions import require_form
from jobs.errors import ImagemillError
from jobs.ledger.browsing import count_doubts
from jobs.ledger.tokens import TokenScope
from jobs.money import dollars
from jobs.report.words import counted, duration, escaped, shortened, usd, usd_brief, with_unpriced

HEADERS: Mapping[str, str] = {"Referrer-Policy": "same-origin"}
_AGO_S = ((60, 1, "s"), (3600, 60, "min"), (48 * 3600, 3600, "h"), (float("inf"), 86_400, "days"))


def show(request: Request, template: str, status: int = 200, /, **values: Any) -> HTMLResponse:
    """A whole page, in the frame that all share."""
    caller = getattr(request.state, "caller", None)
    in_doubt = _doubts(request) if caller else 0
    text = render(template, who=caller, path=request.url.path, in_doubt=in_doubt, **values)
    return HTMLResponse(text, status, headers=dict(HEADERS))


def render(template: str, /, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


def see(url: str, **query: object) -> RedirectResponse:
    """After a form: the browser asks for this page, and a reload repeats nothing."""
    told = {name: value for name, value in query.items() if value not in (None, "")}
    return RedirectResponse(f"{url}?{urlencode(told)}" if told else url, 303)


def posts(*scopes: TokenScope) -> Callable[..., Caller]:
    """A dependency of routes that act: the caller, who holds any of the scopes and sent a form of our own page.
    Raises Problem 403."""

    def caller(
        caller: Annotated[Caller, Depends(needs(*scopes))], form_token: Annotated[str, Form()] = ""
    ) -> Caller:
        if caller.by != "token":
            require_form(caller, form_token)
        return caller

    return caller


Submitting = Annotated[Caller, Depends(posts(TokenScope.SUBMIT))]
Judging = Annotated[Caller, Depends(posts(TokenScope.SUBMIT, TokenScope.REVIEW))]
Funding = Annotated[Caller, Depends(posts(TokenScope.FINANCE))]
Administering = Annotated[Caller, Depends(posts(TokenScope.ADMIN))]


def may(request: Request, *scopes: TokenScope) -> bool:
    return caller_of(request).may(*scopes)


def missing(what: str) -> Problem:
    return Problem(
        404, "not_found", f"there is no {what} here", next_="it may be misspelt; see the list of batches"
    )


def _doubts(request: Request) -> int:
    """For the menu; 0 where the ledger does not answer, which a page must be able to say."""
    service: Service = request.state.service
    try:
        with service.ledger.read() as tx:
            return count_doubts(tx)[0]
    except ImagemillError:
        return 0


@lru_cache(1)
def _environment() -> jinja2.Environment:
    folder = resources.files("jobs.api.dashboard").joinpath("templates")
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(folder)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
    )
    made.filters.update(
        usd=usd, cents=usd_brief, dollars=dollars, duration=duration, lines=_lines, code=_code, bytes=_bytes, at=_at
    )
    made.globals.update(
        counted=counted,
        with_unpriced=with_unpriced,
        shortened=shortened,
        static=static.url,
        url=_url,
        since=_since,
    )
    return made


def _plain(value: Any) -> Any:
    """What an expression gives, with the characters that obey nobody written out."""
    return escaped(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _lines(text: str) -> Markup:
    """Text that may have lines of its own."""
    return Markup("\n").join(escape(escaped(line)) for line in text.split("\n"))


def _code(text: str) -> Markup:
    """Advice with its commands between back-ticks set as code."""
    parts = (escape(escaped(part)) for part in text.split("`"))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


def _bytes(number: int) -> str:
    return f"{number / 1e6:.1f} MB" if number >= 1e6 else f"{number / 1e3:.0f} kB"


def _at(moment_ms: int | None) -> Markup:
    """A moment: relative in the text, UTC in the title. "" for none."""
    if moment_ms is None:
        return Markup("")
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    exact = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    told = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, told, _since(moment_ms))


def _since(moment_ms: int) -> str:
    """ "12 min ago", "in 3 h"."""
    past_s = datetime.now(UTC).timestamp() - moment_ms / 1000
    size = abs(past_s)
    unit_s, unit = next((unit_s, unit) for most, unit_s, unit in _AGO_S if size < most)
    told = f"{size / unit_s:.0f} {unit}"
    if size < 5:
        return "just now"
    return f"{told} ago" if past_s > 0 else f"in {told}"


def _url(path: str, known: Mapping[str, Any] | None = None, **query: Any) -> str:
    """A path of ours with a query; what is None or "" is left out."""
    told = {name: value for name, value in ({**(known or {}), **query}).items() if value not in (None, "")}
    return f"{path}?{urlencode(told)}" if told else path
