"""The result of a run as one flat record: what the JSON file holds and the table prints."""

import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.torture.recovery import Recovery, percentile
from tests.torture.run import Log
from tests.torture.stage import Stage
from tests.torture.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Result:
    """One run. Times in seconds as measured, under the clock that `lease_s` tells."""

    name: str
    seed: int
    commit: str
    machine: str
    minutes: float
    lease_s: float
    kills: int
    calls_killed: int
    """Calls that had reached the endpoint when their process was killed."""
    blows: dict[str, int]
    verdict: dict[str, int]
    difference: int
    samples: int
    recovery_p50_s: float | None
    recovery_p99_s: float | None
    recovery_max_s: float | None
    closed_after_s: float | None
    drained_after_s: float | None
    violations: list[str]


def result(
    name: str, seed: int, minutes: float, stage: Stage, log: Log, recovery: Recovery, verdict: Verdict
) -> Result:
    times = recovery.times_s()
    return Result(
        name=name,
        seed=seed,
        commit=commit(),
        machine=machine(),
        minutes=minutes,
        lease_s=stage.lease_s,
        kills=log.done["kills"],
        calls_killed=sum(len(kill.held & stage.journal.called) for kill in recovery.kills),
        blows=dict(sorted(log.done.items())),
        verdict=asdict(verdict),
        difference=verdict.difference,
        samples=log.samples,
        recovery_p50_s=percentile(times, 0.5),
        recovery_p99_s=percentile(times, 0.99),
        recovery_max_s=times[-1] if times else None,
        closed_after_s=log.closed_after_s,
        drained_after_s=log.drained_after_s,
        violations=log.violations,
    )


def commit() -> str:
    """Of this checkout; empty outside of one."""
    told = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return told.stdout.strip()


def machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
