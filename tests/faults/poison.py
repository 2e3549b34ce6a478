"""A fault for `tests.faults.launch`: an answer that kills the process which reads it, each time it comes."""

import os
import signal
from collections.abc import Iterable

from worker.calls import Answer
from worker.spool import Group, Spool


def install() -> None:
    """An answer without usage is the poison; it strikes before the answer is owned."""
    own = Spool.own

    def owned(self: Spool, answers: Iterable[Answer]) -> Group:
        group = tuple(answers)
        if any(answer.images and answer.usage is None for answer in group):
            os.kill(os.getpid(), signal.SIGKILL)
        return own(self, group)

    Spool.own = owned  # type: ignore[method-assign]
