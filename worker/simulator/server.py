"""The HTTP server of the simulator: the images API, temporary files, and a few pages of its own.

    POST /v1/images/generations    GET /v1/models, /v1/models/ID    GET /files/NAME
    GET /healthz                   GET /sim/journal, /sim/stats     POST /sim/config

Run it by the command, by `run`, or inside a test by `start_in_thread`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from secrets import token_hex
from typing import Any

import msgspec
from aiohttp import web

from worker.simulator.config import SimulatorConfig
from worker.simulator.delivery import cuts, deliver
from worker.simulator.endpoint import Endpoint
from worker.simulator.errors import ApiError
from worker.simulator.models import MODELS, Model
from worker.simulator.pictures import CONTENT_TYPES
from worker.simulator.values import Arrival, Reply

BODY_MAX_BYTES = 4_000_000
BACKLOG = 4096
STOP_GRACE_S = 0.5
"""How long calls under way may go on when the server stops."""

Ready = Callable[[str, Endpoint], None]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """The handlers; each reads its request, asks the endpoint and answers."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.in_flight = 0
        self.peak_in_flight = 0
        self._deciding: set[asyncio.Task[Reply]] = set()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=BODY_MAX_BYTES, middlewares=[errors_as_json])
        app.add_routes(
            [
                web.post("/v1/images/generations", self.generate),
                web.get("/v1/models", self.models),
                web.get("/v1/models/{id}", self.model),
                web.get("/files/{name}", self.file),
                web.get("/healthz", self.health),
                web.get("/sim/journal", self.journal),
                web.get("/sim/stats", self.stats),
                web.post("/sim/config", self.configure),
            ]
        )
        return app

    async def generate(self, http: web.Request) -> web.StreamResponse:
        body = await http.read()
        arrival = Arrival(http.headers, body, f"{http.scheme}://{http.host}", datetime.now(UTC))
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            return await self._answer(http, arrival)
        finally:
            self.in_flight -= 1

    async def _answer(self, http: web.Request, arrival: Arrival) -> web.StreamResponse:
        """Decide, deliver, and write down how the delivery ended."""
        reply = await self._decide(arrival)
        result = "cut" if cuts(reply) else "disconnected"
        try:
            response = await deliver(http, reply)
            result = "complete"
            return response
        finally:
            attempt_id = arrival.headers.get("X-Client-Request-Id")
            self.endpoint.journal.end(reply.request_id, attempt_id, result)

    async def _decide(self, arrival: Arrival) -> Reply:
        """The endpoint's decision, which a caller that goes away does not stop."""
        task = asyncio.ensure_future(self.endpoint.answer(arrival))
        self._deciding.add(task)
        task.add_done_callback(self._deciding.discard)
        return await asyncio.shield(task)

    async def finish(self) -> None:
        """Wait for decisions whose callers went away, so that all of them are in the journal."""
        await asyncio.gather(*self._deciding, return_exceptions=True)
        self.endpoint.close()

    async def models(self, http: web.Request) -> web.Response:
        today = datetime.now(UTC).date()
        hidden = self.endpoint.config.refuse_retired
        shown = [model for model in MODELS.values() if not (hidden and model.retired(today))]
        return _json({"object": "list", "data": [_model_fields(model) for model in shown]})

    async def model(self, http: web.Request) -> web.Response:
        name = http.match_info["id"]
        if name not in MODELS:
            error = ApiError(404, f"The model '{name}' does not exist.", code="model_not_found", param="model")
            return _json(error.body(), 404)
        return _json(_model_fields(MODELS[name]))

    async def file(self, http: web.Request) -> web.StreamResponse:
        """A picture from its temporary url: 403 past its time, 404 when it never was."""
        name = http.match_info["name"]
        reply = self._file_reply(name, http.query.get("expires", ""))
        result = "cut" if cuts(reply) else "disconnected"
        try:
            response = await deliver(http, reply)
            result = "complete"
            return response
        finally:
            self.endpoint.journal.file(name, reply.status or 0, result)

    def _file_reply(self, name: str, expires: str) -> Reply:
        request_id = f"file_{token_hex(8)}"
        file = self.endpoint.workshop.files.find(name)
        if expires.replace(".", "", 1).isdigit() and float(expires) < time.time():
            return Reply(request_id, 403, (b"<Error><Code>AuthenticationFailed</Code></Error>",), "text/xml")
        if file is None:
            return Reply(request_id, 404, (b"<Error><Code>ResourceNotFound</Code></Error>",), "text/xml")
        if file.fails_left > 0:
            file.fails_left -= 1
            return Reply(request_id, 500, (b"<Error><Code>InternalError</Code></Error>",), "text/xml")
        spoils = {"cut": 0.5} if file.cuts_left > 0 else {}
        file.cuts_left -= len(spoils)
        content_type = CONTENT_TYPES[file.picture.format]
        return Reply(request_id, 200, (file.picture.data,), content_type, spoils=spoils)

    async def health(self, http: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def journal(self, http: web.Request) -> web.Response:
        text = await asyncio.to_thread(self.endpoint.journal.text)
        return web.Response(body=text, content_type="application/x-ndjson")

    async def stats(self, http: web.Request) -> web.Response:
        flight = {"in_flight": self.in_flight, "peak_in_flight": self.peak_in_flight}
        return _json({**self.endpoint.stats, **flight})

    async def configure(self, http: web.Request) -> web.Response:
        """Change some settings by a JSON object of them; answers with all settings."""
        try:
            changes = msgspec.json.decode(await http.read(), type=dict[str, Any])
            self.endpoint.configure(self.endpoint.config.changed(changes))
        except ValueError as error:
            return _json(ApiError(400, str(error)).body(), 400)
        return _json(self.endpoint.config.shown())


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Unknown paths, wrong methods and bodies too large, worded as the API words errors."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        message = f"Invalid URL ({request.method} {request.path})" if error.status == 404 else error.reason
        return _json(ApiError(error.status, message).body(), error.status)


def _json(value: object, status: int = 200) -> web.Response:
    headers = {"x-request-id": f"req_{token_hex(16)}"}
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers=headers, content_type="application/json"
    )


def _model_fields(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": _unix(model.api_start),
        "owned_by": "simulator",
        "shutdown_date": model.shutdown_date.isoformat() if model.shutdown_date else None,
    }


def _unix(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


async def serve(config: SimulatorConfig, ready: Ready, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. `ready` is called with the URL that ends in /v1 once calls are taken."""
    server = Server(Endpoint(config))
    runner = web.AppRunner(
        server.application(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=STOP_GRACE_S,
        handle_signals=False,
    )
    try:
        await runner.setup()
        await web.TCPSite(runner, config.host, config.port, backlog=BACKLOG).start()
        port = runner.addresses[0][1]
        host = f"[{config.host}]" if ":" in config.host else config.host
        ready(f"http://{host}:{port}/v1", server.endpoint)
        await stop.wait()
    finally:
        await runner.cleanup()
        await server.finish()
