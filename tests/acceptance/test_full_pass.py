"""The promise in one test: kill at 50 %, resume: total spend equals one full pass, to the last unit."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.acceptance.mill import KEY, Mill
from tests.acceptance.rows import plain_rows
from tests.acceptance.waiting import wait_until
from worker.simulator.config import SimulatorConfig
from worker.simulator.running import Simulator

IN_FLIGHT = 16
ROWS, SETTLED = 60, 30


def rows() -> list[dict[str, Any]]:
    """The second half begins with as many slow calls as may be in flight."""
    made = plain_rows(ROWS)
    for row in made[SETTLED : SETTLED + IN_FLIGHT]:
        row["prompt"] += " [[sim: delay 3]]"
    return made


def full_pass(home: Path) -> int:
    """What the manifest costs when nothing is killed, in nano-dollars."""
    with Simulator(SimulatorConfig(api_keys=(KEY,), pictures="prerendered")) as simulator:
        home.mkdir()
        with Mill(home, simulator, in_flight=ROWS) as mill:
            done = mill.run("run", mill.write(rows()), "--json")
            return int(done.json()["confirmed_nanodollars"])


def test_killed_at_half_and_resumed_the_total_spend_equals_one_full_pass(mill: Mill, tmp_path: Path) -> None:
    manifest = mill.write(rows())
    first = mill.start("run", manifest)
    wait_until(lambda: mill.settled_jobs() == SETTLED and mill.calls_in_flight() == IN_FLIGHT, 30, mill.tails)
    first.crash()
    went_on = mill.run("run", manifest, "--json", expect=3).json()
    assert went_on["jobs_by_state"] | {"held": 0, "succeeded": 0} == dict.fromkeys(went_on["jobs_by_state"], 0)
    assert went_on["jobs_by_state"]["held"] == IN_FLIGHT, "what was in flight, and nothing else, is in doubt"

    books = tmp_path / "books.jsonl"
    books.write_text("".join(json.dumps(line) + "\n" for line in mill.simulator.lines()))
    mill.run("resolve", "--books", books, "--evidence", "the endpoint's books", "--yes")
    report = mill.run("report", "last", "--json").json()
    assert (report["possible_nanodollars"], report["reserved_nanodollars"]) == (0, 0)
    assert report["confirmed_nanodollars"] == full_pass(tmp_path / "undisturbed")
    assert Counter(line["prompt_sha256"] for line in mill.simulator.calls()).most_common(1)[0][1] == 1
    assert len(mill.simulator.calls()) == ROWS
    mill.check()
