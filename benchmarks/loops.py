"""The loops without imagemill that benchmarks/contestants.py runs: each makes calls and keeps no record of them.

    bare         our HTTP client reads each answer whole and drops it
    wholebody    aiohttp reads each answer whole; its images are decoded, hashed and written
    streamed     our HTTP client; images are decoded, hashed and written as they come, a decode and nothing else
    sdk          the official openai SDK behind a semaphore; images are decoded and written
    sdk-aiohttp  the same with its faster client, `openai[aiohttp]`

What comes by URL all but `bare` fetch, each with its own client. All decode on the event loop, which costs the
least CPU time, and no file is fsynced.
"""

import asyncio
from base64 import b64decode
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

TIMEOUT_S = 240
HEADERS = {"Authorization": "Bearer bench", "Accept-Encoding": "identity"}


@dataclass(slots=True)
class Run:
    """One run of a loop; `done` counts as it goes."""

    url: str
    jobs: int
    in_flight: int
    folder: Path
    request: Callable[[int], dict[str, Any]]
    """The body of a job by its number."""
    done: int = 0
    _names: "count[int]" = field(default_factory=count)

    @property
    def target(self) -> str:
        return f"{self.url}/images/generations"

    def file(self) -> Path:
        """A new name."""
        return self.folder / f"{next(self._names)}.png"

    def keep(self, data: bytes) -> str:
        """Write one image; its hash."""
        self.file().write_bytes(data)
        return sha256(data).hexdigest()

    async def make(self, one: Callable[[int], Awaitable[object]]) -> None:
        """All calls, as many workers as may be in flight: no semaphore queue to measure."""
        numbers = iter(range(self.jobs))

        async def worker() -> None:
            for number in numbers:
                await one(number)
                self.done += 1

        await asyncio.gather(*(worker() for _ in range(self.in_flight)))


async def bare(run: Run) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(_client())

        async def one(number: int) -> None:
            answer = await client.post(run.target, json=run.request(number), headers=HEADERS)
            assert answer.status_code == 200, answer.text[:200]

        await run.make(one)


async def wholebody(run: Run) -> None:
    import aiohttp
    import msgspec
    import pybase64

    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def fetched(url: str) -> bytes:
            async with session.get(url) as file:
                assert file.status == 200
                return await file.read()

        async def one(number: int) -> None:
            async with session.post(run.target, json=run.request(number), headers=HEADERS) as answer:
                assert answer.status == 200
                body = msgspec.json.decode(await answer.read())
            for item in body["data"]:
                text = item.get("b64_json")
                run.keep(pybase64.b64decode(text, validate=True) if text else await fetched(item["url"]))

        await run.make(one)


async def streamed(run: Run) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(_client())

        async def fetched(url: str) -> None:
            with Image(run.file()) as image:
                async with client.stream("GET", url) as file:
                    assert file.status_code == 200
                    async for chunk in file.aiter_raw():
                        image.write(chunk)

        async def one(number: int) -> None:
            with Stream(run) as stream:
                async with client.stream("POST", run.target, json=run.request(number), headers=HEADERS) as answer:
                    assert answer.status_code == 200
                    async for chunk in answer.aiter_raw():
                        stream.feed(chunk)
            for url in stream.urls():
                await fetched(url)

        await run.make(one)


class Image:
    """One image that is hashed and written as it comes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._hash = sha256()

    def __enter__(self) -> "Image":
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()
        self.sha256 = self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)


class Stream:
    """The least that decodes an answer as it comes; trusts it to be well formed and without escapes."""

    _MARK = b'"b64_json":"'

    def __init__(self, run: Run) -> None:
        self._run = run
        self._image: Image | None = None
        self._held = b""
        self._rest = b""

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_error: object) -> None:
        if self._image is not None:
            self._image.__exit__()

    def urls(self) -> list[str]:
        """What the answer, at its end, gives to be fetched."""
        import msgspec

        return [item["url"] for item in msgspec.json.decode(self._rest + self._held)["data"] if item.get("url")]

    def feed(self, data: bytes) -> None:
        while data:
            data = self._in_text(data) if self._image is None else self._in_image(self._image, data)

    def _in_text(self, data: bytes) -> bytes:
        data, self._held = self._held + data, b""
        text, mark, after = data.partition(self._MARK)
        if not mark:
            self._rest, self._held = self._rest + text[: -len(self._MARK)], text[-len(self._MARK) :]
            return b""
        self._rest += text + mark
        self._image = Image(self._run.file())
        return after

    def _in_image(self, image: Image, data: bytes) -> bytes:
        import pybase64

        end = data.find(b'"')
        text = self._held + (data if end < 0 else data[:end])
        whole = len(text) & ~3
        self._held = text[whole:]
        image.write(pybase64.b64decode(text[:whole], validate=True))
        if end < 0:
            return b""
        image.__exit__()
        self._image = None
        return data[end:]


async def sdk(run: Run, **options: Any) -> None:
    import httpx
    from openai import AsyncOpenAI

    key = HEADERS["Authorization"].removeprefix("Bearer ")
    gate = asyncio.Semaphore(run.in_flight)
    limits = httpx.Limits(max_connections=None)
    async with (
        AsyncOpenAI(base_url=run.url, api_key=key, max_retries=0, timeout=TIMEOUT_S, **options) as client,
        httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits) as files,
    ):

        async def one(number: int) -> None:
            async with gate:
                answer = await client.images.generate(**run.request(number))
                assert answer.data
                for item in answer.data:
                    text = item.b64_json
                    image = b64decode(text) if text else (await files.get(item.url or "")).content
                    run.file().write_bytes(image)

        await run.make(one)


async def sdk_aiohttp(run: Run) -> None:
    from openai import DefaultAioHttpClient

    await sdk(run, http_client=DefaultAioHttpClient(timeout=TIMEOUT_S))


def _client() -> Any:
    """httpx over aiohttp, without limits of its own."""
    import aiohttp
    import httpx
    from httpx_aiohttp import AiohttpTransport

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

    return httpx.AsyncClient(transport=AiohttpTransport(client=session), timeout=TIMEOUT_S)


LOOPS: dict[str, Callable[[Run], Coroutine[Any, Any, None]]] = {
    "bare": bare,
    "wholebody": wholebody,
    "streamed": streamed,
    "sdk": sdk,
    "sdk-aiohttp": sdk_aiohttp,
}
