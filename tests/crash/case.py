"""One case of the sweep: a batch, a process that is stopped at a boundary, its successor, and the verdict.

    prelude    for the sweep and for late answers: a process that died before, whose attempts are the subject
    victim     runs into the stop; one that survives it goes on until everything has ended
    successor  started as a person would: the same command again; ends when nothing is left to do

The verdict is a list of sentences, one for each thing that is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.crash.boundaries import BOUNDARIES, CUTS, Cut, Fates
from tests.crash.forked import Child, Stop
from tests.crash.pairs import Lab, Pair
from tests.crash.play import Play
from tests.crash.stops import Way
from tests.crash.verdict import judge
from tests.faults.powercut import Kept

SUBMISSION, ADMISSION, SWEEP, LATE_ANSWER = 2, 5, 15, 16
"""Boundaries before which a case takes another way."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A place out of PLACES, a way and a pair, and how it must end. `kept`: the kill is a power cut."""

    k: int
    place: str
    way: Way
    pair: Pair
    fates: Fates
    kept: Kept | None = None

    @property
    def name(self) -> str:
        how = f"cut-{self.place}-kept-{self.kept.value}" if self.kept else f"k{self.k}-{self.way.value}"
        return f"{how}-{self.pair.name}"


def sweep_of(pair: Pair) -> list[Case]:
    """All boundaries in all ways."""
    broker = pair.broker is not None
    return [
        Case(one.k, one.place_name(broker=broker), way, pair, one.fates_of(way))
        for one in BOUNDARIES
        for way in one.ways
    ]


def cuts_of(pair: Pair, cuts: Sequence[Cut] = CUTS) -> list[Case]:
    """Power cuts."""
    return [Case(cut.k, cut.place, cut.way, pair, cut.fates, cut.kept) for cut in cuts]


def run_case(lab: Lab, case: Case) -> list[str]:
    """Everything that is wrong after the case; empty: the promise held."""
    k = case.k
    with lab.site(case.pair) as site:
        play = Play(site)
        try:
            stop = play.stop(case.place, case.way, case.kept)
            if k == SWEEP:
                play.lose_a_machine()
            elif k == LATE_ANSWER:
                play.leave_swept_answers()
            victim = _victim(play, k, stop)
            play.see_out(victim, stop, sweeps=k == SWEEP)
            play.recover(sweeps=k == SWEEP, submit=k <= SUBMISSION)
            return [*play.complaints, *judge(site, case.fates)]
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
