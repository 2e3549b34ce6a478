"""Steps in the disk pool: their results, their failures, and what being cancelled waits for."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.disk import Disk, DiskFailed


def test_a_step_runs_in_a_thread_of_the_pool() -> None:
    async def main() -> str:
        return await Disk(pool).run(lambda: threading.current_thread().name)

    with ThreadPoolExecutor(1, thread_name_prefix="disk") as pool:
        assert asyncio.run(main()).startswith("disk")


def test_a_failing_disk_is_told_apart_from_a_failing_network() -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    async def main() -> None:
        await Disk(pool).run(full)

    with ThreadPoolExecutor(1) as pool, pytest.raises(DiskFailed, match="No space left"):
        asyncio.run(main())


def test_a_cancelled_step_that_runs_is_waited_for() -> None:
    started, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def step() -> None:
        started.set()
        assert go_on.wait(10)
        done.set()

    async def main() -> None:
        task = asyncio.create_task(Disk(pool).run(step))
        await asyncio.to_thread(started.wait, 10)
        task.cancel()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done.is_set()

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(main())


def test_a_cancelled_step_that_waits_never_runs() -> None:
    hold = threading.Event()
    ran: list[str] = []

    async def main() -> None:
        first = asyncio.create_task(Disk(pool).run(hold.wait, 10))
        second = asyncio.create_task(Disk(pool).run(ran.append, "second"))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        hold.set()
        await first

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(main())
    assert ran == []
