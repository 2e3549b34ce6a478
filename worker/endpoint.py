"""The client of one image API: makes a call, and says in an Answer how it ended, whatever happened.

Lives on the event loop of the network thread, which neither decodes nor touches the disk: the body goes to the
disk pool in pieces. One call is one request on the wire: no retries, no redirects. How far it got `worker.wire`
tells.
"""

import asyncio
import math
import re
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterable, Collection, Iterable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from functools import partial

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream

from jobs.errors import UsageError
from worker.answer import AnswerDecoder, Decoded, Decoder
from worker.calls import Answer, Call
from worker.disk import Disk, DiskFailed
from worker.download import Downloader
from worker.inflate import InflatingDecoder, inflated
from worker.line import KEEP_ALIVE_S, READ_AHEAD_BYTES
from worker.parts import MAX_IMAGE_BYTES, MAX_IMAGES, Broken, Part, Parts
from worker.reply import Head, answer_of_error, answer_of_failure, answer_of_images, error_in
from worker.scan import MAX_REST_BYTES, DecodeError
from worker.scrub import scrub
from worker.spool import Spool
from worker.sse import EventDecoder
from worker.turns import Piece, Turns
from worker.verdict import ApiError, read_error
from worker.wire import WIRE, Connector, Wire, failure

_ERROR_BYTES = 64 << 10
_STREAMED_PER_IMAGE = 4
"""A stream may carry three partial images before each whole one."""


class Endpoint:
    """One base URL with one key.

    `spool` holds the part files, `disk` is the pool that decodes and writes them. A call ends within
    `longest_s`. `allow_private_hosts`: hosts (`host` or `host:port`) that image URLs may name although they are
    private or plain http. `may_bill`: statuses whose errors this API may bill. Raises UsageError for a base URL or
    a key that cannot work.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        spool: Spool,
        disk: Executor,
        allow_private_hosts: Iterable[str] = (),
        may_bill: Collection[int] = (),
        read_timeout_s: float = 600.0,
        deadline_s: float = 900.0,
        download_s: float = 120.0,
        connect_timeout_s: float = 10.0,
        max_image_bytes: int = MAX_IMAGE_BYTES,
        proxy: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.longest_s = deadline_s + download_s
        self._url = _checked_url(base_url)
        self._key = _checked_key(api_key)
        self._spool = spool
        self._disk = Disk(disk)
        self._deadline_s = deadline_s
        self._may_bill = may_bill
        self._max_image_bytes = max_image_bytes
        self._proxy = proxy
        self._tls = tls or httpx.create_ssl_context()
        self._turns = Turns()
        # The transport is called directly: an httpx client around it would only add redirects, cookies and a
        # third of the CPU time of a small call.
        self._transport = AiohttpTransport(verify=self._tls, client=self._open_session)
        self._fixed_headers = _fixed_headers(self._key)
        self._extensions = {"timeout": {"connect": connect_timeout_s, "read": read_timeout_s, "pool": None}}
        self._downloads = Downloader(
            self._disk,
            self._turns,
            allow_private_hosts=allow_private_hosts,
            max_image_bytes=max_image_bytes,
            deadline_s=download_s,
            tls=self._tls,
        )

    async def call(self, call: Call, send_by_s: float = math.inf) -> Answer:
        """Make the call, if it can be sent by that moment of `boot_clock_s`. Never raises; a cancelled call answers
        too, not_sent or unknown."""
        wire = Wire(send_by_s)
        WIRE.set(wire)
        parts = Parts(self._spool.part_path, call.attempt_id, self._max_image_bytes)
        try:
            answer = await self._answered(call, wire, parts)
        except (Exception, asyncio.CancelledError) as error:
            answer = self._failed(call, wire, error)
        await self._tidy(parts, answer)
        return replace(answer, seconds=time.monotonic() - wire.sent_at if wire.sent_at else 0.0)

    async def close(self) -> None:
        """Close all connections."""
        await self._downloads.close()
        await self._transport.aclose()

    def _open_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=Connector(self._turns.lines, limit=0, keepalive_timeout=KEEP_ALIVE_S, ssl=self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=READ_AHEAD_BYTES,
            trust_env=False,
            proxy=self._proxy,
        )

    async def _answered(self, call: Call, wire: Wire, parts: Parts) -> Answer:
        async with asyncio.timeout(self._deadline_s):
            reply = await self._exchange(call, wire, parts)
        if isinstance(reply, ApiError):
            return answer_of_error(call, wire.head, reply, self._key, self._may_bill)
        if reply.error is not None and not reply.items:
            return answer_of_error(call, wire.head, error_in(reply), self._key, self._may_bill)
        return answer_of_images(call, wire.head, reply, await self._images(reply, parts), self._key)

    async def _exchange(self, call: Call, wire: Wire, parts: Parts) -> Decoded | ApiError:
        response = await self._transport.handle_async_request(self._request(call))
        try:
            wire.head = Head.of(response.status_code, response.headers.raw, self._key)
            assert isinstance(response.stream, AiohttpResponseStream)
            if 200 <= response.status_code < 300:
                return await self._decoded(call, wire, response.stream, parts)
            return await _error(wire, response.stream, self._key)
        finally:
            await response.aclose()

    def _request(self, call: Call) -> httpx.Request:
        accept = b"text/event-stream" if call.stream else b"application/json"
        headers = [
            *self._fixed_headers,
            (b"Accept", accept),
            (b"X-Client-Request-Id", call.attempt_id.encode()),
            (b"Idempotency-Key", call.idempotency_key.encode()),
        ]
        request = httpx.Request("POST", self._url, headers=headers, content=call.body, extensions=self._extensions)
        request.headers.encoding = "ascii"  # else it is found out anew, header by header
        return request

    async def _decoded(self, call: Call, wire: Wire, body: AiohttpResponseStream, parts: Parts) -> Decoded:
        decoder = self._decoder(call, wire, parts)
        with self._turns.body(wire.line) as received:
            try:
                async for piece in received.pieces(partial(_chunks, body)):
                    await self._disk.run(_feed, decoder, piece)
            except (httpx.HTTPError, aiohttp.ClientError):
                with suppress(DecodeError):
                    await self._disk.run(_feed, decoder, received.take())
                if not decoder.complete(call.n):
                    raise
            return await self._disk.run(_finish, decoder, received.take())

    def _decoder(self, call: Call, wire: Wire, parts: Parts) -> Decoder:
        streamed = wire.head.headers.get("content-type", "").lower().startswith("text/event-stream")
        images = max(1, call.n) * (_STREAMED_PER_IMAGE if streamed else 1)
        most = images * self._max_image_bytes * 4 // 3 + MAX_REST_BYTES
        length = wire.head.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > most:
            raise DecodeError("answer_too_large", f"the answer is larger than {most} bytes")
        kind = EventDecoder if streamed else AnswerDecoder
        decoder = kind(parts, max_bytes=most, secret=self._key)
        encoding = wire.head.headers.get("content-encoding", "identity").strip().lower()
        return decoder if encoding in ("", "identity") else InflatingDecoder(encoding, decoder)

    async def _images(self, reply: Decoded, parts: Parts) -> list[Part | Broken | None]:
        """What became of each image, those that come by URL fetched now."""
        received = [item.image for item in reply.items]
        wanted = {
            index: item.url
            for index, item in enumerate(reply.items[:MAX_IMAGES])
            if item.url and not isinstance(item.image, Part)
        }
        if wanted:
            fetched = await self._fetched(list(wanted.values()), parts)
            for index, image in zip(wanted, fetched, strict=True):
                received[index] = image
        return received

    async def _fetched(self, urls: list[str], parts: Parts) -> list[Part | Broken]:
        """The call is paid and answered by now, so that being cancelled leaves lost images and no doubt."""
        fetches = (self._downloads.fetch(url, parts) for url in urls)
        try:
            results = await asyncio.gather(*fetches, return_exceptions=True)
        except asyncio.CancelledError:
            return [Broken("image_url_failed", "the worker was stopped before the image was fetched")] * len(urls)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if not isinstance(result, BaseException)]

    def _failed(self, call: Call, wire: Wire, error: BaseException) -> Answer:
        """The answer where none came, or none that can be read."""
        outcome, kind, words = failure(wire, error)
        return answer_of_failure(call, wire.head, outcome, kind, scrub(words, self._key))

    async def _tidy(self, parts: Parts, answer: Answer) -> None:
        """Remove the parts that no image of the answer names: partial ones, doubled ones, those of a cut body."""
        keep = frozenset(image.part for image in answer.images)
        if parts.has_others(keep):
            with suppress(DiskFailed, asyncio.CancelledError):
                await self._disk.run(parts.discard, keep)


def _chunks(body: AiohttpResponseStream, most_bytes: int) -> AsyncGenerator[bytes, None]:
    body.CHUNK_SIZE = most_bytes
    chunks = aiter(body)
    assert isinstance(chunks, AsyncGenerator)
    return chunks


def _feed(decoder: Decoder, piece: Piece) -> None:
    decoder.feed(b"".join(piece))


def _finish(decoder: Decoder, piece: Piece) -> Decoded:
    return decoder.finish(b"".join(piece))


async def _error(wire: Wire, body: AsyncIterable[bytes], key: str) -> ApiError:
    """The error in the body; a body cut short leaves the status, which tells enough."""
    held = bytearray()
    with suppress(httpx.HTTPError, aiohttp.ClientError):
        async for chunk in body:
            held += chunk
            if len(held) >= _ERROR_BYTES:
                break
    if 300 <= wire.head.status < 400:
        return ApiError(message=f"redirected to {wire.head.headers.get('location', 'nowhere')}")
    text = inflated(bytes(held), wire.head.headers.get("content-encoding", ""), _ERROR_BYTES)
    return read_error(text, key)


def _fixed_headers(key: str) -> list[tuple[bytes, bytes]]:
    """What every call carries."""
    headers = [
        (b"Content-Type", b"application/json"),
        (b"Accept-Encoding", b"identity"),
        (b"User-Agent", b"imagemill"),
    ]
    return [*headers, (b"Authorization", b"Bearer " + key.encode())] if key else headers


def _checked_url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url.rstrip("/") + "/images/generations")
    except httpx.InvalidURL as error:
        raise UsageError(f"endpoint URL {base_url!r} is no URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError(f"endpoint URL {base_url!r}: expected http(s)://host/v1")
    if url.userinfo or url.query or url.fragment:
        raise UsageError(
            "the endpoint URL must not carry a user name, a query or a fragment; the key has its own setting"
        )
    return url


def _checked_key(api_key: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]*", api_key.strip()):
        raise UsageError("the API key has blanks or letters that no HTTP header can carry")
    return api_key.strip()
