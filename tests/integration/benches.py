"""An endpoint client with its spool, and one call of it against a scripted server."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.integration.scripted_server import (
    Exchange,
    Script,
    ScriptedServer,
    response,
    scripted,
)
from tests.pictures import USAGE
from worker.calls import Answer, Call
from worker.endpoint import Endpoint
from worker.spool import Spool

KEY = "sk-canary-key-0001"
BODY = json.dumps({"model": "gpt-image-2", "prompt": "一只猫"}, ensure_ascii=False).encode()


def call(n: int = 1, stream: bool = False) -> Call:
    return Call("attempt-1", "job-key-1", BODY, "gpt-image-2", n, stream)


class Bench:
    """An endpoint client with its spool, for use inside one event loop."""

    def __init__(self, root: Path, base_url: str, **options: Any) -> None:
        self.pool = ThreadPoolExecutor(2)
        self.spool = Spool(root, "w1", self.pool)
        self.endpoint = Endpoint(base_url, KEY, spool=self.spool, disk=self.pool, **options)

    async def __aenter__(self) -> "Bench":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.endpoint.close()
        self.pool.shutdown()
        self.spool.close()

    def parts(self) -> set[str]:
        return {path.name for path in self.spool.folder.iterdir()} - {"lock", "sent"}


def run(
    root: Path, script: Script, *, n: int = 1, stream: bool = False, **options: Any
) -> tuple[Answer, ScriptedServer]:
    """One call against the script; the parts on disk are those of the answer."""

    async def main() -> tuple[Answer, ScriptedServer]:
        async with scripted(script) as server, Bench(root, server.base_url, **options) as bench:
            answer = await bench.endpoint.call(call(n, stream))
            assert bench.parts() == {image.part for image in answer.images}
            assert KEY not in repr(answer)
            return answer, server

    return asyncio.run(main())


def one_call(root: Path, base_url: str, **options: Any) -> Answer:
    async def main() -> Answer:
        async with Bench(root, base_url, **options) as bench:
            return await bench.endpoint.call(call())

    return asyncio.run(main())


async def against(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    root: Path,
    *,
    scheme: str,
    **options: Any,
) -> Answer:
    """One call against a server below HTTP."""
    ended = asyncio.Event()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await serve(reader, writer)
            writer.close()
            await writer.wait_closed()
        ended.set()

    listener = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    base_url = f"{scheme}://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    async with listener, Bench(root, base_url, **options) as bench:
        answer = await bench.endpoint.call(call())
        await ended.wait()
        return answer


def run_with_files(
    root: Path, stored: dict[str, bytes], targets: list[str], *, allowed: bool = True
) -> tuple[Answer, ScriptedServer]:
    """A call whose answer names URLs on a server that has `stored`."""

    async def main() -> tuple[Answer, ScriptedServer]:
        async def script(exchange: Exchange) -> None:
            if exchange.target.startswith("/f/"):
                found = stored.get(exchange.target)
                await exchange.send(response(200 if found else 410, found or b"expired"))
                return
            data = [{"url": f"http://127.0.0.1:{server.port}{target}"} for target in targets]
            await exchange.send(response(200, json.dumps({"created": 1, "data": data, "usage": USAGE}).encode()))

        async with scripted(script) as server:
            hosts = [f"127.0.0.1:{server.port}"] if allowed else []
            async with Bench(root, server.base_url, allow_private_hosts=hosts) as bench:
                return await bench.endpoint.call(call(len(targets))), server

    return asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for knows no event
            await asyncio.sleep(0.005)
