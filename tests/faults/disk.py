"""Disks that refuse: every file step of imagemill passes by here and fails as a test has written down.

`install` is for `tests.faults.launch`. The file that DISK_FAULTS names says what fails, and is read anew at each
step: {"step": "fsync", "errno": 5, "name": "*.part"}; nothing fails while it is missing. Each step taken is noted
in a file beside it, so that a test can see what was tried again after a failure.
"""

import json
import os
from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from jobs import files

STEPS = ("create", "write_all", "fsync", "fsync_folder", "rename", "link")
VARIABLE = "DISK_FAULTS"


class FaultyDisk:
    """The test's side: tells processes what fails. Give them `environment`."""

    def __init__(self, folder: Path) -> None:
        self._orders = folder / "disk-faults.json"
        self._notes = _notes(self._orders)

    @property
    def environment(self) -> dict[str, str]:
        return {VARIABLE: str(self._orders)}

    def fail(self, step: str, errno: int, name: str = "*") -> None:
        """From now on this step fails for files of such a name."""
        fresh = self._orders.with_suffix(".tmp")
        fresh.write_text(json.dumps({"step": step, "errno": errno, "name": name}))
        fresh.replace(self._orders)

    def heal(self) -> None:
        self._orders.unlink()

    def steps(self) -> list[dict[str, Any]]:
        """What was tried since the first failure, it included: step, path, and whether it failed."""
        notes = [json.loads(line) for line in self._notes.read_text().splitlines()] if self._notes.exists() else []
        return next((notes[place:] for place, note in enumerate(notes) if note["failed"]), [])


def install() -> None:
    """Have every file step of this process ask first."""
    orders = Path(os.environ[VARIABLE])
    for name in STEPS:
        setattr(files, name, partial(_step, orders, name, getattr(files, name)))


def _step(orders: Path, step: str, act: Callable[..., Any], target: Any, *args: Any) -> Any:
    """`target` is what the step is named for: a path, or an open file."""
    path = Path(str(getattr(target, "name", "")) if step == "write_all" else str(target))
    order = _read(orders)
    failed = order.get("step") == step and fnmatch(path.name, order["name"])
    with _notes(orders).open("a") as notes:
        notes.write(json.dumps({"step": step, "path": str(path), "failed": failed}) + "\n")
    if failed:
        raise OSError(order["errno"], os.strerror(order["errno"]), str(path))
    return act(target, *args)


def _read(orders: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(orders.read_text()))
    except FileNotFoundError:
        return {}


def _notes(orders: Path) -> Path:
    return orders.with_suffix(".steps")
