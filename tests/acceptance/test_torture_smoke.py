"""The random kill run, a few seconds of it: `sh scripts/torture` goes on for hours."""

from pathlib import Path

from tests.torture.command import Plan, torture


def test_random_kills_lose_nothing_and_pay_for_nothing_twice(tmp_path: Path) -> None:
    found = torture(Plan("sqlite", seed=3, minutes=0.2, jobs=100, blows_per_s=0.7), tmp_path)
    assert found.violations == []
    assert found.kills >= 3
    assert found.samples >= 3
    assert found.verdict["jobs"] >= 100
    assert found.difference == 0
