"""One contestant of the throughput benchmark, in a process of its own: imagemill or one of benchmarks/loops.py.

    python -m benchmarks.contestants prepare ...    records the batch that `imagemill` works on
    python -m benchmarks.contestants NAME ...       runs, and prints one JSON object

`imagemill` is everything: admit, call, decode, spool, store, settle, on a ledger that is in the folder, or where
BENCH_DATABASE_URL says. Figures are of the steady state: from the first wave of answers to the last wave of calls.
"""

import argparse
import asyncio
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.loops import LOOPS, Run
from benchmarks.processes import peak_rss_mb

LOOK_EVERY_S = 0.05
MODEL, QUALITY, SIZE = "gpt-image-1", "low", "1024x1024"


@dataclass(frozen=True, slots=True)
class Reading:
    at_s: float
    done: int
    cpu_s: float


class Watch(threading.Thread):
    """Reads the clocks of this process whenever a number of jobs is reached."""

    def __init__(self, done: Callable[[], int], jobs: int, in_flight: int) -> None:
        super().__init__(daemon=True)
        self._done = done
        self._marks = [in_flight, jobs - in_flight]
        self._over = threading.Event()
        self.readings: list[Reading] = []

    def run(self) -> None:
        while self._marks and not self._over.wait(LOOK_EVERY_S):
            self._look()

    def close(self) -> None:
        self._over.set()
        self.join()

    def _look(self) -> None:
        done = self._done()
        if done >= self._marks[0]:
            self._marks.pop(0)
            self.readings.append(Reading(time.monotonic(), done, time.process_time()))


def figures(watch: Watch, peak_mb: float) -> dict[str, float]:
    if len(watch.readings) < 2:
        raise SystemExit("too few jobs for so many in flight: there is no steady state")
    first, last = watch.readings
    jobs = last.done - first.done
    return {
        "jobs_per_s": jobs / (last.at_s - first.at_s),
        "cpu_ms": 1000 * (last.cpu_s - first.cpu_s) / jobs,
        "rss_mb": peak_mb,
    }


def request(number: int, images: int) -> dict[str, Any]:
    more = {} if images == 1 else {"n": images}
    prompt = f"studio photo of a cup, number {number}"
    return {"model": MODEL, "prompt": prompt, "size": SIZE, "quality": QUALITY, **more}


def prepare(chosen: argparse.Namespace) -> None:
    """A recorded batch, ready to run: submitting is not what is measured here."""
    from jobs.catalogue.prices import PriceBook
    from jobs.ledger.migrate import upgrade
    from jobs.manifest import ManifestOptions
    from jobs.submit import Policy, submit

    manifest = chosen.folder / "manifest.jsonl"
    rows = (json.dumps(request(number, chosen.images)) + "\n" for number in range(chosen.jobs))
    manifest.write_text("".join(rows))
    ledger = _ledger(chosen)
    upgrade(ledger)
    book = PriceBook.load(None)
    batch = submit(ledger, manifest, ManifestOptions(), Policy(again=True), book, who="benchmark").batch_id
    (chosen.folder / "batch").write_text(str(batch))


def imagemill(chosen: argparse.Namespace) -> tuple[Callable[[], None], Callable[[], int]]:
    """What runs the prepared batch, and what counts the attempts it has settled."""
    from jobs import events
    from jobs.catalogue.prices import PriceBook
    from worker.embedded import run_batch
    from worker.metrics import ATTEMPTS

    events.configure("error")
    ledger, settings, batch = _ledger(chosen), _settings(chosen), (chosen.folder / "batch").read_text()

    def run() -> None:
        stop = threading.Event()
        ended = run_batch(ledger, settings, PriceBook.load(None), batch, on_standing=lambda _: None, stop=stop)
        assert ended.jobs["succeeded"] == chosen.jobs, ended.jobs

    def settled() -> int:
        (family,) = ATTEMPTS.collect()
        return int(sum(sample.value for sample in family.samples))

    return run, settled


def _settings(chosen: argparse.Namespace) -> Any:
    from jobs.settings import load_settings

    os.environ["IMAGEMILL_API_KEY"] = "bench"
    os.environ["IMAGEMILL_ALLOW_PRIVATE_HOSTS"] = "127.0.0.1"
    return load_settings(data_dir=chosen.folder, endpoint_url=chosen.url, in_flight=chosen.in_flight)


def _ledger(chosen: argparse.Namespace) -> Any:
    from jobs.ledger.engine import Ledger

    return Ledger(os.environ.get("BENCH_DATABASE_URL") or _settings(chosen).ledger_url)


def loop(chosen: argparse.Namespace) -> tuple[Callable[[], None], Callable[[], int]]:
    """What runs one of the loops, and what counts its calls."""
    run = Run(chosen.url, chosen.jobs, chosen.in_flight, chosen.folder, lambda n: request(n, chosen.images))
    return lambda: asyncio.run(LOOPS[chosen.name](run)), lambda: run.done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["prepare", "imagemill", *LOOPS])
    parser.add_argument("--url", required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--images", type=int, default=1, help="per job")
    parser.add_argument("--folder", type=Path, required=True, help="empty; ledger, spool and images go there")
    chosen = parser.parse_args()
    if chosen.name == "prepare":
        prepare(chosen)
        return
    run, done = imagemill(chosen) if chosen.name == "imagemill" else loop(chosen)
    watch = Watch(done, chosen.jobs, chosen.in_flight)
    watch.start()
    run()
    watch.close()
    print(json.dumps(figures(watch, peak_rss_mb(os.getpid()))))


if __name__ == "__main__":
    main()
