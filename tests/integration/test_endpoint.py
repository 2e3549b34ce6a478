"""One call against a scripted server: every way it can end, and what that costs."""

import asyncio
import errno
import json
import socket
import zlib
from base64 import b64encode
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jobs import files
from jobs.errors import UsageError
from jobs.states import Outcome
from tests.integration.scripted_server import (
    Exchange,
    Script,
    ScriptedServer,
    answers,
    hang,
    hang_up,
    reset,
    response,
    scripted,
)
from tests.integration.test_sse import event
from tests.pictures import USAGE, document, noise, picture, text
from worker import wire
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


def test_a_call_brings_its_image(tmp_path: Path) -> None:
    script = answers(200, document(picture(), size="20x10"), {"x-request-id": "req_1"})
    answer, server = run(tmp_path, script)
    assert answer.outcome is Outcome.SUCCEEDED
    assert (answer.http_status, answer.request_id, answer.usage) == (200, "req_1", USAGE)
    assert answer.facts == {"created": 1589478378, "size": "20x10", "items": 1}
    assert [(image.index, image.format, image.width, image.height) for image in answer.images] == [
        (0, "png", 20, 10)
    ]
    assert answer.seconds > 0
    assert len(server.requests) == 1


def test_the_request_is_what_was_asked_for_to_the_byte(tmp_path: Path) -> None:
    _, server = run(tmp_path, answers(200, document(picture())))
    (request,) = server.requests
    assert request.head.startswith(b"POST /v1/images/generations HTTP/1.1\r\n")
    assert request.body == BODY
    sent = {name: request.header(name) for name in ("Authorization", "Content-Type", "Accept-Encoding", "Cookie")}
    assert sent == {
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "Cookie": None,
    }
    assert request.header("X-Client-Request-Id") == "attempt-1"
    assert request.header("Idempotency-Key") == "job-key-1"


def test_large_answers_are_streamed_to_parts(tmp_path: Path) -> None:
    answer, _ = run(tmp_path, answers(200, text(noise(), noise(500))), n=2)
    assert answer.outcome is Outcome.SUCCEEDED
    assert [image.bytes for image in answer.images] == [len(noise()), len(noise(500))]


def test_connections_are_kept_for_the_next_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with scripted(answers(200, text(picture()))) as server, Bench(tmp_path, server.base_url) as bench:
            for _ in range(3):
                assert (await bench.endpoint.call(call())).outcome is Outcome.SUCCEEDED
            assert (len(server.requests), server.connections) == (3, 1)
            for path in bench.spool.folder.glob("*.part"):
                path.unlink()

    asyncio.run(main())


def test_hundreds_of_calls_are_in_flight_at_once(tmp_path: Path) -> None:
    everybody = 300

    async def main() -> None:
        arrived = asyncio.Event()

        async def together(exchange: Exchange) -> None:
            if len(server.requests) >= everybody:
                arrived.set()
            await arrived.wait()
            await exchange.send(response(429, b"{}"))

        async with scripted(together) as server, Bench(tmp_path, server.base_url) as bench, asyncio.timeout(60):
            got = await asyncio.gather(*(bench.endpoint.call(call()) for _ in range(everybody)))
            assert {answer.outcome for answer in got} == {Outcome.THROTTLED}

    asyncio.run(main())


# What goes wrong on the way: one test per line of the table of foreign errors


def test_a_refused_connection_was_never_sent(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    answer = one_call(tmp_path, base_url)
    assert (answer.outcome, answer.error_kind, answer.retryable) == (Outcome.ERRORED, "connect_failed", True)
    assert "before anything was sent" in (answer.error_message or "")


def test_an_unknown_host_was_never_sent(tmp_path: Path) -> None:
    answer = one_call(tmp_path, "http://no-such-host.invalid/v1")
    assert (answer.outcome, answer.error_kind) == (Outcome.ERRORED, "dns_failed")


def test_a_failed_tls_handshake_was_never_sent(tmp_path: Path) -> None:
    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"this is no TLS\r\n\r\n")

    answer = asyncio.run(against(no_tls, tmp_path, scheme="https"))
    assert (answer.outcome, answer.error_kind) == (Outcome.ERRORED, "tls_failed")


def test_a_connection_that_takes_too_long_was_never_sent(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    answer = asyncio.run(against(silent, tmp_path, scheme="https", connect_timeout_s=0.2))
    assert (answer.outcome, answer.error_kind) == (Outcome.ERRORED, "connect_timeout")


@pytest.mark.parametrize(
    ("script", "kinds"),
    [(hang_up, {"disconnected"}), (reset, {"connection_lost", "disconnected"})],
    ids=["closed", "reset"],
)
def test_s23_a_connection_lost_after_sending_is_one_request_and_a_doubt(
    tmp_path: Path, script: Script, kinds: set[str]
) -> None:
    answer, server = run(tmp_path, script)
    assert answer.outcome is Outcome.UNKNOWN
    assert answer.error_kind in kinds
    assert "may have been paid" in (answer.error_message or "")
    assert len(server.requests) == 1


def test_a_silent_server_leaves_a_doubt_at_the_read_limit(tmp_path: Path) -> None:
    answer, _ = run(tmp_path, hang, read_timeout_s=0.2)
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "read_timeout")


def test_s12_a_body_that_stops_coming_leaves_a_doubt(tmp_path: Path) -> None:
    async def stall(exchange: Exchange) -> None:
        whole = response(200, text(noise()), {"x-request-id": "req_9"})
        await exchange.send(whole[:500_000])
        await hang(exchange)

    answer, _ = run(tmp_path, stall, read_timeout_s=0.3)
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "read_timeout")
    assert (answer.http_status, answer.request_id) == (200, "req_9")


def test_s12_a_dripping_answer_ends_at_the_hard_deadline(tmp_path: Path) -> None:
    async def drip(exchange: Exchange) -> None:
        await exchange.send(response(200, text(picture()))[:80])
        while True:
            await asyncio.sleep(0.02)
            await exchange.send(b" ")

    answer, _ = run(tmp_path, drip, deadline_s=0.5)
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "deadline")


@pytest.mark.parametrize("step", range(50))
def test_s13_a_cut_body_leaves_a_doubt_and_no_file(tmp_path: Path, step: int) -> None:
    """At each fiftieth of it, in turns by an end of the connection and by a reset."""

    async def cut(exchange: Exchange) -> None:
        whole = response(200, text(noise(), picture()))
        head = whole.index(b"\r\n\r\n") + 4
        await exchange.send(whole[: head + (len(whole) - head) * step // 50])
        await (exchange.reset() if step % 2 else hang_up(exchange))

    answer, _ = run(tmp_path, cut)
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "body_cut")
    assert answer.http_status == 200


def test_a_body_that_ends_with_the_connection_can_be_cut_too(tmp_path: Path) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + text(picture())[:-20])
        exchange.writer.close()

    answer, _ = run(tmp_path, cut)
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "answer_cut")


def test_what_is_no_http_leaves_a_doubt(tmp_path: Path) -> None:
    async def chatter(exchange: Exchange) -> None:
        await exchange.send(b"220 mail.example ESMTP ready\r\n\r\n")

    answer, _ = run(tmp_path, chatter)
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "not_http")


def test_s23_a_lost_connection_is_not_sent_again_by_the_client(tmp_path: Path) -> None:
    """Also where the connection was kept from an earlier call, which many clients repeat in silence."""

    async def main() -> None:
        async def once(exchange: Exchange) -> None:
            if len(server.requests) == 1:
                await exchange.send(response(429, b"{}"))
            else:
                exchange.writer.close()

        async with scripted(once) as server, Bench(tmp_path, server.base_url) as bench:
            assert (await bench.endpoint.call(call())).outcome is Outcome.THROTTLED
            assert (await bench.endpoint.call(call())).outcome is Outcome.UNKNOWN
            assert (len(server.requests), server.connections) == (2, 1)

    asyncio.run(main())


def test_every_error_of_the_library_has_its_word() -> None:
    """Except those of parts that are not used: foreign URLs, redirects, upload trackers, web sockets."""
    unused = (
        aiohttp.InvalidURL,
        aiohttp.NonHttpUrlClientError,
        aiohttp.RedirectClientError,
        aiohttp.WSMessageTypeError,
        aiohttp.client_exceptions.UploadAbortedError,
    )
    families = tuple(family for family, _ in wire.ERROR_KINDS)
    errors = [thing for thing in vars(aiohttp.client_exceptions).values() if isinstance(thing, type)]
    nameless = {
        error
        for error in errors
        if issubclass(error, aiohttp.ClientError) and not issubclass(error, (*families, *unused))
    }
    assert nameless == {aiohttp.ClientError}


# Being stopped


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for knows no event
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("sent", [True, False])
def test_a_cancelled_call_says_whether_it_was_sent(tmp_path: Path, sent: bool) -> None:
    async def main() -> Answer:
        async with scripted(hang) as server:
            scheme = "http" if sent else "https"  # the handshake with a server that never answers it
            base_url = f"{scheme}://127.0.0.1:{server.port}/v1"
            async with Bench(tmp_path, base_url) as bench:
                task = asyncio.create_task(bench.endpoint.call(call()))
                await until(lambda: bool(server.requests) if sent else server.connections > 0)
                task.cancel()
                return await task

    answer = asyncio.run(main())
    assert answer.outcome is (Outcome.UNKNOWN if sent else Outcome.NOT_SENT)
    assert answer.error_kind == "cancelled"


@pytest.mark.parametrize("kept", [False, True])
def test_s25_a_connection_that_comes_too_late_sends_nothing(tmp_path: Path, kept: bool) -> None:
    """Its process was stopped while it connected, or before it took a connection kept from an earlier call."""

    async def main() -> None:
        async def refuse(exchange: Exchange) -> None:
            await exchange.send(response(429, b"{}"))

        async with scripted(refuse) as server, Bench(tmp_path, server.base_url) as bench:
            if kept:
                await bench.endpoint.call(call())
            late = await bench.endpoint.call(call(), wire.boot_clock_s() - 1)
            assert (late.outcome, late.error_kind) == (Outcome.NOT_SENT, "sent_too_late")
            assert (await bench.endpoint.call(call())).outcome is Outcome.THROTTLED
            assert (len(server.requests), server.connections) == (1 + kept, 1)

    asyncio.run(main())


def test_a_call_cancelled_while_its_body_is_written_leaves_no_file(tmp_path: Path) -> None:
    async def main() -> None:
        async def stall(exchange: Exchange) -> None:
            await exchange.send(response(200, text(noise()))[:1_000_000])
            await hang(exchange)

        async with scripted(stall) as server, Bench(tmp_path, server.base_url) as bench:
            task = asyncio.create_task(bench.endpoint.call(call()))
            await until(lambda: bool(bench.parts()))
            task.cancel()
            assert (await task).outcome is Outcome.UNKNOWN
            assert bench.parts() == set()

    asyncio.run(main())


# Answers that report errors


def test_an_api_error_is_judged_with_its_headers(tmp_path: Path) -> None:
    error = {"error": {"code": "rate_limit_exceeded", "type": "requests", "message": "slow", "param": None}}
    answer, _ = run(tmp_path, answers(429, error, {"Retry-After": "3", "x-request-id": "r2"}))
    assert (answer.outcome, answer.error_kind, answer.retryable) == (Outcome.THROTTLED, "rate_limit_exceeded", True)
    assert (answer.rate.retry_after_s, answer.request_id, answer.http_status) == (3.0, "r2", 429)


def test_c12_an_error_that_echoes_the_key_is_scrubbed(tmp_path: Path) -> None:
    error = {
        "error": {"code": "invalid_api_key", "message": f"Incorrect API key provided: {KEY}"},
        "usage": {"k": KEY},
    }
    answer, _ = run(tmp_path, answers(401, error))
    assert answer.outcome is Outcome.REJECTED
    assert answer.pause is not None
    assert "[secret]" in answer.pause.message


ESCAPED = KEY.replace("sk", "\\u0073k")
HEADERS = {"x-request-id": f"for {KEY}", "location": f"/{KEY}", "x-ratelimit-limit-requests": KEY}
TOLD = f'{{"{ESCAPED}": "{ESCAPED}", "a": ["{KEY}"]}}'
PNG = b64encode(picture()).decode()
ECHOES = {
    "error": (401, f'{{"error": {{"code": "{ESCAPED}", "message": "no {ESCAPED}"}}, "usage": {TOLD}}}'),
    "page": (502, f"<title>Bearer {KEY}</title>"),
    "redirect": (307, ""),
    "facts": (
        200,
        f'{{"data": [{{"b64_json": "{PNG}", "revised_prompt": "{ESCAPED}"}}], "usage": {TOLD}, "x": {TOLD}}}',
    ),
    "image": (200, f'{{"data": [{{"b64_json": "{b64encode(KEY.encode()).decode()}"}}]}}'),
    "url": (200, f'{{"data": [{{"url": "http://{KEY}.test/{KEY}"}}, {{"url": "{KEY}://{KEY}"}}]}}'),
    "no answer": (200, f"{KEY} {KEY}"),
    "cut": (200, f'{{"data": [{{"{KEY}'),
}


@pytest.mark.parametrize("status, body", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("pieces", [1, 7])
def test_c12_no_answer_brings_the_key_that_it_echoes(tmp_path: Path, status: int, body: str, pieces: int) -> None:
    """In headers, names, values, escapes, image bytes, URLs, and cut in the middle (`run` looks for it)."""

    async def script(exchange: Exchange) -> None:
        whole = response(status, body.encode(), HEADERS)
        step = -(-len(whole) // pieces)
        for start in range(0, len(whole), step):
            await exchange.send(whole[start : start + step])
            await asyncio.sleep(0)

    answer, _ = run(tmp_path, script)
    assert answer.request_id == "for [secret]"


def test_a_proxys_page_leaves_a_doubt(tmp_path: Path) -> None:
    page = b"<html><head><title>502 Bad Gateway</title></head></html>"
    answer, _ = run(tmp_path, answers(502, page, {"Content-Type": "text/html"}))
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "http_502")


def test_a_server_error_whose_body_is_cut_leaves_a_doubt(tmp_path: Path) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.send(response(500, b'{"error": {"type": "server_error", "message": "x"}}')[:-5])
        exchange.writer.close()

    assert run(tmp_path, cut)[0].outcome is Outcome.UNKNOWN


def test_a_client_error_whose_body_is_cut_is_certain_all_the_same(tmp_path: Path) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.send(response(400, b'{"error": {"code": "invalid_value"}}')[:-5])
        exchange.writer.close()

    assert run(tmp_path, cut)[0].outcome is Outcome.REJECTED


def test_c3_redirects_of_calls_are_not_followed(tmp_path: Path) -> None:
    answer, server = run(tmp_path, answers(307, b"", {"Location": "/v1/elsewhere"}))
    assert (answer.outcome, answer.error_kind) == (Outcome.REJECTED, "redirected")
    assert "/v1/elsewhere" in (answer.error_message or "")
    assert len(server.requests) == 1


def test_an_error_under_a_status_of_success_is_judged(tmp_path: Path) -> None:
    error = {"error": {"code": "moderation_blocked", "message": "no"}, "usage": USAGE}
    answer, _ = run(tmp_path, answers(200, error))
    assert (answer.outcome, answer.error_kind, answer.usage) == (Outcome.REFUSED, "moderation_blocked", USAGE)


# Paid answers without what was paid for


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"created": 1, "data": []}, "no_image"),
        ({"created": 1}, "no_image"),
        ({"data": [{}]}, "no_image"),
        ({"data": [{"b64_json": None}]}, "no_image"),
        ({"data": "AAAA"}, "no_image"),
        ({"data": [{"b64_json": "AAA"}]}, "bad_base64"),
        ({"data": [{"b64_json": "PGh0bWw+"}]}, "not_an_image"),
    ],
)
def test_a_whole_answer_without_an_image_is_paid_and_lost(tmp_path: Path, body: dict[str, Any], kind: str) -> None:
    answer, _ = run(tmp_path, answers(200, {**body, "usage": USAGE}))
    assert (answer.outcome, answer.error_kind, answer.retryable) == (Outcome.IMAGE_LOST, kind, False)
    assert answer.usage == USAGE


def test_fewer_images_than_asked_are_kept_and_the_rest_is_lost(tmp_path: Path) -> None:
    answer, _ = run(tmp_path, answers(200, document(picture(), picture("webp")[:-9])), n=3)
    assert (answer.outcome, answer.error_kind) == (Outcome.IMAGE_LOST, "image_cut")
    assert [image.format for image in answer.images] == ["png"]
    assert "1 of 3" in (answer.error_message or "")


def test_more_images_than_asked_are_kept_and_flagged(tmp_path: Path) -> None:
    answer, _ = run(tmp_path, answers(200, document(picture(), picture("webp"), picture("gif"))))
    assert answer.outcome is Outcome.SUCCEEDED
    assert [image.index for image in answer.images] == [0, 1, 2]
    assert answer.facts["surplus_images"] == 2


def test_parts_that_no_image_names_are_removed(tmp_path: Path) -> None:
    doubled = text(picture())[:-1] + b', "data": [{"b64_json": null}]}'
    answer, _ = run(tmp_path, answers(200, doubled))
    assert (answer.outcome, answer.images) == (Outcome.IMAGE_LOST, ())


@pytest.mark.parametrize("body", [b"<html>captive portal</html>", b"", b"{}{}", b'{"data": [', b"\x00" * 9])
def test_a_success_that_cannot_be_read_leaves_a_doubt(tmp_path: Path, body: bytes) -> None:
    assert run(tmp_path, answers(200, body))[0].outcome is Outcome.UNKNOWN


def test_an_answer_beyond_the_cap_is_refused_by_its_length(tmp_path: Path) -> None:
    async def giant(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{")
        await hang(exchange)

    answer, _ = run(tmp_path, giant)
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "answer_too_large")


def test_an_answer_beyond_the_cap_is_refused_as_it_streams(tmp_path: Path) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"data":[{"b64_json":"')
        while True:
            await exchange.send(b"QUJD" * 16_384)

    answer, _ = run(tmp_path, endless, max_image_bytes=100_000)
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "answer_too_large")


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, "disk_full"), (errno.EIO, "disk_failed")])
def test_a_disk_that_refuses_is_named_and_leaves_a_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "the disk refuses")

    monkeypatch.setattr(files, "write_all", refuse)
    answer, _ = run(tmp_path, answers(200, text(picture())))
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, kind)


# Compression nobody asked for


@pytest.mark.parametrize(("encoding", "window"), [("gzip", 31), ("deflate", 15)])
def test_a_compressed_answer_is_read(tmp_path: Path, encoding: str, window: int) -> None:
    packer = zlib.compressobj(wbits=window)
    body = packer.compress(text(noise(), picture())) + packer.flush()
    answer, _ = run(tmp_path, answers(200, body, {"Content-Encoding": encoding}), n=2)
    assert answer.outcome is Outcome.SUCCEEDED


def test_a_compressed_error_is_read(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(b'{"error": {"code": "moderation_blocked"}}') + packer.flush()
    assert run(tmp_path, answers(400, body, {"Content-Encoding": "gzip"}))[0].outcome is Outcome.REFUSED


def test_a_decompression_bomb_ends_at_the_cap(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(b'{"a": "' + b"x" * (200 << 20)) + packer.flush()
    answer, _ = run(tmp_path, answers(200, body, {"Content-Encoding": "gzip"}))
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "answer_too_large")


def test_an_unknown_compression_leaves_a_doubt(tmp_path: Path) -> None:
    answer, _ = run(tmp_path, answers(200, b"\x1b...", {"Content-Encoding": "br"}))
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "not_an_answer")


# Streams


STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}


def test_a_stream_brings_its_image(tmp_path: Path) -> None:
    body = event("partial_image", picture()) + event("completed", noise(), usage=USAGE)
    answer, server = run(tmp_path, answers(200, body, STREAM), stream=True)
    assert answer.outcome is Outcome.SUCCEEDED
    assert answer.usage == USAGE
    assert answer.facts == {"partial_images": 1, "items": 1}
    assert server.requests[0].header("Accept") == "text/event-stream"


def test_a_stream_that_ends_early_leaves_a_doubt(tmp_path: Path) -> None:
    answer, _ = run(tmp_path, answers(200, event("partial_image", picture()), STREAM), stream=True)
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "answer_cut")


def test_a_stream_cut_after_its_last_image_lost_nothing(tmp_path: Path) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.send(response(200, event("completed", picture(), usage=USAGE) + b" " * 99, STREAM)[:-50])
        exchange.writer.close()

    assert run(tmp_path, cut, stream=True)[0].outcome is Outcome.SUCCEEDED


def test_an_error_inside_a_stream_is_judged(tmp_path: Path) -> None:
    body = b'event: error\ndata: {"error": {"code": "moderation_blocked", "message": "no"}}\n\n'
    assert run(tmp_path, answers(200, body, STREAM), stream=True)[0].outcome is Outcome.REFUSED


def test_a_plain_answer_to_a_stream_request_is_read(tmp_path: Path) -> None:
    assert run(tmp_path, answers(200, text(picture())), stream=True)[0].outcome is Outcome.SUCCEEDED


# Answers by URL


def test_images_by_url_are_fetched_within_the_call(tmp_path: Path) -> None:
    answer, server = run_with_files(
        tmp_path, {"/f/a.png": picture(), "/f/b": picture("webp")}, ["/f/a.png", "/f/b"]
    )
    assert answer.outcome is Outcome.SUCCEEDED
    assert [(image.index, image.format) for image in answer.images] == [(0, "png"), (1, "webp")]
    assert [request.header("Authorization") for request in server.requests[1:]] == [None, None]


def test_an_expired_url_is_a_lost_image_and_no_second_call(tmp_path: Path) -> None:
    answer, server = run_with_files(tmp_path, {}, ["/f/gone.png"])
    assert (answer.outcome, answer.error_kind, answer.usage) == (Outcome.IMAGE_LOST, "image_url_failed", USAGE)
    assert [request.target for request in server.requests] == ["/v1/images/generations", *["/f/gone.png"] * 3]


def test_an_answer_of_urls_without_end_is_bounded(tmp_path: Path) -> None:
    answer, server = run_with_files(tmp_path, {"/f/a.gif": picture("gif")}, ["/f/a.gif"] * 500)
    assert answer.outcome is Outcome.IMAGE_LOST
    assert len(answer.images) == len(server.requests) - 1 == 64


def test_the_endpoints_own_host_is_not_allowed_by_itself(tmp_path: Path) -> None:
    answer, server = run_with_files(tmp_path, {"/f/a.png": picture()}, ["/f/a.png"], allowed=False)
    assert (answer.outcome, answer.error_kind) == (Outcome.IMAGE_LOST, "blocked_url")
    assert len(server.requests) == 1


def test_a_call_cancelled_during_the_download_is_paid_and_lost(tmp_path: Path) -> None:
    async def main() -> Answer:
        async def script(exchange: Exchange) -> None:
            if exchange.target.startswith("/f/"):
                await hang(exchange)
            body = {"data": [{"url": f"http://127.0.0.1:{server.port}/f/slow"}], "usage": USAGE}
            await exchange.send(response(200, json.dumps(body).encode()))

        async with scripted(script) as server:
            options = {"allow_private_hosts": [f"127.0.0.1:{server.port}"]}
            async with Bench(tmp_path, server.base_url, **options) as bench:
                task = asyncio.create_task(bench.endpoint.call(call()))
                await until(lambda: len(server.requests) == 2)
                task.cancel()
                return await task

    answer = asyncio.run(main())
    assert (answer.outcome, answer.error_kind, answer.usage) == (Outcome.IMAGE_LOST, "image_url_failed", USAGE)


# Settings that cannot work


@pytest.mark.parametrize(
    ("base_url", "key"),
    [
        ("", KEY),
        ("api.example.com/v1", KEY),
        ("ftp://api.example.com/v1", KEY),
        ("https://user:pass@api.example.com/v1", KEY),
        ("https://api.example.com/v1?x=1", KEY),
        ("https://api.example.com:port/v1", KEY),
        ("https://api.example.com/v1", "sk with blanks"),
        ("https://api.example.com/v1", "schlüssel"),
        ("https://api.example.com/v1", "a\r\nX-Evil: 1"),
    ],
)
def test_a_base_url_or_key_that_cannot_work_is_refused_at_once(tmp_path: Path, base_url: str, key: str) -> None:
    spool = Spool(tmp_path, "w1")
    with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError) as error:
        Endpoint(base_url, key, spool=spool, disk=pool)
    assert key not in str(error.value)
    spool.close()


def test_a_proxy_is_used_where_one_is_set(tmp_path: Path) -> None:
    async def main() -> None:
        async with scripted(answers(200, text(picture()))) as proxy:
            options = {"proxy": f"http://127.0.0.1:{proxy.port}"}
            async with Bench(tmp_path, "http://api.example.com/v1", **options) as bench:
                assert (await bench.endpoint.call(call())).outcome is Outcome.SUCCEEDED
                assert proxy.requests[0].target == "http://api.example.com/v1/images/generations"

    asyncio.run(main())


def test_proxy_variables_of_the_environment_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert run(tmp_path, answers(200, text(picture())))[0].outcome is Outcome.SUCCEEDED


# Helpers


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
