"""Whatever goes wrong becomes a sentence and an exit code."""

from collections.abc import Callable

import click
import pytest

from jobs.cli import group, trouble
from jobs.errors import ImagemillError, LedgerAway, ManifestError, UsageError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Runs a command that raises the given error; returns the exit code."""

    def run(error: BaseException) -> int:
        @click.command()
        def command() -> None:
            raise error

        monkeypatch.setattr(group, "imagemill", command)
        return trouble.run([])

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ImagemillError("it broke"), 1),
        (UsageError("it broke"), 2),
        (ManifestError("it broke"), 2),
        (RuntimeError("it broke"), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.UsageError("it broke"), 2),
    ],
)
def test_an_error_has_its_exit_code_and_no_traceback(
    error: BaseException,
    code: int,
    failing: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("IMAGEMILL_DEBUG", raising=False)
    assert failing(error) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert ("it broke" in err) or code == 130


def test_a_surprise_is_raised_for_who_asks(
    failing: Callable[[BaseException], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEMILL_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError("oops"))


def test_a_surprise_says_how_to_see_more(
    failing: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("IMAGEMILL_DEBUG", raising=False)
    failing(ZeroDivisionError("oops"))
    assert "ZeroDivisionError: oops" in (told := capsys.readouterr().err)
    assert "IMAGEMILL_DEBUG=1" in told


def test_a_database_that_is_away_is_looked_at_with_the_doctor(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(LedgerAway("the database does not answer: refused")) == 1
    assert "imagemill doctor" in capsys.readouterr().err


def test_c20_hostile_characters_of_what_was_typed_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["\x1b[31m"], ["status", "--\x1b[31m"], ["report", "--by", "\x1b\u202e"], ["check", "\x1b.csv"]):
        assert trouble.run(words) == 2
        told = capsys.readouterr().err
        assert "\\x1b" in told
        assert "\x1b" not in told and "\u202e" not in told


def test_c20_hostile_characters_of_a_message_are_escaped(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(ImagemillError("bad \x1b[31m name \u202e"))
    assert capsys.readouterr().err == "error: bad \\x1b[31m name \\u202e\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["statsu"], "did you mean `imagemill status`?"),
        (["frobnicate"], "known are: check, submit"),
        (["status", "--jsn"], "--json"),
        (["report", "--by", "modle"], "did you mean model?"),
        (["report", "--from", "yesterday"], "'yesterday' is not a day such as 2026-11-22"),
        (["resume", "--budget", "much"], "'much' is not an amount in dollars"),
        (["status", "--api-key", "sk-1"], "IMAGEMILL_API_KEY"),
        (["status", "--database-url", "postgresql://u:secret@h/d"], "IMAGEMILL_DATABASE_URL"),
        (["submit", "nowhere.csv"], "nowhere.csv"),
        (["retry"], "Missing argument 'BATCH'"),
    ],
)
def test_a_wrong_call_names_what_is_right(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert trouble.run(words) == 2
    err = capsys.readouterr().err
    assert told in err
    assert "secret" not in err
