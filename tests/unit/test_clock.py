"""Moments in words: exact to the millisecond, the same as the standard library says them."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from jobs.ledger.clock import iso, utc_day

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = 253_402_300_799_999
"""The end of the year 9999."""


@given(st.integers(0, LAST_MS))
def test_a_moment_is_worded_as_iso_8601_with_milliseconds(moment_ms: int) -> None:
    moment = EPOCH + timedelta(milliseconds=moment_ms)
    assert iso(moment_ms) == moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert utc_day(moment_ms) == moment.date().isoformat()


def test_no_moment_has_no_words() -> None:
    assert iso(None) is None
