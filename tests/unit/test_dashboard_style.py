"""The style sheet: text that people can read, in both schemes, and nothing fetched from elsewhere."""

import re
from importlib import resources

import pytest

CSS = resources.files("jobs.api.dashboard").joinpath("static/dashboard.css").read_text("utf-8")
COLOURS = {
    name: (light, dark)
    for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", CSS)
}
TEXT = ("ink", "quiet", "accent", "good", "bad", "warn", "doubt")
GROUNDS = ("ground", "card")
AA_TEXT = 4.5
AA_GRAPHICS = 3.0


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("text", TEXT)
def test_text_has_contrast_enough(text: str, ground: str, scheme: int) -> None:
    assert contrast(COLOURS[text][scheme], COLOURS[ground][scheme]) >= AA_TEXT


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_the_accent_button_has_contrast_enough(scheme: int) -> None:
    assert contrast(COLOURS["on-accent"][scheme], COLOURS["accent"][scheme]) >= AA_TEXT


def test_the_style_sheet_names_no_other_place() -> None:
    assert not re.search(r"url\(|@import|https?:", CSS)


def test_whoever_wants_no_motion_gets_none() -> None:
    assert "prefers-reduced-motion: reduce" in CSS and "animation: none" in CSS


def contrast(one: str, other: str) -> float:
    """As WCAG 2 has it."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
