"""In the process that is to be stopped: its first answers are booked as one group.

Answers that come in within a tenth of a second form a group anyway; here the group waits for the last of them, so
that a boundary is always met with everything at stake, however busy the machine is.
"""

from worker.calls import Answer
from worker.settler import Settler


def together(count: int) -> None:
    """Handle the first `count` answers at once, whatever comes later as it comes."""
    handle = Settler._handle
    first: list[Answer] = []

    def gathered(settler: Settler, answers: list[Answer]) -> None:
        if len(first) >= count:
            handle(settler, answers)
            return
        first.extend(answers)
        if len(first) >= count:
            handle(settler, list(first))

    Settler._handle = gathered
