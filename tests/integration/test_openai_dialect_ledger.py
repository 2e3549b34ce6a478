"""The rows of the dialect on both engines: files, how batches were asked for, which request a repeat belongs to."""

import pytest

from jobs.ledger import control, dialect, files
from jobs.ledger.dialect import Asked
from jobs.ledger.engine import Ledger
from jobs.ledger.files import BATCH, BATCH_OUTPUT, File
from jobs.ledger.results import Result, read_results
from jobs.ledger.schema import openai_batches, openai_requests
from jobs.states import JobState
from tests.integration.commands import fill
from tests.integration.ledgers import admit_one, book, change, new_job, open_batch, succeeded, unknown

SHA = "5" * 64


def add_file(ledger: Ledger, file_id: str, lives_s: int | None = None) -> File:
    return ledger.write(files.add, file_id, BATCH, "prompts.jsonl", 3, SHA, lives_s)


def find_file(ledger: Ledger, file_id: str) -> File | None:
    with ledger.read() as tx:
        return files.find(tx, file_id)


def expire(ledger: Ledger, file_id: str) -> None:
    file = find_file(ledger, file_id)
    assert file is not None
    ledger.write(files.replace, File(file.id, file.purpose, file.name, file.bytes, 1, 2))


def asked(ledger: Ledger, batch_id: str, **more: str) -> None:
    ledger.write(dialect.add_batch, Asked(batch_id, "file-in", more or None))


def take_up(ledger: Ledger, caller: str = "shop", sha256: str = SHA) -> str | None:
    return ledger.write(dialect.take_up, caller, sha256, 3600)


def request(ledger: Ledger, batch_id: str, caller: str = "shop") -> None:
    fill(ledger, id=batch_id)
    ledger.write(dialect.add_request, batch_id, caller, SHA)


def test_a_file_is_there_until_it_is_removed_once(ledger: Ledger) -> None:
    made = add_file(ledger, "file-1")
    assert find_file(ledger, "file-1") == made
    assert ledger.write(files.remove, "file-1") is True
    assert ledger.write(files.remove, "file-1") is False
    assert find_file(ledger, "file-1") is None


def test_a_file_that_expired_is_as_good_as_deleted(ledger: Ledger) -> None:
    add_file(ledger, "file-1", lives_s=3600)
    add_file(ledger, "file-2")
    expire(ledger, "file-1")
    assert find_file(ledger, "file-1") is None
    with ledger.read() as tx:
        assert [one.id for one in files.list_files(tx, None, 10, None, newest_first=True)] == ["file-2"]
        assert files.live_among(tx, ["file-1", "file-2", "file-3"]) == {"file-2"}


@pytest.mark.parametrize("newest_first", [True, False])
def test_files_of_one_moment_are_paged_without_a_gap(ledger: Ledger, newest_first: bool) -> None:
    for number in range(5):
        ledger.write(files.replace, File(f"file-{number}", BATCH, "x", 1, created_at=7))
    seen: list[str] = []
    last: File | None = None
    while True:
        with ledger.read() as tx:
            found = files.list_files(tx, BATCH, 2, last, newest_first=newest_first)
        if not found:
            break
        seen += [file.id for file in found]
        last = found[-1]
    assert seen == sorted((f"file-{number}" for number in range(5)), reverse=newest_first)


def test_how_a_batch_was_asked_for_first_is_what_counts(ledger: Ledger) -> None:
    fill(ledger, id="b_A")
    asked(ledger, "b_A", shop="north")
    asked(ledger, "b_A", shop="south")
    with ledger.read() as tx:
        known = dialect.find_batch(tx, "b_A")
    assert known is not None
    assert known.asked == Asked("b_A", "file-in", {"shop": "north"})


def test_a_batch_has_no_outputs_before_it_has_ended(ledger: Ledger) -> None:
    fill(ledger, id="b_A")
    asked(ledger, "b_A")
    with ledger.read() as tx:
        assert dialect.uncollected(tx, 10) == []
    ledger.write(control.cancel, "b_A")
    with ledger.read() as tx:
        assert dialect.uncollected(tx, 10) == ["b_A"]


def test_outputs_are_of_the_end_that_was_looked_at(ledger: Ledger) -> None:
    fill(ledger, id="b_A")
    asked(ledger, "b_A")
    ledger.write(control.cancel, "b_A")
    with ledger.read() as tx:
        known = dialect.find_batch(tx, "b_A")
    assert known is not None and known.ended_at is not None
    error = File(dialect.output_id("b_A", "error"), BATCH_OUTPUT, "errors", 9, known.ended_at)
    assert ledger.write(dialect.collect, "b_A", known.ended_at - 1, None, error) is False
    assert find_file(ledger, error.id) is None
    assert ledger.write(dialect.collect, "b_A", known.ended_at, None, error) is True
    with ledger.read() as tx:
        collected = dialect.find_batch(tx, "b_A")
        assert dialect.uncollected(tx, 10) == []
        assert dialect.batch_of_output(tx, error.id) == collected
        assert dialect.batch_of_output(tx, "file-b_A-output") is None
    assert collected is not None
    assert (collected.is_collected, collected.error_file_id, collected.output_file_id) == (True, error.id, None)


def test_outputs_of_a_second_end_take_the_place_of_those_deleted(ledger: Ledger) -> None:
    fill(ledger, id="b_A")
    asked(ledger, "b_A")
    ledger.write(control.cancel, "b_A")
    with ledger.read() as tx:
        known = dialect.find_batch(tx, "b_A")
    assert known is not None and known.ended_at is not None
    error = File(dialect.output_id("b_A", "error"), BATCH_OUTPUT, "errors", 9, known.ended_at)
    ledger.write(dialect.collect, "b_A", known.ended_at, None, error)
    ledger.write(files.remove, error.id)
    ledger.write(dialect.collect, "b_A", known.ended_at, None, error)
    assert find_file(ledger, error.id) == error


def test_a_repeat_gets_the_request_whose_answer_did_not_go_out(ledger: Ledger) -> None:
    request(ledger, "b_A")
    assert take_up(ledger) == "b_A"
    assert take_up(ledger, caller="other") is None
    assert take_up(ledger, sha256="6" * 64) is None


def test_repeats_of_requests_side_by_side_each_get_their_own(ledger: Ledger) -> None:
    for batch_id in ("b_A", "b_B"):
        request(ledger, batch_id)
    assert {take_up(ledger), take_up(ledger)} == {"b_A", "b_B"}
    assert {take_up(ledger), take_up(ledger)} == {"b_A", "b_B"}


def test_an_answer_that_went_out_just_now_may_have_been_lost_but_not_an_older_one(ledger: Ledger) -> None:
    request(ledger, "b_A")
    ledger.write(dialect.answered, "b_A")
    assert take_up(ledger) == "b_A"
    change(ledger, openai_requests, answered_at=openai_requests.c.answered_at - 61_000)
    assert take_up(ledger) is None


def test_a_request_of_long_ago_is_not_taken_up(ledger: Ledger) -> None:
    request(ledger, "b_A")
    change(ledger, openai_requests, created_at=openai_requests.c.created_at - 3_601_000)
    assert take_up(ledger) is None


def test_batches_of_one_moment_are_paged_without_a_gap(ledger: Ledger) -> None:
    ids = [f"b_{number}" for number in range(4)]
    for batch_id in ids:
        asked(ledger, batch_id)
    change(ledger, openai_batches, created_at=7)
    seen: list[str] = []
    last = None
    while True:
        with ledger.read() as tx:
            found = dialect.list_batches(tx, 1, last)
        if not found:
            break
        seen += [known.asked.id for known in found]
        last = found[-1]
    assert seen == ids[::-1]


def results(ledger: Ledger, batch_id: str, *states: JobState, after: int = 0, most: int = 100) -> list[Result]:
    with ledger.read() as tx:
        return read_results(tx, batch_id, states or tuple(JobState), after, most)


def test_each_job_is_told_with_the_attempt_that_decided_it(ledger: Ledger) -> None:
    batch_id = fill(ledger)
    told = results(ledger, batch_id)
    assert [(one.row, one.state.value, one.http_status, one.error_kind, len(one.images)) for one in told] == [
        (1, "succeeded", 200, None, 1),
        (2, "succeeded", 200, None, 1),
        (3, "failed", 200, "empty", 0),
        (4, "refused", 400, "moderation_blocked", 0),
        (5, "failed", 400, "invalid_value", 0),
        (6, "held", None, "read_timeout", 0),
        (7, "queued", 429, "rate_limit_exceeded", 0),
    ]
    assert told[0].request_id == "req_1"
    assert told[0].usage == {"total_tokens": 1}


def test_results_are_read_in_pieces_of_the_states_asked_for(ledger: Ledger) -> None:
    batch_id = fill(ledger)
    assert [one.row for one in results(ledger, batch_id, JobState.FAILED, JobState.HELD, most=2)] == [3, 5]
    assert [one.row for one in results(ledger, batch_id, JobState.FAILED, JobState.HELD, after=5)] == [6]
    assert results(ledger, batch_id, JobState.CANCELLED) == []


def test_an_image_that_was_paid_a_second_time_is_no_part_of_the_result(ledger: Ledger) -> None:
    batch_id = open_batch(ledger, [new_job(1)])
    first = admit_one(ledger, batch_id).attempt_id
    book(ledger, unknown(first))
    ledger.write(control.retry, batch_id, [JobState.HELD])
    second = admit_one(ledger, batch_id).attempt_id
    book(ledger, succeeded(second))
    book(ledger, succeeded(first))
    (told,) = results(ledger, batch_id)
    assert (told.attempt_id, [image.attempt_id for image in told.images]) == (second, [second])


def test_a_late_answer_is_the_result_of_the_job_that_it_decided(ledger: Ledger) -> None:
    batch_id = open_batch(ledger, [new_job(1)])
    late = admit_one(ledger, batch_id).attempt_id
    book(ledger, unknown(late))
    book(ledger, succeeded(late))
    (told,) = results(ledger, batch_id)
    assert (told.state, told.attempt_id, len(told.images)) == (JobState.SUCCEEDED, late, 1)
