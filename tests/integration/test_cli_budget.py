"""`imagemill budget`: caps set and shown, and a run that a shared budget stops."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from jobs.ledger import schema
from jobs.ledger.acts import list_acts
from jobs.ledger.engine import Ledger
from tests.integration.commands import Commands, fill
from tests.integration.ledgers import CEILING, PRICE, admit_one, live_worker, open_batch
from worker.simulator import Simulator, SimulatorConfig, start_in_thread

ROW = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low", "tags": {"team": "cat alogue"}}


@pytest.fixture
def mill(
    sqlite_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(tmp_path, monkeypatch, capsys)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    with start_in_thread(SimulatorConfig(latency_s=0.01, pictures="prerendered", image_bytes=3_000)) as running:
        monkeypatch.setenv("IMAGEMILL_ENDPOINT_URL", running.url)
        yield running


def manifest(mill: Commands, jobs: int, prompt: str = "a fox") -> str:
    rows = [{"id": f"SKU-{number}", "prompt": prompt, **ROW} for number in range(jobs)]
    (mill.home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "rows.jsonl"


def test_a_cap_is_set_shown_and_taken_away(mill: Commands, sqlite_ledger: Ledger) -> None:
    fill(sqlite_ledger)
    assert mill("budget", "list").out.count("\n") == 2  # the batch's own, and the line of names
    for scope, usd in (("overall", "100"), ("month", "80.50"), ("day", "8"), ("tag:season=autumn", "0")):
        assert mill("budget", "set", scope, usd).code == 0
    listed = mill("budget", "list", "--json").json()["budgets"]
    assert [one["scope"] for one in listed] == ["overall", "month", "day", "tag", "batch"]
    overall, month, _, tag, _ = listed
    assert overall["confirmed_nanodollars"] == month["confirmed_nanodollars"] == 3 * PRICE
    assert (overall["possible_nanodollars"], overall["reserved_nanodollars"]) == (CEILING, 0)
    assert overall["room_nanodollars"] == 100 * 10**9 - 3 * PRICE - CEILING
    assert (month["cap_dollars"], len(month["key"])) == ("80.50", 7)
    assert (tag["key"], tag["full"], overall["full"]) == ("season=autumn", True, False)
    assert "season=autumn\t$0.00\t" in mill("budget", "list").out
    assert mill("budget", "set", "day", "none").out == "day has no budget\n"
    assert "day" not in [one["scope"] for one in mill("budget", "list", "--json").json()["budgets"]]


def test_a_ledger_without_caps_says_how_to_set_one(mill: Commands) -> None:
    assert "imagemill budget set day USD" in mill("budget", "list").out
    assert mill("budget", "list", "--json").json() == {"budgets": []}


def test_a_cap_below_what_is_used_says_so(mill: Commands, sqlite_ledger: Ledger) -> None:
    fill(sqlite_ledger)
    done = mill("budget", "set", "overall", "0.000001")
    assert done.code == 0
    assert done.out == "overall: $0.0000018 confirmed + $0.000001 possible + $0.00 reserved of $0.000001\n"
    assert "more than that is used" in done.err
    assert mill("budget", "list", "--json").json()["budgets"][0]["room_nanodollars"] == 1000 - 1800 - 1000


def test_the_budget_of_a_batch_can_be_set_by_the_same_command(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch = open_batch(sqlite_ledger, 2, budget=0)
    assert mill("budget", "set", batch[:6], "3", "--json").json()["cap_nanodollars"] == 3 * 10**9
    assert mill("status", batch, "--json").json()["budget_nanodollars"] == 3 * 10**9
    mill("pause", batch, "--reason", "budget")
    assert f"imagemill resume {batch}" in mill("budget", "set", "last", "4").err
    assert mill("budget", "set", "last", "none").out == "last has no budget\n"
    assert mill("status", batch, "--json").json()["budget_nanodollars"] is None


@pytest.mark.parametrize(
    ("scope", "usd", "named"),
    [
        ("tag:team", "5", "tag:KEY=VALUE"),
        ("tag:=x", "5", "tag:KEY=VALUE"),
        ("yesterday", "5", "there are no batches yet"),
        ("day", "-1", "No such option"),
        ("day", "much", "not an amount in dollars"),
        ("day", "0.0000000001", "at most 9 decimals"),
    ],
)
def test_what_is_no_budget_is_refused(mill: Commands, scope: str, usd: str, named: str) -> None:
    done = mill("budget", "set", scope, usd)
    assert done.code == 2
    assert named in done.err
    assert mill("budget", "list", "--json").json() == {"budgets": []}


def test_who_set_a_cap_is_written_down(
    mill: Commands, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEMILL_OPERATOR", "ada")
    mill("budget", "set", "tag:team=catalogue", "250")
    with sqlite_ledger.read() as tx:
        (act,) = list_acts(tx)
    assert (act["who"], act["verb"], act["batch"]) == ("ada", "budget set", None)
    assert act["what"] == {"scope": "tag", "key": "team=catalogue", "cap_nanodollars": 250 * 10**9}


def test_a_status_says_what_fills_a_shared_budget_and_which_command_frees_it(
    mill: Commands, sqlite_ledger: Ledger
) -> None:
    batch = fill(sqlite_ledger)
    live_worker(sqlite_ledger)
    mill("budget", "set", "overall", "0.000003")
    mill("retry", batch, "--failed")
    assert mill("status", batch, "--json").json()["waiting_for"] == (
        "budget full: overall: confirmed $0.0000018, reserved $0.00, possible $0.000001 "
        "(1 unknown: imagemill resolve frees it) of $0.000003; "
        "raise it: imagemill budget set overall USD"
    )
    mill("budget", "set", "overall", "1")
    assert mill("status", batch, "--json").json()["waiting_for"] != "no worker is running"


def test_watching_ends_where_only_a_full_budget_keeps_the_batch_waiting(
    mill: Commands, sqlite_ledger: Ledger
) -> None:
    cap, batch = mill("budget", "set", "month", "0"), open_batch(sqlite_ledger, 2)
    done = mill("watch", batch, "--progress", "plain")
    assert (cap.code, done.code) == (0, 4)
    assert "budget full: month" in done.err


def test_a_status_says_what_fills_the_budget_that_paused_a_batch(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch = open_batch(sqlite_ledger, 2, budget=CEILING)
    admit_one(sqlite_ledger, batch)
    mill("pause", batch, "--reason", "budget")
    told = mill("status", batch).out
    assert "confirmed $0.00, reserved $0.000001, possible $0.00; raise it: imagemill resume" in told


@pytest.mark.parametrize("scope", ["overall", "day", "tag:team=cat alogue"])
def test_a_run_stops_at_a_budget_that_it_shares_and_goes_on_when_it_is_raised(
    mill: Commands, simulator: Simulator, sqlite_ledger: Ledger, scope: str
) -> None:
    name = manifest(mill, 4)
    mill("submit", name)
    with sqlite_ledger.read() as tx:
        ceiling = tx.execute(select(schema.jobs.c.ceiling_nano)).scalars().first()
    mill("budget", "set", scope, f"{ceiling / 10**9:.9f}")
    done = mill("run", name, "--progress", "none", "--json")
    assert done.code == 4
    told = done.json()
    assert (told["state"], told["jobs_by_state"]["succeeded"]) == ("open", len(simulator.calls()))
    assert 1 <= len(simulator.calls()) < 4
    assert told["confirmed_nanodollars"] <= ceiling
    kind = scope.partition(":")[0]
    assert told["waiting_for"].startswith(f"budget full: {kind}")
    assert told["waiting_for"] in done.err
    command = told["waiting_for"].rpartition("raise it: imagemill ")[2]
    assert command == f"budget set {scope if ' ' not in scope else repr(scope)} USD"
    mill("budget", "set", scope, "5")
    assert mill("run", name, "--progress", "none").code == 0
    assert len(simulator.calls()) == 4


def test_a_run_does_not_wait_for_the_tag_that_is_full_before_it_has_done_the_others(
    mill: Commands, simulator: Simulator
) -> None:
    rows = [{"id": str(n), "prompt": "a fox", **ROW, "tags": {"team": f"t{n % 2}"}} for n in range(6)]
    (mill.home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    mill("budget", "set", "tag:team=t0", "0")
    done = mill("run", "rows.jsonl", "--progress", "none", "--json")
    assert done.code == 4
    assert done.json()["jobs_by_state"]["succeeded"] == 3
    assert "budget full: tag team=t0" in done.err
