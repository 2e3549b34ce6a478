"""Foreign text and values made fit to be kept: no secrets, no control characters, no great length. Pure.

Whatever the endpoint said goes through here before it reaches an Answer, and so the ledger, the logs and the
screen.
"""

import math
import re
from typing import Any

import msgspec

MAX_CHARS = 500
MAX_FACTS_BYTES = 16 << 10

_SECRETS = re.compile(
    r"(?i:bearer)\s+(?!token|auth|realm)[\w~+/.=*-]{6,}"
    r"|(?<![A-Za-z0-9])(?:sk|sess|pk)-[\w*.-]{4,}"
)
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f"  # control characters
    r"\u200b-\u200f\u202a-\u202e\u2028\u2029\u2060-\u2069\u061c\ufeff"  # invisible and direction marks
    r"\ud800-\udfff]"  # lone surrogates, which no database takes
)
_SHORTEST_SECRET = 8
"""A shorter key is a placeholder for an endpoint that needs none. Taken out like a secret, "b" or "data" would tear
the words of the answer itself, and with them pictures that were paid for."""
_NEVER_KEPT = frozenset({"b64_json", "url"})
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def hide(text: str, secret: str) -> str:
    """`text` without `secret`; "" and placeholders hide nothing."""
    return text.replace(secret, "[secret]") if len(secret) >= _SHORTEST_SECRET else text


def scrub(text: str, secret: str = "", *, limit: int = MAX_CHARS) -> str:
    """`text` in one line of at most `limit` characters, without `secret` and without whatever looks like a key."""
    text = _SECRETS.sub("[secret]", hide(text, secret))
    text = _UNSAFE.sub(_escaped, " ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def storable(value: Any) -> Any:
    """The same JSON value, without what a database refuses: NUL, lone surrogates, infinities."""
    match value:
        case str():
            return _UNSTORABLE.sub("\ufffd", value)
        case dict():
            return {storable(name): storable(inner) for name, inner in value.items()}
        case list():
            return [storable(inner) for inner in value]
        case float() if not math.isfinite(value):
            return None
    return value


def without_secret(value: Any, secret: str) -> Any:
    """The same JSON value with `secret` gone from every text and name, but for what is used and never kept: image
    bytes and the places they are fetched from."""
    match value:
        case str():
            return hide(value, secret)
        case dict():
            return {
                hide(name, secret): inner if name in _NEVER_KEPT else without_secret(inner, secret)
                for name, inner in value.items()
            }
        case list():
            return [without_secret(inner, secret) for inner in value]
    return value


def bounded(facts: dict[str, Any]) -> dict[str, Any]:
    """A JSON object fit for a row; from one that is too long, the first of its numbers only."""
    facts = storable(facts)
    if len(msgspec.json.encode(facts)) <= MAX_FACTS_BYTES:
        return facts
    kept = {name[:100]: fact for name, fact in facts.items() if isinstance(fact, int | float | bool)}
    return dict(list(kept.items())[:32])


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
