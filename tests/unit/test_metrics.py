"""What a worker counts: waits from their beginning to their end, bounded labels, and money to the nano-dollar."""

import pytest
from prometheus_client import REGISTRY

from jobs.ledger.admission import Admission, Admitted, Wait
from jobs.ledger.endings import Booked, Ending, StoredImage
from jobs.money import Charge, Cost, Meter
from jobs.states import Outcome
from worker import metrics
from worker.metrics import AdmissionWaits, count_booked

WORK = Admission([Admitted("a_1", "b_1", 1, "row-1", 1, "m", 1, "{}", "k", 0, 0, 0)], None)
ENDPOINT = "https://api.example/v1"


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"imagemill_{name}", labels) or 0.0


def waits_for(reason: str) -> Admission:
    return Admission([], Wait(reason, "words"))


def booked(model: str, outcome: Outcome = Outcome.SUCCEEDED, nano: int = 0) -> Booked:
    return Booked("a_1", ENDPOINT, model, outcome, nano)


def test_a_wait_lasts_from_the_first_refusal_to_the_next_admission() -> None:
    now_s = [0.0]
    waits = AdmissionWaits(lambda: now_s[0])
    before = value("admission_wait_seconds_sum", reason="rate")
    for now_s[0], admission in (
        (0, WORK),
        (10, waits_for("rate_limit")),
        (14, waits_for("rate_limit")),
        (17, WORK),
    ):
        waits.asked("b_1", admission)
    assert value("admission_wait_seconds_sum", reason="rate") - before == 7


def test_a_wait_that_changes_its_reason_is_two_waits() -> None:
    now_s = [0.0]
    waits = AdmissionWaits(lambda: now_s[0])
    before = {reason: value("admission_wait_seconds_sum", reason=reason) for reason in ("paused", "budget")}
    for now_s[0], reason in ((1, "model_paused"), (3, "shared_budget"), (9, "done")):
        waits.asked("b_1", waits_for(reason))
    passed = {reason: value("admission_wait_seconds_sum", reason=reason) - was for reason, was in before.items()}
    assert passed == {"paused": 2, "budget": 6}


def test_waits_of_batches_do_not_mix_and_not_due_is_no_wait() -> None:
    now_s = [0.0]
    waits = AdmissionWaits(lambda: now_s[0])
    before = value("admission_wait_seconds_count", reason="rate")
    waits.asked("b_1", waits_for("rate_limit"))
    now_s[0] = 5
    waits.asked("b_2", WORK)
    waits.asked("b_3", waits_for("not_due"))
    assert value("admission_wait_seconds_count", reason="rate") == before


def test_what_came_with_an_answer_is_counted_where_the_ending_was_booked() -> None:
    image = StoredImage(0, "x.png", "ab", 4_096, "png", 8, 8, None)
    cost = Cost.of([Charge(Meter.IMAGE_OUT, 272, "token", 40_000_000_000, 10_880_000)], "usage")
    ending = Ending("a_1", Outcome.SUCCEEDED, duration_ms=2_500, cost=cost, images=(image,))
    unbooked = Ending("a_2", Outcome.SUCCEEDED, duration_ms=9_000, cost=cost, images=(image,))
    count_booked((booked("seen", nano=10_880_000),), (ending, unbooked))
    assert value("attempts_total", provider="api.example", model="seen", outcome="succeeded") == 1
    assert value("attempt_duration_seconds_sum", provider="api.example", model="seen") == 2.5
    assert value("image_bytes_total", model="seen", format="png") == 4_096
    assert value("usage_tokens_total", model="seen", meter="image_out") == 272
    assert round(value("spend_dollars_total", provider="api.example", model="seen") * 1e9) == 10_880_000


def test_a_doubt_of_a_dead_worker_is_counted_without_an_answer() -> None:
    count_booked((booked("dead", Outcome.UNKNOWN),))
    assert value("attempts_total", provider="api.example", model="dead", outcome="unknown") == 1
    assert value("attempt_duration_seconds_count", provider="api.example", model="dead") == 0


def test_models_beyond_a_hundred_share_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_models", set())
    for number in range(130):
        count_booked((booked(f"model-{number}"),))
    assert value("attempts_total", provider="api.example", model="other", outcome="succeeded") == 30
    assert value("attempts_total", provider="api.example", model="model-99", outcome="succeeded") == 1
