"""The way from the event loop to the threads that decode, hash and write.

Steps that come up in one turn of the loop travel together: a small answer's decoding costs less than the way to
another thread and back. A bundle is small enough that the threads of the pool share the work all the same.
"""

import asyncio
import concurrent.futures
import errno
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

_BUNDLE_BYTES = 128 << 10
_BUNDLE_STEPS = 16


class DiskFailed(Exception):
    """The disk refused a write: what was received cannot be kept."""


class DiskFull(DiskFailed):
    """It had no room for it. Waiting may help, as with no other refusal."""


def is_full(error: BaseException) -> bool:
    """Whether the disk had no room. A quota is something else: nobody can tell when it has room again."""
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


@dataclass(slots=True, eq=False)
class _Step:
    work: Callable[..., Any]
    args: tuple[object, ...]
    claim: concurrent.futures.Future[None]
    """Decides between a thread that starts the step and a caller that is cancelled first."""
    end: asyncio.Future[Any]

    @property
    def bytes(self) -> int:
        return sum(sum(map(len, arg)) for arg in self.args if isinstance(arg, list))


class Disk:
    """Runs steps of work in the pool and waits for them on the loop; belongs to one loop."""

    def __init__(self, pool: concurrent.futures.Executor) -> None:
        self._pool = pool
        self._waiting: list[_Step] = []

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """The result of `work(*args)`. Raises DiskFailed in place of OSError.

        When cancelled it waits for a step under way all the same: the caller is about to remove the files that
        the step writes to.
        """
        loop = asyncio.get_running_loop()
        step = _Step(work, args, concurrent.futures.Future(), loop.create_future())
        if not self._waiting:
            loop.call_soon(self._send, loop)
        self._waiting.append(step)
        try:
            result: T = await asyncio.shield(step.end)
        except asyncio.CancelledError:
            await _see_off(step)
            raise
        except OSError as error:
            kind = DiskFull if is_full(error) else DiskFailed
            raise kind(f"the spool cannot be written: {error}") from error
        return result

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, self._waiting = self._waiting, []
        for bundle in _bundles(waiting):
            self._pool.submit(_work_off, bundle, loop)


def _bundles(steps: Iterable[_Step]) -> Iterable[list[_Step]]:
    bundle: list[_Step] = []
    size = 0
    for step in steps:
        if bundle and (size + step.bytes > _BUNDLE_BYTES or len(bundle) >= _BUNDLE_STEPS):
            yield bundle
            bundle, size = [], 0
        bundle.append(step)
        size += step.bytes
    if bundle:
        yield bundle


def _work_off(bundle: list[_Step], loop: asyncio.AbstractEventLoop) -> None:
    """In a thread of the pool: do the steps one after another, and report them together."""
    ended: list[tuple[_Step, Any, BaseException | None]] = []
    for step in bundle:
        if step.claim.set_running_or_notify_cancel():
            try:
                ended.append((step, step.work(*step.args), None))
            except BaseException as error:  # it is the caller's, whatever it is
                ended.append((step, None, error))
    loop.call_soon_threadsafe(_report, ended)


def _report(ended: list[tuple[_Step, Any, BaseException | None]]) -> None:
    for step, result, error in ended:
        if error is None:
            step.end.set_result(result)
        else:
            step.end.set_exception(error)


async def _see_off(step: _Step) -> None:
    """For a cancelled caller: a step that has not started never will, one that has is waited for."""
    if step.claim.cancel():
        return
    while not step.end.done():
        with suppress(Exception, asyncio.CancelledError):
            await asyncio.shield(step.end)
    step.end.exception()  # looked at, so that nobody warns of it
