"""The judgement of one row: every rule of the endpoint's contract that costs money when broken."""

from datetime import date
from typing import Any

import pytest

from jobs.catalogue.matrix import matrix
from jobs.catalogue.prices import PriceBook
from jobs.manifest.check import check_request, check_row
from jobs.manifest.rows import Complaint, Row

DAY = date(2026, 11, 22)
BOOK = PriceBook.build()
LIVE = {"prompt": "a chair", "model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
NEWEST = LIVE | {"model": "gpt-image-2.6-flare"}


def complaints(request: dict[str, Any], day: date = DAY, *, has_ceiling: bool = False) -> list[Complaint]:
    return check_request(request, book=BOOK, day=day, has_ceiling=has_ceiling)


def errors(request: dict[str, Any], **more: Any) -> list[str]:
    return [found.code for found in complaints(request, **more) if found.severity == "error"]


def warnings(request: dict[str, Any], **more: Any) -> list[str]:
    return [found.code for found in complaints(request, **more) if found.severity == "warning"]


def test_a_plain_row_has_no_problem() -> None:
    assert complaints(LIVE) == []


def test_a_problem_has_the_place_of_its_row() -> None:
    row = Row(7, 12, "x", LIVE | {"n": 0}, excel_row=9, columns={"n": "C"})
    [problem] = check_row(row, book=BOOK, day=DAY)
    assert (problem.line, problem.row, problem.excel_row, problem.excel_column) == (12, 7, 9, "C")
    assert (problem.field, problem.value, problem.code, problem.severity) == ("n", "0", "out_of_range", "error")
    assert "1 to 10" in problem.message


def test_strict_makes_warnings_errors() -> None:
    row = Row(1, 1, "x", LIVE | {"size": "auto"})
    assert [problem.severity for problem in check_row(row, book=BOOK, day=DAY)] == ["warning"]
    assert [problem.severity for problem in check_row(row, book=BOOK, day=DAY, strict=True)] == ["error"]


SEED = {
    "gpt-image-1": {
        "background": "opaque",
        "moderation": "low",
        "n": 2,
        "output_compression": 90,
        "output_format": "webp",
        "partial_images": 2,
        "quality": "high",
        "size": "1536x1024",
        "stream": True,
        "user": "u-1",
    },
    "dall-e-3": {
        "n": 1,
        "quality": "hd",
        "response_format": "url",
        "size": "1792x1024",
        "style": "natural",
        "user": "u-1",
    },
    "dall-e-2": {"n": 10, "quality": "standard", "response_format": "b64_json", "size": "512x512", "user": "u-1"},
}


@pytest.mark.parametrize("model", SEED)
def test_every_parameter_of_the_three_first_models_is_taken(model: str) -> None:
    request = {"prompt": "一只红苹果", "model": model, **SEED[model]}
    assert errors(request) == []
    assert warnings(request) == ["model_retired"]


@pytest.mark.parametrize("model", sorted(matrix().models))
def test_every_choice_the_matrix_lists_is_taken(model: str) -> None:
    known = matrix().models[model]
    base = {"prompt": "a chair", "model": model}
    for quality in known.qualities:
        assert errors(base | {"quality": quality}) == []
    for size in known.sizes or ("1024x1024", "auto"):
        assert errors(base | {"size": size}) == []
    for background in known.backgrounds:
        assert errors(base | {"background": background}) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"prompt": None}, "no_prompt"),
        ({"prompt": ""}, "no_prompt"),
        ({"prompt": " \n\u3000"}, "no_prompt"),
        ({"prompt": 5}, "wrong_type"),
        ({"prompt": "x" * 32_001}, "prompt_too_long"),
        ({"n": 0}, "out_of_range"),
        ({"n": 11}, "out_of_range"),
        ({"n": True}, "wrong_type"),
        ({"n": 2.0}, "wrong_type"),
        ({"n": "2"}, "wrong_type"),
        ({"model": 5}, "wrong_type"),
        ({"stream": "true"}, "wrong_type"),
        ({"stream": 1}, "wrong_type"),
        ({"size": 1024}, "wrong_type"),
        ({"size": "1920x1080"}, "bad_size"),
        ({"size": "3856x2160"}, "bad_size"),
        ({"size": "3840x1264"}, "bad_size"),
        ({"size": "800x800"}, "bad_size"),
        ({"size": "3840x2176"}, "bad_size"),
        ({"size": "big"}, "bad_size"),
        ({"size": "1024X1024"}, "bad_size"),
        ({"quality": "hd"}, "bad_value"),
        ({"quality": "xhigh"}, "bad_value"),
        ({"quality": "High"}, "bad_value"),
        ({"background": "blue"}, "bad_value"),
        ({"moderation": "none"}, "bad_value"),
        ({"output_format": "gif"}, "bad_value"),
        ({"output_format": "jpg"}, "bad_value"),
        ({"output_compression": 101, "output_format": "jpeg"}, "out_of_range"),
        ({"output_compression": -1, "output_format": "jpeg"}, "out_of_range"),
        ({"output_compression": 80}, "compression_format"),
        ({"output_compression": 80, "output_format": "png"}, "compression_format"),
        ({"background": "transparent", "output_format": "jpeg"}, "transparent_jpeg"),
        ({"partial_images": 2}, "partials_without_stream"),
        ({"partial_images": 2, "stream": False}, "partials_without_stream"),
        ({"partial_images": 4, "stream": True}, "out_of_range"),
        ({"response_format": "url"}, "not_accepted"),
        ({"style": "vivid"}, "not_accepted"),
        ({"complexity": "low"}, "not_accepted"),
    ],
)
def test_what_the_endpoint_refuses_is_an_error(change: dict[str, Any], code: str) -> None:
    assert code in errors(LIVE | change)


@pytest.mark.parametrize(
    "change",
    [
        {"n": 10},
        {"prompt": "x" * 32_000},
        {"prompt": "红" * 32_000},
        {"size": "1920x1088"},
        {"output_compression": 80, "output_format": "jpeg"},
        {"partial_images": 3, "stream": True},
        {"partial_images": 0},
        {"background": "transparent", "output_format": "webp"},
        {"safety_identifier": "s", "user": "u", "moderation": "low"},
    ],
)
def test_what_the_endpoint_takes_is_no_error(change: dict[str, Any]) -> None:
    assert errors(LIVE | change) == []


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"model": "dall-e-3", "n": 2}, "out_of_range"),
        ({"model": "dall-e-3", "size": "256x256"}, "bad_value"),
        ({"model": "dall-e-3", "prompt": "x" * 4001}, "prompt_too_long"),
        ({"model": "dall-e-2", "prompt": "x" * 1001}, "prompt_too_long"),
        ({"model": "dall-e-2", "style": "vivid"}, "not_accepted"),
        ({"model": "dall-e-2", "quality": "hd"}, "bad_value"),
        ({"model": "dall-e-2", "stream": True}, "not_accepted"),
        ({"model": "dall-e-3", "background": "auto"}, "not_accepted"),
        ({"model": "dall-e-3", "output_format": "png"}, "not_accepted"),
        ({"model": "gpt-image-1", "response_format": "b64_json"}, "not_accepted"),
        ({"model": "gpt-image-1", "size": "1792x1024"}, "bad_value"),
        ({"model": "gpt-image-1", "quality": "standard"}, "bad_value"),
    ],
)
def test_each_model_has_limits_of_its_own(request_: dict[str, Any], code: str) -> None:
    assert code in errors({"prompt": "a chair", **request_})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"frame_count": 4}, "not_together"),
        ({"frame_duration_ms": 100}, "not_together"),
        ({"output_format": "gif", "stream": True, "size": "720x720"}, "not_together"),
        ({"output_format": "gif", "partial_images": 1, "size": "720x720"}, "not_together"),
        ({"output_format": "gif", "output_compression": 50, "size": "720x720"}, "compression_format"),
        ({"output_format": "gif", "size": "1024x1024"}, "bad_size"),
        ({"output_format": "gif", "size": "960x960", "frame_count": 10}, "bad_size"),
        ({"output_format": "gif", "size": "720x720", "frame_count": 17}, "out_of_range"),
        ({"output_format": "gif", "size": "720x720", "frame_count": 1}, "out_of_range"),
        ({"output_format": "gif", "size": "720x720", "frame_duration_ms": 655_360}, "out_of_range"),
        ({"svg": {"model": "m"}}, "not_together"),
        ({"output_format": "svg", "n": 2}, "bad_value"),
        ({"output_format": "svg", "stream": True}, "not_together"),
        ({"output_format": "svg", "svg": "m"}, "wrong_type"),
        ({"output_format": "svg"}, "no_price"),
    ],
)
def test_gif_and_svg_have_rules_of_their_own(change: dict[str, Any], code: str) -> None:
    assert code in errors(NEWEST | change)


@pytest.mark.parametrize(
    "change",
    [
        {"output_format": "gif", "size": "960x960"},
        {"output_format": "gif", "size": "720x720", "frame_count": 16, "frame_duration_ms": 655_350},
        {"output_format": "svg", "svg": {"model": "m", "reasoning": {"effort": "low"}}},
        {"complexity": "high"},
        {"quality": "max"},
    ],
)
def test_what_the_newest_models_add_is_taken(change: dict[str, Any]) -> None:
    assert errors(NEWEST | change, has_ceiling=True) == []


def test_a_message_names_the_nearest_choice_and_who_takes_the_field() -> None:
    [quality] = complaints(LIVE | {"quality": "hihg"})
    assert quality.next == "did you mean high?"
    [style] = complaints(LIVE | {"style": "vivid"})
    assert "dall-e-3" in style.next


def test_a_bad_size_comes_with_one_that_is_legal() -> None:
    [problem] = complaints(LIVE | {"size": "1920x1080"})
    assert problem.next == "try 1920x1088"


def test_an_unknown_field_passes_with_a_warning_and_the_nearest_name() -> None:
    [found] = complaints(LIVE | {"qualty": "high"})
    assert (found.code, found.severity, found.field) == ("unknown_field", "warning", "qualty")
    assert found.next == "did you mean quality?"


def test_an_unknown_key_inside_an_object_is_a_warning() -> None:
    request = NEWEST | {"output_format": "svg", "svg": {"model": "m", "colour": 1}}
    assert "unknown_field" in warnings(request, has_ceiling=True)


def test_an_unknown_model_passes_only_with_a_stated_ceiling() -> None:
    request = {"prompt": "a", "model": "gpt-image2", "sizes": "x", "quality": "splendid"}
    assert errors(request) == ["no_price"]
    assert errors(request, has_ceiling=True) == []
    found = next(found for found in complaints(request) if found.code == "unknown_model")
    assert found.next == "did you mean gpt-image-2?"


def test_an_unknown_model_is_still_held_to_types_and_ranges() -> None:
    request = {"prompt": "a", "model": "pixie", "n": 11, "stream": "yes"}
    assert errors(request, has_ceiling=True) == ["out_of_range", "wrong_type"]


def test_without_a_model_there_is_no_price() -> None:
    assert errors({"prompt": "a"}) == ["no_price"]
    assert warnings({"prompt": "a"}, has_ceiling=True) == ["no_model"]


def test_a_model_before_its_first_price_day_has_no_price() -> None:
    assert errors(LIVE, day=date(2026, 4, 20)) == ["no_price"]


def test_shutdown_dates_warn_before_and_after() -> None:
    request = LIVE | {"model": "gpt-image-1.5"}
    assert warnings(request) == ["model_shutdown"]
    assert warnings(request, day=date(2026, 12, 1)) == ["model_retired"]


def test_what_is_left_to_the_model_is_a_warning_of_its_own_code() -> None:
    assert warnings({"prompt": "a", "model": "gpt-image-2"}) == ["auto_quality", "auto_size"]
    assert warnings(LIVE | {"quality": "auto"}) == ["auto_quality"]
    assert "auto_size" not in warnings({"prompt": "a", "model": "dall-e-2"})


def test_what_the_matrix_doubts_is_a_warning() -> None:
    assert warnings(LIVE | {"background": "transparent"}) == ["unconfirmed"]
    assert warnings(LIVE | {"model": "gpt-image-2.5-flare", "complexity": "low"}) == ["unconfirmed"]


def test_free_text_is_never_doubted_for_a_word_in_it() -> None:
    assert warnings(NEWEST | {"user": "gif", "safety_identifier": "max"}) == []


def test_a_megabyte_in_the_wrong_place_is_judged_and_cut_where_it_is_quoted() -> None:
    giant = "x" * 1_000_000
    for change in ({"size": giant}, {"quality": giant}, {"model": giant}, {giant: 1}):
        for found in complaints(LIVE | change):
            assert len(found.message) <= 500
            assert len(found.value or "") <= 80
            assert len(found.field or "") <= 80


def test_true_one_and_one_point_zero_are_judged_apart() -> None:
    assert errors(LIVE | {"n": 1}) == []
    assert errors(LIVE | {"n": True}) == ["wrong_type"]
    assert errors(LIVE | {"n": 1.0}) == ["wrong_type"]


def test_a_lone_surrogate_in_any_field_is_an_error() -> None:
    assert errors(LIVE | {"user": "\ud800"}) == ["lone_surrogate"]
