"""How a run is shown where no terminal is: plain lines for people, JSON lines for programs, or nothing.

All of it is narration and goes to stderr. Plain lines come every 30 s and when the state changes. The panel for
terminals is in `live`.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, TextIO

from jobs.ledger.figures import Standing
from jobs.report.panel import plain_line
from jobs.report.standing import standing_json
from jobs.report.words import escaped, json_text

PLAIN_EVERY_S = 30.0

Clock = Callable[[], float]


class Progress(Protocol):
    """A view of one run. Used in a `with`; `show` is called as often as there is news, from one thread."""

    def show(self, standing: Standing) -> None: ...

    def say(self, text: str) -> None: ...

    def close(self) -> None:
        """Give the terminal back as it was found; the `with` ends by this as well."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class View:
    """What the views share: remarks go to the sink."""

    def __init__(self, sink: TextIO) -> None:
        self._sink = sink

    def say(self, text: str) -> None:
        self._line(escaped(text))

    def close(self) -> None:
        return None

    def _line(self, line: str) -> None:
        self._sink.write(f"{line}\n")
        self._sink.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class SilentView(View):
    """Remarks only."""

    def show(self, standing: Standing) -> None:
        return None


class PlainView(View):
    """A line now and then."""

    def __init__(self, sink: TextIO, clock: Clock) -> None:
        super().__init__(sink)
        self._clock = clock
        self._due_at = float("-inf")
        self._state: tuple[str | None, bool] | None = None

    def show(self, standing: Standing) -> None:
        state = (standing.state, _needs_somebody(standing.waiting_for))
        if self._clock() < self._due_at and state == self._state:
            return
        self._state, self._due_at = state, self._clock() + PLAIN_EVERY_S
        self._line(plain_line(standing))


_PERSONS = ("paused", "endpoint paused", "no worker", "budget full")


def _needs_somebody(waiting_for: str | None) -> bool:
    """A pause, a full budget or a missing worker, as opposed to a rate limit that passes by itself."""
    return waiting_for is not None and waiting_for.startswith(_PERSONS)


class JsonView(View):
    """One JSON line a second."""

    def __init__(self, sink: TextIO, clock: Clock) -> None:
        super().__init__(sink)
        self._clock = clock
        self._due_at = float("-inf")

    def show(self, standing: Standing) -> None:
        if self._clock() >= self._due_at:
            self._due_at = self._clock() + 1.0
            self._line(json_text(standing_json(standing)))
