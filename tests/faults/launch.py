"""An imagemill process with faults planted in it: `python -m tests.faults.launch FAULTS COMMAND [ARGUMENT...]`.

FAULTS is JSON: {"constants": {"module:NAME": value}, "clock_file": path, "install": ["module:function", ...]}.
Constants are set in the modules that read them, the clock file holds the milliseconds by which this process's
ledger clock is off (read anew at every look, so that a test can step it), and each installed function is called
without arguments before the command starts. A name that does not exist any more is an error, never ignored.
"""

import importlib
import json
import pkgutil
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from jobs import ledger
from jobs.cli import main as imagemill
from jobs.ledger import clock


def tenfold_clock() -> dict[str, float]:
    """Constants under which leases, beats, sweeps and polls run ten times as fast."""
    modules = [importlib.import_module(f"jobs.ledger.{one.name}") for one in pkgutil.iter_modules(ledger.__path__)]
    leases = {f"{module.__name__}:LEASE_MS": 6_000.0 for module in modules if hasattr(module, "LEASE_MS")}
    return leases | {
        "jobs.ledger.recovery:SWEEP_EVERY_MS": 1_500,
        "worker.sweep:BEAT_EVERY_S": 1.0,
        "worker.sweep:LOOK_EVERY_S": 0.5,
        "worker.dispatcher:POLL_S": 0.5,
    }


def command(faults: dict[str, Any], *arguments: str) -> list[str]:
    """The command line of such a process, after the interpreter's own name."""
    return ["-m", "tests.faults.launch", json.dumps(faults), *arguments]


def plant(faults: dict[str, Any]) -> None:
    """Change this process; also for children that were forked instead of started."""
    for place, value in faults.get("constants", {}).items():
        module, name = _find(place)
        setattr(module, name, type(getattr(module, name))(value))
    if "clock_file" in faults:
        _step_clock(Path(faults["clock_file"]))
    for place in faults.get("install", ()):
        module, name = _find(place)
        getattr(module, name)()


def _find(place: str) -> tuple[Any, str]:
    module_name, _, name = place.partition(":")
    module = importlib.import_module(module_name)
    if not hasattr(module, name):
        raise AttributeError(f"{module_name} has no {name}: the fault is out of date")
    return module, name


def _step_clock(offset_file: Path) -> None:
    true_now = clock.now

    def now(tx: Connection) -> int:
        offset = offset_file.read_text() if offset_file.exists() else ""
        return true_now(tx) + int(offset or 0)

    clock.now = now


if __name__ == "__main__":
    plant(json.loads(sys.argv[1]))
    imagemill(sys.argv[2:])
