"""Runs the cases of a sweep ahead of the tests that ask for them, some side by side, each once."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from tests.crash.case import Case, run_case
from tests.crash.pairs import SIDE_BY_SIDE, Lab


class Sweep:
    """A context manager. `cases` are those that this test run will ask for, in that order."""

    def __init__(self, lab: Lab, cases: Sequence[Case]) -> None:
        self._lab = lab
        self._cases = cases
        for pair in {case.pair for case in cases}:
            lab.prepare(pair)
        self._started: dict[Case, Future[list[str]]] = {}
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE, "case")

    def complaints(self, case: Case) -> list[str]:
        """What is wrong after the case. Those of its family are started with it: their tests come next."""
        for one in self._cases:
            if one == case or _family(one) == _family(case):
                self._start(one)
        return self._started[case].result()

    def summary(self) -> str:
        """How many cases have run, and how many found something wrong."""
        ended = [one for one in self._started.values() if one.done() and not one.cancelled()]
        wrong = sum(bool(one.exception() or one.result()) for one in ended)
        return f"crash points: {len(ended)} cases, {wrong} with violations"

    def _start(self, case: Case) -> None:
        if case not in self._started:
            self._started[case] = self._pool.submit(run_case, self._lab, case)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


def _family(case: Case) -> tuple[object, ...]:
    return case.pair, case.kept is not None, case.again is not None, None if case.kept else case.k
