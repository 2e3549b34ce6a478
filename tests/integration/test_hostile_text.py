"""Text of strangers in every column, and what it can do to terminals, spreadsheets and queries: nothing."""

import csv
import io
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.ledger.engine import Ledger
from tests.integration.commands import Commands
from tests.integration.ledgers import admit_one, book, new_job, open_batch, refused, rejected, succeeded, unknown

HOSTILE = "=cmd|' /C calc'!A1 \x1b]0;x\x07\x1b[31m \r\n \u202egnp \u2028 \x9b \ufeff '; DROP TABLE jobs; --%_"
FORMULAS = ("=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\uff1d1", "\n+1")
INJECTIONS = (
    "' OR 1=1 --",
    "x'; DROP TABLE jobs; --",
    "%",
    "_",
    'x" OR ""="',
    "1) UNION SELECT key FROM budgets --",
)
READING = (
    ["status"],
    ["status", "last"],
    ["watch", "last"],
    ["jobs", "last"],
    ["attempts", "last"],
    ["images", "last"],
    ["failures", "last"],
    *(["report", "--by", key] for key in ("model", "batch", "outcome", "meter", "tag:brand")),
    ["retry", "last", "--held", "--dry-run"],
    ["jobs", HOSTILE],
    ["check", HOSTILE],
)


@pytest.fixture
def mill(
    sqlite_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(tmp_path, monkeypatch, capsys)


def fill(ledger: Ledger, *texts: str) -> str:
    """A batch in which every text of a stranger is one of these."""
    rows = [
        new_job(row, custom_id=f"{text}{row}", model=text, tags={"brand": text}, request=f'{{"prompt":"{row}"}}')
        for row, text in enumerate(texts * 4, 1)
    ]
    batch_id = open_batch(ledger, rows, name=texts[0])
    for row, end in enumerate((succeeded, refused, rejected, unknown) * len(texts)):
        ending = end(admit_one(ledger, batch_id).attempt_id)
        text = texts[row % len(texts)]
        book(ledger, replace(ending, error_kind=text, error_message=text, request_id=text, usage={text: text}))
    return batch_id


def hostile_in(text: str) -> Iterator[str]:
    for letter in text:
        if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") and letter not in "\n\t":
            yield letter


def test_c20_no_command_brings_a_control_character_to_the_screen(mill: Commands, sqlite_ledger: Ledger) -> None:
    fill(sqlite_ledger, HOSTILE)
    for words in READING:
        for how in ([], ["--json"], ["--format", "csv", "--plain"]):
            done = mill(*words, *how)
            shown = done.out.replace("\r\n", "\n") + done.err
            assert shown and set(hostile_in(shown)) == set(), (words, how)
    assert mill("jobs", "last", "--jsonl").rows()[0]["error_message"] == HOSTILE  # JSON is exact


def test_c10_no_cell_of_a_report_is_a_formula_and_numbers_are_numbers(
    mill: Commands, sqlite_ledger: Ledger
) -> None:
    fill(sqlite_ledger, *FORMULAS)
    for key in ("model", "batch", "tag:brand", "outcome"):
        table = list(csv.DictReader(io.StringIO(mill("report", "--by", key, "--format", "csv", "--plain").out)))
        assert len(table) > 1
        for record in table:
            name, *numbers = record.values()
            assert not name.lstrip().startswith(("=", "+", "-", "@", "\uff1d")), record
            assert all(number == "" or float(number) >= 0 for number in numbers), record


def test_c19_what_is_asked_for_is_a_value_and_never_a_query(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch_id = fill(sqlite_ledger, "plain")
    before = mill("jobs", batch_id, "--jsonl").out
    for text in INJECTIONS:
        for words in (["jobs", batch_id, "--model", text], ["attempts", batch_id, "--cause", text]):
            assert mill(*words, "--jsonl").out == "", words
        for words in (
            ["jobs", text],
            ["jobs", batch_id, "--state", text],
            ["report", "--by", text],
            ["cancel", text],
        ):
            assert mill(*words).code == 2, words
        groups = mill("report", "--by", f"tag:{text}", "--json").json()["groups"]
        assert [group["key"] for group in groups] == ["untagged"]
    assert mill("jobs", batch_id, "--jsonl").out == before
