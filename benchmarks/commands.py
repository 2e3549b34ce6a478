"""Whole imagemill commands as processes: how long, how much CPU and memory, how many lines.

Called by the benchmarks that measure what a person or a script meets.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import peak_rss_mb
from jobs.ledger.engine import Ledger

IMAGEMILL = str(Path(sys.executable).with_name("imagemill"))
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """One whole command."""

    lines: int
    wall_s: float
    cpu_s: float
    peak_mb: float

    def row(self) -> dict[str, Any]:
        rates = {"rows/s": self.lines / self.wall_s, "rows/CPU s": self.lines / self.cpu_s}
        return {"rows": self.lines, "s": self.wall_s, **rates, "peak MB": self.peak_mb}


def run(ledger: Ledger, words: str) -> Run:
    """Run `imagemill WORDS` on the ledger and count its lines as they come. Raises SystemExit where it fails."""
    url = ledger.engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
    environment = {**os.environ, "IMAGEMILL_DATABASE_URL": url}
    lines, peak_mb, looked_at = 0, 0.0, 0.0
    began = time.perf_counter()
    with subprocess.Popen(
        [IMAGEMILL, *words.split()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0, env=environment
    ) as process:
        assert process.stdout
        while block := process.stdout.read(1 << 20):
            lines += block.count(b"\n")
            if time.perf_counter() - looked_at > _LOOK_EVERY_S:
                peak_mb, looked_at = max(peak_mb, _peak_mb(process.pid)), time.perf_counter()
        peak_mb = max(peak_mb, _peak_mb(process.pid))
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"imagemill {words} ended with {process.returncode}")
    return Run(lines, wall_s, used.ru_utime + used.ru_stime, peak_mb)


def _peak_mb(pid: int) -> float:
    """While it runs, 0 afterwards: the peak that wait4 tells counts the memory of this process with it."""
    with suppress(OSError):
        return peak_rss_mb(pid)
    return 0.0
