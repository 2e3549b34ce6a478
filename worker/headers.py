"""What an answer's headers say beside the body: when to come back, the limits, the request id.

Pure. The endpoint client calls `read_headers` once per answer; no header, however odd, raises.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from worker.calls import RateFacts

REQUEST_ID_HEADERS = ("x-request-id", "x-api-request-id", "x-oneapi-request-id", "apim-request-id", "cf-ray")
"""The provider's name first, then what gateways call it."""

_NO_RATE = RateFacts()
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?|\.\d{1,9}", re.ASCII)
_GO_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_GO_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_MAX_INTEGER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """The part of the headers that decides something."""

    request_id: str | None
    rate: RateFacts
    should_retry: bool | None
    """x-should-retry, which overrides what the status says; None where it is not given."""


def read_headers(headers: Mapping[str, str], now: datetime) -> HeaderFacts:
    """`headers` has lower-case names. `now` (aware) is for a Retry-After that names a date."""
    return HeaderFacts(
        request_id=next((headers[name][:200] for name in REQUEST_ID_HEADERS if headers.get(name)), None),
        rate=_rate_facts(headers, now),
        should_retry={"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower()),
    )


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds the server asks to wait. Milliseconds win; a date is measured on the server's own clock."""
    millis = _number(headers.get("retry-after-ms", ""))
    if millis is not None:
        return millis / 1000
    text = headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    due = _http_date(text)
    base = _http_date(headers.get("date", "")) or now
    return None if due is None else max(0.0, (due - base).total_seconds())


def go_duration_s(text: str) -> float | None:
    """Seconds of a Go duration such as `6m0s` or `12ms`; a bare number is seconds too."""
    text = text.strip()
    plain = _number(text)
    if plain is not None or len(text) > 64:
        return plain
    parts = _GO_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _GO_UNITS[unit] for number, unit in parts)


def _rate_facts(headers: Mapping[str, str], now: datetime) -> RateFacts:
    told = any(name.startswith("x-ratelimit-") for name in headers)
    wait = retry_after_s(headers, now) if "retry-after" in headers or "retry-after-ms" in headers else None
    if not told:
        return _NO_RATE if wait is None else RateFacts(retry_after_s=wait)
    return RateFacts(
        retry_after_s=wait,
        limit_requests=_integer(headers.get("x-ratelimit-limit-requests")),
        remaining_requests=_integer(headers.get("x-ratelimit-remaining-requests")),
        reset_requests_s=go_duration_s(headers.get("x-ratelimit-reset-requests", "")),
        limit_tokens=_integer(headers.get("x-ratelimit-limit-tokens")),
        remaining_tokens=_integer(headers.get("x-ratelimit-remaining-tokens")),
        reset_tokens_s=go_duration_s(headers.get("x-ratelimit-reset-tokens", "")),
        limit_images=_integer(headers.get("x-ratelimit-limit-images")),
        remaining_images=_integer(headers.get("x-ratelimit-remaining-images")),
        reset_images_s=go_duration_s(headers.get("x-ratelimit-reset-images", "")),
    )


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _integer(text: str | None) -> int | None:
    number = _number(text or "")
    if number is None or not math.isfinite(number) or number != int(number) or number > _MAX_INTEGER:
        return None
    return int(number)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
