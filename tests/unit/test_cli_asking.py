"""Questions: asked of a person only, and only where it matters."""

import sys

import click
import pytest

from jobs.cli.asking import confirm
from jobs.errors import UsageError


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)


@pytest.mark.parametrize(("jobs", "worst_nano"), [(100, 0), (1, 10**9)])
def test_small_things_are_not_asked(jobs: int, worst_nano: int) -> None:
    confirm("retry", jobs=jobs, worst_nano=worst_nano, yes=False)


@pytest.mark.parametrize(("jobs", "worst_nano"), [(101, 0), (1, 10**9 + 1)])
def test_large_things_are_refused_where_nobody_answers(jobs: int, worst_nano: int) -> None:
    with pytest.raises(UsageError, match="--yes"):
        confirm("retry", jobs=jobs, worst_nano=worst_nano, yes=False)
    confirm("retry", jobs=jobs, worst_nano=worst_nano, yes=True)


@pytest.mark.parametrize("answer", [True, False])
@pytest.mark.usefixtures("terminal")
def test_a_person_is_asked_and_may_say_no(answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(click, "confirm", lambda text, **_: asked.append(text) or answer)
    if answer:
        confirm("retry 500 jobs", jobs=500, worst_nano=0, yes=False)
    else:
        with pytest.raises(click.exceptions.Exit) as left:
            confirm("retry 500 jobs", jobs=500, worst_nano=0, yes=False)
        assert left.value.exit_code == 0
    assert asked == ["retry 500 jobs. Go on?"]
