"""How figures and foreign text are worded for people: money, counts, durations, and hostile text made harmless."""

import json
import re
from typing import Any

from jobs.money import dollars

# Control characters, bidirectional controls, separators that terminals obey, and lone surrogates.
_HOSTILE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escaped(text: str) -> str:
    """The text with every character that could move a cursor or turn a line written as an escape."""
    if text.isprintable():  # as nearly always, and told faster than by looking for each of them
        return text
    return _HOSTILE.sub(lambda match: _SHORT.get(match[0], _code(match[0])), text)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON that is also safe on a terminal: hostile characters stand in it only as \\uXXXX."""
    separators = None if indent else (",", ":")
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators, default=str)
    return "\n".join(map(json_escaped, text.split("\n")))


def json_escaped(line: str) -> str:
    """A line of JSON, its hostile characters as JSON itself can write them."""
    return line if line.isprintable() else _HOSTILE.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def usd(nano: int) -> str:
    """Exact: "$41.80", "$0.000115"."""
    return f"-{usd(-nano)}" if nano < 0 else f"${dollars(nano)}"


def usd_brief(nano: int) -> str:
    """For the panel, where figures change four times a second: cents, or four decimals below a dollar."""
    return f"${dollars(nano, 2 if nano >= 10**9 or nano == 0 else 4)}"


def with_unpriced(nano: int, unpriced: int) -> str:
    """ "$41.80 + 12 unpriced": what has no price is never shown as 0."""
    return f"{usd(nano)} + {unpriced} unpriced" if unpriced else usd(nano)


def counted(number: int, word: str) -> str:
    """ "1 job", "1,200 jobs"."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """ "8 s", "10 min 30 s", "3 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def _code(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
