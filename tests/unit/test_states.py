"""The lifecycle's words: closed sets that the table of the documentation and the code agree on."""

from jobs.states import CHARGED, COUNTED, UNFINISHED, BatchState, JobState, Outcome


def test_the_words_are_the_ones_that_tables_commands_and_reports_use() -> None:
    assert {state.value for state in BatchState} == {"loading", "open", "paused", "done", "cancelled"}
    assert {state.value for state in JobState} == {
        *("queued", "running", "succeeded", "failed", "refused", "held", "cancelled")
    }
    assert {outcome.value for outcome in Outcome} == {
        *("succeeded", "refused", "rejected", "throttled", "errored", "unknown", "image_lost", "not_sent"),
        *("billed_lost", "not_billed"),
    }


def test_a_word_is_its_own_text_in_sql_and_json() -> None:
    assert f"{JobState.HELD}" == str(Outcome.UNKNOWN.value).replace("unknown", "held") == "held"


def test_a_batch_waits_for_queued_and_running_jobs_only() -> None:
    assert {JobState.QUEUED, JobState.RUNNING} == UNFINISHED


def test_rate_limits_and_what_was_never_sent_use_up_no_attempt() -> None:
    assert {Outcome.THROTTLED, Outcome.NOT_SENT}.isdisjoint(COUNTED)
    assert {Outcome.BILLED_LOST, Outcome.NOT_BILLED}.isdisjoint(COUNTED)  # counted as unknown before
    assert len(COUNTED) == len(Outcome) - 4


def test_every_image_received_or_lost_after_payment_is_charged() -> None:
    assert {Outcome.SUCCEEDED, Outcome.IMAGE_LOST, Outcome.BILLED_LOST} == CHARGED
