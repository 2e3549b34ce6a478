"""The live panel's lines."""

import pytest

from jobs.report.panel import panel_lines, plain_line, projection, tone
from tests.unit.golden import golden
from tests.unit.standings import glimpse, standing


def test_the_panel_shows_counts_progress_money_and_what_happened() -> None:
    told = panel_lines(standing(waiting_for="rate limit, next slot in 14 s"), glimpse(), 120)
    assert "\n".join(told) + "\n" == golden("panel.txt")


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    told = panel_lines(standing(name="n" * 300), glimpse(last_custom_id="c" * 300), width)
    assert max(map(len, told)) <= width


def test_the_command_at_hand_stays_whole_beside_long_news() -> None:
    causes = (("connection_lost", 1), ("moderation_blocked", 1), ("not_an_image", 1))
    line = panel_lines(standing(), glimpse(causes=causes), 80)[3]
    assert line.endswith("pause: imagemill pause b_7Q2M4X9K")


def test_a_pause_says_why_and_how_to_go_on() -> None:
    told = panel_lines(standing(state="paused", waiting_for="paused: budget"), glimpse(), 120)
    assert told[3].endswith("paused: budget   go on: imagemill resume b_7Q2M4X9K")


def test_hostile_names_are_escaped() -> None:
    told = "".join(panel_lines(standing(name="x\x1b[2J"), glimpse(last_custom_id="\u202e"), 120))
    assert "\x1b" not in told
    assert "\u202e" not in told


def test_nothing_is_projected_before_twenty_jobs_have_ended() -> None:
    assert projection(standing({"queued": 90, "succeeded": 19})) is None
    assert projection(standing({"queued": 80, "succeeded": 20}, confirmed_nano=10**9)) == "$5.00 (measured)"


def test_nothing_is_projected_from_what_has_no_price() -> None:
    assert projection(standing(unpriced_attempts=1)) is None


@pytest.mark.parametrize(
    ("jobs", "colour"),
    [({"succeeded": 3}, "green"), ({"succeeded": 3, "failed": 1}, "red"), ({"failed": 1, "held": 1}, "yellow")],
)
def test_the_bar_has_the_colour_of_the_worst(jobs: dict[str, int], colour: str) -> None:
    assert tone(standing(jobs)) == colour


def test_a_plain_line_has_it_all_in_one() -> None:
    assert plain_line(standing(unpriced_attempts=2)) == (
        "b_7Q2M4X9K 424/1000 | 410 ok · 9 failed · 3 refused · 2 held | 24 in flight · 552 queued | "
        "spend $17.08 + 2 unpriced confirmed + $0.0800 possible + $1.00 reserved of $50.00 | ETA 10 min 30 s"
    )
