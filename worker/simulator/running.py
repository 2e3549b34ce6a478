"""Ways to run the simulator: in the foreground until a signal, or in a thread beside a test."""

import asyncio
import json
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from worker.simulator.config import SimulatorConfig
from worker.simulator.endpoint import Endpoint
from worker.simulator.server import serve

START_TIMEOUT_S = 30.0


def run(config: SimulatorConfig, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. `announce` is given the URL once calls are taken."""

    async def until_signalled() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(config, lambda url, _: announce(url), stop)

    asyncio.run(until_signalled())


class Simulator:
    """A simulator in a thread of this process; a context manager that stops it.

    `url` is the base URL that ends in /v1.
    """

    def __init__(self, config: SimulatorConfig) -> None:
        self.url = ""
        self._config = config
        self._endpoint: Endpoint | None = None
        self._failure: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="simulator", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT_S) or self._failure is not None:
            raise RuntimeError("the simulator did not start") from self._failure

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].removesuffix("/v1"))

    @property
    def root(self) -> str:
        """The URL without /v1, where /sim, /files and /healthz are."""
        return self.url.removesuffix("/v1")

    def lines(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The journal so far, or its lines of one kind: call, end or file."""
        assert self._endpoint is not None
        lines = [json.loads(line) for line in self._endpoint.journal.text().splitlines()]
        return [line for line in lines if kind in (None, line["kind"])]

    def calls(self) -> list[dict[str, Any]]:
        return self.lines("call")

    def configure(self, **changes: Any) -> None:
        """Change settings of the running simulator, for the calls that come in from now on.

        Raises ValueError for a setting or a fault it does not know.
        """
        asyncio.run_coroutine_threadsafe(self._change(changes), self._loop).result(START_TIMEOUT_S)

    def stop(self) -> None:
        """Stop and wait; may be called again."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(START_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await serve(self._config, self._started, self._stop)

    def _started(self, url: str, endpoint: Endpoint) -> None:
        self.url, self._endpoint = url, endpoint
        self._ready.set()

    async def _change(self, changes: dict[str, Any]) -> None:
        assert self._endpoint is not None
        self._endpoint.configure(self._endpoint.config.changed(changes))


def start_in_thread(config: SimulatorConfig | None = None) -> Simulator:
    """Start a simulator on a free port of 127.0.0.1 unless the configuration says otherwise."""
    return Simulator(config or SimulatorConfig())
