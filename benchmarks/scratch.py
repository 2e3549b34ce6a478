"""Environments beside ours, for packages that a benchmark compares with and that imagemill does not depend on.

Called by bench_peers.py. What is installed there is pinned by version, not by hash, runs against the simulator
only, and is deleted with the folder.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

from benchmarks.common import Report

INSTALL_WITHIN_S = 300.0


class Scratch:
    """Environments beside ours, made when first asked for. None: it could not be installed."""

    def __init__(self, folder: Path, report: Report) -> None:
        self._folder = folder
        self._report = report
        self._made: dict[str, str | None] = {}

    def python(self, wanted: str, *, over_ours: bool) -> str | None:
        """The interpreter of an environment with the package; `over_ours` lays it over our own packages."""
        if wanted not in self._made:
            self._made[wanted] = self._make(wanted, over_ours=over_ours)
        return self._made[wanted]

    def _make(self, wanted: str, *, over_ours: bool) -> str | None:
        home = self._folder / wanted.partition("==")[0]
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
        python = home / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
        command = [*pip, "install", "--quiet", "--only-binary", ":all:", wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_WITHIN_S)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            self._report.note(f"left out: {wanted} could not be installed: {last}")
            return None
        if over_ours:
            (packages,) = home.glob("lib/python3*/site-packages")
            (packages / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
        return str(python)
