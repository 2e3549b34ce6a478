"""Prompt templates: plain places, and a clear word about anything else."""

import pytest

from jobs.errors import ManifestError, UsageError
from jobs.manifest.template import Template


def test_places_are_filled_and_braces_can_be_written() -> None:
    template = Template.parse("photo of {title}, {{really}} {colour} {title}")
    assert template.columns == ("title", "colour")
    assert template.fill({"title": "chair", "colour": "red"}) == "photo of chair, {really} red chair"


def test_a_template_without_places_is_the_same_prompt_every_time() -> None:
    assert Template.parse("a chair").fill({}) == "a chair"


def test_column_names_may_hold_blanks_and_letters_of_any_script() -> None:
    template = Template.parse("{Größe in cm} {a.b} {0}")
    assert template.columns == ("Größe in cm", "a.b", "0")


@pytest.mark.parametrize("text", ["{", "}", "{a", "{}", "{ }", "{a!r}", "{a:>5}", "{a:{b}}"])
def test_anything_but_plain_places_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="prompt template"):
        Template.parse(text)


def test_an_unknown_column_is_answered_with_the_nearest() -> None:
    with pytest.raises(ManifestError, match=r"'tilte'.*nearest is 'title'.*columns are: title, colour"):
        Template.parse("{tilte}").require(["title", "colour"])


def test_blank_values_are_empty_places() -> None:
    assert Template.parse("{a} {b} {c}").empty_places({"a": "x", "b": " "}) == ["b", "c"]
