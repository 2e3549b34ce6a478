"""`imagemill run`: interrupted, killed, out of money or locked out, the same command goes on, and nothing is paid
for twice."""

import signal
from collections import Counter

from tests.acceptance.mill import KEY, Mill
from tests.acceptance.rows import plain_rows
from tests.acceptance.waiting import wait_until

IN_FLIGHT = 16
OPEN = 24
"""Attempts that may be open with so many calls in flight: half as many are admitted ahead at most."""


def billed_rows(mill: Mill) -> Counter[str]:
    """How often each prompt was billed."""
    return Counter(line["prompt_sha256"] for line in mill.simulator.calls() if line["billed"])


def test_ctrl_c_finishes_paid_calls_and_the_same_command_goes_on(mill: Mill) -> None:
    rows = mill.write(plain_rows(80, "delay 0.5"))
    first = mill.start("run", rows, "--progress", "plain")
    wait_until(lambda: mill.settled_jobs() > 8 and mill.calls_in_flight() == IN_FLIGHT, 30, mill.tails)
    assert first.stop(signal.SIGINT) == 130
    assert "imagemill run b_" in first.said()
    assert set(mill.outcomes()) == {"succeeded"}
    assert mill.states()["queued"] == 80 - len(mill.simulator.calls())
    done = mill.run("run", rows, "--json")
    assert done.json()["duplicate_of_earlier_submit"] is True
    assert done.json()["jobs_by_state"]["succeeded"] == 80
    assert set(billed_rows(mill).values()) == {1}
    assert len(billed_rows(mill)) == 80
    mill.check()


def test_a_finished_batch_costs_nothing_again(mill: Mill) -> None:
    rows = mill.write(plain_rows(5))
    mill.run("run", rows)
    again = mill.run("run", rows, "--json")
    assert again.json()["confirmed_nanodollars"] == sum(one["amount_nanodollars"] for one in mill.simulator.calls())
    assert len(mill.simulator.calls()) == 5


def test_a_second_ctrl_c_leaves_at_once_and_the_calls_are_held(mill: Mill) -> None:
    rows = mill.write(plain_rows(IN_FLIGHT, "timeout x1"))
    first = mill.start("run", rows, "--progress", "plain")
    wait_until(lambda: mill.calls_in_flight() == IN_FLIGHT, 30, mill.tails)
    first.send(signal.SIGINT)
    wait_until(lambda: "Ctrl-C again leaves" in first.said(), 10, first.tail)
    assert first.stop(signal.SIGINT) == 130
    assert mill.run("run", rows, expect=3).err
    assert mill.states() == {"held": IN_FLIGHT}
    mill.check()


def test_a_killed_run_is_taken_up_and_only_what_was_in_flight_is_held(mill: Mill) -> None:
    """Killed with some calls answered and booked, some answered late, some without an answer."""
    rows = plain_rows(60, "delay 0.3") + [
        row | {"id": f"hung-{number}", "prompt": f"hung {number} [[sim: timeout x1]]"}
        for number, row in enumerate(plain_rows(IN_FLIGHT // 2))
    ]
    manifest = mill.write(rows)
    first = mill.start("run", manifest)
    hung = "SELECT count(*) FROM jobs WHERE state = 'running' AND custom_id LIKE 'hung-%'"
    wait_until(lambda: mill.settled_jobs() >= 50 and mill.books.number(hung) == IN_FLIGHT // 2, 30, mill.tails)
    first.crash()
    done = mill.run("run", manifest, "--json", expect=3)
    held = done.json()["jobs_by_state"]["held"]
    assert IN_FLIGHT // 2 <= held <= OPEN
    assert done.json()["jobs_by_state"]["succeeded"] == len(rows) - held
    before = billed_rows(mill)
    assert set(before.values()) == {1}
    mill.check()

    asked = mill.run("retry", "last", "--held", "--dry-run")
    assert f"{held} jobs (held)" in asked.err
    mill.run("retry", "last", "--held", "--yes")
    assert mill.run("run", manifest, "--json").json()["jobs_by_state"]["succeeded"] == len(rows)
    keys = Counter(line["idempotency_key"] for line in mill.simulator.calls())
    assert len(keys) == len(rows)
    assert len(mill.simulator.calls()) == before.total() + held
    mill.check()


def test_a_run_killed_again_and_again_loses_nothing_and_pays_for_nothing_twice(mill: Mill) -> None:
    rows = mill.write(plain_rows(150, "delay 0.2"))
    for settled in (20, 60, 100):
        run = mill.start("run", rows)
        wait_until(lambda least=settled: mill.settled_jobs() > least, 30, mill.tails)
        run.crash()
    mill.run("run", rows, expect=None)
    states = mill.states()
    assert states.keys() <= {"succeeded", "held"}
    assert states.get("held", 0) <= 3 * OPEN
    assert set(billed_rows(mill).values()) == {1}
    assert len(billed_rows(mill)) >= states["succeeded"]
    mill.check()


def test_a_budget_stops_the_run_and_a_raised_one_goes_on(mill: Mill) -> None:
    rows = mill.write(plain_rows(40))
    stopped = mill.run("run", rows, "--budget", "0.12", "--json", expect=4)
    figures = stopped.json()
    assert figures["jobs_by_state"]["succeeded"] == len(mill.simulator.calls()) == 10
    assert figures["confirmed_nanodollars"] <= 120_000_000
    assert "resume" in stopped.err
    assert mill.run("run", rows, expect=4).code == 4
    assert len(mill.simulator.calls()) == 10
    mill.run("resume", "last", "--budget", "1")
    assert mill.run("run", rows, "--json").json()["jobs_by_state"]["succeeded"] == 40
    assert set(billed_rows(mill).values()) == {1}
    mill.check()


def test_s16_a_key_that_is_refused_stops_the_run_and_costs_no_job(mill: Mill) -> None:
    mill.simulator.configure(api_keys=["another"])
    rows = mill.write(plain_rows(2 * IN_FLIGHT))
    stopped = mill.run("run", rows, "--json", expect=5)
    calls = len(mill.simulator.calls())
    assert 1 <= calls <= IN_FLIGHT, "more calls than were in flight"
    assert stopped.json()["jobs_by_state"]["queued"] == 2 * IN_FLIGHT
    assert "resume" in stopped.err
    mill.run("run", rows, expect=5)
    assert len(mill.simulator.calls()) == calls
    mill.simulator.configure(api_keys=[KEY])
    mill.run("resume")
    assert mill.run("run", rows, "--json").json()["jobs_by_state"]["succeeded"] == 2 * IN_FLIGHT
    mill.check()


def test_s16_an_account_without_money_stops_the_run_and_costs_no_job(mill: Mill) -> None:
    rows = mill.write(plain_rows(IN_FLIGHT, "billing x1"))
    mill.run("run", rows, "--max-attempts", "1", expect=5)
    mill.run("resume", "last")
    assert mill.run("run", rows, "--json").json()["jobs_by_state"]["succeeded"] == IN_FLIGHT
    assert mill.outcomes() == {"rejected": IN_FLIGHT, "succeeded": IN_FLIGHT}
    mill.check()
