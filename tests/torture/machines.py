"""The places where workers run, each with at most one: killed, frozen, asked to stop, and started again."""

import signal
import time
from dataclasses import dataclass

from tests.torture.children import Child

TERM_GRACE_S = 90.0
"""After SIGTERM a worker finishes its calls; their deadline and the ledger's patience end well before this."""


@dataclass(slots=True)
class Machine:
    """One place. Moments are seconds of the monotonic clock."""

    number: int
    child: Child | None = None
    back_at_s: float = 0.0
    """When the next worker may start here."""
    thaws_at_s: float | None = None
    """When the frozen worker goes on; None: it is not frozen."""
    terminated_s: float | None = None
    """When it was asked to stop."""

    @property
    def hittable(self) -> bool:
        """There is a worker that nothing else is being done to."""
        return (
            self.child is not None
            and self.child.exit_code is None
            and self.thaws_at_s is None
            and self.terminated_s is None
        )

    @property
    def may_start(self) -> bool:
        return self.child is None and time.monotonic() >= self.back_at_s

    def put(self, child: Child) -> None:
        self.child = child
        self.thaws_at_s = self.terminated_s = None

    def clear(self, back_s: float) -> None:
        """Its worker is gone; another may start after so long."""
        self.child = None
        self.back_at_s = time.monotonic() + back_s

    def freeze(self, lasts_s: float) -> None:
        assert self.child is not None
        self.child.send(signal.SIGSTOP)
        self.thaws_at_s = time.monotonic() + lasts_s

    def thaw(self) -> None:
        assert self.child is not None
        self.child.send(signal.SIGCONT)
        self.thaws_at_s = None

    def terminate(self) -> None:
        assert self.child is not None
        self.child.send(signal.SIGTERM)
        self.terminated_s = time.monotonic()

    @property
    def overdue(self) -> bool:
        """Asked to stop, and still there after its grace."""
        return self.terminated_s is not None and time.monotonic() - self.terminated_s > TERM_GRACE_S
