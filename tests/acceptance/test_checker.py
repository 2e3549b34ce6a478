"""The checker itself: content with a story that agrees, it finds every planted lie, and knows no product code."""

import ast
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.books import Snapshot
from tests.checker import check

PICTURE = b"not much of a picture"
DIGEST = sha256(PICTURE).hexdigest()
NAME = "b_1/1_row-1_a1_0.png"
DAY, NOON = "2026-11-22", 1_795_348_800_000

Story = tuple[Snapshot, list[dict[str, Any]], Path]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """One job with an error, then its picture; another in doubt."""
    images = tmp_path / "images"
    (images / "b_1").mkdir(parents=True)
    (images / NAME).write_bytes(PICTURE)
    ledger = Snapshot(
        jobs=[job(1, "succeeded", 2), job(2, "held", 1)],
        attempts=[
            attempt("a0", 1, "errored", 1),
            attempt("a1", 1, "succeeded", 2, charged=70),
            attempt("a2", 2, "unknown", 1, possible=100),
        ],
        images=[{"attempt_id": "a1", "path": NAME, "sha256": DIGEST, "bytes": len(PICTURE)}],
        charges=[{"attempt_id": "a1", "meter": "image_out", "amount_nano": 70}],
        budgets=[budget("batch", "b_1", 200), budget("day", DAY, 200), budget("tag", "team=a", None)],
        workers=[{"id": "w_1", "ended_at": None}],
        batches=[batch("b_1", "one submission")],
        tag_sets=[{"id": 7, "tags": '{"team": "a"}'}],
        job_tallies=[tally(state="succeeded", jobs=1), tally(state="held", jobs=1), tally(state="queued", jobs=0)],
        attempt_tallies=[
            tally(outcome="succeeded", charged_nano=70, possible_nano=0),
            tally(outcome="unknown", charged_nano=0, possible_nano=100),
        ],
        charge_tallies=[tally(meter="image_out", amount_nano=70)],
    )
    return ledger, [call("a0", 0), call("a1", 70, DIGEST), call("a2", 60)], images


def batch(one: str, fingerprint: str) -> dict[str, Any]:
    rules = {"max_attempts": 2, "retry_unknown": 0}
    return {"id": one, "state": "open", "jobs": 2, "fingerprint": fingerprint, "edition": 1, **rules}


def budget(scope: str, key: str, cap: int | None) -> dict[str, Any]:
    sums = {"confirmed_nano": 70, "possible_nano": 100, "reserved_nano": 0}
    return {"scope": scope, "key": key, "cap_nano": cap, **sums}


def tally(**figures: Any) -> dict[str, Any]:
    return {"batch_id": "b_1", **figures}


def job(row: int, state: str, attempts: int) -> dict[str, Any]:
    return {"batch_id": "b_1", "row": row, "state": state, "attempts": attempts, "tag_set": 7}


def attempt(
    one: str, row: int, outcome: str | None, number: int, charged: int | None = None, possible: int = 0
) -> dict[str, Any]:
    money = {"ceiling_nano": 100, "charged_nano": charged, "possible_nano": possible}
    known = None if outcome == "unknown" else f"req_{one}"
    admitted_at = NOON + number * 1_000
    times = {"admitted_at": admitted_at, "ended_at": admitted_at + 500 if outcome else None}
    who = {"id": one, "batch_id": "b_1", "row": row, "number": number, "worker_id": "w_1"}
    return {**who, "outcome": outcome, "request_id": known, **times, **money}


def call(one: str, amount: int, *digests: str) -> dict[str, Any]:
    images = [{"sha256": digest} for digest in digests]
    about = {"attempt_id": one, "request_id": f"req_{one}", "amount_nanodollars": amount}
    return {"kind": "call", "images": images, **about}


def pay_twice(story: Story) -> None:
    """The endpoint billed the first call of the job as well, and nobody allowed a second one."""
    story[0].attempts[0].update(outcome="unknown", possible_nano=100)
    story[1][0].update(amount_nanodollars=50)


def test_a_story_that_agrees_is_left_alone(story: Story) -> None:
    assert check(*story) == []


LIES: dict[str, tuple[Callable[[Story], object], str]] = {
    "a call nobody wrote down": (lambda s: s[1].append(call("a9", 0)), "never written down"),
    "a call made twice": (lambda s: s[1].append(call("a0", 0)), "called 2 times"),
    "an invented call": (lambda s: s[1].pop(1), "no call was made"),
    "a call that was not to be sent": (lambda s: s[0].attempts[0].update(outcome="not_sent"), "it is not_sent"),
    "another request's id": (lambda s: s[1][1].update(request_id="req_x"), "the journal req_x"),
    "a free call that was billed": (lambda s: s[1][0].update(amount_nanodollars=5), "billed 5, ledger 0 to 0"),
    "a doubt above its ceiling": (lambda s: s[1][2].update(amount_nanodollars=101), "billed 101"),
    "a job that is paid twice": (pay_twice, "billed 2 times, 1 are allowed"),
    "a call beside an open one": (lambda s: s[0].attempts[0].update(outcome=None), "a0, which is None"),
    "a call after the last word": (lambda s: s[0].attempts[0].update(outcome="refused"), "a0, which is refused"),
    "a charge that is missing": (lambda s: s[0].charges.clear(), "charges come to 0"),
    "a sum that drifted": (lambda s: s[0].budgets[0].update(reserved_nano=1), "reserved: kept 1, counted 0"),
    "a day's sum that drifted": (lambda s: s[0].budgets[1].update(confirmed_nano=1), f"{DAY}: confirmed: kept 1"),
    "a tag's sum that drifted": (lambda s: s[0].budgets[2].update(possible_nano=1), "team=a: possible: kept 1"),
    "another day's money": (lambda s: s[0].budgets[1].update(key="2026-11-21"), "kept 70, counted 0"),
    "a budget that is passed": (lambda s: s[0].budgets[0].update(cap_nano=169), "170 of 169 used"),
    "a result without a picture": (lambda s: s[0].images.clear(), "0 of 1 images"),
    "a file without a row": (lambda s: (s[2] / "stray.png").write_bytes(b"x"), "file stray.png has no row"),
    "a row without a file": (lambda s: (s[2] / NAME).unlink(), "has a row and no file"),
    "a file that changed": (lambda s: (s[2] / NAME).write_bytes(b"x"), "not what its row says"),
    "a picture nobody sent": (lambda s: s[1][1]["images"].clear(), "not what the endpoint sent"),
    "a state its attempts do not explain": (lambda s: s[0].jobs[1].update(state="succeeded"), "has the outcomes"),
    "a hold without a doubt": (lambda s: s[0].jobs[0].update(state="held"), "held without a doubt"),
    "a lost attempt": (lambda s: s[0].jobs[0].update(attempts=3), "counts 3 attempts, there are 2"),
    "too many attempts": (lambda s: s[0].batches[0].update(max_attempts=1), "used 2 attempts, 1 are allowed"),
    "a zombie that admits": (lambda s: s[0].workers[0].update(ended_at=NOON), "after the end of w_1"),
    "a worker nobody knows": (lambda s: s[0].workers.clear(), "admitted by nobody"),
    "a lost row": (lambda s: s[0].batches[0].update(jobs=3), "opened with 3 jobs and has 2"),
    "a submission counted twice": (lambda s: s[0].batches.append(batch("b_2", "one submission")), "I11: 2 batches"),
    "a tally of jobs that drifted": (lambda s: s[0].job_tallies[0].update(jobs=2), "kept 2, counted 1"),
    "a tally of money that drifted": (lambda s: s[0].attempt_tallies.pop(), "kept 0, counted 100"),
    "a tally of charges that drifted": (lambda s: s[0].charge_tallies.clear(), "kept 0, counted 70"),
    "work left over": (lambda s: s[0].jobs[1].update(state="queued"), "is still queued"),
}


def test_litter_in_the_spool_is_found(story: Story, tmp_path: Path) -> None:
    folder = tmp_path / "spool" / "w_1"
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    assert check(*story, spool=tmp_path / "spool") == []
    (folder / "a1-0.part").touch()
    assert check(*story, spool=tmp_path / "spool") == ["I6: w_1/a1-0.part is left in the spool"]


@pytest.mark.parametrize("lie", LIES)
def test_a_planted_lie_is_found(story: Story, lie: str) -> None:
    tell, words = LIES[lie]
    tell(story)
    assert any(words in found for found in check(*story)), check(*story)


@pytest.mark.parametrize("name", ["checker.py", "books.py"])
def test_the_checker_imports_no_product_code(name: str) -> None:
    tree = ast.parse((Path(__file__).parents[1] / name).read_text())
    froms = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {module.partition(".")[0] for module in froms | plain}.isdisjoint({"jobs", "worker", "migrations"})
