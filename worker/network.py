"""The one event loop of a worker process: a thread that talks to the network, never to the ledger or the disk.

Calls come in from the dispatcher; answers go out through a callback, on this thread. At most `in_flight` calls are
under way, the others wait their turn. An attempt whose socket was not opened within SEND_WITHIN_S of its
admission is not sent at all: somebody may have given it up.
"""

import asyncio
import resource
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from jobs.states import Outcome
from worker.calls import Answer, Call
from worker.endpoint import Endpoint
from worker.wire import boot_clock_s

SEND_WITHIN_S = 20.0


class Network:
    """Runs calls until closed. `on_send` and `on_answer` must be quick: they run on the loop's thread."""

    def __init__(
        self,
        open_endpoint: Callable[[], Endpoint],
        on_answer: Callable[[Answer], None],
        in_flight: int,
        on_send: Callable[[str], None] = lambda attempt_id: None,
    ) -> None:
        self._open_endpoint = open_endpoint
        self._on_answer = on_answer
        self._in_flight = in_flight
        self._on_send = on_send
        self._waiting: deque[tuple[Call, float]] = deque()
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="imagemill-network", daemon=True)
        self._endpoint: Endpoint | None = None

    def start(self) -> None:
        """Open the endpoint on the new thread. Raises UsageError for a URL or a key that cannot work."""
        _leave_no_core_file()
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        self._opened.result()

    def send(self, calls: Sequence[Call], admitted_at_s: float) -> None:
        """Start the calls, admitted at that moment of `boot_clock_s`. Thread-safe."""
        self._loop.call_soon_threadsafe(self._accept, calls, admitted_at_s)

    def drop_waiting(self) -> None:
        """Answer the calls that still wait their turn as not_sent. Thread-safe."""
        self._loop.call_soon_threadsafe(self._drop_waiting)

    def cancel_all(self) -> None:
        """Give up every call in flight; each ends as unknown, or not_sent where it never left. Thread-safe."""
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._tasks])

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._open())
        except Exception as error:
            self._loop.close()
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        self._loop.run_forever()
        self._loop.run_until_complete(self._close())
        self._loop.close()

    async def _open(self) -> None:
        self._endpoint = self._open_endpoint()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert self._endpoint is not None
        await self._endpoint.close()

    def _accept(self, calls: Sequence[Call], admitted_at_s: float) -> None:
        self._waiting.extend((call, admitted_at_s) for call in calls)
        self._fill()

    def _fill(self) -> None:
        while self._waiting and len(self._tasks) < self._in_flight:
            call, admitted_at_s = self._waiting.popleft()
            if boot_clock_s() - admitted_at_s > SEND_WITHIN_S:
                self._on_answer(_not_sent(call, "sent_too_late"))
                continue
            assert self._endpoint is not None
            self._on_send(call.attempt_id)
            task = self._loop.create_task(self._endpoint.call(call, admitted_at_s + SEND_WITHIN_S))
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, call))

    def _ended(self, call: Call, task: asyncio.Task[Answer]) -> None:
        """A call answers even when it is cancelled, except one that was cancelled before its first step. After an
        answer that pauses the key or a model, those that wait their turn are not sent."""
        self._tasks.discard(task)
        answer = _not_sent(call, "stopped_before_sending") if task.cancelled() else task.result()
        self._on_answer(answer)
        if answer.pause:
            self._drop_waiting()
        self._fill()

    def _drop_waiting(self) -> None:
        while self._waiting:
            call, _ = self._waiting.popleft()
            self._on_answer(_not_sent(call, "stopped_before_sending"))


def _not_sent(call: Call, kind: str) -> Answer:
    return Answer(call.attempt_id, Outcome.NOT_SENT, error_kind=kind)


def _leave_no_core_file() -> None:
    """A crash would write the API key into it."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
