"""The races of tests/integration/test_races.py at length: 100,000 admissions, 1,000 rounds at the cap."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.ledger.engine import Ledger
from jobs.ledger.migrate import upgrade
from tests.integration.ledgers import assert_totals_agree
from tests.races.claiming import race_for_claims
from tests.races.spending import race_for_budgets

ADMISSIONS = 100_000
LEDGERS, ROUNDS_EACH = 10, 100
"""Its rounds come to 7 billion dollars; a hundred more, and no 64 bits would hold the day's nano-dollars."""


@pytest.fixture(params=["sqlite", "postgresql"])
def new_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Ledger]]:
    """Opens one more; in the end the totals of all of them must be right."""
    opened: list[Ledger] = []
    new_database = request.getfixturevalue("postgres_database") if request.param == "postgresql" else None

    def make() -> Ledger:
        url = new_database() if new_database else f"sqlite:///{tmp_path / f'ledger-{len(opened)}.db'}"
        opened.append(Ledger(url))
        upgrade(opened[-1])
        return opened[-1]

    yield make
    for ledger in opened:
        assert_totals_agree(ledger)
        ledger.close()


def test_s24_a_hundred_thousand_admissions_between_50_claimers_and_no_double(
    new_ledger: Callable[[], Ledger], tmp_path: Path
) -> None:
    ledger = new_ledger()
    told = race_for_claims(ledger, tmp_path, jobs=ADMISSIONS, most=20)
    admitted = sum(len(one.admitted) for one in told)
    assert admitted > ADMISSIONS
    swept = sum(one.swept for one in told)
    print(f"\nS24 {ledger.engine.dialect.name}: {admitted} admissions, {swept} swept, 0 doubles")


def test_s26_a_thousand_rounds_of_64_claimers_and_no_cap_passed(new_ledger: Callable[[], Ledger]) -> None:
    for _ in range(LEDGERS):
        ledger = new_ledger()
        summary = race_for_budgets(ledger, ROUNDS_EACH)
        assert summary.doubts > ROUNDS_EACH
        print(f"\nS26 {ledger.engine.dialect.name}: {summary}")
