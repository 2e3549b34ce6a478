"""Foreign text made fit to be kept: no secrets, no control characters, no great length.

Whatever the endpoint said in words goes through here before it reaches an Answer, and so the ledger, the logs
and the screen.
"""

import re

MAX_CHARS = 500

_SECRETS = re.compile(
    r"(?i:bearer)\s+(?!token|auth|realm)[\w~+/.=*-]{6,}"
    r"|(?<![A-Za-z0-9])(?:sk|sess|pk)-[\w*.-]{4,}"
)
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f"  # control characters
    r"\u200b-\u200f\u202a-\u202e\u2028\u2029\u2060-\u2069\u061c\ufeff"  # invisible and direction marks
    r"\ud800-\udfff]"  # lone surrogates, which no database takes
)


def scrub(text: str, secret: str = "", *, limit: int = MAX_CHARS) -> str:
    """`text` in one line of at most `limit` characters, without `secret` and whatever looks like a key."""
    if secret:
        text = text.replace(secret, "[secret]")
    text = _SECRETS.sub("[secret]", text)
    text = _UNSAFE.sub(_escaped, " ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
