"""One case of the sweep: a batch, a process that is stopped at a boundary, its successor, and the verdict.

    victim     runs into the stop; one that survives it goes on until everything has ended. At the sweep and at late
               answers the subject are the attempts of another process that died before
    successor  started as a person would: the same command again; ends when nothing is left to do

The verdict is a list of sentences, one for each thing that is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.crash.boundaries import BOUNDARIES, CUTS, FIRST_KILLS, SECOND_KILLS, Cut, Fates
from tests.crash.forked import Child, Stop
from tests.crash.pairs import Lab, Pair
from tests.crash.play import Play
from tests.crash.stops import Way
from tests.crash.verdict import judge
from tests.faults.powercut import Kept

SUBMISSION, TICKET, SWEEP, LATE_ANSWER = 2, 3, 15, 16
"""Boundaries to which a case takes another way than most."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A place out of PLACES, a way and a pair, and how it must end. `kept`: the kill is a power cut."""

    k: int
    place: str
    way: Way
    pair: Pair
    fates: Fates
    kept: Kept | None = None
    again: tuple[str, Way] | None = None
    """Where and how its successor is killed as well."""

    @property
    def name(self) -> str:
        how = f"cut-{self.place}-kept-{self.kept.value}" if self.kept else f"k{self.k}-{self.way.value}"
        then = f"-then-{self.again[0]}-{self.again[1].value}" if self.again else ""
        return f"{how}{then}-{self.pair.name}"


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


def double_kills_of(pair: Pair) -> list[Case]:
    """Killed with answers in the spool, and once more in the replay of it."""
    return [
        Case(k, first, way, pair, fates, again=second)
        for (k, first, way, fates) in FIRST_KILLS
        for second in SECOND_KILLS
    ]


def run_case(lab: Lab, case: Case) -> list[str]:
    """Everything that is wrong after the case; empty: the promise held."""
    sweeps = case.k == SWEEP
    with lab.site(case.pair) as site, Play(site) as play:
        stop = play.stop(case.place, case.way, case.kept)
        victim = _victim(play, case.k, stop)
        play.see_out(victim, stop, sweeps=sweeps)
        if case.again:
            second = play.stop(*case.again)
            play.see_out(play.go_on(second), second)
        play.recover(sweeps=sweeps, submit=case.k <= SUBMISSION)
        return [*play.complaints, *judge(site, case.fates)]


def _victim(play: Play, k: int, stop: Stop) -> Child:
    """The process under test, on its way to the boundary."""
    if k == SWEEP:
        play.lose_a_machine()
        return play.go_on(stop)
    if k == LATE_ANSWER:
        play.leave_swept_answers()
        return play.go_on(stop)
    if k == 1 and not play.broker:
        return play.start("run", stop)
    if k <= SUBMISSION:
        return play.start("submit", stop)
    if k == TICKET and play.broker:  # it is to find a worker that looks for nothing itself
        worker = play.start_worker(stop, POLL_S=3.0)
        play.submit()
        return worker
    return play.work_off(stop)
