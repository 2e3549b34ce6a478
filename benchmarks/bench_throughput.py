"""Throughput of one process: jobs/s, CPU ms per job and peak memory, beside a bare loop and the official SDK.

    sh scripts/bench throughput [--only small|images] [--rounds N]

The far end is the built-in simulator with pre-rendered answers in a process of its own; all contestants of a case
run against the same one, in turn, so that the ratios are of one machine at one time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

CONTESTANTS = ("bare", "imagemill", "sdk")


@dataclass(frozen=True)
class Case:
    name: str
    image_bytes: int
    latency_s: float
    in_flight: int
    jobs: int
    """Of imagemill and the bare loop."""
    sdk_jobs: int
    """Fewer: the SDK takes many times as long."""


CASES = (
    Case("small answers, 100 in flight", 4_000, 0.5, 100, 2_000, 1_000),
    Case("small answers, 400 in flight", 4_000, 0.5, 400, 12_000, 1_200),
    Case("1.5 MB images, 50 in flight", 1_500_000, 0.5, 50, 500, 200),
    Case("1.5 MB images, 200 in flight", 1_500_000, 0.5, 200, 1_000, 400),
)


@contextmanager
def simulator(case: Case) -> Iterator[str]:
    """The simulator in its own process; yields its URL."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "url"
        options = ["--latency", str(case.latency_s), "--pictures", "prerendered"]
        command = [sys.executable, "-m", "worker.simulator", "--port", "0", "--ready-file", str(ready), *options]
        process = subprocess.Popen([*command, "--image-bytes", str(case.image_bytes)], stdout=subprocess.DEVNULL)
        try:
            while not (ready.exists() and ready.read_text()):
                if process.poll() is not None:
                    raise SystemExit("the simulator did not start")
                time.sleep(0.05)
            yield ready.read_text().strip()
        finally:
            process.terminate()
            process.wait()


def measure(name: str, case: Case, url: str, folder: Path) -> dict[str, float]:
    """One contestant, once: jobs/s, CPU ms per job, peak MB."""
    jobs = case.sdk_jobs if name == "sdk" else case.jobs
    command = [sys.executable, "-m", "benchmarks.contestants", name, "--url", url, "--jobs", str(jobs)]
    mine = Path(tempfile.mkdtemp(dir=folder))
    command += ["--in-flight", str(case.in_flight), "--folder", str(mine)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    figures = json.loads(done.stdout.splitlines()[-1])
    return {
        "jobs/s": jobs / figures["seconds"],
        "CPU ms": 1000 * figures["cpu_s"] / jobs,
        "peak MB": figures["rss_mb"],
    }


def run_case(case: Case, rounds: int, folder: Path) -> None:
    with simulator(case) as url:
        taken = {name: [measure(name, case, url, folder) for _ in range(rounds)] for name in CONTESTANTS}
    middle = {name: {key: median(one[key] for one in all_) for key in all_[0]} for name, all_ in taken.items()}
    ideal = case.in_flight / case.latency_s
    print(f"\n{case.name}  (ideal {ideal:.0f} jobs/s, {rounds} round(s), medians)")
    print(f"  {'':12}{'jobs/s':>9}{'CPU ms':>9}{'peak MB':>9}{'rate/bare':>11}{'CPU/bare':>10}")
    for name, figures in middle.items():
        rate, cpu = (figures[key] / middle["bare"][key] for key in ("jobs/s", "CPU ms"))
        print(
            f"  {name:12}{figures['jobs/s']:9.0f}{figures['CPU ms']:9.2f}{figures['peak MB']:9.0f}"
            f"{rate:11.2f}{cpu:10.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=["small", "images"])
    parser.add_argument("--rounds", type=int, default=1)
    chosen = parser.parse_args()
    # One folder for all, removed at the very end: ext4 without a journal walks past every inode deleted within the
    # last minutes, so that tidying up between the runs would slow down each later one.
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=".") as folder:
        for case in CASES:
            if chosen.only is None or chosen.only in case.name:
                run_case(case, chosen.rounds, Path(folder))


if __name__ == "__main__":
    main()
