"""The way from the event loop to the threads that decode, hash and write."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class DiskFailed(Exception):
    """The disk refused a write: what was received cannot be kept."""


class Disk:
    """Runs one step of work in the pool and waits for it on the loop."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """The result of `work(*args)`. Raises DiskFailed in place of OSError.

        When cancelled it waits for a step under way all the same: the caller is about to remove the files that
        the step writes to.
        """
        step = self._pool.submit(work, *args)
        try:
            return await asyncio.wrap_future(step)
        except asyncio.CancelledError:
            while not step.done():
                with suppress(Exception, asyncio.CancelledError):
                    await asyncio.wrap_future(step)
            raise
        except OSError as error:
            raise DiskFailed(f"the spool cannot be written: {error}") from error
