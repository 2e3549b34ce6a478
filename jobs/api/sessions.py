"""The dashboard's way in: a token, typed once, for a cookie that scripts cannot read and other sites cannot send.

Forms carry a token of their session as well; `require_form` compares it. Where no token is asked for (this
machine), there is no session, and forms carry a secret of the server.
"""

import secrets

from starlette.requests import Request
from starlette.responses import Response

from jobs.api.access import COOKIE, Caller, require_own_page, verify
from jobs.api.problems import Problem
from jobs.api.service import Service
from jobs.ledger import tokens

FORM_FIELD = "form_token"


def log_in(service: Service, request: Request, text: str) -> str:
    """The value for the session cookie. Raises Problem: 401, 429, 403 for another site's form."""
    require_own_page(request)
    found = verify(service, request, text.strip())
    return service.ledger.write(tokens.open_session, found)


def log_out(service: Service, request: Request) -> None:
    session = request.cookies.get(COOKIE)
    if session:
        service.ledger.write(tokens.end_session, session)


def set_cookie(request: Request, response: Response, session: str) -> None:
    """Until the browser ends; the ledger ends it after 12 hours. Sent only over TLS where the page came over it."""
    response.set_cookie(COOKIE, session, httponly=True, samesite="strict", secure=_is_tls(request), path="/")


def clear_cookie(request: Request, response: Response) -> None:
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=_is_tls(request), path="/")


def require_form(caller: Caller, form_token: str) -> None:
    """Raises Problem 403 unless a page shown to this caller made the form."""
    if not secrets.compare_digest(form_token.encode(), caller.form_token.encode()):
        raise Problem(403, "form_expired", "this form is too old", next_="load the page again and repeat it")


def _is_tls(request: Request) -> bool:
    """Ours is plain HTTP; a proxy in front says whether the browser's is not. A liar only loses the own cookie."""
    return request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
