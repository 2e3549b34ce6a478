"""What becomes of a paid answer by what became of its images."""

import pytest

from jobs.states import Outcome
from worker.answer import Decoded, Item
from worker.calls import Call
from worker.images import Picture
from worker.parts import Broken, Part
from worker.reply import Head, answer_of_failure, answer_of_images, error_in, weigh

WHOLE = Part("a1-0.part", "00", 5, Picture("png", 1, 1))
CUT = Broken("image_cut", "the png ends before its end mark")
CALL = Call("a1", "k1", b"{}", "gpt-image-2", 2, stream=False)


@pytest.mark.parametrize(
    ("received", "asked", "outcome", "kind"),
    [
        ([WHOLE], 1, Outcome.SUCCEEDED, None),
        ([WHOLE, WHOLE, CUT], 2, Outcome.SUCCEEDED, None),
        ([WHOLE, CUT], 2, Outcome.IMAGE_LOST, "image_cut"),
        ([WHOLE], 2, Outcome.IMAGE_LOST, "images_missing"),
        ([WHOLE, None], 2, Outcome.IMAGE_LOST, "images_missing"),
        ([None], 1, Outcome.IMAGE_LOST, "no_image"),
        ([], 1, Outcome.IMAGE_LOST, "no_image"),
    ],
)
def test_all_images_asked_for_or_lost_ones(
    received: list[Part | Broken | None], asked: int, outcome: Outcome, kind: str | None
) -> None:
    assert weigh(received, asked)[:2] == (outcome, kind)


def test_images_keep_their_place_in_the_answer_and_their_prompt() -> None:
    items = (Item(CUT, None, None), Item(WHOLE, None, "a revised cat"))
    answer = answer_of_images(CALL, Head(200), Decoded(items, None), [CUT, WHOLE])
    assert [(image.index, image.revised_prompt) for image in answer.images] == [(1, "a revised cat")]


def test_headers_are_read_whatever_their_case() -> None:
    head = Head.of(200, [(b"X-Request-ID", b"req_1"), (b"Retry-After", b"2")])
    assert head.told().request_id == "req_1"
    assert head.told().rate.retry_after_s == 2.0


def test_without_a_head_there_is_no_status() -> None:
    assert answer_of_failure(CALL, Head(), Outcome.UNKNOWN, "read_timeout", "m").http_status is None


def test_an_error_that_says_nothing_is_an_error_all_the_same() -> None:
    error = error_in(Decoded((), {"input_tokens": 1}, error={"error": True}))
    assert not error.from_api
    assert error.message
    assert error.usage == {"input_tokens": 1}
