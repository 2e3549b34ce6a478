"""The commands that show what is in a ledger: their JSON is a promise, their tables are the same figures."""

import csv
import io
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.ledger import schema
from jobs.ledger.engine import Ledger
from jobs.ledger.limits import pause_endpoint
from jobs.ledger.recovery import register_worker, sign_off
from tests.integration.commands import Commands, fill
from tests.integration.ledgers import (
    CEILING,
    ENDPOINT,
    PRICE,
    admit_one,
    book,
    change,
    errored,
    open_batch,
    succeeded,
)

STANDING = {
    *("jobs", "attempts", "images", "confirmed_nanodollars", "possible_nanodollars", "reserved_nanodollars"),
    *("unpriced_attempts", "budget_nanodollars", "rate_per_s", "eta_s", "waiting_for"),
}
JOB = "batch row custom_id state model attempts images charged_nanodollars possible_nanodollars error_kind"
ATTEMPT = "id batch row custom_id number worker admitted_at ended_at outcome http_status request_id usage priced_by"
MONEY = "ceiling_nanodollars charged_nanodollars possible_nanodollars"
IMAGE = "batch row custom_id index path sha256 bytes format width height revised_prompt"


@pytest.fixture
def mill(
    sqlite_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(tmp_path, monkeypatch, capsys)


@pytest.fixture
def batch(sqlite_ledger: Ledger) -> str:
    return fill(sqlite_ledger)


def test_status_has_the_promised_fields(mill: Commands, batch: str) -> None:
    fields = mill("status", batch, "--json").json()
    assert fields.keys() >= STANDING | {"batch", "state"}
    assert fields["jobs"] == {
        "queued": 1, "running": 0, "succeeded": 2, "failed": 2, "refused": 1, "held": 1, "cancelled": 0
    }  # fmt: skip
    assert fields["attempts"]["unknown"] == 1
    assert (fields["confirmed_nanodollars"], fields["possible_nanodollars"]) == (3 * PRICE, CEILING)
    assert fields["budget_nanodollars"] == 10**9


def test_status_of_all_batches_is_their_sum(mill: Commands, batch: str, sqlite_ledger: Ledger) -> None:
    other = open_batch(sqlite_ledger, 3)
    book(sqlite_ledger, succeeded(admit_one(sqlite_ledger, other).attempt_id))
    fields = mill("status", "--json").json()
    assert fields.keys() >= STANDING
    assert fields["jobs"]["succeeded"] == 3
    assert fields["confirmed_nanodollars"] == 4 * PRICE
    assert {line["batch"] for line in fields["batches"]} == {batch, other}
    assert mill("status").out.count("b_") == 2


def test_a_batch_is_meant_by_its_id_its_beginning_or_last(mill: Commands, batch: str) -> None:
    for text in (batch, batch[:-1], batch.removeprefix("b_"), "last"):
        assert mill("status", text, "--json").json()["batch"] == batch


def test_a_beginning_that_two_batches_share_is_asked_back(
    mill: Commands, batch: str, sqlite_ledger: Ledger
) -> None:
    open_batch(sqlite_ledger)
    done = mill("status", "b_")
    assert done.code == 2
    assert "give more of the id" in done.err


def test_a_wrong_batch_is_answered_with_the_nearest(mill: Commands, batch: str) -> None:
    done = mill("status", f"{batch[:-1]}Z")
    assert done.code == 2
    assert f"did you mean {batch}?" in done.err


def test_without_a_ledger_the_first_step_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = Commands(tmp_path, monkeypatch, capsys)("status")
    assert done.code == 1
    assert "imagemill submit" in done.err
    assert list(tmp_path.iterdir()) == []


def test_jobs_have_the_promised_fields(mill: Commands, batch: str) -> None:
    rows = mill("jobs", batch, "--jsonl").rows()
    assert [row["row"] for row in rows] == list(range(1, 8))
    assert all(row.keys() >= {*JOB.split(), "error_message", "tags"} for row in rows)
    assert rows[0]["tags"] == {"season": "spring"}
    assert sum(row["charged_nanodollars"] for row in rows) == 3 * PRICE


def test_attempts_have_the_promised_fields(mill: Commands, batch: str) -> None:
    rows = mill("attempts", batch, "--jsonl").rows()
    assert all(row.keys() >= {*ATTEMPT.split(), *MONEY.split()} for row in rows)
    assert [row["outcome"] for row in rows] == [
        "succeeded", "succeeded", "image_lost", "refused", "rejected", "unknown", "throttled"
    ]  # fmt: skip


def test_images_have_the_promised_fields_and_whole_paths(mill: Commands, batch: str) -> None:
    rows = mill("images", batch, "--jsonl").rows()
    assert len(rows) == 2
    assert all(row.keys() >= set(IMAGE.split()) for row in rows)
    assert all(row["path"].startswith(str(mill.home / "images")) for row in rows)


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (("jobs", "--state", "held"), 1),
        (("jobs", "--cause", "invalid_value"), 1),
        (("jobs", "--model", "dall-e-3"), 0),
        (("jobs", "--limit", "3"), 3),
        (("attempts", "--outcome", "succeeded"), 2),
        (("attempts", "--outcome", "open"), 0),
        (("images", "--limit", "1"), 1),
    ],
)
def test_rows_can_be_chosen(mill: Commands, batch: str, words: tuple[str, ...], rows: int) -> None:
    command, *options = words
    assert len(mill(command, batch, *options, "--jsonl").rows()) == rows


def test_a_piped_table_has_tabs_and_whole_cells(mill: Commands, batch: str) -> None:
    lines = mill("jobs", batch).out.splitlines()
    assert len(lines) == 8
    assert lines[0].split("\t")[:3] == ["row", "custom_id", "state"]
    assert {line.count("\t") for line in lines} == {9}


def test_an_open_attempt_is_called_open(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch_id = open_batch(sqlite_ledger)
    admit_one(sqlite_ledger, batch_id)
    assert mill("attempts", batch_id).out.splitlines()[1].split("\t")[3] == "open"


@pytest.mark.parametrize("by", ["day", "model", "batch", "outcome", "tag:season", "tag:nothing", "meter"])
def test_every_report_adds_up_to_the_same_total(mill: Commands, batch: str, by: str) -> None:
    fields = mill("report", batch, "--by", by, "--json").json()
    assert fields.keys() >= STANDING | {"groups"}
    assert sum(group["charged_nanodollars"] for group in fields["groups"]) == fields["confirmed_nanodollars"]
    assert fields["confirmed_nanodollars"] == 3 * PRICE
    assert fields["possible_nanodollars"] == CEILING
    total = mill("report", batch, "--by", by).out.splitlines()[-1].split("\t")
    assert (total[0], total[3]) == ("total", "$0.0000018")


def test_a_report_without_a_batch_covers_the_ledger(mill: Commands, batch: str, sqlite_ledger: Ledger) -> None:
    other = open_batch(sqlite_ledger)
    book(sqlite_ledger, succeeded(admit_one(sqlite_ledger, other).attempt_id))
    fields = mill("report", "--by", "batch", "--json").json()
    assert {group["key"] for group in fields["groups"]} == {batch, other}
    assert fields["confirmed_nanodollars"] == 4 * PRICE
    assert fields["jobs"]["succeeded"] == 3


def test_a_report_of_other_days_is_empty(mill: Commands, batch: str) -> None:
    fields = mill("report", batch, "--from", "2020-01-01", "--to", "2020-02-01", "--json").json()
    assert (fields["groups"], fields["confirmed_nanodollars"], fields["attempts"]) == ([], 0, {})


def test_untagged_is_a_line_of_its_own(mill: Commands, batch: str) -> None:
    (group,) = mill("report", batch, "--by", "tag:nothing", "--json").json()["groups"]
    assert group["key"] == "untagged"


def test_what_has_no_price_is_named_beside_the_sum(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch_id = open_batch(sqlite_ledger, 2)
    book(sqlite_ledger, succeeded(admit_one(sqlite_ledger, batch_id).attempt_id, nano=None))
    done = mill("report", batch_id)
    assert "$0.00 + 1 unpriced" in done.out
    assert "unpriced: no price is known" in done.err
    assert mill("report", batch_id, "--json").json()["unpriced_attempts"] == 1


def test_csv_holds_the_same_numbers(mill: Commands, batch: str) -> None:
    out = mill("report", batch, "--by", "outcome", "--format", "csv").out
    assert out.startswith("\ufeff")
    rows = list(csv.DictReader(io.StringIO(out.removeprefix("\ufeff"))))
    assert rows[-1]["outcome"] == "total"
    assert int(rows[-1]["charged_nanodollars"]) == 3 * PRICE
    assert not mill("report", batch, "--format", "csv", "--plain").out.startswith("\ufeff")


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_report_goes_to_a_file(mill: Commands, batch: str, form: str) -> None:
    done = mill("report", batch, "--format", form, "-o", "report.out")
    assert (done.code, done.out) == (0, "")
    assert "1800" in (text := (mill.home / "report.out").read_text("utf-8-sig")) or "$0.0000018" in text


def test_failures_are_grouped_with_an_example_and_the_next_command(mill: Commands, batch: str) -> None:
    causes = mill("failures", batch, "--json").json()["causes"]
    found = {(cause["state"], cause["cause"]): cause for cause in causes}
    held = found.pop(("held", "read_timeout"))
    assert held["possible_nanodollars"] == CEILING
    assert found.keys() == {("failed", "empty"), ("failed", "invalid_value"), ("refused", "moderation_blocked")}
    assert found["failed", "invalid_value"]["example"] == {"custom_id": "row-5", "message": "no such size"}
    assert f"imagemill retry {batch} --held" in mill("failures", batch).out


def test_a_batch_without_failures_says_so(mill: Commands, sqlite_ledger: Ledger) -> None:
    assert "no failed, refused or held jobs" in mill("failures", open_batch(sqlite_ledger)).out


def test_hostile_text_of_providers_is_shown_escaped(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch_id = open_batch(sqlite_ledger, 1, max_attempts=1)
    ending = errored(admit_one(sqlite_ledger, batch_id).attempt_id)
    book(sqlite_ledger, replace(ending, error_message="no \x1b[31m\u202e\ttab"))
    for words in (("jobs",), ("attempts",), ("failures",), ("jobs", "--jsonl"), ("failures", "--json")):
        done = mill(words[0], batch_id, *words[1:])
        assert "\x1b" not in done.out and "\u202e" not in done.out
    assert "no \\x1b[31m\\u202e\\ttab" in mill("jobs", batch_id).out
    assert mill("jobs", batch_id, "--jsonl").json()["error_message"] == "no \x1b[31m\u202e\ttab"


def test_watch_ends_when_the_batch_has_ended(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch_id = open_batch(sqlite_ledger)
    book(sqlite_ledger, succeeded(admit_one(sqlite_ledger, batch_id).attempt_id))
    done = mill("watch", batch_id, "--progress", "json")
    assert done.code == 0
    assert json.loads(done.err.splitlines()[-1])["state"] == "done"


def test_watch_ends_when_account_trouble_keeps_every_job_waiting(
    mill: Commands, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEMILL_ENDPOINT_URL", ENDPOINT)
    sqlite_ledger.write(pause_endpoint, ENDPOINT, None, "billing", "no money left")
    done = mill("watch", open_batch(sqlite_ledger), "--progress", "plain")
    assert done.code == 5
    assert "endpoint paused: billing: no money left" in done.err


def test_doctor_looks_at_everything_and_calls_nothing(mill: Commands, batch: str) -> None:
    done = mill("doctor", "--json")
    found = {one["what"]: one for one in done.json()["findings"]}
    assert done.code == 0
    assert found["database"]["told"].startswith("SQLite, schema")
    assert found.keys() >= {
        "Python",
        "data folder",
        "durability",
        "clock",
        "prices",
        "broker",
        "endpoint",
        "API key",
    }
    assert "gpt-image-1 since 2026-10-23" in found["shutdown"]["told"]


def test_doctor_tells_a_health_check_whether_a_worker_of_this_host_lives(
    mill: Commands, sqlite_ledger: Ledger
) -> None:
    sqlite_ledger.write(register_worker, "w_ELSEWHERE", "another-host", 1, "w_ELSEWHERE")
    assert mill("doctor", "--worker").code == 1
    sqlite_ledger.write(register_worker, "w_HERE", socket.gethostname(), 1, "w_HERE")
    assert mill("doctor", "--worker").code == 0
    sqlite_ledger.write(sign_off, "w_HERE")
    assert mill("doctor", "--worker").code == 1


def test_doctor_says_what_must_be_put_right(
    mill: Commands, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMAGEMILL_API_KEY")
    monkeypatch.setenv("IMAGEMILL_BROKER_URL", "redis://:canary@127.0.0.1:1/0")
    sqlite_ledger.write(pause_endpoint, ENDPOINT, None, "billing", "no money left")
    done = mill("doctor")
    assert done.code == 1
    for told in ("bad\tAPI key", "bad\tbroker", "bad\tendpoint paused\tbilling: no money left: `imagemill resume`"):
        assert told in done.out
    assert "canary" not in done.out + done.err


def test_doctor_goes_on_when_the_database_is_away(mill: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_DATABASE_URL", "postgresql://u:canary@127.0.0.1:1/x")
    done = mill("doctor")
    assert done.code == 1
    assert "bad\tdatabase\tthe database does not answer" in done.out
    assert "ok\tAPI key" in done.out
    assert "canary" not in done.out + done.err


def test_config_names_each_value_and_its_origin(mill: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    (mill.home / "imagemill.toml").write_text("share = 99\n")
    lines = {line["name"]: line for line in mill("config", "--in-flight", "7", "--json").json()["settings"]}
    assert (lines["in_flight"]["value"], lines["in_flight"]["origin"]) == ("7", "flag")
    assert (lines["share"]["value"], lines["share"]["origin"]) == ("99", "imagemill.toml")
    assert lines["data_dir"]["origin"] == "environment IMAGEMILL_DATA_DIR"
    assert lines["read_timeout_s"]["origin"] == "default"
    assert lines["api_key"]["value"] == "***"


def test_the_database_is_checked_upgraded_and_found(mill: Commands, batch: str) -> None:
    assert mill("db", "check", "--json").json() == {"ok": True, "differences": []}
    assert mill("db", "upgrade").out.startswith("already at version")
    assert mill("db", "path").out == f"{mill.home / 'ledger.db'}\n"


def test_a_kept_total_that_is_wrong_is_found(mill: Commands, batch: str, sqlite_ledger: Ledger) -> None:
    table = schema.budgets
    change(sqlite_ledger, table, table.c.key == batch, confirmed_nano=table.c.confirmed_nano + 1)
    done = mill("db", "check")
    change(sqlite_ledger, table, table.c.key == batch, confirmed_nano=table.c.confirmed_nano - 1)
    assert done.code == 1
    assert f"budget batch {batch}" in done.out


def test_a_server_without_tables_is_not_touched_until_it_is_upgraded(
    mill: Commands, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEMILL_DATABASE_URL", postgres_url)
    done = mill("status")
    assert done.code == 1
    assert "imagemill db upgrade" in done.err
    assert mill("db", "upgrade").out.startswith("upgraded from nothing to")
    assert mill("status").code == 0


def test_a_database_that_does_not_answer_is_one_sentence_without_its_password(
    mill: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEMILL_DATABASE_URL", "postgresql://u:canary@127.0.0.1:1/x")
    done = mill("status")
    assert done.code == 1
    assert done.err.startswith("error: the database does not answer")
    assert len(done.err.splitlines()) == 1
    assert "canary" not in done.err
