"""Submit: a manifest file becomes a batch, whole or not at all; the same file again is the same batch."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from jobs import submit as module
from jobs.catalogue.prices import PriceBook
from jobs.errors import LedgerAway, ManifestError
from jobs.ledger import control, intake, schema
from jobs.ledger.engine import Ledger
from jobs.ledger.intake import NewJob
from jobs.manifest import ManifestOptions, Problem
from jobs.submit import Policy, Submission, submit
from tests.integration.ledgers import all_at_once, ask, batch_row, count, job_row, states

BOOK = PriceBook.load(None)


def manifest(path: Path, rows: int = 3, **fields: object) -> Path:
    lines = [
        {"custom_id": f"row-{row}", "prompt": f"a fox, number {row}", "model": "dall-e-2", "size": "256x256"}
        | fields
        for row in range(1, rows + 1)
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return manifest(tmp_path / "foxes.jsonl")


def submitted(ledger: Ledger, path: Path, policy: Policy = Policy(), **options: object) -> Submission:  # noqa: B008
    return submit(ledger, path, ManifestOptions(**options), policy, BOOK, who="ana")  # type: ignore[arg-type]


def batch_of(ledger: Ledger, path: Path, policy: Policy = Policy(), **options: object) -> str:  # noqa: B008
    found = submitted(ledger, path, policy, **options)
    assert found.batch_id is not None
    return found.batch_id


def test_a_good_manifest_is_an_open_batch_with_a_job_for_each_row(ledger: Ledger, path: Path) -> None:
    policy = Policy(10**9, max_attempts=7, retry_unknown=2, max_possible_nano=9, time_limit_s=60)
    found = submitted(ledger, path, policy)
    assert (found.jobs, found.duplicate) == (3, False)
    assert found.check is not None
    assert found.check.errors == 0
    batch = batch_row(ledger, found.batch_id or "")
    assert (batch.name, batch.state, batch.jobs) == ("foxes", "open", 3)
    assert (batch.max_attempts, batch.retry_unknown, batch.time_limit_s) == (7, 2, 60)
    assert batch.max_possible_nano == 9
    job = job_row(ledger, batch.id, 2)
    assert (job.custom_id, job.model, job.n) == ("row-2", "dall-e-2", 1)
    assert json.loads(job.request) == {"prompt": "a fox, number 2", "model": "dall-e-2", "size": "256x256"}
    assert job.ceiling_nano == 16_000_000


def test_the_worst_price_of_a_row_is_reserved_for_it(ledger: Ledger, path: Path) -> None:
    batch = batch_of(ledger, manifest(path, 3, n=4), Policy(budget_nano=130_000_000))
    assert len(ask(ledger, batch, 3).admitted) == 2


def test_a_manifest_with_a_bad_row_records_nothing(ledger: Ledger, path: Path) -> None:
    path.write_text(path.read_text() + '{"custom_id":"bad","prompt":"x","model":"dall-e-2","size":"77x77"}\n')
    problems: list[Problem] = []
    found = submit(ledger, path, ManifestOptions(), Policy(), BOOK, who="ana", on_problem=problems.append)
    assert (found.batch_id, found.jobs) == (None, 0)
    wrong = [(problem.line, problem.field) for problem in problems if problem.severity == "error"]
    assert wrong == [(4, "size")]
    assert count(ledger, schema.batches) == count(ledger, schema.jobs) == 0


def test_bad_rows_are_left_out_only_on_request(ledger: Ledger, path: Path) -> None:
    path.write_text(path.read_text() + '{"custom_id":"bad","prompt":"x","model":"dall-e-2","size":"77x77"}\n')
    found = submitted(ledger, path, Policy(skip_invalid=True))
    assert found.jobs == 3
    assert states(ledger, found.batch_id or "") == {"queued": 3}


def test_a_manifest_without_rows_records_nothing(ledger: Ledger, path: Path) -> None:
    path.write_text("\n\n")
    with pytest.raises(ManifestError):
        submitted(ledger, path)
    assert count(ledger, schema.batches) == 0


def test_a_manifest_of_bad_rows_only_records_nothing_even_when_they_may_be_left_out(
    ledger: Ledger, path: Path
) -> None:
    manifest(path, 2, size="77x77")
    assert submitted(ledger, path, Policy(skip_invalid=True)).batch_id is None
    assert count(ledger, schema.batches) == 0


def test_a_file_that_cannot_be_read_records_nothing(ledger: Ledger, path: Path) -> None:
    path.write_bytes(b"\xff\xfe{}\n")
    with pytest.raises(ManifestError):
        submitted(ledger, path)
    assert count(ledger, schema.batches) == 0


def test_a_row_without_a_price_is_refused_unless_a_ceiling_is_stated(ledger: Ledger, path: Path) -> None:
    manifest(path, 2, model="some-gateways-own-model", size="auto")
    assert submitted(ledger, path).batch_id is None
    batch = batch_of(ledger, path, Policy(ceiling_nano=5_000_000))
    assert job_row(ledger, batch, 1).ceiling_nano == 5_000_000


def test_the_same_file_again_is_the_same_batch(ledger: Ledger, path: Path) -> None:
    first = submitted(ledger, path)
    again = submitted(ledger, path)
    assert again == Submission(first.batch_id, 3, True, None)
    assert count(ledger, schema.jobs) == 3


def test_more_money_and_other_retries_do_not_make_another_batch(ledger: Ledger, path: Path) -> None:
    first = batch_of(ledger, path, Policy(budget_nano=1))
    assert batch_of(ledger, path, Policy(10**9, max_attempts=1, retry_unknown=3, max_possible_nano=1)) == first


def test_a_batch_that_has_ended_is_still_the_same_batch(ledger: Ledger, path: Path) -> None:
    first = batch_of(ledger, path)
    ledger.write(control.cancel, first)
    assert submitted(ledger, path).duplicate


@pytest.mark.parametrize(
    "changed", [{"tags": {"season": "winter"}}, {"ceiling_nano": 9 * 10**9}, {"skip_invalid": True}]
)
def test_what_a_job_is_marked_with_makes_another_batch(
    ledger: Ledger, path: Path, changed: dict[str, object]
) -> None:
    assert batch_of(ledger, path) != batch_of(ledger, path, Policy(**changed))  # type: ignore[arg-type]


def test_the_same_file_read_otherwise_is_another_batch(ledger: Ledger, path: Path) -> None:
    first = batch_of(ledger, path)
    assert batch_of(ledger, path, limit=2) != first
    assert batch_of(ledger, path, defaults={"n": 2}) != first


def test_another_file_is_another_batch(ledger: Ledger, path: Path) -> None:
    first = batch_of(ledger, path)
    path.write_text(path.read_text().replace("number 3", "number 4"))
    assert batch_of(ledger, path) != first


def test_again_makes_a_batch_of_its_own_each_time(ledger: Ledger, path: Path) -> None:
    batches = [batch_of(ledger, path, replace(Policy(), again=again)) for again in (False, True, True)]
    assert len(set(batches)) == 3
    assert [batch_row(ledger, batch).edition for batch in batches] == [1, 2, 3]
    assert submitted(ledger, path).batch_id == batches[-1]


def test_the_same_file_submitted_twice_at_once_is_one_batch(ledger: Ledger, path: Path) -> None:
    manifest(path, 200)
    found = all_at_once([lambda: submitted(ledger, path) for _ in range(4)])
    assert len({one.batch_id for one in found}) == 1
    assert sorted(one.duplicate for one in found) == [False, True, True, True]
    assert {one.jobs for one in found} == {200}
    assert count(ledger, schema.batches) == 1
    assert count(ledger, schema.jobs) == 200


def test_a_manifest_of_many_pieces_is_staged_whole(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PIECE_ROWS", 7)
    batch = batch_of(ledger, manifest(path, 50))
    with ledger.read() as tx:
        rows = tx.execute(select(schema.jobs.c.row).where(schema.jobs.c.batch_id == batch)).scalars().all()
    assert sorted(rows) == list(range(1, 51))


def test_long_requests_make_short_pieces_so_that_memory_does_not_grow_with_them(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PIECE_CHARS", 10_000)
    stage, pieces = intake.stage_jobs, list[int]()

    def counted(tx: Connection, batch_id: str, rows: Sequence[NewJob]) -> None:
        pieces.append(len(rows))
        stage(tx, batch_id, rows)

    monkeypatch.setattr(intake, "stage_jobs", counted)
    assert submitted(ledger, manifest(path, 7, prompt="x" * 900, user="y" * 4_500)).jobs == 7
    assert pieces == [2, 2, 2, 1]


def test_a_submission_that_fails_half_way_leaves_nothing_and_tells_its_own_error(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PIECE_ROWS", 2)
    stage = intake.stage_jobs
    pieces = iter([stage])

    def fail_on_the_second(*args: object) -> None:
        next(pieces, _away)(*args)  # type: ignore[operator]

    monkeypatch.setattr(intake, "stage_jobs", fail_on_the_second)
    with pytest.raises(LedgerAway, match="gone"):
        submitted(ledger, path)
    assert count(ledger, schema.batches) == count(ledger, schema.jobs) == 0


def _away(*_: object) -> None:
    raise LedgerAway("gone")


def test_a_ledger_that_goes_away_for_good_does_not_hide_the_first_error(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "stage_jobs", _away)
    monkeypatch.setattr(intake, "discard_batch", lambda *_: _away_too())
    with pytest.raises(LedgerAway, match="gone"):
        submitted(ledger, path)
    assert ask(ledger, "b_nothing").admitted == []
    with ledger.read() as tx:
        assert tx.execute(select(schema.batches.c.state)).scalars().all() == ["loading"]


def _away_too() -> None:
    raise LedgerAway("and again")


def test_tags_of_the_batch_give_way_to_those_of_a_row(ledger: Ledger, path: Path) -> None:
    path.write_text(
        '{"custom_id":"a","prompt":"x","model":"dall-e-2","size":"256x256","tags":{"season":"spring"}}\n'
    )
    batch = batch_of(ledger, path, Policy(tags={"season": "winter", "client": "acme"}))
    with ledger.read() as tx:
        tags = tx.execute(select(schema.tag_sets.c.tags)).scalar_one()
    assert json.loads(tags) == {"client": "acme", "season": "spring"}
    assert job_row(ledger, batch).tag_set
