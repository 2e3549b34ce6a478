"""`python -m tests.fuzz manifest|decoder [--seconds 60] [--seed N] [--corpus FOLDER]`: Atheris over one target.

Ends with the number of executions; exit 0 without a finding. A finding is printed with its traceback and left in
the corpus as `crash-...`; its bytes belong into the tests.
"""

import argparse
import importlib
import random
import sys
import tempfile
from pathlib import Path

import atheris

INSTRUMENTED = {
    "manifest": ["jobs.manifest", "jobs.money", "jobs.catalogue", "jobs.report"],
    "decoder": [
        "worker.answer",
        "worker.sse",
        "worker.scan",
        "worker.scrub",
        "worker.verdict",
        "worker.inflate",
        "worker.parts",
        "worker.images",
    ],
}
MEMORY_MB = 512
"""Python, the instrumented code and its coverage tables take some 150."""
SLOW_S = 10


def main() -> None:
    given = arguments()
    with atheris.instrument_imports(include=INSTRUMENTED[given.target]):
        target = importlib.import_module(f"tests.fuzz.{given.target}")
    corpus = given.corpus or Path(tempfile.mkdtemp(prefix="imagemill-fuzz-"))
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.SEEDS):
        (corpus / f"seed-{number}").write_bytes(seed)
    print(f"fuzz {given.target}: {given.seconds} s, seed {given.seed}, corpus {corpus}", flush=True)
    options = {
        "max_total_time": given.seconds,
        "seed": given.seed,
        "rss_limit_mb": MEMORY_MB,
        "timeout": SLOW_S,
        "max_len": 8192,
        "print_final_stats": 1,
        "artifact_prefix": f"{corpus}/",
    }
    atheris.Setup(
        [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(corpus)], target.target
    )
    atheris.Fuzz()  # ends the process


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(INSTRUMENTED))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1, 2**31))
    parser.add_argument("--corpus", type=Path, help="keeps what was found interesting, for the next run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
