"""The model matrix: what is known, what is near, what a size must obey."""

from datetime import date

import pytest

from jobs.catalogue.matrix import SizeRule, find_model, matrix, nearest, nearest_word, parse_size


def test_every_model_of_the_file_is_found_under_its_own_name() -> None:
    for name, model in matrix().models.items():
        assert find_model(name) is model
        assert model.id == name


def test_an_unknown_model_is_none_and_has_a_nearest_name() -> None:
    assert find_model("gpt-image2") is None
    assert nearest("gpt-image2") == "gpt-image-2"
    assert nearest("zebra") is None


def test_the_nearest_word_ignores_case() -> None:
    assert nearest_word("QUALTY", ["quality", "size"]) == "quality"


def test_every_field_a_model_accepts_has_a_rule() -> None:
    for model in matrix().models.values():
        assert model.accepts <= matrix().fields.keys()


def test_a_snapshot_names_a_known_model() -> None:
    snapshots = [model.snapshot_of for model in matrix().models.values() if model.snapshot_of]
    assert snapshots
    assert all(find_model(name) for name in snapshots)


def test_a_model_is_retired_from_its_shutdown_date_on() -> None:
    model = find_model("gpt-image-1")
    assert model is not None
    assert not model.retired_on(date(2026, 10, 22))
    assert model.retired_on(date(2026, 10, 23))


def test_only_dall_e_has_a_quality_that_is_billed_by_default() -> None:
    defaults = {model.id for model in matrix().models.values() if model.default_quality}
    assert defaults == {"dall-e-2", "dall-e-3"}


@pytest.mark.parametrize(
    ("field", "value"), [("background", "transparent"), ("output_format", "transparent"), ("complexity", None)]
)
def test_a_doubt_is_found_by_field_or_by_value(field: str, value: str | None) -> None:
    model = find_model("gpt-image-2.5-flare" if field == "complexity" else "gpt-image-2")
    assert model is not None
    assert model.doubt(field, value)
    assert model.doubt("moderation", "low") is None


@pytest.mark.parametrize(
    ("text", "pixels"),
    [("1024x1536", (1024, 1536)), ("auto", None), ("1024X1024", None), ("0x16", None), ("1024x1024 ", None)],
)
def test_a_size_is_width_times_height_or_nothing(text: str, pixels: tuple[int, int] | None) -> None:
    assert parse_size(text) == pixels


@pytest.mark.parametrize(
    "size", [(1024, 1024), (3840, 2160), (2880, 2880), (1920, 1088), (3840, 1280), (1024, 640)]
)
def test_sizes_within_the_bounds_are_legal(size: tuple[int, int]) -> None:
    assert _rule().fault(*size) is None


@pytest.mark.parametrize(
    ("size", "word"),
    [
        ((1920, 1080), "multiple of 16"),
        ((3856, 2160), "over 3840"),
        ((3840, 1264), "3 : 1"),
        ((3840, 2176), "at most"),
        ((800, 800), "at least"),
    ],
)
def test_sizes_out_of_bounds_say_why(size: tuple[int, int], word: str) -> None:
    assert word in (_rule().fault(*size) or "")


@pytest.mark.parametrize(("frames", "edge"), [(2, 960), (9, 960), (10, 816), (12, 816), (13, 720), (16, 720)])
def test_the_frames_of_a_gif_bound_its_edge(frames: int, edge: int) -> None:
    assert _rule().gif_fault(edge, edge, frames) is None
    assert "too large" in (_rule().gif_fault(edge + 16, edge + 16, frames) or "")


def _rule() -> SizeRule:
    model = find_model("gpt-image-2")
    assert model is not None
    assert model.size_rule is not None
    return model.size_rule
