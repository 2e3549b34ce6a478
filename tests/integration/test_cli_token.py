"""`imagemill token`: made once, listed, revoked, and all of it on record."""

import re
from pathlib import Path

import pytest

from jobs.ledger.engine import Ledger
from tests.integration.commands import Commands


@pytest.fixture
def mill(
    sqlite_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    monkeypatch.setenv("IMAGEMILL_OPERATOR", "ana")
    return Commands(tmp_path, monkeypatch, capsys)


def test_a_token_is_shown_once_and_listed_without_its_secret(mill: Commands) -> None:
    made = mill("token", "create", "shop", "--scope", "submit", "--scope", "finance", "--expires", "90d")
    assert made.code == 0
    assert re.fullmatch(r"imill_[0-9A-Z]{12}_[A-Za-z0-9_-]{43}\n", made.out)
    (listed,) = mill("token", "list", "--json").json()["tokens"]
    assert (listed["name"], listed["scopes"], listed["revoked_at"]) == ("shop", ["finance", "submit"], None)
    assert listed["expires_at"] > listed["created_at"]
    assert made.out.strip().split("_", 2)[2] not in mill("token", "list").out


def test_a_token_as_json_has_what_the_list_has_and_the_token(mill: Commands) -> None:
    made = mill("token", "create", "shop", "--scope", "read", "--json").json()
    text = made.pop("token")
    assert text.startswith("imill_")
    assert mill("token", "list", "--json").json()["tokens"] == [made]


def test_a_revoked_token_stays_in_the_list_and_cannot_be_revoked_again(mill: Commands) -> None:
    mill("token", "create", "shop", "--scope", "read")
    assert mill("token", "revoke", "shop").out == "shop is revoked\n"
    (listed,) = mill("token", "list", "--json").json()["tokens"]
    assert listed["revoked_at"]
    again = mill("token", "revoke", "shop")
    assert (again.code, again.err) == (
        2,
        "error: there is no live token 'shop'; `imagemill token list` shows all\n",
    )


def test_a_name_is_given_once_for_ever(mill: Commands) -> None:
    mill("token", "create", "shop", "--scope", "read")
    mill("token", "revoke", "shop")
    done = mill("token", "create", "shop", "--scope", "read")
    assert done.code == 2
    assert "take another" in done.err


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\x1b[2Jb", "a\u202eb", "a\nb"])
def test_a_name_that_could_not_be_read_in_the_record_is_refused(mill: Commands, name: str) -> None:
    done = mill("token", "create", name, "--scope", "read")
    assert done.code == 2
    assert mill("token", "list", "--json").json() == {"tokens": []}


@pytest.mark.parametrize("lifetime", ["0d", "1", "d", "-1d", "1m", "999999d", "1.5h"])
def test_a_lifetime_that_is_none_is_refused(mill: Commands, lifetime: str) -> None:
    done = mill("token", "create", "shop", "--scope", "read", "--expires", lifetime)
    assert done.code == 2
    assert "is no lifetime such as" in done.err


@pytest.mark.parametrize("words", [["shop"], ["shop", "--scope", "root"]])
def test_a_token_is_for_something_that_there_is(mill: Commands, words: list[str]) -> None:
    assert mill("token", "create", *words).code == 2


def test_who_made_and_who_ended_a_token_is_on_record(mill: Commands) -> None:
    mill("token", "create", "shop", "--scope", "read")
    mill("token", "revoke", "shop")
    acts = [(act["who"], act["verb"], act["what"]["name"]) for act in mill("acts", "--jsonl").rows()]
    assert acts == [("ana", "token revoke", "shop"), ("ana", "token create", "shop")]


def test_without_tokens_the_list_says_how_to_make_one(mill: Commands) -> None:
    assert "imagemill token create" in mill("token", "list").out
