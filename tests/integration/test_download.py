"""Image URLs: fetched with patience, and never from where a stranger's word should not lead."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.benches import until
from tests.integration.scripted_server import (
    Exchange,
    Script,
    ScriptedServer,
    answers,
    hang,
    reset,
    response,
    scripted,
)
from tests.pictures import noise, picture
from worker import download
from worker.disk import Disk
from worker.download import Downloader
from worker.parts import Broken, Part, Parts
from worker.turns import Turns

Fetch = Callable[[str], Awaitable[Part | Broken]]
TLS = ssl.create_default_context()


def run(
    root: Path, script: Script, steps: Callable[[Fetch, ScriptedServer], Awaitable[None]], **options: Any
) -> None:
    """Run `steps` with a downloader and a scripted server. `allow` names hosts; {port} is the server's."""

    async def main() -> None:
        with ThreadPoolExecutor(2) as pool:
            async with scripted(script) as server:
                allow = [host.format(port=server.port) for host in options.pop("allow", ["127.0.0.1:{port}"])]
                settings = {"max_image_bytes": 64 << 20, "deadline_s": 30.0, "tls": TLS, "first_wait_s": 0.01}
                downloader = Downloader(Disk(pool), Turns(), allow_private_hosts=allow, **{**settings, **options})
                parts = Parts(lambda name: root / name, "a1")
                await steps(lambda url: downloader.fetch(url.format(port=server.port), parts), server)
                parts.discard()
                await downloader.close()

    asyncio.run(main())
    assert list(root.iterdir()) == []


def get(root: Path, script: Script, url: str = "http://127.0.0.1:{port}/a.png", **options: Any) -> tuple[Any, Any]:
    """What one fetch brings, and the server."""
    found: list[Any] = []

    async def steps(fetch: Fetch, server: ScriptedServer) -> None:
        got = await fetch(url)
        if isinstance(got, Part):
            found.append((root / got.name).read_bytes())
        found.extend((got, server))

    run(root, script, steps, **options)
    return found[-2] if len(found) == 2 else found[0], found[-1]


def test_an_image_is_fetched_and_checked(tmp_path: Path) -> None:
    got, server = get(tmp_path, answers(200, noise()))
    assert got == noise()
    assert server.requests[0].header("Authorization") is None
    assert server.requests[0].header("Accept-Encoding") == "identity"


def test_images_of_one_host_come_through_one_connection(tmp_path: Path) -> None:
    async def steps(fetch: Fetch, server: ScriptedServer) -> None:
        for _ in range(3):
            assert isinstance(await fetch("http://127.0.0.1:{port}/a.png"), Part)
        assert (len(server.requests), server.connections) == (3, 1)

    run(tmp_path, answers(200, picture()), steps)


def test_only_so_many_hosts_are_kept_connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MOST_SESSIONS", 1)

    async def steps(fetch: Fetch, server: ScriptedServer) -> None:
        for host in ("127.0.0.1", "localhost", "127.0.0.1", "127.0.0.1"):
            assert isinstance(await fetch(f"http://{host}:{{port}}/a.png"), Part)
        assert (len(server.requests), server.connections) == (4, 3)

    async def here(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    allow = ["127.0.0.1", "localhost"]
    run(tmp_path, answers(200, picture()), steps, allow=allow, resolve=here)


def test_the_url_is_asked_for_letter_by_letter(tmp_path: Path) -> None:
    target = "/a%2Fb.png?sig=a%2Bb%3D&se=2026-11-22T12%3A00Z"
    _, server = get(tmp_path, answers(200, picture()), "http://127.0.0.1:{port}" + target)
    assert server.requests[0].target == target


def test_s29_a_failed_download_is_repeated(tmp_path: Path) -> None:
    replies = iter([response(503, b""), response(200, picture())[:-20], response(200, picture())])

    async def script(exchange: Exchange) -> None:
        await exchange.send(next(replies))
        exchange.writer.close()

    got, server = get(tmp_path, script)
    assert got == picture()
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "script",
    [answers(403, b"<Error>expired</Error>"), answers(404), answers(500)],
    ids=["403", "404", "500"],
)
def test_s29_after_three_tries_the_image_is_lost(tmp_path: Path, script: Script) -> None:
    got, server = get(tmp_path, script, "http://127.0.0.1:{port}/a.png?signature=secret")
    assert isinstance(got, Broken)
    assert got.kind == "image_url_failed"
    assert "secret" not in got.message
    assert len(server.requests) == 3


def test_a_lost_connection_is_repeated_too(tmp_path: Path) -> None:
    got, server = get(tmp_path, reset)
    assert got.kind == "image_url_failed"
    assert len(server.requests) >= 3


def test_what_comes_instead_of_an_image_is_named(tmp_path: Path) -> None:
    got, _ = get(tmp_path, answers(200, b"<html>login</html>"))
    assert got.kind == "not_an_image"


def test_s29_a_silent_server_ends_at_the_deadline(tmp_path: Path) -> None:
    got, _ = get(tmp_path, hang, deadline_s=0.2)
    assert got.kind == "image_url_failed"
    assert "0 s" in got.message


def test_an_image_over_the_cap_is_refused_by_its_length_and_as_it_streams(tmp_path: Path) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + noise())
        while True:
            await exchange.send(b"x" * 65_536)

    for script in (answers(200, noise()), endless):
        got, _ = get(tmp_path, script, max_image_bytes=100_000)
        assert got.kind == "image_too_large"


def test_a_compressed_image_is_not_taken(tmp_path: Path) -> None:
    got, _ = get(tmp_path, answers(200, b"\x1f\x8b", {"Content-Encoding": "gzip"}))
    assert "compressed" in got.message


# Where a URL may not lead

BLOCKED = [
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "https://metadata.google.internal.@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "https://localhost:{port}/",
    "https://localhost.:{port}/",
    "https://LOCALHOST:{port}/",
    "http://[::1]:{port}/",
    "https://[::1]:{port}/",
    "https://[0:0:0:0:0:0:0:1]:{port}/",
    "https://[::]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://[::ffff:7f00:1]:{port}/",
    "https://[64:ff9b::7f00:1]:{port}/",
    "https://[64:ff9b:1::1]:{port}/",
    "https://[2002:7f00:1::]:{port}/",
    "https://[2001:0:7f00:1::]:{port}/",
    "https://[fe80::1]:{port}/",
    "https://[fe80::1%25lo]:{port}/",
    "https://[fec0::1]:{port}/",
    "https://[fc00::1]:{port}/",
    "https://[ff02::1]:{port}/",
    "https://2130706433:{port}/",
    "https://017700000001:{port}/",
    "https://0177.0.0.1:{port}/",
    "https://0x7f000001:{port}/",
    "https://0x7f.0.0.1:{port}/",
    "https://127.1:{port}/",
    "https://127.0.1:{port}/",
    "https://127.127.127.127:{port}/",
    "https://0:{port}/",
    "https://0.0.0.0:{port}/",
    "https://\uff11\uff12\uff17.0.0.1:{port}/",
    "https://127\u30020\u30020\u30021:{port}/",
    "https://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3:{port}/",
    "https://127.0.0.1%2f.invalid:{port}/",
    "https://127.0.0.1%00.invalid:{port}/",
    "https://user@127.0.0.1:{port}/",
    "https://user:pass@127.0.0.1:{port}/",
    "https://example.com:pass@127.0.0.1:{port}/",
    "https://example.com\\@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}#@example.com/",
    "https://127.0.0.1:{port}?@example.com/",
    "https://10.0.0.1:{port}/",
    "https://172.16.0.1:{port}/",
    "https://192.168.0.1:{port}/",
    "https://100.64.0.1:{port}/",
    "https://192.0.0.192:{port}/",
    "https://198.18.0.1:{port}/",
    "https://224.0.0.1:{port}/",
    "https://255.255.255.255:{port}/",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "gopher://127.0.0.1:{port}/_GET",
    "ftp://127.0.0.1:{port}/",
    "dict://127.0.0.1:{port}/",
    "ws://127.0.0.1:{port}/",
    "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    "//127.0.0.1:{port}/",
    "/a.png",
    "127.0.0.1:{port}/a.png",
    "https://",
    "https:///a.png",
    "https://[::1",
    "https://127.0.0.1:99999/",
    "https://127.0.0.1:{port}/\r\nHost: example.com",
    "",
]


def test_c1_no_url_of_the_list_reaches_the_canary(tmp_path: Path) -> None:
    async def steps(fetch: Fetch, server: ScriptedServer) -> None:
        for url in BLOCKED:
            got = await fetch(url)
            assert isinstance(got, Broken), url
            assert got.kind in {"blocked_url", "image_url_failed"}, url
        assert (server.requests, server.connections) == ([], 0)

    assert len(BLOCKED) >= 60
    run(tmp_path, answers(200, picture()), steps, allow=[])


def test_c2_every_address_of_a_name_must_be_public(tmp_path: Path) -> None:
    async def mixed(_host: str, _port: int) -> list[str]:
        return ["93.184.215.14", "127.0.0.1"]

    got, server = get(tmp_path, answers(200, picture()), "https://images.test:{port}/", allow=[], resolve=mixed)
    assert got.kind == "blocked_url"
    assert server.connections == 0


def test_c2_a_name_that_changes_its_address_leads_to_the_checked_one_only(tmp_path: Path) -> None:
    """A thousand names, each public when it is asked for first and the canary ever after."""
    asked: set[str] = set()
    connected: set[str] = set()

    async def flips(host: str, _port: int) -> list[str]:
        first = host not in asked
        asked.add(host)
        return ["203.0.114.9"] if first else ["127.0.0.1"]

    async def unreachable(addr_infos: Any, **_: Any) -> None:
        connected.update(info[4][0] for info in addr_infos)
        raise OSError("no route in this test")

    async def steps(fetch: Fetch, server: ScriptedServer) -> None:
        for number in range(1000):
            got = await fetch(f"https://rebind-{number}.test:{server.port}/")
            assert isinstance(got, Broken)
            assert got.kind == "blocked_url"  # by the second try, which asked again
        assert server.connections == 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aiohappyeyeballs.start_connection", unreachable)
        run(tmp_path, answers(200, picture()), steps, allow=[], resolve=flips, first_wait_s=0.0)
    assert connected == {"203.0.114.9"}


def test_only_the_checked_address_is_connected_to_with_the_host_name_kept(tmp_path: Path) -> None:
    async def pinned(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    got, server = get(
        tmp_path, answers(200, picture()), "http://images.test:{port}/a", allow=["images.test"], resolve=pinned
    )
    assert got == picture()
    assert server.requests[0].header("Host") == f"images.test:{server.port}"


def test_the_tls_handshake_names_the_host(tmp_path: Path) -> None:
    hello = bytearray()

    async def main() -> None:
        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            hello.extend(await reader.read(2000))
            writer.close()

        async def pinned(_host: str, _port: int) -> list[str]:
            return ["127.0.0.1"]

        listener = await asyncio.start_server(listen, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        with ThreadPoolExecutor(1) as pool:
            downloader = Downloader(
                Disk(pool),
                Turns(),
                allow_private_hosts=["images.test"],
                max_image_bytes=1000,
                deadline_s=10.0,
                tls=TLS,
                resolve=pinned,
                first_wait_s=0.0,
            )
            async with listener:
                got = await downloader.fetch(f"https://images.test:{port}/a", Parts(tmp_path.joinpath, "a1"))
                await until(lambda: bool(hello))
            await downloader.close()
        assert isinstance(got, Broken)

    asyncio.run(main())
    assert b"images.test" in hello


# Redirects


SECRETS_OF_HTTP = (b"authorization", b"cookie", b"referer", b"idempotency-key", b"x-client-request-id")


def redirects(hops: int) -> Script:
    async def script(exchange: Exchange) -> None:
        step = int(exchange.target.rsplit("/", 1)[1] or 0)
        if step >= hops:
            await exchange.send(response(200, picture()))
        else:
            await exchange.send(response(302, b"", {"Location": f"/{step + 1}"}))

    return script


def test_c3_three_redirects_are_followed_without_a_secret(tmp_path: Path) -> None:
    got, server = get(tmp_path, redirects(3), "http://127.0.0.1:{port}/0")
    assert got == picture()
    assert not any(name in request.head.lower() for name in SECRETS_OF_HTTP for request in server.requests)


def test_c3_a_fourth_redirect_is_not(tmp_path: Path) -> None:
    got, _ = get(tmp_path, redirects(20), "http://127.0.0.1:{port}/0")
    assert got.kind == "image_url_failed"
    assert "redirects" in got.message


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/", "https://localhost:{port}/x", "http://localhost:{port}/x", "file:///etc/passwd"],
)
def test_c3_each_redirect_is_checked_anew(tmp_path: Path, target: str) -> None:
    async def script(exchange: Exchange) -> None:
        port = exchange.writer.get_extra_info("sockname")[1]
        await exchange.send(response(302, b"", {"Location": target.format(port=port)}))

    got, server = get(tmp_path, script)
    assert got.kind == "blocked_url"
    assert len(server.requests) == 1


@pytest.mark.parametrize("allowed", ["127.0.0.1", "127.0.0.1:{port}", "[127.0.0.1]:{port}"])
def test_a_host_may_be_allowed_with_or_without_its_port(tmp_path: Path, allowed: str) -> None:
    assert get(tmp_path, answers(200, picture()), allow=[allowed])[0] == picture()


def test_another_port_of_an_allowed_host_is_not_allowed(tmp_path: Path) -> None:
    assert get(tmp_path, answers(200, picture()), allow=["127.0.0.1:1"])[0].kind == "blocked_url"
