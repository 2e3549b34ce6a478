"""A result as the dialect tells it, to the byte; and what metadata mean."""

from dataclasses import replace
from typing import Any

import pytest

from jobs.api.openai import lines
from jobs.api.openai.wishes import is_images_as_urls, policy_of
from jobs.api.problems import Problem
from jobs.ledger.results import Result, ResultImage
from jobs.states import JobState

IMAGE = ResultImage("a_1", 0, "b_1/1_a-1_a_1_0.png", 4, None)
RESULT = Result(
    row=1,
    custom_id="a-1",
    state=JobState.SUCCEEDED,
    request={"prompt": "a fox"},
    error_kind=None,
    error_message=None,
    attempt_id="a_1",
    ended_at=1_700_000_001_999,
    http_status=200,
    request_id="req_7",
    usage={"total_tokens": 5},
    facts={"created": 1_700_000_000, "size": "1024x1024", "quality": "low", "background": None, "items": 1},
    images=(IMAGE,),
)
FAILED = replace(
    RESULT,
    state=JobState.FAILED,
    http_status=400,
    error_kind="invalid_value",
    error_message="no such size",
    images=(),
    usage=None,
    facts={},
)


def line(result: Result, *, as_urls: bool = False) -> str:
    """With an image of four bytes, `fox!`, where the store would be asked."""
    pieces = list(lines._line("b_1", result, as_urls=as_urls))
    told = b"".join(piece if isinstance(piece, bytes) else b"Zm94IQ==" for piece in pieces)
    assert lines.measured(iter(pieces)) == len(told)
    return told.decode()


def test_a_line_of_the_output_file() -> None:
    assert line(RESULT) == (
        '{"id":"batch_req_a_1","custom_id":"a-1","response":{"status_code":200,"request_id":"req_7","body":'
        '{"created":1700000000,"quality":"low","size":"1024x1024","data":[{"b64_json":"Zm94IQ=="}],'
        '"usage":{"total_tokens":5}}},"error":null}\n'
    )


def test_several_images_and_what_was_revised() -> None:
    two = replace(
        RESULT, images=(replace(IMAGE, revised_prompt='a "red" fox'), replace(IMAGE, index=1)), usage=None
    )
    data = '"data":[{"b64_json":"Zm94IQ==","revised_prompt":"a \\"red\\" fox"},{"b64_json":"Zm94IQ=="}]}}'
    assert data in line(two)


def test_an_image_by_its_address() -> None:
    assert '"data":[{"url":"/api/images/a_1/0"}]' in line(RESULT, as_urls=True)
    asked = replace(RESULT, request={"prompt": "a fox", "response_format": "url"})
    assert line(asked) == line(RESULT, as_urls=True)


def test_without_a_moment_of_the_endpoint_an_answer_was_created_when_it_ended() -> None:
    assert '"body":{"created":1700000001,"data":' in line(replace(RESULT, facts={}))


def test_a_line_of_the_error_file() -> None:
    assert line(FAILED) == (
        '{"id":"batch_req_a_1","custom_id":"a-1","response":{"status_code":400,"request_id":"req_7","body":'
        '{"error":{"message":"no such size","type":"invalid_request_error","param":null,"code":"invalid_value"}}},'
        '"error":null}\n'
    )


@pytest.mark.parametrize("status", [None, 200])
def test_a_call_without_an_error_of_the_endpoint_has_no_response(status: int | None) -> None:
    told = line(
        replace(FAILED, http_status=status, error_kind="no_image", error_message="0 of 1 images came whole")
    )
    assert told.endswith('"response":null,"error":{"code":"no_image","message":"0 of 1 images came whole"}}\n')


def test_a_job_that_was_never_called_is_named_by_its_row() -> None:
    told = line(replace(FAILED, state=JobState.CANCELLED, attempt_id=None))
    assert told.startswith(
        '{"id":"batch_req_b_1_1","custom_id":"a-1","response":null,"error":{"code":"batch_cancelled",'
    )


def test_a_doubt_says_that_it_may_have_been_paid_for() -> None:
    told = line(replace(FAILED, state=JobState.HELD, http_status=502))
    assert '"response":null,"error":{"code":"outcome_unknown",' in told
    assert "may have been paid for" in told


def test_metadata_are_tags_and_settings() -> None:
    policy = policy_of(
        {"shop": "north", "imagemill_budget_dollars": "5.5", "imagemill_retry_unknown": "2"}, "spring"
    )
    assert (policy.tags, policy.budget_nano, policy.retry_unknown) == ({"shop": "north"}, 5_500_000_000, 2)
    assert (policy.name, policy.again, policy.time_limit_s) == ("spring", False, 24 * 3600)
    assert policy_of(None, "spring").tags == {}


def test_images_come_as_base64_unless_addresses_are_asked_for() -> None:
    assert is_images_as_urls({"imagemill_images": "url"})
    assert not is_images_as_urls({"imagemill_images": "b64_json"})
    assert not is_images_as_urls(None)


@pytest.mark.parametrize(
    "wrong", [{"imagemill_images": "png"}, {"imagemill_max_attempts": "0"}, {"imagemill_": "x"}]
)
def test_a_setting_that_does_not_exist_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(Problem) as caught:
        policy_of(wrong, "spring")
    assert caught.value.more["param"] == f"metadata.{next(iter(wrong))}"
