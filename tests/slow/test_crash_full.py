"""The rest of the crash sweep: `sh scripts/torture --full`.

The other pairs of ledger and broker at every boundary and through every power cut; and on all pairs, processes
that are killed with answers in the spool, and their successors once more in the replay.
"""

import pytest

from tests.crash.case import Case, cuts_of, double_kills_of, sweep_of
from tests.crash.fixtures import crash_lab, rabbitmq_server, sweep
from tests.crash.pairs import EMBEDDED, GROWN_UP, Pair
from tests.crash.sweep import Sweep

__all__ = ["crash_lab", "rabbitmq_server", "sweep"]

OTHERS = (
    Pair("sqlite", "redis"),
    Pair("postgresql", None),
    Pair("sqlite", "rabbitmq"),
    Pair("postgresql", "rabbitmq"),
)
CASES = [case for pair in OTHERS for case in sweep_of(pair)]
CUTS = [case for pair in OTHERS for case in cuts_of(pair)]
TWICE = [case for pair in (EMBEDDED, GROWN_UP, *OTHERS) for case in double_kills_of(pair)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whatever_stops_it_there_everything_ends_as_it_must(sweep: Sweep, case: Case) -> None:
    assert sweep.complaints(case) == []


@pytest.mark.parametrize("case", CUTS, ids=lambda case: case.name)
def test_a_power_cut_takes_nothing_that_was_owned(sweep: Sweep, case: Case) -> None:
    assert sweep.complaints(case) == []


@pytest.mark.parametrize("case", TWICE, ids=lambda case: case.name)
def test_killed_again_in_the_replay_it_is_replayed_once_more(sweep: Sweep, case: Case) -> None:
    assert sweep.complaints(case) == []
