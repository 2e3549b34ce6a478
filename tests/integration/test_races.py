"""Races for the ledger between processes: nothing claimed twice, no budget passed. Long ones: tests/slow."""

from pathlib import Path

from jobs.ledger.engine import Ledger
from tests.races.claiming import race_for_claims
from tests.races.spending import CAP, CEILINGS, race_for_budgets


def test_s24_50_claimers_two_sweeps_and_two_replays_leave_one_result_for_each_job(
    ledger: Ledger, tmp_path: Path
) -> None:
    told = race_for_claims(ledger, tmp_path, jobs=800)
    assert sum(len(one.admitted) for one in told) > 800, "no claimer died"
    assert sum(1 for one in told if one.admitted) > 20, "few of the claimers got anything"


def test_s26_64_claimers_never_pass_a_cap_of_ten_calls_and_are_told_that_it_is_the_budget(ledger: Ledger) -> None:
    summary = race_for_budgets(ledger, rounds=12)
    assert summary.doubts > 12
    assert summary.fullest > CAP - min(CEILINGS), "nobody came near the cap"
