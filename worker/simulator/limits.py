"""Rate limits of the endpoint: token buckets per key and model for requests, images and tokens.

A limit of N a minute refills N/60 a second. With burst a bucket holds a minute's allowance; without, a
second's, and one call may overdraw it, so that calls come out evenly spaced. Time is an argument, seconds
of any steady clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.simulator.config import SimulatorConfig
from worker.simulator.errors import ApiError, retry_headers

Costs = Mapping[str, int]
"""What a call takes of each meter: requests, images, tokens."""


@dataclass(slots=True)
class Bucket:
    """One meter of one key and model."""

    per_minute: int
    burst: bool
    level: float
    seen_s: float

    @property
    def capacity(self) -> float:
        return float(self.per_minute) if self.burst else max(1.0, self.per_minute / 60)

    def refill(self, now_s: float) -> None:
        self.level = min(self.capacity, self.level + (now_s - self.seen_s) * self.per_minute / 60)
        self.seen_s = now_s

    def wait_s(self, cost: int) -> float:
        """Seconds until that cost fits, 0 when it does now. A cost above the limit never fits: 60."""
        if cost > self.per_minute:
            return 60.0
        return max(0.0, (min(cost, self.capacity) - self.level) * 60 / self.per_minute)

    def headers(self, meter: str) -> dict[str, str]:
        full_in_s = (self.capacity - self.level) * 60 / self.per_minute if self.per_minute else 60.0
        return {
            f"x-ratelimit-limit-{meter}": str(self.per_minute),
            f"x-ratelimit-remaining-{meter}": str(max(0, int(self.level))),
            f"x-ratelimit-reset-{meter}": go_duration(full_in_s),
        }


class Limiter:
    """The buckets of all keys and models."""

    def __init__(self, config: SimulatorConfig) -> None:
        limits = {
            "requests": config.requests_per_minute,
            "images": config.images_per_minute,
            "tokens": config.tokens_per_minute,
        }
        self._limits = {meter: limit for meter, limit in limits.items() if limit is not None}
        self._burst = config.burst
        self._told = config.limits_told
        self._buckets: dict[tuple[str, str], dict[str, Bucket]] = {}

    def take(self, key: str, model: str, costs: Costs, now_s: float) -> dict[str, str]:
        """Take the costs from all meters or none; the x-ratelimit headers. Raises ApiError 429."""
        buckets = self._of(key, model, now_s)
        for bucket in buckets.values():
            bucket.refill(now_s)
        waits = {meter: bucket.wait_s(costs[meter]) for meter, bucket in buckets.items()}
        meter = max(waits, key=lambda name: waits[name], default=None)
        if meter is not None and waits[meter] > 0:
            raise self._exceeded(meter, model, costs[meter], waits[meter], self._headers(buckets))
        for name, bucket in buckets.items():
            bucket.level -= costs[name]
        return self._headers(buckets)

    def _headers(self, buckets: Mapping[str, Bucket]) -> dict[str, str]:
        if self._told != "headers":
            return {}
        return {name: value for meter, bucket in buckets.items() for name, value in bucket.headers(meter).items()}

    def _of(self, key: str, model: str, now_s: float) -> dict[str, Bucket]:
        buckets = self._buckets.get((key, model))
        if buckets is None:
            buckets = {name: Bucket(limit, self._burst, 0.0, now_s) for name, limit in self._limits.items()}
            for bucket in buckets.values():
                bucket.level = bucket.capacity
            self._buckets[key, model] = buckets
        return buckets

    def _exceeded(self, meter: str, model: str, cost: int, wait_s: float, headers: dict[str, str]) -> ApiError:
        message = (
            f"Rate limit reached for {model} on {meter} per minute. Limit: {self._limits[meter]}/1min, "
            f"requested: {cost}. Please try again in {go_duration(wait_s)}."
        )
        return ApiError(
            429,
            message,
            type="rate_limit_error" if meter == "images" else meter,
            code="rate_limit_exceeded",
            headers=headers | (retry_headers(wait_s) if self._told != "nothing" else {}),
        )


def go_duration(seconds: float) -> str:
    """As Go prints durations: 12ms, 1s, 1.5s, 6m0s, 1h0m0s; to the millisecond."""
    millis = round(seconds * 1000)
    if millis == 0:
        return "0s"
    if millis < 1000:
        return f"{millis}ms"
    minutes, rest = divmod(millis, 60_000)
    text = f"{rest / 1000:g}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = (f"{hours}h" if hours else "") + f"{minutes}m" + text
    return text
