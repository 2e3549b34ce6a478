"""What every benchmark shares: its arguments, the machine it ran on, tables, ratios, goals and the JSON file.

A benchmark makes one Report, hands it tables and goals, and ends with `report.finish()`. Processes are measured
with benchmarks/processes.py, servers and simulators started with benchmarks/services.py.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Literal

Row = Mapping[str, Any]
"""One line of a table, by column; numbers are shown to three digits, None as a dash."""

LIBRARIES = (
    "celery",
    "kombu",
    "redis",
    "httpx",
    "aiohttp",
    "sqlalchemy",
    "psycopg",
    "openai",
    "msgspec",
    "pybase64",
)


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser with what all benchmarks take: --quick, --rounds and --json."""
    parser = argparse.ArgumentParser(
        description=doc or "", formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--quick", action="store_true", help="a short form of every case; its figures are no proof")
    parser.add_argument("--rounds", type=int, default=1, help="how often each contestant runs; medians are shown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to this file")
    return parser


def middle(taken: Sequence[float]) -> float:
    return float(median(taken))


def spread(taken: Sequence[float]) -> float:
    """(largest - smallest) / median: the noise of a figure, 0 for a single one."""
    centre = middle(taken)
    return (max(taken) - min(taken)) / centre if centre else 0.0


def middles(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure over several runs of the same contestant."""
    return {name: middle([run[name] for run in runs]) for name in runs[0]}


def in_turns(names: Sequence[str], rounds: int) -> list[str]:
    """The order of the runs: each round the other way round, so that no contestant always goes first."""
    order: list[str] = []
    for number in range(rounds):
        order += names if number % 2 == 0 else list(reversed(names))
    return order


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and what was asked of it."""

    name: str
    figure: float
    relation: Literal[">=", "<="]
    asked: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.figure >= self.asked if self.relation == ">=" else self.figure <= self.asked

    def __str__(self) -> str:
        verdict = "PASS" if self.met else "MISS"
        unit = f" {self.unit}" if self.unit else ""
        return (
            f"{verdict}  {self.name}: {shown(self.figure)}{unit} (goal {self.relation} {shown(self.asked)}{unit})"
        )


class Report:
    """Prints as it goes, so that a run that is broken off has shown what it knew."""

    def __init__(self, name: str, chosen: argparse.Namespace) -> None:
        signal.signal(signal.SIGTERM, _end_in_order)
        self._json: Path | None = chosen.json
        self._content: dict[str, Any] = {
            "benchmark": name,
            "arguments": {key: value for key, value in vars(chosen).items() if key != "json"},
            "machine": machine(),
            "tables": [],
            "notes": [],
        }
        self._goals: list[Goal] = []
        print(f"{name}: {machine_line()}", flush=True)

    def table(self, title: str, rows: Sequence[Row]) -> None:
        self._content["tables"].append({"title": title, "rows": [dict(row) for row in rows]})
        print(f"\n{title}\n{table_text(rows)}", flush=True)

    def note(self, words: str) -> None:
        self._content["notes"].append(words)
        print(words, flush=True)

    def goal(self, name: str, figure: float, relation: Literal[">=", "<="], asked: float, unit: str = "") -> None:
        self._goals.append(Goal(name, figure, relation, asked, unit))

    def finish(self) -> None:
        """Prints a line for each goal, PASS or MISS, and writes the JSON file."""
        if self._goals:
            print()
        for goal in self._goals:
            print(goal, flush=True)
        self._content["goals"] = [asdict(goal) | {"met": goal.met} for goal in self._goals]
        if self._json is not None:
            self._json.write_text(json.dumps(self._content, indent=1, default=str) + "\n")


def _end_in_order(number: int, _frame: object) -> None:
    """Leave every `with` block on the way out; once, for `timeout` signals twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)


def table_text(rows: Sequence[Row]) -> str:
    """Plain columns: words to the left, numbers to the right."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns] + [[shown(row.get(name)) for name in columns] for row in rows]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    words = [any(isinstance(row.get(name), str) for row in rows) for name in columns]

    def laid_out(line: Sequence[str]) -> str:
        parts = zip(line, widths, words, strict=True)
        return "  " + "  ".join(text.ljust(width) if left else text.rjust(width) for text, width, left in parts)

    return "\n".join(laid_out(line).rstrip() for line in cells)


def shown(value: Any) -> str:
    """Numbers with three significant digits at least."""
    if value is None:
        return "-"
    if isinstance(value, float):
        size = abs(value)
        digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 or size == 0 else 4
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def machine() -> dict[str, str]:
    """What a reader needs to know about where the figures come from."""
    memory_kb = int(_first_field("/proc/meminfo", "MemTotal").split()[0])
    return {
        "cpu": _first_field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_kb / 1024 / 1024:.0f} GB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": _commit(),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }


def machine_line() -> str:
    about = machine()
    return (
        f"{about['cpu']}, {about['cores']} cores, {about['memory']}, Linux {about['kernel']}, Python"
        f" {about['python']}, commit {about['commit']}, load before {about['load']}\n{about['libraries']}"
    )


def _first_field(file: str, name: str) -> str:
    for line in Path(file).read_text().splitlines():
        label, _, value = line.partition(":")
        if label.strip() == name:
            return value.strip()
    return ""


def _commit() -> str:
    """The commit, with a plus when files differ from it; "unknown" outside a checkout."""
    called = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(called, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
