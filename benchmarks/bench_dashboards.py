"""Two hundred open dashboards on a running batch of 100,000 rows: what they cost the API and the workers.

    sh scripts/bench dashboards [--quick] [--json FILE]

PostgreSQL, Redis, one `imagemill work` with 400 calls in flight and one `imagemill serve`. In turn nobody looks or
200 followers are connected, half to the page of the batch, half to that of all batches; each opens its page first,
as a browser does. Meanwhile one client asks the API for the batch, its failures and the report. The followers run
on the same two cores, which a visitor's browser does not.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from benchmarks import services
from benchmarks.common import Report, Row, arguments, middle
from benchmarks.mill import Mill
from benchmarks.processes import cpu_s, wait_until

ROWS = 100_000
IN_FLIGHT = 400
LATENCY_S = 2.0
FOLLOWERS = 200
ASK_EVERY_S = 0.1
P95_S, SLOWER = 0.3, 0.05
STARTS_WITHIN_S = 120.0
SETTLES_S = 5.0


@dataclass(slots=True)
class Seen:
    """Of one turn."""

    jobs_per_s: float = 0.0
    server_cpu: float = 0.0
    """Of a core."""
    worker_cpu: float = 0.0
    asked_s: list[float] = field(default_factory=list)
    opened_s: list[float] = field(default_factory=list)
    events: int = 0
    event_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    mill: Mill
    url: str
    batch: str
    worker: int
    server: int
    """Process ids."""

    async def turn(self, seconds: float, followers: int) -> Seen:
        seen = Seen()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(self.url, connector=connector, read_bufsize=1 << 20) as session:
            pages = ((f"/batches/{self.batch}", f"/live/batches/{self.batch}"), ("/", "/live/batches"))
            looking = [
                asyncio.create_task(self._look(session, *pages[n % len(pages)], seen)) for n in range(followers)
            ]
            await asyncio.sleep(SETTLES_S)
            ended, began = self.mill.ended(), time.monotonic()
            cpu = cpu_s([self.server]), cpu_s([self.worker])
            asking = asyncio.create_task(self._ask(session, seen))
            await asyncio.sleep(seconds)
            took = time.monotonic() - began
            seen.jobs_per_s = (self.mill.ended() - ended) / took
            seen.server_cpu = (cpu_s([self.server]) - cpu[0]) / took
            seen.worker_cpu = (cpu_s([self.worker]) - cpu[1]) / took
            for task in (*looking, asking):
                task.cancel()
            ended_by = await asyncio.gather(*looking, asking, return_exceptions=True)
        if failed := [one for one in ended_by if not isinstance(one, asyncio.CancelledError)]:
            raise SystemExit(f"{len(failed)} clients failed: {failed[0]!r}")
        return seen

    async def _look(self, session: aiohttp.ClientSession, page: str, live: str, seen: Seen) -> None:
        began = time.monotonic()
        async with session.get(page) as response:
            response.raise_for_status()
            await response.read()
        seen.opened_s.append(time.monotonic() - began)
        timeout = aiohttp.ClientTimeout(total=None)
        async with session.get(live, timeout=timeout) as response:
            response.raise_for_status()
            async for chunk in response.content.iter_any():
                seen.events += chunk.count(b"\n\n")
                seen.event_bytes += len(chunk)

    async def _ask(self, session: aiohttp.ClientSession, seen: Seen) -> None:
        batch = f"/api/batches/{self.batch}"
        while True:
            for path in (batch, f"{batch}/failures", f"/api/report?batch={self.batch}&by=model"):
                began = time.monotonic()
                async with session.get(path) as response:
                    response.raise_for_status()
                    await response.read()
                seen.asked_s.append(time.monotonic() - began)
                await asyncio.sleep(ASK_EVERY_S)


@contextmanager
def serving(mill: Mill, folder: Path) -> Iterator[tuple[str, int]]:
    """`imagemill serve` on a port of its own; its URL and process id."""
    told = folder / "serve.log"
    with told.open("wb") as log, mill.running("serve", "--port", "0", log=log) as process:
        wait_until(lambda: b"http://" in told.read_bytes(), STARTS_WITHIN_S, "the server's start")
        (line,) = [one for one in told.read_text().splitlines() if "http://" in one]
        yield line[line.index("http://") :].split()[0], process.pid


def row(name: str, turns: Sequence[Seen]) -> Row:
    asked = [one for seen in turns for one in seen.asked_s]
    opened = [one for seen in turns for one in seen.opened_s]
    return {
        "": name,
        "jobs/s": middle([seen.jobs_per_s for seen in turns]),
        "worker, of a core": middle([seen.worker_cpu for seen in turns]),
        "server, of a core": middle([seen.server_cpu for seen in turns]),
        "API p50 ms": 1000 * middle(asked),
        "API p95 ms": 1000 * p95(asked),
        "API max ms": 1000 * max(asked),
        "page opened, p95 ms": 1000 * p95(opened) if opened else None,
        "events": sum(seen.events for seen in turns) or None,
        "KB each": sum(seen.event_bytes for seen in turns) / 1024 / max(1, sum(seen.events for seen in turns)),
    }


def p95(taken: Sequence[float]) -> float:
    return sorted(taken)[int(0.95 * len(taken))]


def measure(chosen: argparse.Namespace) -> None:
    report = Report("dashboards", chosen)
    seconds, rounds = (15.0, 1) if chosen.quick else (45.0, max(2, chosen.rounds))
    with (
        services.postgres() as postgres,
        services.redis() as redis,
        services.simulator(latency_s=LATENCY_S) as simulator,
        tempfile.TemporaryDirectory(prefix="imagemill-dashboards-") as home,
    ):
        mill = Mill(Path(home), postgres.new_database(), redis.url, simulator.url)
        with mill.worker("worker", IN_FLIGHT) as worker, serving(mill, Path(home)) as (url, server):
            batch = mill.submit(ROWS)
            wait_until(lambda: mill.ended() > 2 * IN_FLIGHT, STARTS_WITHIN_S, "the first calls")
            stage = Stage(mill, url, batch, worker.pid, server)
            alone, followed = [], []
            for _ in range(rounds):
                alone.append(asyncio.run(stage.turn(seconds, 0)))
                followed.append(asyncio.run(stage.turn(seconds, FOLLOWERS)))
        mill.close()
    rows = [row("nobody looks", alone), row(f"{FOLLOWERS} dashboards", followed)]
    report.table(f"{ROWS:,} rows, {IN_FLIGHT} in flight, answers after {LATENCY_S:.0f} s", rows)
    report.goal("the API's p95", rows[1]["API p95 ms"], "<=", 1000 * P95_S, "ms")
    report.goal("workers beside nobody looking", rows[1]["jobs/s"] / rows[0]["jobs/s"], ">=", 1 - SLOWER)
    report.finish()


if __name__ == "__main__":
    measure(arguments(__doc__).parse_args())
