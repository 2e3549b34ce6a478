"""Fetches the images of answers that bring URLs, at once and with suspicion: a URL is the endpoint's word only.

The endpoint client calls `fetch` within the same call. Only https and public addresses are connected to, each
redirect is checked anew, and no secret is sent along. A failed download is repeated; the paid call never is.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from worker.addresses import is_public
from worker.disk import Disk
from worker.line import KEEP_ALIVE_S, READ_AHEAD_BYTES, Lines
from worker.parts import Broken, Part, Parts, PartWriter
from worker.turns import Piece, Turns

TRIES = 3
MAX_REDIRECTS = 3
MOST_SESSIONS = 16

_FIRST_WAIT_S = 0.5
_CONNECT_S = 10.0
_READ_S = 60.0
_PLAIN = re.compile(r"[\x21-\x7e]*")
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "imagemill"}

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host, as text. Raises OSError."""


class _Blocked(Exception):
    """The URL leads where no image can be: never connected to, never repeated."""


class _Failed(Exception):
    """This try did not bring the image."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A checked URL and the addresses that were checked: the only ones connected to."""

    url: URL
    addresses: tuple[str, ...]


class Downloader:
    """Fetches image URLs into parts.

    `allow_private_hosts` names hosts (`host` or `host:port`) that may be private and plain http.
    `deadline_s` bounds one image, its repetitions included.
    """

    def __init__(
        self,
        disk: Disk,
        turns: Turns,
        *,
        allow_private_hosts: Iterable[str] = (),
        max_image_bytes: int,
        deadline_s: float,
        tls: ssl.SSLContext,
        resolve: Resolve | None = None,
        first_wait_s: float = _FIRST_WAIT_S,
    ) -> None:
        self._disk = disk
        self._turns = turns
        self._allowed = frozenset(host.strip().lower() for host in allow_private_hosts)
        self._max_image_bytes = max_image_bytes
        self._deadline_s = deadline_s
        self._tls = tls
        self._resolve = resolve or _resolve
        self._sessions = _Sessions(self._open_session)
        self._first_wait_s = first_wait_s

    async def close(self) -> None:
        """Close all connections."""
        await self._sessions.close()

    async def fetch(self, url: str, parts: Parts) -> Part | Broken:
        """The image at `url`. Raises only DiskFailed and CancelledError."""
        trouble: list[Broken] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(self._deadline_s):
                return await self._tried(url, parts, trouble)
        why = f", before that: {trouble[-1].message}" if trouble else ""
        return Broken("image_url_failed", f"the image was not there within {self._deadline_s:.0f} s{why}")

    async def _tried(self, url: str, parts: Parts, trouble: list[Broken]) -> Part | Broken:
        for tried in range(TRIES):
            if tried:
                await asyncio.sleep(self._first_wait_s * 2 ** (tried - 1))
            try:
                got = await self._once(url, parts)
            except _Blocked as error:
                return Broken("blocked_url", str(error))
            except ValueError:
                return Broken("blocked_url", "image URL blocked: it is no valid URL")
            except (_Failed, aiohttp.ClientError, TimeoutError) as error:
                got = Broken("image_url_failed", _words(error))
            if isinstance(got, Part):
                return got
            trouble.append(got)
        return trouble[-1]

    async def _once(self, url: str, parts: Parts) -> Part | Broken:
        """One try, through at most MAX_REDIRECTS redirects."""
        place = _parsed(url)
        for _ in range(MAX_REDIRECTS + 1):
            target = await self._checked(place)
            async with (
                self._sessions.of(target) as session,
                session.get(target.url, allow_redirects=False, headers=_HEADERS) as response,
            ):
                if response.status not in (301, 302, 303, 307, 308):
                    return await self._saved(response, parts)
                place = place.join(_parsed(response.headers.get("Location", "")))
        raise _Failed(f"more than {MAX_REDIRECTS} redirects")

    async def _checked(self, url: URL) -> _Target:
        """Resolve the host once. Raises _Blocked unless every address of it may be connected to."""
        host, port = url.raw_host or "", url.port or 0
        if url.scheme not in ("http", "https") or not host or not port:
            raise _Blocked(f"image URL blocked: {url.scheme[:20]!r} is no scheme for images")
        if url.user is not None or url.password is not None:
            raise _Blocked("image URL blocked: it carries a user name")
        private = self._is_allowed(host, port)
        if url.scheme != "https" and not private:
            raise _Blocked(f"image URL blocked: {host} over plain http; only https is fetched")
        try:
            addresses = tuple(await self._resolve(host, port))
        except (OSError, UnicodeError) as error:
            raise _Failed(f"the host name is not known: {error}") from None
        if not private and not all(map(is_public, addresses)):
            raise _Blocked(
                f"image URL blocked: {host} is no public address; IMAGEMILL_ALLOW_PRIVATE_HOSTS can name exceptions"
            )
        return _Target(url, addresses)

    def _is_allowed(self, host: str, port: int) -> bool:
        host = host.lower()
        return not self._allowed.isdisjoint((host, f"{host}:{port}", f"[{host}]:{port}"))

    def _open_session(self, target: _Target) -> aiohttp.ClientSession:
        """A session that can reach the checked addresses and nothing else."""
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(target.addresses),
            use_dns_cache=False,
            limit=0,
            keepalive_timeout=KEEP_ALIVE_S,
            ssl=self._tls,
            socket_factory=_only(target.addresses, self._turns.lines),
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=READ_AHEAD_BYTES,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S),
        )

    async def _saved(self, response: aiohttp.ClientResponse, parts: Parts) -> Part | Broken:
        if response.status != 200:
            raise _Failed(f"HTTP {response.status}")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _Failed("the image came compressed, although that was not asked for")
        if (response.content_length or 0) > self._max_image_bytes:
            return Broken("image_too_large", f"the image is larger than {self._max_image_bytes} bytes")
        writer = parts.begin()
        try:
            return await self._written(response, writer)
        except BaseException:
            await self._disk.run(writer.discard)
            raise

    async def _written(self, response: aiohttp.ClientResponse, writer: PartWriter) -> Part | Broken:
        with self._turns.body(self._turns.lines.line(response.connection)) as received:
            async for piece in received.pieces(partial(_chunks, response.content)):
                await self._disk.run(_write, writer, piece)
                if writer.failed:
                    break
            return await self._disk.run(_finish, writer, received.take())


@dataclass(slots=True)
class _Kept:
    session: aiohttp.ClientSession
    users: int = 0


class _Sessions:
    """Sessions by host and checked addresses, kept for the next image from there: a handshake costs as much as the
    image. Another answer of the resolver is another session."""

    def __init__(self, open_session: Callable[[_Target], aiohttp.ClientSession]) -> None:
        self._open_session = open_session
        self._kept: dict[tuple[str, frozenset[str]], _Kept] = {}

    @asynccontextmanager
    async def of(self, target: _Target) -> AsyncGenerator[aiohttp.ClientSession, None]:
        """A session for one request."""
        key = str(target.url.origin()), frozenset(target.addresses)
        kept = self._kept.pop(key, None) or _Kept(self._open_session(target))
        self._kept[key] = kept  # the last used is the last to go
        kept.users += 1
        try:
            yield kept.session
        finally:
            kept.users -= 1
            await self._close_beyond(MOST_SESSIONS)

    async def close(self) -> None:
        await self._close_beyond(0)

    async def _close_beyond(self, most: int) -> None:
        unused = [key for key, kept in self._kept.items() if not kept.users]
        for key in unused[: max(0, len(self._kept) - most)]:
            await self._kept.pop(key).session.close()


class _Pinned(AbstractResolver):
    """Answers with the addresses that were checked."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._addresses = tuple(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See AbstractResolver."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


def _only(addresses: Iterable[str], lines: Lines) -> Callable[[aiohttp.AddrInfoType], socket.socket]:
    """A socket factory that refuses every address but these, wherever it came from."""
    checked = frozenset(map(ip_address, addresses))

    def connectable(info: aiohttp.AddrInfoType) -> socket.socket:
        address = info[4][0]
        if ip_address(address) not in checked:
            raise OSError(f"{address} was not checked")
        return lines.open(info)

    return connectable


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


async def _chunks(content: aiohttp.StreamReader, most_bytes: int) -> AsyncGenerator[bytes, None]:
    async for chunk in content.iter_chunked(most_bytes):
        yield chunk


def _write(writer: PartWriter, piece: Piece) -> None:
    writer.write(b"".join(piece))


def _finish(writer: PartWriter, piece: Piece) -> Part | Broken:
    _write(writer, piece)
    return writer.finish()


def _parsed(url: str) -> URL:
    """The URL letter by letter where that is safe: to quote it anew can spoil the signature in it."""
    return URL(url, encoded=_PLAIN.fullmatch(url) is not None)


def _words(error: Exception) -> str:
    """What went wrong, without the URL: paths and queries of temporary URLs are secrets."""
    told = isinstance(error, _Failed | aiohttp.ClientConnectorError)
    return f"the image could not be fetched: {error if told else type(error).__name__}"
