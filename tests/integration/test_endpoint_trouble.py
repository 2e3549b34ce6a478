"""Calls that go wrong on the way, or are stopped: what is known of them, and what is not."""

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest

from jobs.states import Outcome
from tests.integration.benches import Bench, against, call, one_call, run, until
from tests.integration.scripted_server import (
    Exchange,
    Script,
    hang,
    hang_up,
    reset,
    response,
    scripted,
)
from tests.pictures import noise, picture, text
from worker import wire
from worker.calls import Answer

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
