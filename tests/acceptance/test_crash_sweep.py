"""The crash-point sweep: stopped at each of sixteen boundaries in every way, nothing is lost or paid twice.

On the embedded default and on the grown-up pair; the others run with `sh scripts/torture --full`.
"""

import pytest

from tests.crash.case import Case, cuts_of, sweep_of
from tests.crash.fixtures import crash_lab, sweep
from tests.crash.pairs import EMBEDDED, GROWN_UP
from tests.crash.sweep import Sweep

__all__ = ["crash_lab", "sweep"]

PAIRS = (EMBEDDED, GROWN_UP)
CASES = [case for pair in PAIRS for case in sweep_of(pair)]
CUTS = [case for pair in PAIRS for case in cuts_of(pair)]


def of(*boundaries: int) -> pytest.MarkDecorator:
    """The power cuts at these boundaries."""
    cuts = [case for case in CUTS if case.k in boundaries]
    return pytest.mark.parametrize("case", cuts, ids=lambda case: case.name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whatever_stops_it_there_everything_ends_as_it_must(sweep: Sweep, case: Case) -> None:
    assert sweep.complaints(case) == []


@of(9, 10)
def test_power_cut_before_an_answer_is_owned_leaves_a_doubt(sweep: Sweep, case: Case) -> None:
    assert sweep.complaints(case) == []


@of(11)
def test_power_cut_at_k11_keeps_what_the_spool_owns(sweep: Sweep, case: Case) -> None:
    assert sweep.complaints(case) == []


@of(12)
def test_power_cut_at_k12_keeps_what_was_published(sweep: Sweep, case: Case) -> None:
    assert sweep.complaints(case) == []


@of(13, 14)
def test_power_cut_after_the_settlement_changes_nothing(sweep: Sweep, case: Case) -> None:
    assert sweep.complaints(case) == []
