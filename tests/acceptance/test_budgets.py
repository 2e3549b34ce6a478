"""Budgets that processes share: nested, raced for by whole runs, judged by the endpoint's own bill."""

from typing import Any

from tests.acceptance.mill import Mill
from tests.acceptance.rows import plain_rows

CAP_NANO = 250_000_000
"""Room for some of the calls."""
KINDS = ("", "delay 0.2", "reset x1")


def rows_of(team: str) -> list[dict[str, Any]]:
    """Ten rows of each kind, of one team."""
    rows = [row for kind in KINDS for row in plain_rows(10, kind)]
    return [
        row | {"id": f"{team}-{number}", "prompt": f"{team}{number}: {row['prompt']}", "tags": {"team": team}}
        for number, row in enumerate(rows, 1)
    ]


def test_two_runs_at_once_never_pass_the_budgets_that_they_share(mill: Mill) -> None:
    """Each stops with exit code 4 once nothing in flight can free any more money; raised, each goes on."""
    manifests = [mill.write(rows_of(team), f"{team}.jsonl") for team in ("a", "b")]
    mill.run("submit", manifests[0])
    mill.run("budget", "set", "day", "0.25")
    mill.run("budget", "set", "tag:team=a", "0.15")
    runs = [mill.start("run", manifest, "--progress", "plain") for manifest in manifests]
    assert [run.wait(90) for run in runs] == [4, 4], mill.tails()
    assert all("budget full: " in run.said() for run in runs)
    used = mill.books.number("SELECT max(confirmed_nano + possible_nano + reserved_nano) FROM budgets")
    assert 0 < sum(line["amount_nanodollars"] for line in mill.simulator.calls()) <= used <= CAP_NANO
    assert mill.open_attempts() == 0
    mill.check(at_rest=False)
    mill.run("budget", "set", "day", "50")
    mill.run("budget", "set", "tag:team=a", "none")
    for manifest in manifests:
        mill.run("run", manifest, expect=3)
    assert mill.states() == {"succeeded": 40, "held": 20}
    mill.check()
