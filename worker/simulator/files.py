"""Pictures behind temporary URLs: kept until their time is past, some of them made to fail.

A URL names its own end of life, so that a file answers 403 long after its bytes were dropped.
"""

from collections import OrderedDict
from dataclasses import dataclass

from worker.simulator.pictures import Picture


@dataclass(slots=True)
class TemporaryFile:
    picture: Picture
    expires_at: float
    """Unix seconds."""
    fails_left: int = 0
    """So many downloads still answer 500."""
    cuts_left: int = 0
    """So many downloads still end half way."""


class TemporaryFiles:
    def __init__(self) -> None:
        self._files: OrderedDict[str, TemporaryFile] = OrderedDict()

    def add(self, name: str, file: TemporaryFile, now: float) -> None:
        """Keep a file, and drop those whose time is past."""
        while self._files and next(iter(self._files.values())).expires_at < now:
            self._files.popitem(last=False)
        self._files[name] = file

    def find(self, name: str) -> TemporaryFile | None:
        return self._files.get(name)


def url_path(name: str, expires_at: float) -> str:
    return f"/files/{name}?expires={expires_at:.3f}"
