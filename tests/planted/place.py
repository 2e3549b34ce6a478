"""A copy of the tree to break: the tests in it run what is in it, not what is installed."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.planted.bugs import Bug

TREE = Path(__file__).parents[2]
COPIED = ("jobs", "worker", "migrations", "tests", "scripts", "docs", "examples", "benchmarks")
PACKAGES = ("jobs", "worker", "migrations", "tests")
_LONGEST_S = 1_200


@dataclass(frozen=True, slots=True)
class Result:
    """How one test function ended. `told`: the first words of its failure."""

    test: str
    ended: str
    """passed, caught (failed by an assertion), failed (otherwise), missing"""
    told: str = ""


class Place:
    """A copy in `root`. A context manager would be too much: the caller owns the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in COPIED:
            if (TREE / name).is_dir():
                shutil.copytree(TREE / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in TREE.iterdir():
            if path.is_file():
                shutil.copy2(path, root)
        (root / ".venv").symlink_to(TREE / ".venv")

    def plant(self, bug: Bug) -> None:
        """Raises ValueError for a change whose text is not there exactly once."""
        for edit in bug.edits:
            path = self.root / edit.path
            text = path.read_text()
            if text.count(edit.old) != 1:
                raise ValueError(f"{bug.name}: {edit.path} does not hold this text once: {edit.old.strip()[:60]}")
            path.write_text(text.replace(edit.old, edit.new))

    def require_own_code(self) -> None:
        """Raises RuntimeError where a process started here would import another tree."""
        script = f"import {', '.join(PACKAGES)}; print({'.__file__, '.join(PACKAGES)}.__file__)"
        for arguments in (["-c", script], ["-P", "-c", script]):
            said = self._python(arguments).stdout.split()
            if len(said) != len(PACKAGES) or not all(Path(one).is_relative_to(self.root) for one in said):
                raise RuntimeError(f"the copy in {self.root} is not what is imported: {said}")

    def run(self, name: str) -> list[Result]:
        """Run every test whose name begins so."""
        found = self._find(name)
        if not found:
            return [Result(name, "missing")]
        report = self.root / "report.xml"
        report.unlink(missing_ok=True)
        options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--junitxml={report}"]
        ended = self._python(["-m", "pytest", *options, *found])
        if not report.is_file():
            return [Result(name, "failed", (ended.stdout + ended.stderr)[-300:])]
        return _results(report)

    def _find(self, name: str) -> list[str]:
        """Node ids of the test functions whose names begin so."""
        return [
            f"{path.relative_to(self.root)}::{node.name}"
            for path in sorted((self.root / "tests").rglob("test_*.py"))
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith(name)
        ]

    def _python(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )


def _results(report: Path) -> list[Result]:
    return [_result(case) for case in ElementTree.parse(report).iter("testcase")]


def _result(case: ElementTree.Element) -> Result:
    """An error outside of the test, or a failure that is no assertion's, proves nothing."""
    name = case.get("name", "")
    for kind in ("error", "failure"):
        found = case.find(kind)
        if found is not None:
            told = found.get("message", "").splitlines()[0] if found.get("message") else ""
            by_assertion = kind == "failure" and told.startswith(("AssertionError", "assert "))
            return Result(name, "caught" if by_assertion else "failed", told[:100])
    return Result(name, "passed")
