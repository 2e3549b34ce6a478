"""Two thousand rows of every kind, through two workers on a broker and through one embedded run."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import pytest

from tests.acceptance.mill import Mill
from tests.acceptance.rows import Expected, great_manifest
from worker.simulator.running import Simulator

POLICY = ("--max-attempts", "3")
SETTINGS = {"in_flight": 64, "read_timeout_s": 5, "log_level": "warning"}


@pytest.fixture(autouse=True)
def a_stated_limit(simulator: Simulator) -> None:
    """Headers that name a limit, as real endpoints send them: a 429 then need not teach a slower pace."""
    simulator.configure(requests_per_minute=60_000)


@pytest.fixture(scope="module")
def manifest() -> list[Expected]:
    return great_manifest()


def test_two_workers_end_every_row_as_it_should(
    new_mill: Callable[..., Mill], ledger_url: str, redis_url: str, manifest: list[Expected]
) -> None:
    mill = new_mill(database_url=ledger_url, broker_url=redis_url, **SETTINGS)
    workers = [mill.start_worker(), mill.start_worker()]
    batch = mill.submit([one.row for one in manifest], *POLICY)
    mill.wait_done(len(manifest), 120)
    assert [worker.stop() for worker in workers] == [0, 0]
    assert_all_as_expected(mill, batch, manifest)
    per_worker = mill.books.ask("SELECT worker_id, count(*) AS number FROM attempts GROUP BY worker_id")
    assert len(per_worker) == 2, "one of the workers did nothing"


def test_one_embedded_run_ends_every_row_as_it_should(
    new_mill: Callable[..., Mill], manifest: list[Expected]
) -> None:
    mill = new_mill(**SETTINGS)
    rows = mill.write([one.row for one in manifest])
    done = mill.run("run", rows, *POLICY, "--json", expect=3, within_s=120)
    assert +Counter(done.json()["jobs_by_state"]) == Counter(one.kind.state for one in manifest)
    assert_all_as_expected(mill, done.json()["batch"], manifest)


def assert_all_as_expected(mill: Mill, batch: str, manifest: Sequence[Expected]) -> None:
    assert wrong_rows(mill, manifest) == []
    mill.check()
    mill.run("db", "check")
    assert mill.spooled() == []
    report = mill.run("report", batch, "--json").json()
    calls = mill.simulator.calls()
    billed = {line["attempt_id"]: line["amount_nanodollars"] for line in calls}
    in_doubt = {row["id"] for row in mill.books.ask("SELECT id FROM attempts WHERE outcome = 'unknown'")}
    assert report["confirmed_nanodollars"] == sum(nano for one, nano in billed.items() if one not in in_doubt)
    assert 0 <= sum(billed[one] for one in in_doubt) <= report["possible_nanodollars"]
    assert report["reserved_nanodollars"] == report["unpriced_attempts"] == 0
    assert report["images"] == sum(one.images for one in manifest)
    understood = {one.prompt_sha256 for one in manifest if one.kind.name != "unknown field"}
    assert {line["prompt_sha256"] for line in calls} - {None} == understood


def wrong_rows(mill: Mill, manifest: Sequence[Expected]) -> list[str]:
    """One sentence for each row that ended otherwise than its words say."""
    ledger = mill.books.snapshot()
    outcomes: dict[int, list[str]] = defaultdict(list)
    for attempt in sorted(ledger.attempts, key=lambda one: one["number"]):
        outcomes[attempt["row"]].append(attempt["outcome"])
    jobs = {job["row"]: job for job in ledger.jobs}
    wrong = []
    for row, expected in enumerate(manifest, start=1):
        job = jobs[row]
        ended = (job["state"], tuple(outcomes[row]), job["images"])
        wanted = (expected.kind.state, expected.kind.outcomes, expected.images)
        if ended != wanted or expected.kind.nanodollars not in (None, job["charged_nano"]):
            said = f"{job['error_kind']}: {job['error_message']}"
            wrong.append(
                f"{expected.row['id']}: {ended}, {job['charged_nano']} nano-dollars, not {wanted} ({said})"
            )
    return wrong
