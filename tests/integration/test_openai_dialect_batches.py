"""/v1/batches through the official SDK: made, worked off, told, downloaded; and never paid twice."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai.types import Batch
from sqlalchemy import select, update

from jobs.api.openai import collecting
from jobs.api.service import Service
from jobs.ledger import control
from jobs.ledger.engine import Ledger
from jobs.ledger.schema import batches
from tests.integration.dialects import DAY_S, ENDPOINT, Dialect, LosesAnswers, batch_lines, dialect_over, error_of
from tests.integration.mills import QUICK, until
from worker.simulator import Simulator, start_in_thread


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with start_in_thread(QUICK) as running:
        yield running


@pytest.fixture
def dialect(sqlite_ledger: Ledger, simulator: Simulator, tmp_path: Path) -> Iterator[Dialect]:
    with dialect_over(sqlite_ledger, simulator, tmp_path) as made:
        yield made


def batch_rows(ledger: Ledger) -> list[str]:
    with ledger.read() as tx:
        return list(tx.execute(select(batches.c.id)).scalars())


def ours(batch: Batch) -> dict[str, Any]:
    """What stands beside the fields of the dialect."""
    told = batch.to_dict()["imagemill"]
    assert isinstance(told, dict)
    return told


def test_a_batch_goes_from_file_to_images(dialect: Dialect) -> None:
    made = dialect.create("a fox", "a hen")
    assert (made.status, made.errors, made.output_file_id) == ("in_progress", None, None)
    assert made.request_counts is not None
    assert (made.request_counts.total, made.request_counts.completed) == (2, 0)
    assert dialect.api.woken == [(made.id, 2)]

    done = dialect.run(made)
    assert (done.status, done.error_file_id) == ("completed", None)
    assert done.request_counts is not None
    assert (done.request_counts.completed, done.request_counts.failed) == (2, 0)
    lines = dialect.lines(done.output_file_id)
    assert [line["custom_id"] for line in lines] == ["row-1", "row-2"]
    stored = {hashlib.sha256(path.read_bytes()).hexdigest() for path in dialect.mill.images()}
    sent = [base64.b64decode(line["response"]["body"]["data"][0]["b64_json"]) for line in lines]
    assert {hashlib.sha256(image).hexdigest() for image in sent} == stored


def test_an_output_line_is_the_endpoints_answer_in_the_dialects_frame(dialect: Dialect) -> None:
    done = dialect.run(dialect.create("a fox"))
    assert done.output_file_id is not None
    raw = dialect.client.files.content(done.output_file_id).content
    (line,) = dialect.lines(done.output_file_id)
    assert raw == json.dumps(line, separators=(",", ":")).encode() + b"\n"
    assert list(line) == ["id", "custom_id", "response", "error"]
    assert line["id"].startswith("batch_req_")
    assert list(line["response"]) == ["status_code", "request_id", "body"]
    answer = openai.types.ImagesResponse.model_validate(line["response"]["body"])
    assert answer.usage is not None
    assert (answer.size, answer.quality, answer.usage.output_tokens) == ("1024x1024", "low", 272)
    call = dialect.mill.simulator.calls()[-1]
    assert line["response"]["request_id"] == call["request_id"]


def test_the_size_of_an_output_file_is_that_of_its_bytes(dialect: Dialect) -> None:
    done = dialect.run(dialect.create("a fox", "a hen [[sim: refuse]]", "a cow"))
    for file_id in (done.output_file_id, done.error_file_id):
        assert file_id is not None
        file = dialect.client.files.retrieve(file_id)
        assert file.purpose == "batch_output"
        assert file.bytes == len(dialect.client.files.content(file_id).content)


def test_usage_is_that_of_all_lines(dialect: Dialect) -> None:
    done = dialect.run(dialect.create("a fox", "a hen"))
    bodies = [line["response"]["body"]["usage"] for line in dialect.lines(done.output_file_id)]
    assert done.usage is not None
    assert done.usage.total_tokens == sum(usage["total_tokens"] for usage in bodies)
    assert done.usage.output_tokens == sum(usage["output_tokens"] for usage in bodies)


def test_a_failed_line_carries_the_endpoints_status_and_error(dialect: Dialect) -> None:
    done = dialect.run(dialect.create("a fox [[sim: refuse]]", "a hen [[sim: 400]]", "a cow"))
    assert done.status == "completed"
    assert done.request_counts is not None
    assert (done.request_counts.completed, done.request_counts.failed) == (1, 2)
    refused, wrong = dialect.lines(done.error_file_id)
    assert refused["error"] is None
    assert refused["response"]["status_code"] == 400
    assert refused["response"]["body"]["error"]["code"] == "moderation_blocked"
    assert wrong["response"]["body"]["error"]["code"] == "invalid_value"
    assert set(wrong["response"]["body"]["error"]) == {"message", "type", "param", "code"}


def test_a_call_in_doubt_is_told_as_one_and_its_money_as_possible(dialect: Dialect) -> None:
    done = dialect.run(dialect.create("a fox [[sim: close]]"))
    assert (done.status, done.output_file_id) == ("completed", None)
    (line,) = dialect.lines(done.error_file_id)
    assert (line["response"], line["error"]["code"]) == (None, "outcome_unknown")
    assert "may have been paid for" in line["error"]["message"]
    assert ours(done)["possible_nanodollars"] > 0
    assert ours(done)["jobs"]["held"] == 1


def test_an_invalid_file_is_a_failed_batch_with_line_numbers(dialect: Dialect) -> None:
    file = dialect.upload(batch_lines("a fox") + "{broken\n" + batch_lines("a hen"))
    failed = dialect.create_of(file)
    assert (failed.status, failed.failed_at) == ("failed", failed.created_at)
    assert failed.errors is not None and failed.errors.data is not None
    assert [(error.line, error.code) for error in failed.errors.data] == [(2, "bad_json"), (3, "duplicate_id")]
    assert batch_rows(dialect.api.ledger) == []
    assert dialect.client.batches.retrieve(failed.id).status == "failed"


def test_a_file_that_is_no_manifest_is_a_failed_batch(dialect: Dialect) -> None:
    failed = dialect.create_of(dialect.upload(b"PK\x03\x04 a zip"))
    assert failed.errors is not None and failed.errors.data is not None
    assert [error.code for error in failed.errors.data] == ["manifest_unreadable"]


def test_the_same_file_with_the_same_metadata_is_the_same_batch(dialect: Dialect) -> None:
    file = dialect.upload(batch_lines("a fox"))
    first = dialect.create_of(file, metadata={"shop": "north"})
    second = dialect.create_of(file, metadata={"shop": "north"})
    assert second.id == first.id
    assert [ours(batch)["duplicate_of_earlier_submit"] for batch in (first, second)] == [False, True]
    again = dialect.upload(batch_lines("a fox"))
    assert dialect.create_of(again, metadata={"shop": "north"}).id == first.id
    assert dialect.create_of(again, metadata={"shop": "south"}).id != first.id


def test_a_creation_whose_answer_was_lost_is_repeated_by_the_sdk_without_a_second_batch(dialect: Dialect) -> None:
    file = dialect.upload(batch_lines("a fox"))
    network = LosesAnswers(1)
    with dialect.over(network) as client:
        made = client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
    assert [request.headers["x-stainless-retry-count"] for request in network.sent] == ["0", "1"]
    assert [request.headers.get("idempotency-key") for request in network.sent] == [None, None]
    assert batch_rows(dialect.api.ledger) == [made.id]


def test_an_idempotency_key_makes_the_same_batch_and_refuses_another_request(dialect: Dialect) -> None:
    file = dialect.upload(batch_lines("a fox"))
    key = {"Idempotency-Key": "k-1"}
    first = dialect.create_of(file, extra_headers=key)
    assert dialect.create_of(file, extra_headers=key).id == first.id
    with pytest.raises(openai.ConflictError) as caught:
        dialect.create_of(file, extra_headers=key, metadata={"another": "one"})
    assert (caught.value.code, caught.value.response.headers["x-should-retry"]) == ("key_reused", "false")


def test_metadata_are_tags_and_come_back(dialect: Dialect) -> None:
    made = dialect.create("a fox", metadata={"shop": "north", "imagemill_budget_dollars": "5"})
    assert made.metadata == {"shop": "north", "imagemill_budget_dollars": "5"}
    (row,) = dialect.api.get(f"/api/batches/{made.id}/jobs").json()["jobs"]
    assert row["tags"] == {"shop": "north"}
    assert dialect.api.get(f"/api/batches/{made.id}").json()["budget_nanodollars"] == 5 * 10**9


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        ({"imagemill_budget_dollars": "much"}, "metadata.imagemill_budget_dollars"),
        ({"imagemill_bugdet_dollars": "5"}, "metadata.imagemill_bugdet_dollars"),
        ({"k" * 65: "v"}, None),
        ({"k": "v" * 513}, "metadata.k"),
        ({f"k{number}": "v" for number in range(17)}, "metadata"),
    ],
)
def test_metadata_that_mean_nothing_are_refused_by_name(
    dialect: Dialect, metadata: dict[str, str], param: str | None
) -> None:
    file = dialect.upload(batch_lines("a fox"))
    with pytest.raises(openai.BadRequestError) as caught:
        dialect.create_of(file, metadata=metadata)
    assert param is None or caught.value.param == param
    assert batch_rows(dialect.api.ledger) == []


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/chat/completions"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 10}}, "output_expires_after.seconds"),
        ({"model": "x"}, "model"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(dialect: Dialect, change: dict[str, object], param: str) -> None:
    file = dialect.upload(batch_lines("a fox"))
    body = {"input_file_id": file.id, "endpoint": ENDPOINT, "completion_window": "24h"}
    with pytest.raises(openai.BadRequestError) as caught:
        dialect.client.post("/batches", body=body | change, cast_to=object)
    assert caught.value.param == param


def test_a_file_that_is_not_there_is_not_found(dialect: Dialect) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        dialect.client.batches.create(input_file_id="file-x", endpoint=ENDPOINT, completion_window="24h")
    assert error_of(caught.value)["code"] == "file_not_found"


def test_a_full_budget_keeps_a_batch_in_progress_and_says_so(dialect: Dialect) -> None:
    made = dialect.run(dialect.create("a fox", metadata={"imagemill_budget_dollars": "0.001"}))
    assert made.status == "in_progress"
    assert (ours(made)["state"], ours(made)["waiting_for"]) == ("paused", "paused: budget")
    assert dialect.mill.images() == []


def test_cancelling_drops_what_is_queued_and_tells_each_line(dialect: Dialect) -> None:
    made = dialect.create("a fox", "a hen")
    cancelled = dialect.client.batches.cancel(made.id)
    assert cancelled.status == "cancelled"
    assert cancelled.cancelling_at is not None and cancelled.cancelled_at is not None
    lines = dialect.lines(cancelled.error_file_id)
    assert [(line["custom_id"], line["response"], line["error"]["code"]) for line in lines] == [
        ("row-1", None, "batch_cancelled"),
        ("row-2", None, "batch_cancelled"),
    ]
    assert dialect.client.batches.cancel(made.id).status == "cancelled"


def test_a_batch_that_has_ended_is_not_cancelled(dialect: Dialect) -> None:
    done = dialect.run(dialect.create("a fox"))
    with pytest.raises(openai.ConflictError):
        dialect.client.batches.cancel(done.id)


def test_a_batch_that_is_retried_is_in_progress_again_and_then_has_new_files(dialect: Dialect) -> None:
    done = dialect.run(dialect.create("a fox [[sim: close x1]]"))
    assert done.error_file_id is not None
    assert dialect.api.post(f"/api/batches/{done.id}/retry", json={"states": ["held"]}).json()["jobs"] == 1
    again = dialect.client.batches.retrieve(done.id)
    assert (again.status, again.output_file_id, again.error_file_id) == ("in_progress", None, None)
    ended = dialect.run(again)
    assert (ended.status, ended.error_file_id) == ("completed", None)
    assert len(dialect.lines(ended.output_file_id)) == 1


def test_batches_are_listed_by_the_page_the_newest_first(dialect: Dialect) -> None:
    made = [dialect.create(f"fox {number}").id for number in range(3)]
    first = dialect.client.batches.list(limit=1)
    assert ([batch.id for batch in first.data], first.has_more) == ([made[-1]], True)
    assert [batch.id for batch in dialect.client.batches.list(limit=1)] == made[::-1]
    assert [batch.id for batch in dialect.client.batches.list()] == made[::-1]


def test_the_window_is_how_long_a_job_may_try(dialect: Dialect) -> None:
    made = dialect.create("a fox")
    assert made.expires_at == made.created_at + DAY_S
    with dialect.api.ledger.read() as tx:
        assert tx.execute(select(batches.c.time_limit_s)).scalar_one() == DAY_S


def test_nothing_expires_when_the_window_has_passed(dialect: Dialect) -> None:
    made = dialect.create("a fox")
    dialect.api.ledger.write(control.pause, made.id, "operator")
    dialect.api.ledger.write(lambda tx: tx.execute(update(batches).values(created_at=0, opened_at=0)))
    assert dialect.client.batches.retrieve(made.id).status == "in_progress"
    dialect.api.ledger.write(control.resume, made.id)
    assert dialect.run(made).status == "completed"


def test_images_may_come_as_addresses(dialect: Dialect) -> None:
    done = dialect.run(dialect.create("a fox", metadata={"imagemill_images": "url"}))
    (line,) = dialect.lines(done.output_file_id)
    (image,) = line["response"]["body"]["data"]
    (path,) = dialect.mill.images()
    assert dialect.api.get(image["url"]).content == path.read_bytes()
    assert done.output_file_id is not None
    whole = dialect.client.files.content(done.output_file_id, extra_query={"images": "b64_json"})
    assert base64.b64decode(json.loads(whole.text)["response"]["body"]["data"][0]["b64_json"]) == path.read_bytes()


def test_an_image_that_is_gone_cuts_the_answer_and_is_not_passed_over(dialect: Dialect) -> None:
    done = dialect.run(dialect.create("a fox"))
    dialect.mill.images()[0].unlink()
    assert done.output_file_id is not None
    content = dialect.client.files.with_streaming_response.content(done.output_file_id)
    with content as answer, pytest.raises(httpx2.RemoteProtocolError):
        answer.read()


def test_a_batch_submitted_by_command_is_found_when_its_file_is_sent(dialect: Dialect) -> None:
    by_command = dialect.mill.submit("a fox")
    file = dialect.upload(next(dialect.mill.folder.glob("manifest-*")).read_bytes())
    assert dialect.create_of(file).id == by_command
    assert [batch.id for batch in dialect.client.batches.list()] == [by_command]


def test_creations_at_once_are_one_batch(dialect: Dialect) -> None:
    file = dialect.upload(batch_lines("a fox"))
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: dialect.create_of(file), range(4)))
    assert {batch.id for batch in made} == set(batch_rows(dialect.api.ledger))
    assert len(batch_rows(dialect.api.ledger)) == 1


def test_what_an_endpoint_revised_and_how_it_answered_comes_back(dialect: Dialect) -> None:
    line = {"model": "dall-e-3", "size": "1024x1024", "quality": "standard", "response_format": "b64_json"}
    done = dialect.run(dialect.create_of(dialect.upload(batch_lines("a fox", **line))))
    (told,) = dialect.lines(done.output_file_id)
    body = told["response"]["body"]
    (image,) = body["data"]
    assert list(image) == ["b64_json", "revised_prompt"]
    assert "usage" not in body
    assert done.usage is None
    assert done.output_file_id is not None
    raw = dialect.client.files.content(done.output_file_id).content
    assert dialect.client.files.retrieve(done.output_file_id).bytes == len(raw)


def test_other_manifests_are_taken_as_well(dialect: Dialect) -> None:
    csv = "id,prompt,model,quality,size\na-1,a fox,gpt-image-1,low,1024x1024\n"
    done = dialect.run(dialect.create_of(dialect.upload(csv, name="prompts.csv")))
    assert [line["custom_id"] for line in dialect.lines(done.output_file_id)] == ["a-1"]


def test_output_files_that_take_long_to_measure_are_not_waited_for(
    dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dialect.create("a fox")
    dialect.mill.run(made.id)
    go_on = threading.Event()
    measure = collecting.collect

    def slowly(service: Service, batch_id: str) -> None:
        assert go_on.wait(30)
        measure(service, batch_id)

    monkeypatch.setattr(collecting, "PATIENCE_S", 0.05)
    monkeypatch.setattr(collecting, "collect", slowly)
    early = dialect.client.batches.retrieve(made.id)
    assert (early.status, early.output_file_id) == ("finalizing", None)
    assert early.finalizing_at is not None and early.completed_at is None
    go_on.set()
    until(lambda: dialect.client.batches.retrieve(made.id).status == "completed")
