"""Connections that receive little until it is their turn, on real sockets."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import aiohttp
import pytest

from tests.integration.scripted_server import Exchange, response, scripted
from worker.line import LEAST_BYTES, MOST_BYTES, NO_LINE, Lines, LineSocket


@pytest.fixture
def received() -> Iterator[LineSocket]:
    """The near end of a connection whose far end has sent plenty."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = LineSocket(socket.AF_INET, socket.SOCK_STREAM)
        near.connect(listener.getsockname())
        far, _ = listener.accept()
        sender = threading.Thread(target=_send_plenty, args=(far,))
        sender.start()
        near.settimeout(10)
        with near:
            yield near
            while near.recv(MOST_BYTES):
                pass
        sender.join()


def _send_plenty(far: socket.socket) -> None:
    with far:
        far.sendall(bytes(1 << 20))


def test_a_socket_gives_no_more_at_a_time_than_it_was_told(received: LineSocket) -> None:
    into = bytearray(MOST_BYTES)
    assert 0 < len(received.recv(MOST_BYTES)) <= LEAST_BYTES
    assert 0 < received.recv_into(into) <= LEAST_BYTES
    assert 0 < received.recv_into(into, 100) <= 100


def test_a_line_is_narrow_until_it_is_widened_and_gone_with_its_answer() -> None:
    async def main() -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.send(response(200, bytes(1 << 20)))

        lines = Lines()
        async with (
            scripted(script) as server,
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(socket_factory=lines.open), read_bufsize=LEAST_BYTES
            ) as session,
            session.get(f"http://127.0.0.1:{server.port}/") as answer,
        ):
            (opened,) = lines._opened.values()
            line = lines.line(answer.connection)
            assert opened.most_bytes == LEAST_BYTES
            line.widen()
            assert opened.most_bytes == MOST_BYTES
            line.pause()
            assert answer.connection is not None
            assert answer.connection.transport is not None
            assert not answer.connection.transport.is_reading()
            line.widen()
            line.narrow()
            assert opened.most_bytes == LEAST_BYTES
            await answer.read()
            line.widen()  # the connection may be another call's by now
            assert opened.most_bytes == LEAST_BYTES

    asyncio.run(main())


def test_the_line_of_an_answer_that_is_all_there_does_nothing() -> None:
    line = Lines().line(None)
    assert line is NO_LINE
    line.pause()
    line.widen()
    line.narrow()
