"""Charts as values: lengths and places on a canvas of fixed units, for whoever draws them. Pure functions.

Money is drawn as it is counted: what is confirmed, and what is possible on top of it, never one sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from jobs.ledger.figures import Group

WIDTH = 1000
HEIGHT = 200
_MOST_DAYS = 400
_STEPS = (1, 2, 5, 10)
_GAP = 0.22
_WIDEST = 60.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One column or line of a chart; lengths in units of the canvas."""

    key: str
    charged_nano: int
    possible_nano: int
    place: float
    breadth: float
    charged: float
    possible: float


@dataclass(frozen=True, slots=True)
class Chart:
    """`standing`: columns that grow from the ground, else lines that grow to the right."""

    standing: bool
    bars: tuple[Bar, ...]
    top_nano: int
    """What the whole height or length stands for: a round number of dollars."""
    marks: tuple[int, ...] = ()
    """Amounts at which a line helps the eye, from the top."""


def columns(groups: Sequence[Group]) -> Chart:
    """By day: days without calls have a place, too, so that the distances are true."""
    by_day = {group.key: group for group in groups}
    days = _days(sorted(by_day))
    top = _round_top(max((_sum(group) for group in groups), default=0))
    slot = WIDTH / max(1, len(days))
    breadth = min(slot * (1 - _GAP), _WIDEST)
    bars = [
        _bar(day, by_day.get(day), index * slot + (slot - breadth) / 2, breadth, HEIGHT, top)
        for index, day in enumerate(days)
    ]
    return Chart(True, tuple(bars), top, (top, top // 2))


def bars(groups: Sequence[Group]) -> Chart:
    """By anything else: the dearest first, each on a line of its own."""
    ordered = sorted(groups, key=lambda group: (-_sum(group), group.key))
    top = max((_sum(group) for group in ordered), default=0)
    return Chart(False, tuple(_bar(group.key, group, 0, 0, WIDTH, top) for group in ordered), top)


def _bar(key: str, group: Group | None, place: float, breadth: float, length: int, top_nano: int) -> Bar:
    charged, possible = (group.charged_nano, group.possible_nano) if group else (0, 0)
    scale = length / top_nano if top_nano else 0.0
    lengths = round(charged * scale, 2), round(possible * scale, 2)
    return Bar(key, charged, possible, round(place, 2), round(breadth, 2), *lengths)


def _days(known: Sequence[str]) -> list[str]:
    """All days from the first to the last; only the known ones where that would be too many."""
    if not known:
        return []
    first, last = date.fromisoformat(known[0]), date.fromisoformat(known[-1])
    number = (last - first).days + 1
    if number > _MOST_DAYS:
        return list(known)
    return [(first + timedelta(days=ahead)).isoformat() for ahead in range(number)]


def _round_top(nano: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50 ... that is not below."""
    scale = 1
    while True:
        for step in _STEPS:
            if step * scale >= nano:
                return step * scale
        scale *= 10


def _sum(group: Group) -> int:
    return group.charged_nano + group.possible_nano
