"""A job whose answer kills its process each time: it ends up with a person, and the others go on."""

import signal

import pytest

from tests.acceptance.mill import Mill
from tests.acceptance.rows import plain_rows

BESIDE = 3
"""Calls that may be under way when it strikes, or answered and not owned yet."""
POISONED = {"install": ["tests.faults.poison:install"]}


@pytest.mark.parametrize(("allowed", "calls"), [(0, 1), (5, 3)])
def test_s21_a_job_that_kills_its_process_is_parked_and_the_others_go_on(
    mill: Mill, allowed: int, calls: int
) -> None:
    rows = plain_rows(8)
    rows[3] |= {"id": "poison", "prompt": "poison [[sim: no-usage]]"}
    policy = ("--retry-unknown", str(allowed), "--max-attempts", "3")
    command = ("run", mill.write(rows), *policy)
    ends = [mill.start_faulty(POISONED, *command, in_flight=1).wait(60) for _ in range(calls)]
    assert ends == [-signal.SIGKILL] * calls
    assert mill.start_faulty(POISONED, *command, in_flight=1).wait(60) == 3
    (poison,) = mill.books.ask("SELECT state, attempts FROM jobs WHERE custom_id = 'poison'")
    assert (poison["state"], poison["attempts"]) == ("held", calls)
    states = mill.states()
    assert states["succeeded"] + states["held"] == 8
    assert states["held"] - 1 <= BESIDE * calls, "more doubts than calls that can have been under way beside it"
    mill.check()
