"""check and submit: everything is said before anything is spent, and the same thing is recorded once."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import redis

from jobs.ledger.engine import Ledger
from tests.integration.commands import Commands

FOX = {"model": "gpt-image-1", "prompt": "a fox", "size": "1024x1024", "quality": "low"}


@pytest.fixture
def mill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(tmp_path, monkeypatch, capsys)


def manifest(mill: Commands, *rows: dict[str, Any]) -> str:
    path = mill.home / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path.name


def test_check_prices_a_manifest_and_makes_no_ledger(mill: Commands) -> None:
    done = mill(
        "check", manifest(mill, FOX, FOX, {"prompt": "x", "model": "gpt-image-2", "size": "auto"}), "--json"
    )
    found = done.json()
    assert done.code == 0
    assert (found["rows"], found["accepted"], found["errors"]) == (3, 3, 0)
    assert 0 < found["low_nanodollars"] <= found["expected_nanodollars"] <= found["ceiling_nanodollars"]
    assert found["samples"][0]["request"]["prompt"] == "a fox"
    assert not (mill.home / "ledger.db").exists()


def test_check_names_every_problem_and_keeps_all_in_a_file(mill: Commands) -> None:
    done = mill("check", manifest(mill, FOX, {"model": "gpt-image-1"}, {**FOX, "n": 99}))
    assert done.code == 2
    assert "error: there is no prompt" in done.out
    assert "2 errors" in done.out
    kept = (mill.home / "problems.csv").read_text("utf-8-sig").splitlines()
    assert len([line for line in kept if line.startswith("error")]) == 2


def test_a_clean_manifest_leaves_no_problem_file(mill: Commands) -> None:
    mill("check", manifest(mill, {**FOX, "model": "gpt-image-2"}))
    assert not (mill.home / "problems.csv").exists()


def test_a_sheet_is_read_as_the_flags_say(mill: Commands) -> None:
    (mill.home / "sheet.csv").write_text("SKU;title;colour;brand\n00417;chair;red;acme\n", encoding="utf-8-sig")
    done = mill(
        *("submit", "sheet.csv", "--map", "id=SKU", "--prompt-template", "photo of {title}, {colour}"),
        *("--tag-columns", "brand", "--tag", "season=autumn", "--model", "gpt-image-2", "--size", "1024x1024"),
        *("--quality", "low", "--n", "2", "--json"),
    )
    (row,) = mill("jobs", done.json()["batch"], "--jsonl").rows()
    assert row["custom_id"] == "00417"
    assert row["tags"] == {"brand": "acme", "season": "autumn"}
    assert row["model"] == "gpt-image-2"


def test_submit_prints_the_batch_and_nothing_else(mill: Commands) -> None:
    done = mill("submit", manifest(mill, FOX))
    assert done.code == 0
    assert done.out == f"{mill('status', 'last', '--json').json()['batch']}\n"
    assert "estimate $" in done.err


def test_submit_json_has_the_promised_fields(mill: Commands) -> None:
    fields = mill("submit", manifest(mill, FOX, FOX), "--budget", "5", "--name", "foxes", "--json").json()
    batch = fields.pop("batch")
    assert fields == {"jobs": 2, "duplicate_of_earlier_submit": False, "state": "open"}
    stands = mill("status", batch, "--json").json()
    assert (stands["name"], stands["budget_nanodollars"]) == ("foxes", 5 * 10**9)


def test_the_same_manifest_again_is_the_same_batch_unless_told_otherwise(mill: Commands) -> None:
    name = manifest(mill, FOX)
    first = mill("submit", name, "--json").json()
    again = mill("submit", name, "--budget", "9", "--json")
    assert again.json() == first | {"duplicate_of_earlier_submit": True}
    assert f"imagemill resume {first['batch']} --budget USD" in again.err
    assert mill("submit", name, "--again", "--json").json()["batch"] != first["batch"]


def test_a_manifest_with_an_error_is_recorded_only_without_its_bad_rows(mill: Commands) -> None:
    name = manifest(mill, FOX, {"model": "gpt-image-1"})
    refused = mill("submit", name, "--json")
    assert (refused.code, refused.out) == (2, "")
    assert "--skip-invalid" in refused.err
    assert mill("submit", name, "--skip-invalid", "--json").json()["jobs"] == 1


def test_a_call_without_a_price_needs_a_stated_ceiling(mill: Commands) -> None:
    name = manifest(mill, {**FOX, "model": "some-other-model"})
    assert "--ceiling" in mill("submit", name).err
    assert mill("submit", name, "--ceiling", "0.25", "--json").json()["jobs"] == 1


def test_a_dry_run_shows_what_would_be_sent_and_records_nothing(mill: Commands) -> None:
    done = mill("submit", manifest(mill, FOX), "--budget", "50", "--dry-run")
    assert done.code == 0
    assert "of $50.00 budget\n" in done.out
    done = mill("submit", manifest(mill, FOX), "--budget", "0.001", "--dry-run")
    assert "of $0.001 budget; the batch will pause when it is full" in done.out
    assert '"prompt":"a fox"' in done.out
    assert "nothing was spent" in done.err
    assert not (mill.home / "ledger.db").exists()


def test_hostile_prompts_are_shown_escaped(mill: Commands) -> None:
    name = manifest(mill, {**FOX, "prompt": "a \x1b[31m \u202e fox", "id": "x\u202e"})
    for words in (("check", name, "--json"), ("submit", name, "--dry-run")):
        done = mill(*words)
        assert "\x1b" not in done.out + done.err
        assert "\u202e" not in done.out + done.err


def test_waiting_returns_the_code_of_the_end(mill: Commands) -> None:
    name = manifest(mill, FOX)
    batch = mill("submit", name, "--json").json()["batch"]
    mill("cancel", batch)
    assert mill("submit", name, "--wait", "--progress", "none").code == 3


def test_an_unreachable_broker_costs_a_remark(mill: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_BROKER_URL", "redis://:canary@127.0.0.1:1/0")
    done = mill("submit", manifest(mill, FOX), "--json")
    assert done.code == 0
    assert "the broker could not be reached" in done.err
    assert "canary" not in done.out + done.err


def test_the_workers_are_woken_by_tickets(mill: Commands, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_BROKER_URL", redis_url)
    done = mill("submit", manifest(mill, FOX), "--json")
    with redis.Redis.from_url(redis_url) as broker:
        (message,) = broker.lrange("imagemill", 0, -1)
    assert done.json()["batch"] in base64.b64decode(json.loads(message)["body"]).decode()
    assert "broker" not in done.err


def test_a_ledger_of_an_older_program_brings_itself_up_to_date(mill: Commands) -> None:
    Ledger(f"sqlite:///{mill.home / 'ledger.db'}").close()
    (mill.home / "ledger.db").touch()
    assert mill("status").code == 0
