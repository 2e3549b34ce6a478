"""Each attempt is one call on the wire, whatever comes back: no library repeats anything by itself."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.ledger.engine import Ledger
from jobs.submit import Policy
from tests.integration.mills import QUICK, Mill
from worker.simulator import start_in_thread

FAULTS = ("reset", "close", "cut", "500", "408", "409", "429 0.1", "503 0.1", "html-502")
"""What client libraries like to repeat."""


@pytest.fixture
def mill(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Mill]:
    with start_in_thread(QUICK) as simulator:
        yield Mill(sqlite_ledger, simulator, tmp_path)


def test_s23_each_attempt_is_one_call_on_the_wire_whatever_comes_back(mill: Mill) -> None:
    stands = mill.run(
        mill.submit(*[f"a fox [[sim: {fault} x1]]" for fault in FAULTS], policy=Policy(retry_unknown=1))
    )
    calls = Counter(call["attempt_id"] for call in mill.simulator.calls())
    assert set(calls.values()) == {1}
    assert len(calls) == sum(stands.attempts.values())
    assert stands.jobs["succeeded"] >= len(FAULTS) - 1
