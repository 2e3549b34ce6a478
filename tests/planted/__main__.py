"""`python -m tests.planted [--clean] [NAME...]`: plant each bug in a copy of the tree, and see its tests catch it.

Prints a table; the exit code is 1 when a bug survives. `--clean` first runs the same tests on a copy without any
bug, where they have to pass.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.planted.bugs import BUGS, Bug
from tests.planted.place import Place, Result


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="planted-bugs", description="Do the tests catch what they are there for?")
    parser.add_argument("--clean", action="store_true", help="see first that the tests pass without any bug")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BUGS)}; none: all of them")
    chosen = parser.parse_args(arguments)
    if strangers := [name for name in chosen.names if name not in BUGS]:
        parser.error(f"there is no bug {', '.join(strangers)}; there are {', '.join(BUGS)}")
    bugs = [BUGS[name] for name in chosen.names or BUGS]
    wrong = _tried(None, sorted({test for bug in bugs for test in bug.tests})) if chosen.clean else 0
    return 1 if wrong + sum(_tried(bug, bug.tests) for bug in bugs) else 0


def _tried(bug: Bug | None, tests: Iterable[str]) -> int:
    """How many of the tests did not end as they should."""
    with tempfile.TemporaryDirectory(prefix="imagemill-planted-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        place = Place(root)
        if bug:
            place.plant(bug)
        place.require_own_code()
        wrong = 0
        for test in tests:
            results = place.run(test)
            right = _right(results, planted=bug is not None)
            wrong += not right
            print(f"| {bug.name if bug else 'none'} | {test} | {_words(results)} |", flush=True)
        return wrong


def _right(results: Sequence[Result], *, planted: bool) -> bool:
    """A bug is caught when one of the cases fails by an assertion; without one all have to pass."""
    ends = {result.ended for result in results}
    return "caught" in ends if planted else ends == {"passed"}


def _words(results: Sequence[Result]) -> str:
    caught = [one for one in results if one.ended == "caught"]
    shown = caught or [one for one in results if one.ended != "passed"] or list(results)
    return f"{shown[0].ended} {len(shown)} of {len(results)}: {shown[0].told}".rstrip(": ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
