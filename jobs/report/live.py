"""The live panel on a terminal: drawn in place by rich, at most four times a second."""

from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from jobs.ledger.figures import Standing
from jobs.ledger.overview import Glimpse
from jobs.report.panel import panel_lines, tone
from jobs.report.progress import Clock
from jobs.report.table import Look
from jobs.report.words import escaped

REDRAW_S = 0.25
_LOOK_CLOSER_S = 1.0


class PanelView:
    """A Progress. `peek` reads what the standing does not say; it is asked at most once a second."""

    def __init__(self, sink: TextIO, look: Look, peek: Callable[[], Glimpse], clock: Clock) -> None:
        self._clock, self._peek = clock, peek
        self._console = Console(
            file=sink, width=look.width, force_terminal=True, no_color=not look.color, highlight=False
        )
        self._live = Live(console=self._console, auto_refresh=False)
        self._drawn_at = self._peeked_at = float("-inf")
        self._seen: Glimpse | None = None
        self._last: Standing | None = None

    def show(self, standing: Standing) -> None:
        self._last = standing
        if self._clock() - self._drawn_at >= REDRAW_S:
            self._draw(standing)

    def say(self, text: str) -> None:
        self._console.print(escaped(text), markup=False)

    def close(self) -> None:
        self._live.stop()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._last is not None and kind is None:
            self._peeked_at = float("-inf")
            self._draw(self._last)
        self.close()

    def _draw(self, standing: Standing) -> None:
        now = self._clock()
        if self._seen is None or now - self._peeked_at >= _LOOK_CLOSER_S:
            self._seen, self._peeked_at = self._peek(), now
        text = Text("\n".join(panel_lines(standing, self._seen, self._console.width)), no_wrap=True)
        text.highlight_regex(r"\[#+", tone(standing))
        text.highlight_regex(rf"^{standing.batch}", "bold")
        self._drawn_at = now
        self._live.update(text, refresh=True)
