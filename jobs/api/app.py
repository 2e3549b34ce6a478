"""The whole server as one ASGI application: the guard around three, each of which words refusals its own way."""

from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp

from jobs.api import rest
from jobs.api.access import Access
from jobs.api.dashboard import app as dashboard
from jobs.api.guard import Guard
from jobs.api.live import Publisher
from jobs.api.openai import app as openai
from jobs.api.problems import Problem, translated
from jobs.api.service import Service


def create_app(service: Service) -> ASGIApp:
    """The application that a server runs. It owns nothing: whoever made the service closes its ledger."""
    publisher = Publisher[Any]()
    pages = dashboard.make_app(publisher)
    routes = [
        Mount("/api", Access(rest.make_app(publisher), open_paths=rest.is_open, refuse=rest.refuse)),
        Mount("/v1", Access(openai.make_app(), open_paths=openai.is_open, refuse=openai.refuse)),
        Mount("/", Access(pages, open_paths=dashboard.is_open, refuse=dashboard.refuse, cookies=True)),
    ]
    inner = Starlette(routes=routes, exception_handlers={HTTPException: _nowhere})
    return Guard(inner, service, _refuse)


async def _nowhere(request: Request, error: Exception) -> Response:
    """A path that no application takes, such as one with a line end in it."""
    return _refuse(request, translated(error))


def _refuse(request: Request, problem: Problem) -> Response:
    """In the words of the application that would have been asked."""
    path = request.url.path
    if path.startswith("/v1/"):
        return openai.refuse(request, problem)
    return rest.refuse(request, problem) if path.startswith("/api/") else dashboard.refuse(request, problem)
