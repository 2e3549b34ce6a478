"""Long lists: pages by key (`after`, `limit`, a `next` link), or all rows at once as NDJSON.

An NDJSON answer is read from the ledger in pieces of its own, so that a slow client holds no transaction open; each
row comes once, with its state at the time its piece was read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import Query, Request
from fastapi.responses import Response, StreamingResponse

NDJSON = "application/x-ndjson"
MOST_ROWS = 1_000
_PIECE_ROWS = 2_000

Row = dict[str, Any]
_NUMBER = "[0-9]{1,18}"
_ID = "[A-Za-z0-9_]{1,40}"


def after(*kinds: type) -> Any:
    """The parameter `after` of a list whose rows have a key of these kinds, its parts joined by dots."""
    pattern = r"\.".join(_NUMBER if kind is int else _ID for kind in kinds)
    told = "where the page begins: the last answer's `next` holds it"
    return Query(pattern=f"^{pattern}$", description=told)


Limit = Annotated[int | None, Query(ge=1, le=10**9, description="rows; of a JSON answer 100, at most 1,000")]
Cursor = tuple[int | str, ...]


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, dict(headers or {}), "application/json")


def wants_ndjson(request: Request) -> bool:
    return NDJSON in request.headers.get("accept", "")


def cursor(text: str | None) -> Cursor:
    """What `after` says; () for none. Its pattern was checked."""
    return tuple(int(part) if part.isdigit() else part for part in text.split(".")) if text else ()


def page(
    request: Request,
    name: str,
    read: Callable[[Cursor, int], Sequence[Row]],
    key: Callable[[Row], Cursor],
    after: Cursor,
    limit: int | None,
) -> Response:
    """`read(after, most)` gives the rows behind a key. JSON with a link to the next page, or NDJSON of all."""
    if wants_ndjson(request):
        return StreamingResponse(_pieces(read, key, after, limit), media_type=NDJSON)
    most = min(limit or 100, MOST_ROWS)
    rows = read(after, most + 1)
    following = _next(request, key(rows[most - 1])) if len(rows) > most else None
    headers = {"Link": f'<{following}>; rel="next"'} if following else {}
    return json_response({name: rows[:most], "next": following}, headers=headers)


def lines(rows: Iterable[Row]) -> bytes:
    encode = msgspec.json.encode
    return b"".join(encode(row) + b"\n" for row in rows)


def _pieces(
    read: Callable[[Cursor, int], Sequence[Row]],
    key: Callable[[Row], Cursor],
    after: Cursor,
    limit: int | None,
) -> Iterator[bytes]:
    left = limit
    while left is None or left > 0:
        rows = read(after, _PIECE_ROWS if left is None else min(left, _PIECE_ROWS))
        if not rows:
            return
        yield lines(rows)
        after = key(rows[-1])
        left = None if left is None else left - len(rows)


def _next(request: Request, after: Cursor) -> str:
    """Relative to the server: what a proxy in front is called is not known here."""
    url = request.url.include_query_params(after=".".join(map(str, after)))
    return f"{url.path}?{url.query}"
