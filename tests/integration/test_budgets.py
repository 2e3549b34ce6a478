"""Nested budgets: a call fits into every one that covers it, and each keeps exact sums, whoever races for them.

The recount at each test's end compares every row of every scope with the attempts.
"""

import random
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, select, text

from jobs.errors import LedgerError
from jobs.ledger import budgets, clock, recount, schema
from jobs.ledger.budgets import EVERY, Budget, Scope, set_cap
from jobs.ledger.engine import Ledger
from jobs.pacing import Caps
from jobs.states import BatchState
from tests.integration.ledgers import (
    CEILING,
    MODEL,
    PRICE,
    account_trouble,
    admit_one,
    all_at_once,
    ask,
    batch_row,
    book,
    count,
    live_worker,
    new_job,
    not_sent,
    open_batch,
    states,
    succeeded,
    unknown,
)

DAY_MS = 24 * 3600 * 1000
ACME = {"brand": "acme"}


def cap(ledger: Ledger, scope: str, key: str = "", nano: int | None = CEILING) -> None:
    ledger.write(set_cap, Scope(scope), key, nano)


def rows(ledger: Ledger, scope: str) -> dict[str, tuple[int | None, int, int, int]]:
    """{key: (cap, confirmed, possible, reserved)}"""
    table = schema.budgets
    with ledger.read() as tx:
        found = tx.execute(select(table).where(table.c.scope == scope)).all()
    return {row.key: (row.cap_nano, row.confirmed_nano, row.possible_nano, row.reserved_nano) for row in found}


def today(ledger: Ledger) -> str:
    with ledger.read() as tx:
        return budgets.today(tx)


def tagged_batch(ledger: Ledger, *tags: dict[str, str], budget: int | None = None, **fields: object) -> str:
    """A batch with one job for each set of tags."""
    return open_batch(ledger, [new_job(row, tags=one, **fields) for row, one in enumerate(tags, 1)], budget)


def admitted(ledger: Ledger, batch: str, most: int = 10) -> list[int]:
    return [one.row for one in ask(ledger, batch, most).admitted]


@pytest.fixture
def step_days(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """The ledger's clock goes so many days further."""
    real, ahead = clock.now, [0]
    monkeypatch.setattr(clock, "now", lambda tx: real(tx) + ahead[0])

    def step(days: float) -> None:
        ahead[0] += round(days * DAY_MS)

    return step


@pytest.mark.parametrize("narrow", ["overall", "month", "day", "tag", "batch"])
def test_a_call_must_fit_into_every_budget_that_covers_it(ledger: Ledger, narrow: str) -> None:
    batch = tagged_batch(ledger, *[ACME] * 5)
    for scope, key in (("overall", ""), ("month", ""), ("day", ""), ("tag", "brand=acme"), ("batch", batch)):
        cap(ledger, scope, key, (2 if scope == narrow else 4) * CEILING)
    admission = ask(ledger, batch, 5)
    assert [one.row for one in admission.admitted] == [1, 2]
    assert admission.wait.reason == ("budget" if narrow == "batch" else "shared_budget")
    assert narrow in admission.wait.message or narrow == "batch"
    one, two = admission.admitted
    book(ledger, succeeded(one.attempt_id), not_sent(two.attempt_id))
    assert len(admitted(ledger, batch)) == 1
    assert set(rows(ledger, narrow).values()) - {(2 * CEILING, 0, 0, 0)} == {(2 * CEILING, PRICE, 0, CEILING)}


def test_a_budget_counts_what_it_covers_when_it_is_made(ledger: Ledger) -> None:
    batch = tagged_batch(ledger, ACME, {"brand": "acme", "season": "autumn"}, {"brand": "acm"}, ACME, {})
    first, second, third, *_ = ask(ledger, batch, 5).admitted
    book(ledger, succeeded(first.attempt_id), unknown(second.attempt_id), succeeded(third.attempt_id))
    for scope, key in (
        ("overall", ""),
        ("month", ""),
        ("day", ""),
        ("tag", "brand=acme"),
        ("tag", "season=autumn"),
    ):
        cap(ledger, scope, key, 10**9)
    everything = (10**9, 2 * PRICE, CEILING, 2 * CEILING)
    assert rows(ledger, "overall") == {"": everything}
    assert rows(ledger, "day") == {EVERY: (10**9, 0, 0, 0), today(ledger): everything}
    assert rows(ledger, "month") == {EVERY: (10**9, 0, 0, 0), today(ledger)[:7]: everything}
    assert rows(ledger, "tag") == {
        "brand=acme": (10**9, PRICE, CEILING, CEILING),
        "season=autumn": (10**9, 0, CEILING, 0),
    }


TRICKY = ('x"y=1', "a=b=c", "Brand=acme", "brand=Acme", "brand=acme,", 'k="brand":"acme"', "ü=日本")


def test_a_tag_is_covered_as_a_whole_and_never_by_its_looks(ledger: Ledger) -> None:
    """Names and values with quotes, commas, equals signs and other case."""
    tags = [{name: value} for name, _, value in (key.partition("=") for key in TRICKY)]
    batch = tagged_batch(ledger, *tags, {'x","brand': "acme"}, {"brand": 'acme"'})
    for key in (*TRICKY, "brand=acme"):
        cap(ledger, "tag", key, 10**9)
    ask(ledger, batch, 20)
    for key in TRICKY:
        cap(ledger, "tag", key, None)
    for key in (*TRICKY, "y=1", "season=autumn"):
        cap(ledger, "tag", key, 10**9)
    found = {key: reserved for key, (_, _, _, reserved) in rows(ledger, "tag").items()}
    assert found == {**dict.fromkeys(TRICKY, CEILING), "brand=acme": 0, "y=1": 0, "season=autumn": 0}


def test_jobs_of_a_full_tag_are_passed_over_in_order_and_hold_nobody_up(ledger: Ledger) -> None:
    other = {"brand": "other"}
    batch = tagged_batch(ledger, ACME, ACME, ACME, other, ACME, other, {})
    cap(ledger, "tag", "brand=acme", 2 * CEILING)
    cap(ledger, "tag", "brand=other", CEILING)
    admission = ask(ledger, batch, 4)
    assert [one.row for one in admission.admitted] == [1, 2, 4, 7]
    assert admission.wait is None
    waits = ask(ledger, batch, 4).wait
    assert (waits.reason, waits.for_ms) == ("shared_budget", 500)
    book(ledger, not_sent(admission.admitted[0].attempt_id))
    assert admitted(ledger, batch, 4) == [3]
    cap(ledger, "tag", "brand=acme", 9 * CEILING)
    assert admitted(ledger, batch, 4) == [5, 1]


def test_a_new_day_has_its_budget_anew_and_frees_the_old_one_s_money_where_it_was_reserved(
    ledger: Ledger, step_days: Callable[[float], None]
) -> None:
    first_day = today(ledger)
    cap(ledger, "day", nano=2 * CEILING)
    batch = open_batch(ledger, 6)
    yesterdays = ask(ledger, batch, 6).admitted
    assert len(yesterdays) == 2
    step_days(1)
    assert len(admitted(ledger, batch)) == 2
    book(ledger, succeeded(yesterdays[0].attempt_id), unknown(yesterdays[1].attempt_id))
    assert rows(ledger, "day") == {
        EVERY: (2 * CEILING, 0, 0, 0),
        first_day: (2 * CEILING, PRICE, CEILING, 0),
        today(ledger): (2 * CEILING, 0, 0, 2 * CEILING),
    }
    step_days(1)
    book(ledger, succeeded(yesterdays[1].attempt_id))
    assert rows(ledger, "day")[first_day] == (2 * CEILING, 2 * PRICE, 0, 0)
    assert len(admitted(ledger, batch)) == 2


def test_a_day_that_comes_twice_is_counted_when_its_budget_begins(
    ledger: Ledger, step_days: Callable[[float], None]
) -> None:
    """The database's clock was a day ahead when calls were made, and was set right before the cap was."""
    batch = open_batch(ledger, 6)
    step_days(1)
    ahead, ahead_day = ask(ledger, batch, 2).admitted, today(ledger)
    step_days(-1)
    cap(ledger, "day", nano=3 * CEILING)
    step_days(1)
    live_worker(ledger)
    assert len(admitted(ledger, batch)) == 1
    assert rows(ledger, "day")[ahead_day] == (3 * CEILING, 0, 0, 3 * CEILING)
    book(ledger, *(not_sent(one.attempt_id) for one in ahead))
    assert rows(ledger, "day")[ahead_day] == (3 * CEILING, 0, 0, CEILING)


def test_a_month_s_budget_spans_its_days(ledger: Ledger, step_days: Callable[[float], None]) -> None:
    while today(ledger)[8:] > "20":
        step_days(1)
    month = today(ledger)[:7]
    cap(ledger, "month", nano=2 * CEILING)
    batch = open_batch(ledger, 6)
    assert len(admitted(ledger, batch, 1)) == 1
    step_days(1)
    assert len(admitted(ledger, batch)) == 1
    step_days(32)
    assert len(admitted(ledger, batch)) == 2
    assert rows(ledger, "month")[month] == (2 * CEILING, 0, 0, 2 * CEILING)


def test_an_attempt_is_of_the_day_that_its_budget_was_asked_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Midnight passes in the middle of an admission."""
    batch = open_batch(ledger, 2)
    cap(ledger, "day", nano=9 * CEILING)
    worker, before, real = live_worker(ledger), today(ledger), clock.now
    asked: list[int] = []

    def passing(tx: Connection) -> int:
        asked.append(0)
        return real(tx) + (DAY_MS if len(asked) > 2 else 0)

    monkeypatch.setattr(clock, "now", passing)
    (one,) = ask(ledger, batch, 1, worker).admitted
    assert len(asked) > 2
    assert clock.utc_day(one.admitted_at) == before
    assert rows(ledger, "day")[before][3] == CEILING


def test_no_budget_is_left_behind_when_its_cap_is_taken_away(ledger: Ledger) -> None:
    batch = tagged_batch(ledger, *[ACME] * 3)
    scopes = (("overall", ""), ("month", ""), ("day", ""), ("tag", "brand=acme"))
    for scope, key in scopes:
        cap(ledger, scope, key, 0)
    assert admitted(ledger, batch) == []
    for scope, key in scopes:
        cap(ledger, scope, key, None)
        assert rows(ledger, scope) == {}
    one = admit_one(ledger, batch)
    cap(ledger, "day")
    book(ledger, succeeded(one.attempt_id))
    assert rows(ledger, "day")[today(ledger)] == (CEILING, PRICE, 0, 0)


def test_a_cap_below_what_is_used_takes_nothing_back_and_admits_nothing(ledger: Ledger) -> None:
    batch = open_batch(ledger, 5)
    cap(ledger, "overall", nano=5 * CEILING)
    first = ask(ledger, batch, 3).admitted
    cap(ledger, "overall", nano=CEILING)
    assert rows(ledger, "overall") == {"": (CEILING, 0, 0, 3 * CEILING)}
    assert admitted(ledger, batch) == []
    book(ledger, *(succeeded(one.attempt_id) for one in first))
    assert rows(ledger, "overall") == {"": (CEILING, 3 * PRICE, 0, 0)}


def test_a_batch_stays_open_while_a_budget_that_it_shares_is_full(ledger: Ledger) -> None:
    cap(ledger, "overall")
    batch = open_batch(ledger, 3)
    one = admit_one(ledger, batch)
    waits = ask(ledger, batch).wait
    assert (waits.reason, waits.for_ms) == ("shared_budget", 500)
    book(ledger, unknown(one.attempt_id))
    waits = ask(ledger, batch).wait
    assert (waits.reason, waits.for_ms) == ("shared_budget", None)
    assert batch_row(ledger, batch).state == BatchState.OPEN


def test_a_call_that_waits_for_permits_gives_its_money_back(ledger: Ledger) -> None:
    cap(ledger, "overall", nano=3 * CEILING)
    batch = open_batch(ledger, 6)
    assert len(ask(ledger, batch, 6, caps=Caps(images_per_min=6)).admitted) == 1
    assert rows(ledger, "overall") == {"": (3 * CEILING, 0, 0, CEILING)}


def test_the_statement_that_reserves_asks_the_cap_once_more(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the arithmetic before it says."""
    cap(ledger, "overall", nano=CEILING)
    batch = open_batch(ledger, 3)
    worker = live_worker(ledger)
    monkeypatch.setattr(Budget, "holds", lambda *_: True)
    with pytest.raises(LedgerError, match="overall does not hold 3000"):
        ask(ledger, batch, 3, worker)
    assert (count(ledger, schema.attempts), states(ledger, batch)) == (0, {"queued": 3})


@pytest.mark.parametrize("scope", ["day", "month"])
def test_the_first_admissions_of_a_day_make_its_budget_once(
    ledger: Ledger, step_days: Callable[[float], None], scope: str
) -> None:
    cap(ledger, scope, nano=5 * CEILING)
    batches = [open_batch(ledger, 2) for _ in range(8)]
    step_days(40)
    workers = [live_worker(ledger) for _ in batches]
    granted = all_at_once(
        [
            lambda b=batch, w=worker: len(ask(ledger, b, 2, w).admitted)
            for batch, worker in zip(batches, workers, strict=True)
        ]
    )
    assert sum(granted) == 5
    assert len(rows(ledger, scope)) == 3


def deadlocks(ledger: Ledger) -> int:
    """How often the server gave up one of two transactions that waited for each other."""
    if ledger.is_sqlite:
        return 0
    with ledger.read() as tx:
        statement = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(tx.execute(statement).scalar_one())


def test_16_rivals_with_mixed_batches_never_pass_any_of_four_nested_caps(ledger: Ledger) -> None:
    sizes, brands = (300, 470, 1_130), ("acme", "other")
    batches = [
        open_batch(
            ledger,
            [
                new_job(
                    row,
                    model=("a-model", MODEL)[row % 2],
                    ceiling_nano=sizes[row % 3],
                    tags={"brand": brands[row % 2]},
                )
                for row in range(1, 31)
            ],
            budget=4_100 + number,
        )
        for number in range(8)
    ]
    caps = {
        ("overall", ""): 24_007,
        ("day", ""): 21_001,
        ("tag", "brand=acme"): 9_001,
        ("tag", "brand=other"): 14_003,
    }
    for (scope, key), nano in caps.items():
        cap(ledger, scope, key, nano)
    before, most, seed = deadlocks(ledger), [0.0], random.randrange(10**9)

    def work(number: int) -> None:
        dice, worker = random.Random(seed + number), live_worker(ledger)
        for _ in range(6):
            for one in ask(ledger, dice.choice(batches), dice.randint(1, 4), worker).admitted:
                ending = dice.choice((succeeded, unknown, not_sent, account_trouble, None))
                if ending:
                    book(
                        ledger, ending(one.attempt_id, nano=250) if ending is succeeded else ending(one.attempt_id)
                    )
            most[0] = max(most[0], fullest(ledger))

    all_at_once([lambda number=number: work(number) for number in range(16)])
    assert most[0] <= 1.0, f"seed {seed}"
    assert deadlocks(ledger) == before
    assert fullest(ledger) > 0.9, f"seed {seed}"


def fullest(ledger: Ledger) -> float:
    """How full the fullest budget is, 1.0 being its cap."""
    table = schema.budgets
    with ledger.read() as tx:
        found = tx.execute(select(table).where(table.c.cap_nano > 0)).all()
    return max((row.confirmed_nano + row.possible_nano + row.reserved_nano) / row.cap_nano for row in found)


def test_budgets_that_come_and_go_during_admissions_and_settlements_keep_exact_sums(ledger: Ledger) -> None:
    """Whatever moves while a row is made is counted in it or added to it, never both and never neither."""
    batches = [tagged_batch(ledger, *[ACME, {}] * 15) for _ in range(4)]
    scopes = (("overall", ""), ("month", ""), ("day", ""), ("tag", "brand=acme"))
    before, over = deadlocks(ledger), threading.Event()
    wrong: list[str] = []

    def work(batch: str) -> None:
        worker = live_worker(ledger)
        while found := ask(ledger, batch, 3, worker).admitted:
            book(
                ledger,
                *(succeeded(one.attempt_id) for one in found[:1]),
                *(unknown(one.attempt_id) for one in found[1:2]),
            )
            book(ledger, *(not_sent(one.attempt_id) for one in found[2:]))
            book(ledger, *(succeeded(one.attempt_id) for one in found[1:2]))

    def work_and_tell(batch: str) -> None:
        try:
            work(batch)
        finally:
            over.set()

    def set_and_look() -> None:
        while not over.is_set():
            for nano in (10**9, 2 * 10**9, None):
                for scope, key in scopes:
                    cap(ledger, scope, key, nano)
                with ledger.read() as tx:
                    wrong.extend(recount.differences(tx))

    all_at_once([set_and_look, *[lambda batch=batch: work_and_tell(batch) for batch in batches]])
    assert wrong == []
    assert deadlocks(ledger) == before
