"""The provider's books: doubts end at what was billed, to the nano-dollar, and a rule that is wrong is named."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from jobs.cli import reconciling
from jobs.ledger import schema
from jobs.ledger.engine import Ledger
from jobs.submit import Policy
from tests.books import Books
from tests.checker import check
from tests.integration.commands import Commands, Done, fill
from tests.integration.ledgers import (
    admit_one,
    attempt_row,
    book,
    change,
    job_row,
    money,
    open_batch,
    states,
    succeeded,
    unknown,
)
from tests.integration.mills import QUICK, Mill, billed
from worker.simulator import start_in_thread

AN_HOUR_MS = 3_600_000
WHY = ("--evidence", "usage export")
ONCE = Policy(max_attempts=1)


@pytest.fixture
def mill(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Mill]:
    with start_in_thread(QUICK) as simulator:
        yield Mill(sqlite_ledger, simulator, tmp_path)


@pytest.fixture
def commands(
    sqlite_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(tmp_path, monkeypatch, capsys)


def let_deadlines_pass(ledger: Ledger) -> None:
    """No process could send anything any more."""
    table = schema.attempts
    change(ledger, table, table.c.outcome == "unknown", deadline_at=table.c.deadline_at - AN_HOUR_MS)


def journal(mill: Mill) -> Path:
    """The simulator's books as it writes them."""
    path = mill.folder / "journal.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in mill.simulator.lines()))
    return path


def books(folder: Path, *lines: dict[str, object]) -> Path:
    path = folder / "books.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def resolve(commands: Commands, path: Path, *words: str) -> Done:
    return commands("resolve", "--books", str(path), *WHY, "--yes", *words)


def checked(mill: Mill) -> list[str]:
    snapshot = Books(str(mill.ledger.engine.url)).snapshot()
    return check(snapshot, mill.simulator.lines(), mill.folder / "data" / "images")


def test_s15_a_burst_of_unbilled_errors_costs_nothing_and_the_books_agree(mill: Mill, commands: Commands) -> None:
    batch = mill.submit(*[f"a fox, number {number} [[sim: 500 x1]]" for number in range(8)])
    stands = mill.run(batch)
    assert (stands.jobs["succeeded"], stands.attempts["errored"], stands.possible_nano) == (8, 8, 0)
    done = resolve(commands, journal(mill), "--json")
    assert (done.code, done.json()["agrees"], done.json()["differs"]) == (0, 16, 0)
    assert stands.confirmed_nano == billed(mill.simulator.calls())


def test_s15_errors_that_may_bill_are_possible_and_exact_after_the_books(mill: Mill, commands: Commands) -> None:
    batch = mill.submit(*IN_DOUBT, "a fox", policy=ONCE)
    mill.run(batch, billed_errors="on", read_timeout_s=0.5)
    bill, (confirmed, possible, _) = billed(mill.simulator.calls()), money(mill.ledger, batch)
    assert states(mill.ledger, batch) == {"succeeded": 1, "held": len(IN_DOUBT)}
    assert confirmed < bill <= confirmed + possible
    early = resolve(commands, journal(mill), "--json").json()
    assert (early["billed"], early["not_billed"], early["too_early"]) == (5, 0, 3)
    let_deadlines_pass(mill.ledger)
    done = resolve(commands, journal(mill), "--json")
    assert (done.code, done.json()["resolved"], done.json()["differs"]) == (0, 3, 0)
    assert money(mill.ledger, batch) == (bill, 0, 0)
    assert states(mill.ledger, batch) == {"succeeded": 1, "failed": len(IN_DOUBT)}
    assert checked(mill) == []


IN_DOUBT = (
    *["a kite [[sim: 500 billed]]"] * 3,
    *["a boat [[sim: 500]]"] * 2,
    "a lamp [[sim: html-502 billed]]",
    "a cup [[sim: timeout]]",
    "a pan [[sim: reset unbilled]]",
)


def test_s15_a_profile_that_is_wrong_about_the_endpoint_is_exposed_with_attempts_and_rule(
    mill: Mill, commands: Commands
) -> None:
    """The endpoint bills what the default profile calls unbilled: 500s, and a request that it rejects."""
    batch = mill.submit("a kite [[sim: 500 billed]]", "a jug [[sim: 400 billed]]", "a fox", policy=ONCE)
    mill.run(batch)
    bill, before = billed(mill.simulator.calls()), money(mill.ledger, batch)
    wrong = {call["attempt_id"]: call for call in mill.simulator.calls() if call["http_status"] != 200}
    assert before == (bill - sum(call["amount_nanodollars"] for call in wrong.values()), 0, 0)
    done = resolve(commands, journal(mill), "--json")
    *named, summary = done.rows()
    assert (done.code, summary["differences_left"]) == (1, 2)
    told = {one["attempt"]: (one["charged_nanodollars"], one["billed_nanodollars"]) for one in named}
    assert told == {attempt: (None, call["amount_nanodollars"]) for attempt, call in wrong.items()}
    assert {one["decided_by"] for one in named} == {
        "errored: HTTP 500 server_error counts as unbilled (IMAGEMILL_BILLED_ERRORS)",
        "rejected: HTTP 400 invalid_value counts as unbilled (IMAGEMILL_BILLED_ERRORS)",
    }
    assert money(mill.ledger, batch) == before
    corrected = resolve(commands, journal(mill), "--correct", "--json")
    assert (corrected.code, corrected.json()["corrected"]) == (0, 2)
    assert money(mill.ledger, batch) == (bill, 0, 0)
    assert resolve(commands, journal(mill), "--json").json()["agrees"] == 3
    assert checked(mill) == []


def test_a_difference_is_told_to_a_person_in_one_line(commands: Commands, sqlite_ledger: Ledger) -> None:
    fill(sqlite_ledger)
    done = commands("resolve", "--books", str(books(commands.home)), *WHY, "--dry-run")
    assert done.code == 1
    assert len(done.out.splitlines()) == 4
    assert "charged $0.0000006, not listed; succeeded: by usage at the prices of test" in done.out
    assert "3 charges that --correct would correct" in done.err


def test_charges_are_corrected_both_ways_and_more_than_once(commands: Commands, sqlite_ledger: Ledger) -> None:
    batch = fill(sqlite_ledger)
    settled = attempts_of(sqlite_ledger, "succeeded")
    for amounts in ((900, 0), (0, 250), (600, 600)):
        lines = [
            {"attempt_id": one, "amount_nanodollars": amount} for one, amount in zip(settled, amounts, strict=True)
        ]
        done = resolve(commands, books(commands.home, *lines), "--batch", batch, "--correct", "--json")
        assert done.json()["differences_left"] == 0
        assert money(sqlite_ledger, batch)[0] == sum(amounts)
    for by in ("day", "model", "batch", "outcome", "meter", "tag:season"):
        groups = commands("report", batch, "--by", by, "--json").json()["groups"]
        assert (by, sum(one["charged_nanodollars"] for one in groups)) == (by, money(sqlite_ledger, batch)[0])
    with sqlite_ledger.read() as tx:
        table = schema.charges
        posted = tx.execute(select(table.c.amount_nano, table.c.correction).where(table.c.attempt_id == settled[0]))
        assert [tuple(row) for row in posted] == [(600, 0), (300, 1), (-900, 2), (600, 3)]
    assert job_row(sqlite_ledger, batch).state == "succeeded"


def test_an_unpriced_charge_gets_its_price_from_the_books(commands: Commands, sqlite_ledger: Ledger) -> None:
    batch = open_batch(sqlite_ledger)
    one = admit_one(sqlite_ledger, batch).attempt_id
    book(sqlite_ledger, succeeded(one, nano=None))
    path = books(commands.home, {"attempt_id": one, "amount_usd": "0.0000004"})
    assert "charged unpriced, billed $0.0000004; succeeded: no price in test" in resolve(commands, path).out
    assert resolve(commands, path, "--correct").code == 0
    assert money(sqlite_ledger, batch) == (400, 0, 0)


def attempts_of(ledger: Ledger, outcome: str) -> list[str]:
    table = schema.attempts
    with ledger.read() as tx:
        return list(tx.execute(select(table.c.id).where(table.c.outcome == outcome).order_by(table.c.id)).scalars())


def doubts(ledger: Ledger, jobs: int = 2) -> tuple[str, list[str]]:
    batch = open_batch(ledger, jobs)
    ids = [admit_one(ledger, batch).attempt_id for _ in range(jobs)]
    book(ledger, *map(unknown, ids))
    let_deadlines_pass(ledger)
    return batch, ids


def test_books_without_attempt_ids_free_nothing_that_they_could_not_have_listed(
    commands: Commands, sqlite_ledger: Ledger
) -> None:
    batch, (seen, unseen) = doubts(sqlite_ledger)
    table = schema.attempts
    change(sqlite_ledger, table, table.c.id == seen, request_id="req_9")
    path = books(commands.home, {"request_id": "req_1", "amount_nanodollars": 5})
    done = resolve(commands, path, "--json")
    assert (done.json()["not_billed"], done.json()["cannot_tell"]) == (1, 1)
    assert attempt_row(sqlite_ledger, seen).outcome == "not_billed"
    assert attempt_row(sqlite_ledger, unseen).outcome == "unknown"
    assert "the books also bill $0.000000005 for calls that are not in this ledger" in done.err
    assert batch in commands("acts", "--jsonl").out


def test_a_call_that_the_books_list_more_than_once_was_billed_their_sum(
    commands: Commands, sqlite_ledger: Ledger
) -> None:
    batch, (one, other) = doubts(sqlite_ledger)
    line = {"attempt_id": one, "amount_nanodollars": 300}
    path = books(commands.home, line, line, {"attempt_id": other, "billed": False})
    resolve(commands, path, "--retry")
    assert money(sqlite_ledger, batch) == (600, 0, 0)
    assert states(sqlite_ledger, batch) == {"queued": 2}


def test_books_may_be_a_sheet(commands: Commands, sqlite_ledger: Ledger) -> None:
    batch, (one, other) = doubts(sqlite_ledger)
    path = commands.home / "books.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        sheet = csv.writer(file, delimiter=";")
        sheet.writerows([["attempt_id", "amount_usd", "note"], [one, "0.0000005", "x"], [other, "0", ""]])
    resolve(commands, path)
    assert money(sqlite_ledger, batch) == (500, 0, 0)


def test_an_act_is_written_for_each_portion_with_evidence_and_counts(
    commands: Commands, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "PAGE", 2)
    batch, ids = doubts(sqlite_ledger, 3)
    resolve(commands, books(commands.home, *({"attempt_id": one, "amount_nanodollars": 7} for one in ids)))
    acts = commands("acts", batch, "--jsonl").rows()
    assert [act["what"]["attempts"] for act in acts] == [ids[2:], ids[:2]]
    assert {(act["verb"], act["evidence"], act["what"]["books"]) for act in acts} == {
        ("resolve", "usage export", "books.jsonl")
    }
    assert sum(act["what"]["billed_nanodollars"] for act in acts) == 21


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"attempt_id": "a_1"}\n', "books.jsonl line 1 has no amount"),
        ('{"attempt_id": "a_1", "amount_nanodollars": 1}\n{"amount_usd": "1"}\n', "line 2 names no call"),
        ('{"attempt_id": "a_1", "amount_nanodollars": 1.5}\n', "'1.5', not a whole number"),
        ('{"attempt_id": "a_1", "amount_nanodollars": -1}\n', "out of range"),
        ('{"attempt_id": "a_1", "amount_usd": 0.0000000001}\n', "at most 9 decimals"),
        ('{"attempt_id": "a_1", "amount_usd": 1, "billed": "perhaps"}\n', "neither true nor false"),
        ('{"attempt_id": \n', "line 1 of the books is not JSON"),
        ("attempt_id,amount_usd\na_1,nothing\n", "line 2: 'nothing' is not an amount"),
    ],
)
def test_books_that_cannot_be_read_name_the_line_and_change_nothing(
    commands: Commands, sqlite_ledger: Ledger, text: str, message: str
) -> None:
    batch, _ = doubts(sqlite_ledger)
    path = commands.home / "books.jsonl"
    path.write_text(text)
    done = resolve(commands, path)
    assert done.code == 2
    assert message in done.err
    assert states(sqlite_ledger, batch) == {"held": 2}
