"""imagemill's server for the tests: the real application on a real socket, over a ledger of the test's own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from jobs.api.app import create_app
from jobs.api.service import Service
from jobs.catalogue.prices import PriceBook
from jobs.ledger import tokens
from jobs.ledger.engine import Ledger
from jobs.ledger.tokens import TokenScope
from jobs.settings import load_settings

OPERATOR = "ana@here"
LINE = {"model": "gpt-image-2", "prompt": "a fox", "size": "1024x1024", "quality": "low"}
NDJSON = "application/x-ndjson"


class Api:
    """A running server. Calls come from this machine; `token` makes a caller of another kind."""

    def __init__(self, service: Service, url: str, client: httpx.Client) -> None:
        self.service = service
        self.ledger = service.ledger
        self.url = url
        self.client = client
        self.woken: list[tuple[str, int]] = []

    def token(self, *scopes: str, lifetime_s: int | None = None) -> dict[str, str]:
        """The header of a new token."""
        held = [TokenScope(scope) for scope in scopes]
        name = f"token {'+'.join(scopes)} {len(self.tokens())}"
        _, text = self.ledger.write(tokens.create, name, held, lifetime_s, by=OPERATOR)
        return {"Authorization": f"Bearer {text}"}

    def tokens(self) -> list[tokens.Token]:
        with self.ledger.read() as tx:
            return tokens.list_tokens(tx)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.client.post(path, **options)

    def submit(self, *rows: dict[str, Any], **settings: Any) -> httpx.Response:
        return self.post("/api/batches", json={"rows": [LINE | row for row in rows], "settings": settings})


def make_service(ledger: Ledger, folder: Path, **changes: Any) -> Service:
    settings = load_settings(data_dir=folder / "data", endpoint_url="http://127.0.0.1:9/v1")
    service = Service(
        ledger=ledger,
        settings=settings,
        book=PriceBook.load(None),
        wake=lambda batch, jobs: None,
        operator=OPERATOR,
    )
    return replace(service, **changes) if changes else service


@contextmanager
def serving(service: Service) -> Iterator[Api]:
    """Serve until the block ends. Wake-ups are kept in `woken`."""
    woken: list[tuple[str, int]] = []
    service = replace(service, wake=lambda batch, jobs: woken.append((batch, jobs)))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        config = uvicorn.Config(
            create_app(service),
            lifespan="off",
            log_level="error",
            proxy_headers=False,
            h11_max_incomplete_event_size=1 << 18,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        try:
            with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
                api = Api(service, url, client)
                api.woken = woken
                yield api
        finally:
            server.should_exit = True
            thread.join(20)
            service.thumbnails.close()
        assert not thread.is_alive(), "the server did not stop"
