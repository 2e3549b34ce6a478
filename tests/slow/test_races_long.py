"""The races of tests/integration/test_races.py at length: 100,000 admissions, 1,000 rounds at the cap."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.ledger.engine import Ledger
from jobs.ledger.migrate import upgrade
from tests.integration.ledgers import assert_totals_agree
from tests.races.claiming import race_for_claims
from tests.races.spending import race_for_budgets

ADMISSIONS = 100_000
ROUNDS = 1_000


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    url = (
        f"sqlite:///{tmp_path / 'ledger.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    opened = Ledger(url)
    upgrade(opened)
    yield opened
    assert_totals_agree(opened)
    opened.close()


def test_s24_a_hundred_thousand_admissions_between_50_claimers_and_no_double(
    ledger: Ledger, tmp_path: Path
) -> None:
    told = race_for_claims(ledger, tmp_path, jobs=ADMISSIONS, most=20)
    admitted = sum(len(one.admitted) for one in told)
    assert admitted > ADMISSIONS
    swept = sum(one.swept for one in told)
    print(f"\nS24 {ledger.engine.dialect.name}: {admitted} admissions, {swept} swept, 0 doubles")


def test_s26_a_thousand_rounds_of_64_claimers_and_no_cap_passed(ledger: Ledger) -> None:
    summary = race_for_budgets(ledger, ROUNDS)
    assert summary.doubts > ROUNDS
    print(f"\nS26 {ledger.engine.dialect.name}: {summary}")
