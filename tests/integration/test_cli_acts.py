"""acts: whoever decides something is written down with it, in the same transaction; nothing else is."""

from pathlib import Path

import pytest
from sqlalchemy import Connection

from jobs.ledger import control
from jobs.ledger.acts import Act, list_acts, record, recorded
from jobs.ledger.engine import Ledger
from jobs.ledger.limits import pause_endpoint
from tests.integration.commands import Commands, fill
from tests.integration.ledgers import ENDPOINT, batch_row


@pytest.fixture
def mill(
    sqlite_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    monkeypatch.setenv("IMAGEMILL_OPERATOR", "ana@shift-2")
    return Commands(tmp_path, monkeypatch, capsys)


def test_every_decision_is_shown_with_who_made_it_and_what_it_did(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch = fill(sqlite_ledger)
    sqlite_ledger.write(pause_endpoint, ENDPOINT, None, "billing", "no money left")
    mill("retry", batch, "--failed", "--held")
    mill("pause", batch, "--reason", "lunch")
    mill("resume", batch, "--budget", "2")
    mill("cancel", batch)
    acts = mill("acts", batch, "--jsonl").rows()
    assert [(act["verb"], act["what"]) for act in acts] == [
        ("cancel", {"moved": 4}),
        ("resume", {}),
        ("resume", {"budget_nanodollars": 2_000_000_000}),
        ("pause", {"reason": "lunch"}),
        ("retry", {"states": ["failed", "held"], "worst_case_nanodollars": 3_000, "moved": 3}),
    ]
    assert {(act["who"], act["batch"], act["evidence"]) for act in acts} == {("ana@shift-2", batch, None)}
    everywhere = mill("acts", "--jsonl").rows()
    assert [act["what"] for act in everywhere if act["batch"] is None] == [{"of": "endpoint", "moved": 1}]
    assert [act["at"] for act in everywhere] == sorted((act["at"] for act in everywhere), reverse=True)


def test_a_submission_is_an_act_and_its_repetition_is_none(mill: Commands, tmp_path: Path) -> None:
    foxes = tmp_path / "foxes.jsonl"
    foxes.write_text('{"prompt": "a fox", "model": "gpt-image-1", "quality": "low", "size": "1024x1024"}\n')
    batch = mill("submit", foxes.name, "--budget", "2").out.strip()
    mill("submit", foxes.name)
    (act,) = mill("acts", "--jsonl").rows()
    assert (act["verb"], act["who"], act["batch"]) == ("submit", "ana@shift-2", batch)
    assert act["what"] == {"name": "foxes", "budget_nanodollars": 2_000_000_000, "jobs": 1}


def test_what_moved_nothing_is_no_act(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch = fill(sqlite_ledger)
    for words in (("resume", batch), ("retry", batch, "--failed", "--dry-run"), ("cancel", batch, "--dry-run")):
        assert mill(*words).code == 0
    assert mill("acts", "--jsonl").rows() == []


def test_an_act_is_undone_with_its_move(ledger: Ledger) -> None:
    batch = fill(ledger)

    def fail_late(tx: Connection) -> None:
        recorded(tx, Act("ana", "pause", batch), control.pause, batch, "lunch")
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        ledger.write(fail_late)
    assert batch_row(ledger, batch).state == "open"
    with ledger.read() as tx:
        assert list(list_acts(tx)) == []


def test_acts_are_listed_for_people_with_money_in_dollars(mill: Commands, sqlite_ledger: Ledger) -> None:
    what = {"billed_nanodollars": 40_000_000, "attempts": [f"a_{number}" for number in range(9)]}
    sqlite_ledger.write(record, Act("ana", "resolve", "b_1", what, "invoice\x1b[2J"))
    line = mill("acts").out.splitlines()[1]
    assert "attempts a_0 a_1 a_2 and 6 more, billed $0.04" in line
    assert "\x1b" not in line


def test_who_acts_is_user_and_host_where_nobody_says_more(
    mill: Commands, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMAGEMILL_OPERATOR")
    monkeypatch.setenv("LOGNAME", "ben")
    monkeypatch.setattr("socket.gethostname", lambda: "mill-3")
    mill("pause", fill(sqlite_ledger))
    assert mill("acts", "--jsonl").json()["who"] == "ben@mill-3"
