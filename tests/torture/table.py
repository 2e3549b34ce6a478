"""`python -m tests.torture.table FILE...`: the JSON results of runs side by side, as a Markdown table."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def _watched(one: Record, value: object) -> object:
    """None for a queue that has no such thing: its books are only read at the end."""
    return value if one["samples"] else None


def _times(one: Record) -> str | None:
    times = [one[f"recovery_{name}_s"] for name in ("p50", "p99", "max")]
    return None if None in times else " / ".join(f"{time:.1f}" for time in times)


ROWS: tuple[tuple[str, Callable[[Record], object]], ...] = (
    ("minutes", lambda one: f"{one['minutes']:g}"),
    ("kills", lambda one: one["kills"]),
    ("calls killed in flight", lambda one: _watched(one, one["calls_killed"])),
    ("jobs submitted", lambda one: one["verdict"]["jobs"]),
    ("calls made", lambda one: one["verdict"]["calls"]),
    ("**jobs lost**", lambda one: one["verdict"]["rows_lost"]),
    ("**extra paid calls**", lambda one: one["verdict"]["extra_paid_calls"]),
    ("**calls not written down**", lambda one: one["verdict"]["calls_not_written"]),
    ("**difference to the endpoint's books**, nano-dollars", lambda one: one["difference"]),
    ("doubts named at the end", lambda one: _watched(one, one["verdict"]["doubts"])),
    ("looks at running books", lambda one: _watched(one, one["samples"])),
    ("violations", lambda one: _watched(one, len(one["violations"]))),
    ("recovery p50 / p99 / max, seconds", _times),
    ("lease, seconds", lambda one: _watched(one, one["lease_s"])),
    ("seed, commit", lambda one: f"{one['seed']}, {one['commit']}"),
    ("machine", lambda one: one["machine"]),
)


def table(records: Sequence[Record]) -> str:
    """A column for each run."""
    head = ["", *(one["name"] for one in records)]
    lines = [head, ["---"] * len(head)]
    lines += [[title, *(_shown(read(one)) for one in records)] for title, read in ROWS]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    print(table([json.loads(Path(name).read_text()) for name in sys.argv[1:]]), end="")
