"""How fast one endpoint may be asked for one model: permits, and what 429 answers teach. Pure functions.

The state is one row of `rate_limits`, shared by the whole fleet and changed only inside ledger transactions. Each
limit is a token bucket kept as one number, the moment at which it is full again (GCRA), in microseconds.
Spending is smooth: at most `BURST_US` worth of permits at once, because endpoints forbid bursts in their own ways.
"""

from dataclasses import dataclass, replace

MINUTE_US = 60_000_000
BURST_US = 1_000_000
SLOWER = 0.85
"""Of the rate seen when a 429 came in without a stated limit."""
FASTER = 1.1
"""Growth of the learned pace for each STEP_MS without another 429."""
STEP_MS = 5_000
FORGET_MS = 300_000
"""A learned pace is dropped after so long without a 429."""
_ONE_STORM_MS = 5_000
"""429s that arrive this close together tell one thing once."""
_LONGEST_BLOCK_MS = 60_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Known limits a minute (None: none known), bucket states, and what the last 429 said."""

    requests_per_min: int | None = None
    images_per_min: int | None = None
    tokens_per_min: int | None = None
    pace_per_min: int | None = None
    pace_changed_at: int = 0
    requests_full_us: int = 0
    images_full_us: int = 0
    tokens_full_us: int = 0
    pace_full_us: int = 0
    blocked_until: int = 0
    strikes: int = 0
    window_at: int = 0
    window_requests: int = 0


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits a minute that a person stated for this endpoint; they bind besides the learned ones."""

    requests_per_min: int | None = None
    images_per_min: int | None = None
    tokens_per_min: int | None = None


def with_caps(limits: Limits, caps: Caps) -> Limits:
    """The limits in force: the smaller of what is known and what was stated."""
    return replace(
        limits,
        requests_per_min=_smaller(limits.requests_per_min, caps.requests_per_min),
        images_per_min=_smaller(limits.images_per_min, caps.images_per_min),
        tokens_per_min=_smaller(limits.tokens_per_min, caps.tokens_per_min),
    )


def without_caps(spent: Limits, known: Limits) -> Limits:
    """The new bucket states with the learned limits: a stated cap is this worker's setting, not knowledge."""
    return replace(
        spent,
        requests_per_min=known.requests_per_min,
        images_per_min=known.images_per_min,
        tokens_per_min=known.tokens_per_min,
    )


def in_step(limits: Limits, now_ms: int) -> Limits:
    """The same object, unless the clock was set back: then a state in which no permit waits until it has caught up.
    Steps of less than a minute are waited out."""
    if limits.window_at - now_ms <= MINUTE_US // 1000:
        return limits
    return replace(
        limits,
        pace_changed_at=min(limits.pace_changed_at, now_ms),
        requests_full_us=min(limits.requests_full_us, now_ms * 1000),
        images_full_us=min(limits.images_full_us, now_ms * 1000),
        tokens_full_us=min(limits.tokens_full_us, now_ms * 1000),
        pace_full_us=min(limits.pace_full_us, now_ms * 1000),
        blocked_until=min(limits.blocked_until, now_ms + _LONGEST_BLOCK_MS),
        window_at=now_ms,
    )


def wait_ms(limits: Limits, now_ms: int) -> int:
    """Milliseconds until the next permit; 0 when one is there now."""
    waits = [limits.blocked_until - now_ms]
    for _, full_us in _buckets(limits, now_ms):
        waits.append((full_us - BURST_US - now_ms * 1000 + 999) // 1000)
    return max(0, *waits)


def take(limits: Limits, now_ms: int, wanted: list[tuple[int, int]]) -> tuple[int, Limits]:
    """Take permits for as many of the wanted calls, in order, as there are permits for now.

    `wanted` holds (images, tokens) of each call. A call larger than a bucket is let through when the bucket
    is free and is paid for by the wait after it. Returns how many may be sent, and the new state.
    """
    if limits.blocked_until > now_ms:
        return 0, limits
    if not _buckets(limits, now_ms):
        return len(wanted), _count(limits, now_ms, len(wanted))
    granted = 0
    state = limits
    for images, tokens in wanted:
        if wait_ms(state, now_ms) > 0:
            break
        state = _spend(state, now_ms, images, tokens)
        granted += 1
    return granted, _count(state, now_ms, granted)


def throttled(limits: Limits, now_ms: int, retry_after_s: float | None, jitter: float) -> Limits:
    """What a 429 or an overload answer teaches: wait for everybody, and a slower pace where no limit is known.

    `jitter` in 0..1 spreads the fleet's return when the endpoint named no time.
    """
    strikes = 1 if now_ms - limits.pace_changed_at > FORGET_MS else limits.strikes
    if retry_after_s is not None:
        pause_ms = int(retry_after_s * 1000)
    else:
        pause_ms = int(min(_LONGEST_BLOCK_MS, 1000 * 2**strikes) * (0.5 + 0.5 * jitter))
    state = replace(limits, blocked_until=max(limits.blocked_until, now_ms + pause_ms))
    if limits.pace_changed_at > now_ms - _ONE_STORM_MS:
        return state
    return replace(state, strikes=min(strikes + 1, 16), pace_per_min=_slower(state, now_ms), pace_changed_at=now_ms)


def pace_now(limits: Limits, now_ms: int) -> int | None:
    """The learned pace, grown since the last 429; None when there is none or it is long ago."""
    quiet_ms = now_ms - limits.pace_changed_at
    if limits.pace_per_min is None or quiet_ms > FORGET_MS:
        return None
    return max(1, int(limits.pace_per_min * FASTER ** (max(0, quiet_ms) / STEP_MS)))


def _slower(limits: Limits, now_ms: int) -> int | None:
    if limits.requests_per_min or limits.images_per_min or limits.tokens_per_min:
        return limits.pace_per_min  # the endpoint said its limit: keep to that
    seen = limits.window_requests * 60_000 / max(1_000, now_ms - limits.window_at)
    known = pace_now(limits, now_ms)
    return max(1, int(SLOWER * (seen if known is None else min(seen, known))))


def _buckets(limits: Limits, now_ms: int) -> list[tuple[int, int]]:
    """(limit a minute, full at) of each bucket that binds."""
    pairs = (
        (limits.requests_per_min, limits.requests_full_us),
        (limits.images_per_min, limits.images_full_us),
        (limits.tokens_per_min, limits.tokens_full_us),
        (pace_now(limits, now_ms), limits.pace_full_us),
    )
    return [(limit, full_us) for limit, full_us in pairs if limit is not None]


def _spend(limits: Limits, now_ms: int, images: int, tokens: int) -> Limits:
    def later(full_us: int, limit: int | None, amount: int) -> int:
        if limit is None:
            return full_us
        return max(full_us, now_ms * 1000) + amount * MINUTE_US // max(1, limit)

    return replace(
        limits,
        requests_full_us=later(limits.requests_full_us, limits.requests_per_min, 1),
        images_full_us=later(limits.images_full_us, limits.images_per_min, images),
        tokens_full_us=later(limits.tokens_full_us, limits.tokens_per_min, tokens),
        pace_full_us=later(limits.pace_full_us, pace_now(limits, now_ms), 1),
    )


def _count(limits: Limits, now_ms: int, granted: int) -> Limits:
    """Keep the rate of the last minute in view, for the day a 429 comes without a number."""
    if now_ms - limits.window_at > MINUTE_US // 1000:
        return replace(limits, window_at=now_ms, window_requests=granted)
    return replace(limits, window_requests=limits.window_requests + granted)


def _smaller(one: int | None, other: int | None) -> int | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)
