"""How fast one endpoint may be asked for one model: permits, and what 429 answers teach. Pure functions.

The state is one row of `rate_limits`, shared by the whole fleet and changed only inside ledger transactions. Each
limit is a token bucket kept as one number, the moment at which it is full again (GCRA), in microseconds.
Permits come evenly, because endpoints forbid bursts in their own ways. How a learned pace falls and grows is in
`jobs.pace`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jobs import pace

MINUTE_US = 60_000_000
USED = 0.975
"""Of a known limit: of two calls spaced exactly by it, the second comes too early where the first was slower on its
way."""
_BURST_US = 1_000_000
_NEARLY = 0.75
_PACE_BURST_US = 100_000
"""Of the learned pace: after a 429 there are no bursts but those of calls a few milliseconds apart."""
_LONGEST_BLOCK_MS = 60_000
_LONGEST_START_MS = 10_000
"""Calls sent at once are taken to be those of a second each, up to so many: a start tells of no pace that lasts."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Known limits a minute (None: none known), bucket states, and what the last 429s said."""

    requests_per_min: int | None = None
    images_per_min: int | None = None
    tokens_per_min: int | None = None
    requests_full_us: int = 0
    images_full_us: int = 0
    tokens_full_us: int = 0
    pace_full_us: int = 0
    ceiling_per_min: float | None = None
    """Of the learned pace, images a minute; None: no 429 came yet. See `jobs.pace`."""
    slowed_per_min: float = 0.0
    pace_changed_at: int = 0
    """When it was slowed: a 429 to a call admitted before tells nothing new."""
    tried_at: int = 0
    """When the first call after that was admitted; 0: none yet."""
    tried_images: int = 0
    """Admitted after that."""
    grows_from: int = 0
    """The learned pace has been used without a 429 since then, idle times left out."""
    blocked_until: int = 0
    strikes: int = 0
    """429s in a row, with no quiet time between them."""
    window_at: int = 0
    window_images: int = 0
    window_before: int = 0
    """Images in the minute before `window_at`."""


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
        requests_full_us=min(limits.requests_full_us, now_ms * 1000),
        images_full_us=min(limits.images_full_us, now_ms * 1000),
        tokens_full_us=min(limits.tokens_full_us, now_ms * 1000),
        pace_full_us=min(limits.pace_full_us, now_ms * 1000),
        pace_changed_at=min(limits.pace_changed_at, now_ms),
        tried_at=min(limits.tried_at, now_ms),
        grows_from=min(limits.grows_from, now_ms),
        blocked_until=min(limits.blocked_until, now_ms + _LONGEST_BLOCK_MS),
        window_at=now_ms,
    )


def wait_ms(limits: Limits, now_ms: int) -> int:
    """Milliseconds until the next permit; 0 when one is there now."""
    waits = [bucket.wait_us(now_ms) for bucket in _buckets(limits, now_ms)]
    return max(0, limits.blocked_until - now_ms, *((wait + 999) // 1000 for wait in waits))


def take(limits: Limits, now_ms: int, wanted: Sequence[tuple[int, int]]) -> tuple[int, Limits]:
    """Take permits for as many of the wanted calls, in order, as there are permits for now.

    `wanted` holds (images, tokens) of each call. A call larger than a bucket is let through when the bucket
    is free and is paid for by the wait after it. Returns how many may be sent, and the new state.
    """
    if limits.blocked_until > now_ms:
        return 0, limits
    buckets = _buckets(limits, now_ms)
    granted = 0
    for images, tokens in wanted:
        if any(bucket.wait_us(now_ms) > 0 for bucket in buckets):
            break
        for bucket in buckets:
            bucket.spend(now_ms, {"requests": 1, "images": images, "tokens": tokens}[bucket.unit])
        granted += 1
    if not granted:
        return 0, limits
    sent = sum(images for images, _ in wanted[:granted])
    return granted, _spent(_seen(limits, now_ms, sent), now_ms, sent, buckets)


def throttled(
    limits: Limits,
    now_ms: int,
    sent_at: int,
    images: int,
    advice_s: float | None,
    jitter: float,
    *,
    let_in_at: int = 0,
    by_chance: bool = False,
) -> Limits:
    """What a 429 or an overload answer to a call admitted at `sent_at` teaches: all wait, and go on slower.

    One to a call from before the pace was last slowed says again what is known; its advice counts all the same.
    `jitter` in 0..1 spreads the fleet's return when the endpoint named no time. `let_in_at` and `by_chance` are
    what the worker's `LetIn` says.
    """
    if not by_chance:
        limits = replace(limits, window_images=max(0, limits.window_images - images))
    advice_ms = None if advice_s is None else int(advice_s * 1000)
    if by_chance or sent_at <= limits.pace_changed_at:
        limits = _forgiven(limits, sent_at, let_in_at) if sent_at > limits.pace_changed_at else limits
        return replace(limits, blocked_until=_later(limits, now_ms, min(advice_ms or 0, pace.LONGEST_ADVICE_MS)))
    if limits.ceiling_per_min is None or _let_in_since(limits, sent_at, let_in_at):
        strikes, at = 1, _pace_at(limits, sent_at)
        allowed = _allowed_per_min(limits, sent_at, at, advice_ms or 0)
        let_in = limits.tried_images - images
        ceiling, slowed_to = pace.slowed(at, limits.ceiling_per_min, let_in, allowed)
    else:
        strikes, ceiling = min(limits.strikes + 1, 16), limits.ceiling_per_min
        slowed_to = pace.slowed_again(limits.slowed_per_min, strikes)
    blocked_until = _later(limits, now_ms, pace.pause_ms(strikes, advice_ms, jitter))
    return replace(
        limits,
        ceiling_per_min=ceiling,
        slowed_per_min=slowed_to,
        pace_changed_at=now_ms,
        pace_full_us=min(limits.pace_full_us, blocked_until * 1000 + _pace_burst_us(slowed_to)),
        tried_at=0,
        tried_images=0,
        grows_from=blocked_until,
        blocked_until=blocked_until,
        strikes=strikes,
    )


def _forgiven(limits: Limits, sent_at: int, let_in_at: int) -> Limits:
    """After a 429 that slows nothing down: growing begins anew, from a higher ceiling if it had grown well above.
    What was tried since the last slowing counts on only if some of it was let in."""
    learned, ceiling = pace_now(limits, sent_at), limits.ceiling_per_min
    if learned is None or ceiling is None:
        return limits
    ceiling = max(ceiling, pace.KEPT * learned)
    slowed_to = min(learned, pace.KEPT * ceiling)
    limits = replace(limits, ceiling_per_min=ceiling, slowed_per_min=slowed_to)
    return limits if 0 < limits.tried_at <= let_in_at else replace(limits, tried_at=0, tried_images=0)


def _let_in_since(limits: Limits, sent_at: int, let_in_at: int) -> bool:
    """Whether calls were let in since the pace was last slowed, and before this one was sent."""
    return 0 < limits.tried_at <= max(let_in_at, sent_at - pace.LET_IN_MS - 1)


def _allowed_per_min(limits: Limits, sent_at: int, at: float, advice_ms: int) -> float:
    """What a wait as long as the advised one makes of the pace. Advice of a call's length or two says nothing."""
    if limits.ceiling_per_min is None or advice_ms * at < 2 * 60_000:
        return at
    return limits.tried_images * 60_000 / (sent_at - limits.tried_at + advice_ms)


def pace_now(limits: Limits, now_ms: int) -> float | None:
    """The learned pace in images a minute, as it has grown by now; None when no 429 came yet."""
    if limits.ceiling_per_min is None:
        return None
    return pace.grown(limits.ceiling_per_min, limits.slowed_per_min, _grown_ms(limits, now_ms))


def _grown_ms(limits: Limits, now_ms: int) -> int:
    return max(0, now_ms - max(limits.grows_from, limits.blocked_until))


def _later(limits: Limits, now_ms: int, pause_ms: int) -> int:
    return max(limits.blocked_until, now_ms + pause_ms)


def _pace_at(limits: Limits, moment_ms: int) -> float:
    """The pace at which a call of that moment was sent: the learned one, or as many as there were, if all were
    let through. A known limit was kept to in any case, and counts where about as many were seen."""
    learned = pace_now(limits, moment_ms)
    at = _seen_per_min(limits, moment_ms) if learned is None else learned
    if limits.images_per_min is None:
        return at
    known = USED * limits.images_per_min
    return known if learned is None and at >= _NEARLY * known else min(at, known)


@dataclass(slots=True)
class _Bucket:
    """`full_us` is the moment at which it is full; a permit is there as soon as less than `burst_us` is missing."""

    unit: str
    name: str
    each_us: float
    burst_us: int
    full_us: int

    def wait_us(self, now_ms: int) -> int:
        return max(0, self.full_us - self.burst_us - now_ms * 1000)

    def spend(self, now_ms: int, amount: int) -> None:
        self.full_us = max(self.full_us, now_ms * 1000) + int(amount * self.each_us)


def _buckets(limits: Limits, now_ms: int) -> list[_Bucket]:
    """Those that bind."""
    found = []
    for unit in ("requests", "images", "tokens"):
        limit = getattr(limits, f"{unit}_per_min")
        if limit is not None:
            each_us = MINUTE_US / (USED * max(1, limit))
            burst_us = max(0, int(_BURST_US - each_us) // 2)
            found.append(_Bucket(unit, f"{unit}_full_us", each_us, burst_us, getattr(limits, f"{unit}_full_us")))
    learned = pace_now(limits, now_ms)
    if learned is not None:
        each_us = MINUTE_US / learned
        found.append(_Bucket("images", "pace_full_us", each_us, _pace_burst_us(learned), limits.pace_full_us))
    return found


def _pace_burst_us(per_min: float) -> int:
    return max(0, int(_PACE_BURST_US - MINUTE_US / per_min))


def _spent(limits: Limits, now_ms: int, images: int, buckets: Sequence[_Bucket]) -> Limits:
    """With the new bucket states. A pace that is not used whole proves nothing: idle time lets none grow, and takes
    back what was grown beyond the ceiling."""
    state = replace(limits, **{bucket.name: bucket.full_us for bucket in buckets})
    if limits.ceiling_per_min is None:
        return state
    idle_ms = max(0, now_ms - max(limits.pace_full_us // 1000, limits.grows_from, limits.blocked_until))
    grown_ms = _grown_ms(limits, now_ms) - idle_ms
    back_ms = pace.back_after_ms(limits.ceiling_per_min, limits.slowed_per_min)
    if grown_ms > back_ms:
        grown_ms = max(back_ms, grown_ms - 7 * idle_ms)
    return replace(
        state,
        tried_at=limits.tried_at or now_ms,
        tried_images=limits.tried_images + images,
        grows_from=now_ms - grown_ms,
    )


def _seen(limits: Limits, now_ms: int, images: int) -> Limits:
    """Keep the rate of the last minute in view, for the day a 429 comes without a number."""
    age_ms = now_ms - limits.window_at
    if age_ms <= MINUTE_US // 1000:
        return replace(limits, window_images=limits.window_images + images)
    before = limits.window_images if age_ms <= 2 * MINUTE_US // 1000 else 0
    return replace(limits, window_at=now_ms, window_images=images, window_before=before)


def _seen_per_min(limits: Limits, now_ms: int) -> float:
    """Of the last minute, a part of it within the window before; in the first minute, of what there was of it."""
    age_ms = max(0, now_ms - limits.window_at)
    minute_ms = MINUTE_US // 1000
    if limits.window_before:
        return limits.window_images + limits.window_before * max(0.0, 1 - age_ms / minute_ms)
    start_ms = min(_LONGEST_START_MS, 1_000 * limits.window_images)
    return limits.window_images * minute_ms / max(1, start_ms, min(age_ms, minute_ms))


def _smaller(one: int | None, other: int | None) -> int | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)
