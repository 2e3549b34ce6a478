"""A standing in JSON and in words."""

from jobs.ledger.overview import BatchLine
from jobs.report.standing import batch_json, batches_table, spend, standing_json, standing_words
from tests.unit.golden import golden
from tests.unit.standings import standing

FIELDS = {
    *("batch", "name", "state", "jobs", "attempts", "images", "confirmed_nanodollars", "possible_nanodollars"),
    *("reserved_nanodollars", "unpriced_attempts", "budget_nanodollars", "rate_per_s", "eta_s", "waiting_for"),
}


def test_json_has_the_promised_fields_with_exact_money() -> None:
    fields = standing_json(standing())
    assert fields.keys() >= FIELDS
    assert fields["jobs"]["succeeded"] == 410
    assert (fields["confirmed_nanodollars"], fields["confirmed_dollars"]) == (17_083_241_000, "17.083241")
    assert fields["opened_at"].endswith("Z")


def test_a_batch_without_a_budget_has_none_in_json() -> None:
    fields = standing_json(standing(budget_nano=None))
    assert (fields["budget_nanodollars"], fields["budget_dollars"]) == (None, None)


def test_words_say_what_how_much_how_fast_and_why_it_waits() -> None:
    told = standing_words(standing(waiting_for="rate limit, next slot in 14 s"))
    assert told + "\n" == golden("status.txt")


def test_calls_in_doubt_are_told_with_their_age_and_what_ends_them() -> None:
    doubtful = standing(attempts={"succeeded": 410, "unknown": 13}, oldest_unknown_s=7_500.0)
    assert (
        "  in doubt  13 calls maybe paid, the oldest for 2 h 5 min; "
        "imagemill attempts b_7Q2M4X9K --outcome unknown, then resolve" in standing_words(doubtful).splitlines()
    )
    assert standing_json(doubtful)["oldest_unknown_s"] == 7_500.0


def test_words_of_hostile_names_are_escaped() -> None:
    assert "\x1b" not in standing_words(standing(name="x\x1b[2J"))


def test_money_is_three_figures_and_unpriced_is_named() -> None:
    assert spend(standing(unpriced_attempts=12)) == (
        "$17.083241 + 12 unpriced confirmed + $0.08 possible + $1.00 reserved of $50.00"
    )
    assert spend(standing(possible_nano=0, reserved_nano=0, budget_nano=None)) == "$17.083241 confirmed"


def test_the_list_of_batches_shows_the_same_figures_in_both_forms() -> None:
    line = BatchLine("b_1", "autumn", "done", 10, 9, 10**9, 0, 0, None, 1_795_000_000_000)
    assert batches_table([line]).rows[0][:6] == ["b_1", "autumn", "done", 10, 9, "$1.00"]
    fields = batch_json(line)
    assert (fields["jobs"], fields["confirmed_nanodollars"], fields["budget_nanodollars"]) == (10, 10**9, None)
