"""The fault proxy: a test that trusts it must be able to rely on each of its faults."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.faults.proxy import Proxy
from tests.integration.mills import until

PATIENCE_S = 30.0
BRIEFLY_S = 0.2
"""How long nothing may come, where nothing should."""


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A link to a server that answers every piece with the same bytes, doubled."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        with Proxy(listener.getsockname()[1]) as running:
            yield running
        listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        while data := connection.recv(65536):
            connection.sendall(data * 2)


def client(proxy: Proxy, patience_s: float = PATIENCE_S) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), patience_s)


def received(connection: socket.socket, most: int = 1 << 20) -> bytes:
    """All that comes until the connection ends or nothing comes for the client's patience."""
    got = b""
    with suppress(OSError):
        while len(got) < most and (data := connection.recv(65536)):
            got += data
    return got


def test_an_unbroken_link_passes_everything_and_the_end_too(proxy: Proxy) -> None:
    with client(proxy) as one:
        one.sendall(b"x" * 300_000)
        one.shutdown(socket.SHUT_WR)
        assert received(one) == b"x" * 600_000
    assert (proxy.accepted, proxy.lost) == (1, 0)


def test_a_refused_connection_is_refused_until_the_link_is_healed(proxy: Proxy) -> None:
    proxy.change(refuse=True)
    with pytest.raises(ConnectionRefusedError):
        client(proxy)
    proxy.heal()
    with client(proxy) as one:
        one.sendall(b"hi")
        assert one.recv(4) == b"hihi"


@pytest.mark.parametrize("rule", ["hold", "drop"])
def test_what_is_held_or_dropped_arrives_after_healing(proxy: Proxy, rule: str) -> None:
    with client(proxy, BRIEFLY_S) as one:
        one.sendall(b"a")
        assert one.recv(2) == b"aa"
        proxy.change(**{rule: True})
        one.sendall(b"b")
        with pytest.raises(TimeoutError):
            one.recv(2)
        proxy.heal()
        one.settimeout(PATIENCE_S)
        assert one.recv(2) == b"bb"


def test_dropped_packets_are_not_acknowledged_and_held_ones_are(proxy: Proxy) -> None:
    """The difference between a pulled cable and a machine that hangs: only the first can be noticed by TCP."""
    with client(proxy, 1.0) as held, client(proxy) as dropped:
        until(lambda: proxy.accepted == 2)
        for one in (held, dropped):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 500)
        proxy.change(hold=True)
        held.sendall(b"b")
        with pytest.raises(TimeoutError, match=r"^timed out"):
            held.recv(2)
        proxy.change(drop=True)
        dropped.sendall(b"b")
        with pytest.raises(TimeoutError, match="Connection timed out"):
            dropped.recv(2)
        with pytest.raises(TimeoutError):
            client(proxy, BRIEFLY_S)


def test_a_connection_is_reset_or_closed_after_so_many_bytes_of_the_answer(proxy: Proxy) -> None:
    proxy.change(cut_answer_after=5, cut="close")
    with client(proxy) as one:
        one.sendall(b"abcdef")
        assert received(one) == b"abcde"
    proxy.change(cut="reset")
    with client(proxy) as one, pytest.raises(ConnectionResetError):
        one.sendall(b"abcdef")
        while one.recv(100):
            pass


def test_a_connection_ends_after_so_many_bytes_of_the_request(proxy: Proxy) -> None:
    proxy.change(cut_request_after=3)
    with client(proxy) as one:
        one.sendall(b"abcdef")
        assert received(one) in (b"", b"abc" * 2)
        with pytest.raises(OSError):  # which one depends on who is first
            while True:
                one.sendall(b"more")


def test_an_answer_drips_and_is_late(proxy: Proxy) -> None:
    proxy.change(drip=(1, 0.05), delay_s=0.05)
    with client(proxy) as one:
        started = time.monotonic()
        one.sendall(b"xy")
        assert one.recv(100) in (b"x", b"xy")
        assert received(one, 2)
        assert time.monotonic() - started > 4 * 0.05


@pytest.mark.parametrize("lose", ["request", "reply"])
def test_a_pattern_loses_the_request_or_its_reply_and_resets(lose: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Proxy(listener.getsockname()[1]) as link:
        link.change(pattern=b"COMMIT", lose=lose, one_in=2)
        with client(link) as one:
            one.sendall(b"first COMMIT;")
            server, _ = listener.accept()
            with server:
                server.settimeout(PATIENCE_S)
                assert server.recv(100) == b"first COMMIT;"
                one.sendall(b"CO")
                assert server.recv(100) == b"CO"
                one.sendall(b"MMIT")
                if lose == "reply":
                    assert server.recv(100) == b"MMIT"
                    server.sendall(b"done")
                with pytest.raises(ConnectionResetError):
                    one.recv(100)
                if lose == "request":
                    assert received(server) == b""
        assert link.lost == 1


def test_all_connections_can_be_reset_at_once(proxy: Proxy) -> None:
    with client(proxy) as one, client(proxy) as other:
        until(lambda: proxy.accepted == 2)
        proxy.reset_all()
        for each in (one, other):
            with pytest.raises(ConnectionResetError):
                each.recv(1)
