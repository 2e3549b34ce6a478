"""One case of the sweep: a batch, a process that is stopped at a boundary, its successor, and the verdict.

    prelude    for the sweep and for late answers: a process that died before, whose attempts are the subject
    victim     runs into the stop; one that survives it goes on until everything has ended
    successor  started as a person would: the same command again; ends when nothing is left to do

The verdict is a list of sentences, one for each thing that is wrong.
"""

from dataclasses import dataclass

from tests.crash.boundaries import Boundary
from tests.crash.forked import Child, Stop
from tests.crash.pairs import Lab, Pair
from tests.crash.play import Play
from tests.crash.stops import Way
from tests.crash.verdict import judge

SUBMISSION, ADMISSION, SWEEP, LATE_ANSWER = 2, 5, 15, 16
"""Boundaries before which a case takes another way."""


@dataclass(frozen=True, slots=True)
class Case:
    """A boundary, a way, a pair."""

    boundary: Boundary
    way: Way
    pair: Pair

    @property
    def name(self) -> str:
        return f"k{self.boundary.k}-{self.way.value}-{self.pair.name}"


def run_case(lab: Lab, case: Case) -> list[str]:
    """Everything that is wrong after the case; empty: the promise held."""
    k = case.boundary.k
    with lab.site(case.pair) as site:
        play = Play(site)
        try:
            stop = play.stop(case.boundary.place_name(broker=play.broker), case.way)
            if k == SWEEP:
                play.lose_a_machine()
            elif k == LATE_ANSWER:
                play.leave_swept_answers()
            victim = _victim(play, k, stop)
            play.see_out(victim, stop, sweeps=k == SWEEP)
            play.recover(sweeps=k == SWEEP, submit=k <= SUBMISSION)
            return [*play.complaints, *judge(site, case.boundary.fates_of(case.way))]
        finally:
            play.end()


def _victim(play: Play, k: int, stop: Stop) -> Child:
    if not play.broker:
        return play.start("submit" if k == SUBMISSION else "run", stop)
    if k <= SUBMISSION:
        return play.start("submit", stop)
    if k == 3:  # the ticket is to find a worker that looks for nothing itself
        worker = play.start_worker(stop, POLL_S=3.0)
        play.submit()
        return worker
    if k < SWEEP:
        play.submit()
    return play.start("work", stop)
