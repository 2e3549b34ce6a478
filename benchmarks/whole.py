"""Whole processes, from start to exit: wall time, CPU time and peak memory of any command."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.processes import peak_rss_mb

_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Whole:
    """One run of a command."""

    seconds: float
    cpu_s: float
    peak_mb: float
    """As the kernel kept it while the process ran; wait4 would count the memory of whoever started it too."""


def measure(command: Sequence[str], environment: Mapping[str, str] | None = None, *, memory: bool = True) -> Whole:
    """Run it without input and output. Raises SystemExit where it fails. `memory` looks at it twenty times a
    second; without, nothing disturbs the time."""
    began = time.perf_counter()
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**as_users_run_it(), **(environment or {})},
    )
    peak_mb = _watch(process.pid) if memory else 0.0
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr
    with process.stderr as said:
        if process.returncode:
            raise SystemExit(f"{' '.join(command[:3])} ended with {process.returncode}:\n{said.read().decode()}")
    return Whole(seconds, used.ru_utime + used.ru_stime, peak_mb)


def as_users_run_it() -> dict[str, str]:
    """This environment, without what makes Python compile every module at every start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _watch(pid: int) -> float:
    """Its peak, looked at until it has ended; the process stays a zombie for wait4."""
    peak_mb = 0.0
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        with suppress(OSError):
            peak_mb = max(peak_mb, peak_rss_mb(pid))
        time.sleep(_LOOK_EVERY_S)
    return peak_mb
