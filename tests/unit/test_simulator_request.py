"""The simulator judges requests as the contract says the endpoint does."""

from typing import Any

import pytest

from worker.simulator.errors import ApiError
from worker.simulator.request import ImageRequest, read_request


def asked(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-image-1", "prompt": "a fox"} | fields


def judged(**fields: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read_request(asked(**fields))
    assert caught.value.status == 400
    return caught.value


def taken(**fields: Any) -> ImageRequest:
    return read_request(asked(**fields))


def test_open_choices_are_made() -> None:
    request = taken()
    assert (request.size, request.quality, request.background, request.output_format, request.n) == (
        "1024x1024",
        "medium",
        "opaque",
        "png",
        1,
    )


def test_an_explicit_null_counts_as_absent() -> None:
    nothing = dict.fromkeys(
        ("n", "size", "quality", "response_format", "style", "background", "stream", "partial_images", "user")
    )
    assert taken(**nothing) == taken()


def test_the_model_left_out_is_the_one_of_the_specification() -> None:
    assert read_request({"prompt": "a fox"}).model.id == "dall-e-2"


@pytest.mark.parametrize("field", ["response_format", "style"])
def test_fields_of_dall_e_are_unknown_parameters_to_gpt_image(field: str) -> None:
    error = judged(**{field: "url"})
    assert (error.type, error.code, error.param) == ("invalid_request_error", "unknown_parameter", field)


@pytest.mark.parametrize("model", ["dall-e-2", "dall-e-3"])
@pytest.mark.parametrize("field", ["background", "output_format", "stream", "moderation"])
def test_fields_of_gpt_image_are_unknown_parameters_to_dall_e(model: str, field: str) -> None:
    assert judged(model=model, **{field: "auto"}).code == "unknown_parameter"


def test_a_wrong_size_is_answered_with_the_sizes_there_are() -> None:
    error = judged(size="512x512")
    assert (error.code, error.param) == ("invalid_value", "size")
    assert "'1024x1024', '1536x1024', '1024x1536', 'auto'" in error.message


@pytest.mark.parametrize(
    ("size", "why"),
    [
        ("1920x1080", "multiples of 16"),
        ("3856x1024", "3840"),
        ("2048x512", "3:1"),
        ("512x512", "pixels"),
        ("3840x2176", "pixels"),
        ("large", "WIDTHxHEIGHT"),
    ],
)
def test_free_sizes_keep_to_their_rule(size: str, why: str) -> None:
    error = judged(model="gpt-image-2", size=size)
    assert why in error.message
    assert error.param == "size"


@pytest.mark.parametrize("size", ["1920x1088", "3840x2160", "1024x640", "1536x512", "auto"])
def test_free_sizes_within_the_rule_are_taken(size: str) -> None:
    assert taken(model="gpt-image-2.5-flare", size=size).size in (size, "1024x1024")


def test_an_unknown_model_is_not_found() -> None:
    with pytest.raises(ApiError) as caught:
        read_request(asked(model="gpt-image-9"))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("model", "most"), [("dall-e-2", 1000), ("dall-e-3", 4000), ("gpt-image-2.6-sunburst", 32_000)]
)
def test_a_prompt_is_counted_in_characters(model: str, most: int) -> None:
    assert taken(model=model, prompt="字" * most).prompt == "字" * most
    error = judged(model=model, prompt="字" * (most + 1))
    assert (error.code, error.param) == ("string_above_max_length", "prompt")


def test_a_prompt_is_required() -> None:
    assert judged(prompt=None).code == "missing_required_parameter"
    assert judged(prompt="").param == "prompt"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": True}, "n"),
        ({"n": "2"}, "n"),
        ({"model": "dall-e-3", "n": 2}, "n"),
        ({"model": ["gpt-image-1"]}, "model"),
        ({"prompt": 7}, "prompt"),
        ({"quality": "hd"}, "quality"),
        ({"quality": "xhigh"}, "quality"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_format": "jpeg", "output_compression": 101}, "output_compression"),
        ({"output_format": "png", "output_compression": 50}, "output_compression"),
        ({"background": "transparent", "output_format": "jpeg"}, "background"),
        ({"partial_images": 2}, "partial_images"),
        ({"partial_images": 4, "stream": True}, "partial_images"),
        ({"stream": "yes"}, "stream"),
        ({"complexity": "low"}, "complexity"),
        ({"colour": "red"}, "colour"),
        ({"model": "gpt-image-2.6-flare", "frame_count": 4}, "frame_count"),
        ({"model": "gpt-image-2.6-flare", "output_format": "gif", "stream": True}, "stream"),
        ({"model": "gpt-image-2.6-flare", "output_format": "gif", "size": "1024x1024"}, "size"),
        ({"model": "gpt-image-2.6-flare", "output_format": "svg", "n": 2}, "n"),
        ({"model": "gpt-image-2.6-flare", "svg": {}}, "svg"),
        ({"model": "gpt-image-2.6-flare", "output_format": "svg", "svg": {"model": "x"}}, "svg.model"),
    ],
)
def test_what_a_model_does_not_take_is_named(fields: dict[str, Any], param: str) -> None:
    assert judged(**fields).param == param


@pytest.mark.parametrize(
    "fields",
    [
        {"quality": "max", "model": "gpt-image-2.5-sunburst"},
        {"output_format": "webp", "output_compression": 0, "background": "transparent"},
        {"stream": True, "partial_images": 3, "n": 10},
        {"model": "dall-e-3", "quality": "hd", "style": "natural", "size": "1792x1024"},
        {"model": "dall-e-2", "size": "256x256", "n": 10, "response_format": "b64_json"},
        {"model": "gpt-image-2.6-flare", "output_format": "gif", "frame_count": 16, "size": "720x720"},
        {"model": "gpt-image-2.6-flare", "output_format": "gif", "frame_count": 9, "size": "960x960"},
        {"model": "gpt-image-2.6-flare", "output_format": "svg", "complexity": "high"},
    ],
)
def test_what_a_model_takes_is_taken(fields: dict[str, Any]) -> None:
    assert taken(**fields).n == fields.get("n", 1)


@pytest.mark.parametrize("payload", [None, [], "a fox", 7])
def test_a_body_that_is_no_object_is_refused(payload: object) -> None:
    with pytest.raises(ApiError, match="JSON object"):
        read_request(payload)
