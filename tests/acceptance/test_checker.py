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
            attempt("a0", 1, "errored"),
            attempt("a1", 1, "succeeded", charged=70),
            attempt("a2", 2, "unknown", possible=100),
        ],
        images=[{"attempt_id": "a1", "path": NAME, "sha256": DIGEST, "bytes": len(PICTURE)}],
        charges=[{"amount_nano": 70}],
        budgets=[{"key": "b_1", "cap_nano": 200, "confirmed_nano": 70, "possible_nano": 100, "reserved_nano": 0}],
        workers=[],
        batches=[],
    )
    return ledger, [call("a0", 0), call("a1", 70, DIGEST), call("a2", 60)], images


def job(row: int, state: str, attempts: int) -> dict[str, Any]:
    return {"batch_id": "b_1", "row": row, "state": state, "attempts": attempts}


def attempt(one: str, row: int, outcome: str, charged: int | None = None, possible: int = 0) -> dict[str, Any]:
    money = {"ceiling_nano": 100, "charged_nano": charged, "possible_nano": possible}
    known = None if outcome == "unknown" else f"req_{one}"
    return {"id": one, "batch_id": "b_1", "row": row, "outcome": outcome, "request_id": known, **money}


def call(one: str, amount: int, *digests: str) -> dict[str, Any]:
    images = [{"sha256": digest} for digest in digests]
    about = {"attempt_id": one, "request_id": f"req_{one}", "amount_nanodollars": amount}
    return {"kind": "call", "images": images, **about}


def test_a_story_that_agrees_is_left_alone(story: Story) -> None:
    assert check(*story) == []


LIES: dict[str, tuple[Callable[[Story], object], str]] = {
    "a call nobody wrote down": (lambda s: s[1].append(call("a9", 0)), "never written down"),
    "a call made twice": (lambda s: s[1].append(call("a0", 0)), "called 2 times"),
    "an invented call": (lambda s: s[1].pop(1), "no call was made"),
    "another request's id": (lambda s: s[1][1].update(request_id="req_x"), "the journal req_x"),
    "a free call that was billed": (lambda s: s[1][0].update(amount_nanodollars=5), "billed 5, ledger 0 to 0"),
    "a doubt above its ceiling": (lambda s: s[1][2].update(amount_nanodollars=101), "billed 101"),
    "a charge that is missing": (lambda s: s[0].charges.clear(), "charges come to 0"),
    "a sum that drifted": (lambda s: s[0].budgets[0].update(reserved_nano=1), "reserved: kept 1, counted 0"),
    "a budget that is passed": (lambda s: s[0].budgets[0].update(cap_nano=169), "170 of 169 used"),
    "a result without a picture": (lambda s: s[0].images.clear(), "0 of 1 images"),
    "a file without a row": (lambda s: (s[2] / "stray.png").write_bytes(b"x"), "file stray.png has no row"),
    "a row without a file": (lambda s: (s[2] / NAME).unlink(), "has a row and no file"),
    "a file that changed": (lambda s: (s[2] / NAME).write_bytes(b"x"), "not what its row says"),
    "a picture nobody sent": (lambda s: s[1][1]["images"].clear(), "not what the endpoint sent"),
    "a state its attempts do not explain": (lambda s: s[0].jobs[1].update(state="succeeded"), "has the outcomes"),
    "a hold without a doubt": (lambda s: s[0].jobs[0].update(state="held"), "held without a doubt"),
    "a lost attempt": (lambda s: s[0].jobs[0].update(attempts=3), "counts 3 attempts, there are 2"),
    "work left over": (lambda s: s[0].jobs[1].update(state="queued"), "is still queued"),
}


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
