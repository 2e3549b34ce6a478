"""`imagemill run` against the simulator: the embedded main job, its end in every colour, and its going on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.commands import Commands
from worker.simulator import Simulator, SimulatorConfig, start_in_thread

ROW = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
TOTALS = {
    *("attempts", "images", "confirmed_nanodollars", "possible_nanodollars", "reserved_nanodollars"),
    *("unpriced_attempts", "budget_nanodollars", "groups"),
}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with start_in_thread(SimulatorConfig(latency_s=0.01, api_keys=("sk-test",))) as running:
        yield running


@pytest.fixture
def mill(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    commands = Commands(tmp_path, monkeypatch, capsys)
    monkeypatch.setenv("IMAGEMILL_ENDPOINT_URL", simulator.url)
    return commands


def manifest(mill: Commands, *prompts: str, name: str = "rows.jsonl", **fields: Any) -> str:
    rows = [{"id": f"SKU-{number}", "prompt": prompt, **ROW, **fields} for number, prompt in enumerate(prompts)]
    (mill.home / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def test_a_run_makes_the_images_and_ends_in_a_report(mill: Commands, simulator: Simulator) -> None:
    done = mill("run", manifest(mill, "a fox", "an owl"), "--json", "--progress", "none")
    fields = done.json()
    assert done.code == 0
    assert (fields["jobs"], fields["state"], fields["duplicate_of_earlier_submit"]) == (2, "done", False)
    assert fields.keys() >= TOTALS | {"batch"}
    assert fields["jobs_by_state"]["succeeded"] == 2
    billed = sum(line["amount_nanodollars"] for line in simulator.lines("call"))
    assert fields["confirmed_nanodollars"] == billed > 0
    for row in mill("images", fields["batch"], "--jsonl").rows():
        assert Path(row["path"]).stat().st_size == row["bytes"]


def test_the_same_run_again_costs_nothing(mill: Commands, simulator: Simulator) -> None:
    name = manifest(mill, "a fox")
    first = mill("run", name, "--json").json()
    again = mill("run", name, "--json")
    assert again.code == 0
    assert "already done, $0.00 spent" in again.err
    assert again.json()["batch"] == first["batch"]
    assert len(simulator.lines("call")) == 1


def test_a_run_tells_a_person_what_happened_and_what_to_do(mill: Commands) -> None:
    done = mill("run", manifest(mill, "a fox", "[[sim: refuse]]", "[[sim: reset]]"), "--progress", "plain")
    assert done.code == 3
    assert "1 succeeded · 1 refused · 1 held" in done.out
    assert "outcome\tattempts\timages\tconfirmed\tpossible" in done.out
    assert "imagemill failures b_" in done.err
    assert "1 held, maybe paid already" in done.err
    assert "/3 | " in done.err


def test_a_run_stops_at_its_budget_and_goes_on_after_it_is_raised(mill: Commands) -> None:
    name = manifest(mill, "a fox", "an owl", "a hare")
    stopped = mill("run", name, "--budget", "0.0130", "--json")
    batch = stopped.json()["batch"]
    assert stopped.code == 4
    assert 0 < stopped.json()["jobs_by_state"]["succeeded"] < 3
    assert f"imagemill resume {batch} --budget USD" in stopped.err
    mill("resume", batch, "--budget", "5")
    assert mill("run", "last", "--json").json()["jobs_by_state"]["succeeded"] == 3


def test_account_trouble_stops_the_run_and_loses_no_job(mill: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    name = manifest(mill, "a fox")
    monkeypatch.setenv("IMAGEMILL_API_KEY", "sk-wrong")
    stopped = mill("run", name, "--progress", "none")
    assert stopped.code == 5
    assert "imagemill resume" in stopped.err
    monkeypatch.setenv("IMAGEMILL_API_KEY", "sk-test")
    mill("resume")
    assert mill("run", name).code == 0


def test_failed_jobs_are_retried_and_run_again_by_the_id(mill: Commands, simulator: Simulator) -> None:
    batch = mill("run", manifest(mill, "[[sim: 500 x1]] a fox"), "--max-attempts", "1", "--json").json()["batch"]
    assert "server_error" in mill("failures", batch).out
    assert f"imagemill run {batch}" in mill("retry", batch, "--failed").err
    assert mill("run", batch, "--json").json()["jobs_by_state"]["succeeded"] == 1
    assert len(simulator.lines("call")) == 2


def test_a_run_of_nothing_says_what_it_takes_and_leaves_nothing(mill: Commands) -> None:
    done = mill("run", "nowhere.csv")
    assert done.code == 2
    assert "a manifest, a batch id or `last`" in done.err
    assert list(mill.home.iterdir()) == []


def test_the_contact_sheet_shows_every_picture_in_one_file(mill: Commands) -> None:
    name = manifest(mill, "a fox", "猫", "[[sim: refuse]]", n=2)
    mill("run", name, "--progress", "none")
    done = mill("report", "last", "--format", "html", "-o", "sheet.html")
    page = (mill.home / "sheet.html").read_text()
    assert done.code == 0
    assert page.count("data:image/webp;base64,") == 4
    assert "moderation_blocked" in page
    assert "猫" in page


def test_the_contact_sheet_needs_a_batch_and_a_file(mill: Commands) -> None:
    mill("run", manifest(mill, "a fox"), "--progress", "none")
    for words in (("report", "--format", "html", "-o", "x.html"), ("report", "last", "--format", "html")):
        done = mill(*words)
        assert done.code == 2
        assert "imagemill report BATCH --format html -o sheet.html" in done.err
