"""The command line. `main` is what the `imagemill` script calls; each command is a module, loaded when it is used.

Faces only: a command reads its input, calls one function, shows the result. Nothing here is imported by the rest.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command line and leave with its exit code."""
    from jobs.cli.trouble import run

    sys.exit(run(arguments))
