"""Start-up: `imagemill --help` and `imagemill status` as whole processes, warm and with cold files.

    sh scripts/bench startup [--quick] [--rounds N]

Cold means that before each run the kernel was told to forget every file of the interpreter, its library and this
environment. Files that some other process has mapped stay in memory, so run it on an idle machine. Beside it: bare
Python, SQLAlchemy alone, which every ledger command needs, and the help of two command lines of the trade.
"""

import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commands import IMAGEMILL
from benchmarks.common import Report, Row, arguments, in_turns, middle, spread
from benchmarks.whole import Whole, measure

HELP_S, STATUS_COLD_S = 0.25, 1.2
CHECKOUT = Path(__file__).parents[1]
HEADER = "prompt,model,size,quality\n"
ROW = "a cup,gpt-image-2,1024x1024,low\n"


@dataclass(frozen=True, slots=True)
class Contestant:
    name: str
    command: Sequence[str]
    cold: bool = False


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(rounds=11)
    chosen = parser.parse_args()
    report = Report("startup", chosen)
    with tempfile.TemporaryDirectory(prefix="imagemill-startup-") as folder:
        contestants = {one.name: one for one in those(a_ledger(Path(folder)))}
        taken = {name: middles(runs) for name, runs in run_all(contestants, 3 if chosen.quick else chosen.rounds)}
    bare = taken["python -c pass"]["s"]
    report.table("whole processes, medians", [row(name, found, bare) for name, found in taken.items()])
    report.goal("imagemill --help", taken["imagemill --help"]["s"], "<=", HELP_S, "s")
    report.goal("imagemill status, cold", taken["imagemill status, cold"]["s"], "<=", STATUS_COLD_S, "s")
    report.finish()


def those(data: Path) -> list[Contestant]:
    status = [IMAGEMILL, "status", "--data-dir", str(data)]
    python = [sys.executable, "-c"]
    return [
        Contestant("imagemill --help", [IMAGEMILL, "--help"]),
        Contestant("imagemill --help, cold", [IMAGEMILL, "--help"], cold=True),
        Contestant("imagemill status", status),
        Contestant("imagemill status, cold", status, cold=True),
        Contestant("python -c pass", [*python, "pass"]),
        Contestant("python -c pass, cold", [*python, "pass"], cold=True),
        Contestant("python -c 'import sqlalchemy'", [*python, "import sqlalchemy"]),
        Contestant("python -c 'import sqlalchemy', cold", [*python, "import sqlalchemy"], cold=True),
        Contestant("celery --help", [beside("celery"), "--help"]),
        Contestant("alembic --help", [beside("alembic"), "--help"]),
    ]


def beside(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def a_ledger(folder: Path) -> Path:
    """A data folder with three batches."""
    data = folder / "data"
    for rows in (1, 2, 3):
        manifest = folder / f"{rows}.csv"
        manifest.write_text(HEADER + ROW * rows)
        measure([IMAGEMILL, "submit", str(manifest), "--data-dir", str(data)])
    return data


def run_all(contestants: dict[str, Contestant], rounds: int) -> Iterator[tuple[str, list[Whole]]]:
    """Each once unmeasured, so that its modules are compiled; then all in turns."""
    for one in contestants.values():
        measure(one.command)
    taken: dict[str, list[Whole]] = {name: [] for name in contestants}
    for name in in_turns(list(contestants), rounds):
        taken[name].append(run(contestants[name]))
    yield from taken.items()


def run(one: Contestant) -> Whole:
    if one.cold:
        forget_files()
    return measure(one.command, memory=False)


def forget_files() -> None:
    """Ask the kernel to drop the pages of everything that a command may read at its start."""
    for path in files():
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)


def files() -> Iterator[Path]:
    places = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    places |= {CHECKOUT / name for name in ("jobs", "worker", "migrations")}
    yield Path(sys.executable).resolve()
    for place in places:
        yield from (path for path in place.rglob("*") if path.suffix in (".py", ".pyc", ".so", ".json"))


def middles(runs: Sequence[Whole]) -> dict[str, float]:
    seconds = [one.seconds for one in runs]
    return {"s": middle(seconds), "spread": spread(seconds), "CPU s": middle([one.cpu_s for one in runs])}


def row(name: str, found: dict[str, float], bare: float) -> Row:
    return {"": name, **found, "of bare Python": found["s"] / bare}


if __name__ == "__main__":
    main()
