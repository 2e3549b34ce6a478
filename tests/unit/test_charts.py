"""Charts: places and lengths that are true to the amounts."""

from itertools import pairwise

from jobs.ledger.figures import Group
from jobs.report.charts import HEIGHT, WIDTH, bars, columns


def group(key: str, charged: int, possible: int = 0) -> Group:
    return Group(key, 1, 1, charged, possible, 0)


def test_days_without_calls_have_a_place() -> None:
    chart = columns([group("2026-11-01", 100), group("2026-11-04", 50)])
    assert [bar.key for bar in chart.bars] == ["2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"]
    places = [bar.place for bar in chart.bars]
    steps = {round(later - earlier) for earlier, later in pairwise(places)}
    assert steps == {WIDTH // 4}


def test_the_height_stands_for_a_round_amount_that_nothing_exceeds() -> None:
    for nano, top in ((1, 1), (3, 5), (99, 100), (1_200_000_000, 2_000_000_000), (5_000_000_000, 5_000_000_000)):
        chart = columns([group("2026-11-01", nano)])
        assert chart.top_nano == top
        assert chart.bars[0].charged <= HEIGHT


def test_what_is_possible_stands_beside_what_is_confirmed_never_in_it() -> None:
    chart = columns([group("2026-11-01", 600, 200)])
    (bar,) = chart.bars
    assert (bar.charged, bar.possible) == (HEIGHT * 600 / 1000, HEIGHT * 200 / 1000)


def test_lines_are_ordered_by_money_and_the_dearest_fills_the_width() -> None:
    chart = bars([group("a", 100), group("b", 300, 100), group("c", 200)])
    assert [bar.key for bar in chart.bars] == ["b", "c", "a"]
    assert chart.bars[0].charged + chart.bars[0].possible == WIDTH
    assert chart.bars[1].charged == WIDTH / 2


def test_nothing_spent_is_drawn_without_a_length() -> None:
    assert columns([]).bars == ()
    assert bars([group("a", 0)]).bars[0].charged == 0


def test_many_years_apart_only_the_known_days_have_a_place() -> None:
    chart = columns([group("2020-01-01", 1), group("2026-01-01", 1)])
    assert len(chart.bars) == 2
