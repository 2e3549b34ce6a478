"""What a serving process has. Made once by `imagemill serve`, handed to every request by the guard."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request

from jobs.api.throttle import Throttle
from jobs.api.thumbnails import ThumbnailCache
from jobs.catalogue.prices import PriceBook
from jobs.ledger.engine import Ledger
from jobs.settings import Settings
from jobs.storage import LocalStore, open_store

MOST_UPLOAD_BYTES = 512 * 1024 * 1024
_MOST_RECORDING = 2
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Service:
    """The ledger functions' arguments, and the rules of access."""

    ledger: Ledger
    settings: Settings
    book: PriceBook
    wake: Callable[[str, int], None]
    """`wake(batch, jobs)` publishes tickets after a commit; a failure costs seconds, not work."""
    operator: str
    """Who acts where no token is asked for."""
    public: bool = False
    """A token is asked of everybody. Else callers on this machine need none."""
    hosts: frozenset[str] = frozenset(LOOPBACK_NAMES)
    """Names and addresses that the Host header may have, without port."""
    most_upload_bytes: int = MOST_UPLOAD_BYTES
    form_secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    """Makes the form tokens of callers that have no session."""
    throttle: Throttle = field(default_factory=Throttle)
    recording: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_MOST_RECORDING))
    """How many manifests are read at once: each takes a thread and a processor for as long as it is long."""
    thumbnails: ThumbnailCache = field(init=False)

    def __post_init__(self) -> None:
        folder = self.settings.data_dir.absolute() / "thumbnails"
        object.__setattr__(self, "thumbnails", ThumbnailCache(folder))

    @property
    def store(self) -> LocalStore:
        return open_store(self.settings.images_url)

    @property
    def uploads(self) -> Path:
        """Folder for bodies on their way in; on the disk of the data, not in memory."""
        return self.settings.data_dir.absolute() / "uploads"


def _service(request: Request) -> Service:
    found = request.state.service
    assert isinstance(found, Service)
    return found


Serving = Annotated[Service, Depends(_service)]
