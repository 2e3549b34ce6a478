"""What an answer that brings no images means: its outcome, whether to try again, whether to stop the key.

Pure. Gateways rewrite errors, so the order of judgement is the code, then the type by its suffix, then the
words of the message, then the HTTP status. Whatever nobody answered for certain is `unknown`, maybe paid.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

import msgspec

from jobs.states import Outcome
from worker.calls import Pause
from worker.scan import DecodeError, check_depth
from worker.scrub import bounded, scrub, without_secret

_TITLE = re.compile(r"<title[^>]{0,100}>([^<]{1,500})</title>", re.IGNORECASE)


class Cause(Enum):
    """What is the matter, before it is put into an outcome."""

    REFUSAL = auto()
    """The safety system said no: a result, not a fault."""
    REQUEST = auto()
    """This request can never work."""
    MONEY = auto()
    """The key has run out of it, under whatever status."""
    KEY = auto()
    """The key is not accepted."""
    ACCESS = auto()
    """The key may not use this model."""
    ADDRESS = auto()
    """The base URL leads somewhere else."""
    RATE = auto()
    """Too fast, or overloaded, and said so before doing any work."""
    FAULT = auto()
    """The API itself reports that it failed."""
    DOUBT = auto()
    """Something between us and the API answered; the API may have worked, and billed."""


@dataclass(frozen=True, slots=True)
class ApiError:
    """The error object of an answer, in whatever dialect; empty strings where it said nothing."""

    code: str = ""
    type: str = ""
    message: str = ""
    usage: dict[str, Any] | None = None
    from_api: bool = False
    """True where it has the API's own shape, {"error": {...}}; a proxy's page has not."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the attempt ends."""

    outcome: Outcome
    error_kind: str
    error_message: str
    retryable: bool
    pause: Pause | None = None


def read_error(body: bytes, secret: str = "") -> ApiError:
    """The error in a body that may be JSON of several dialects, HTML, plain text or nothing; of JSON without
    `secret`, the API key, however it is written there."""
    try:
        document = msgspec.json.decode(body)
        check_depth(document)
        document = without_secret(document, secret)
    except (ValueError, RecursionError, DecodeError):
        document = None
    return error_of(document) or ApiError(message=_page_text(body.decode("utf-8", "replace")))


def error_of(document: Any) -> ApiError | None:
    """The error object inside a JSON document; None where it has none."""
    if not isinstance(document, dict):
        return None
    inner = document.get("error")
    if isinstance(inner, dict):
        told = {name: _text(inner.get(name)) for name in ("code", "type", "message")}
        usage = document.get("usage")
        kept = bounded(usage) if isinstance(usage, dict) else None
        return ApiError(told["code"], told["type"], told["message"], kept, from_api=any(told.values()))
    message = _text(inner) or _text(document.get("message")) or _text(document.get("detail"))
    return ApiError(code=_text(document.get("code")), message=message) if message else None


def judge(
    status: int,
    error: ApiError,
    *,
    model: str,
    should_retry: bool | None = None,
    told_to_wait: bool = False,
    may_bill: Collection[int] = (),
    secret: str = "",
) -> Verdict:
    """The verdict on an answer that reports an error.

    `status` is 200 for an error event inside a stream. `told_to_wait` says that the headers carry a
    Retry-After. `may_bill` names statuses whose errors this endpoint may bill all the same: such an answer is a
    doubt. `secret` is the API key, which must not be kept. x-should-retry overrides `retryable`.
    """
    cause = next(_causes(status, error, told_to_wait))
    verdict = _verdict(cause, status, error, model, secret)
    if status in may_bill and cause in (Cause.FAULT, Cause.REQUEST):
        verdict = replace(verdict, outcome=Outcome.UNKNOWN)
    if should_retry is None or verdict.pause is not None:
        return verdict
    return replace(verdict, retryable=should_retry)


def _causes(status: int, error: ApiError, told_to_wait: bool) -> Iterator[Cause]:
    """What each look in turn says; the first one to say anything decides, and the status always does."""
    looks = (_by_code(error), _by_type(error), _by_words(status, error))
    yield from (cause for cause in looks if cause is not None)
    yield _by_status(status, error, told_to_wait)


_CODES = {
    **dict.fromkeys(("moderation_blocked", "content_policy_violation", "content_filter"), Cause.REFUSAL),
    **dict.fromkeys(
        (
            "billing_hard_limit_reached",
            "billing_not_active",
            "insufficient_quota",
            "insufficient_user_quota",
            "insufficient_balance",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
        ),
        Cause.MONEY,
    ),
    **dict.fromkeys(("invalid_api_key", "account_deactivated"), Cause.KEY),
    **dict.fromkeys(("rate_limit_exceeded", "slow_down", "server_is_overloaded", "overloaded"), Cause.RATE),
    **dict.fromkeys(
        (
            "unknown_parameter",
            "invalid_value",
            "invalid_type",
            "missing_required_parameter",
            "integer_above_max_value",
            "integer_below_min_value",
            "string_above_max_length",
            "model_not_found",
            "invalid_image_file",
            "invalid_input_fidelity_model",
        ),
        Cause.REQUEST,
    ),
    "server_error": Cause.FAULT,
}

_TYPES = {
    "insufficient_quota": Cause.MONEY,
    "billing_error": Cause.MONEY,
    "authentication_error": Cause.KEY,
    "permission_error": Cause.ACCESS,
    "rate_limit_error": Cause.RATE,
    "throttling_error": Cause.RATE,
    "overloaded_error": Cause.RATE,
    "service_unavailable_error": Cause.RATE,
}
"""Types that say it all. invalid_request_error and image_generation_user_error cover refusals, money and
plain mistakes alike: there the words decide."""

_REFUSAL_WORDS = ("safety system", "content policy", "content_policy", "moderation_blocked", "safety_violations=")
_RATE_WORDS = ("rate limit", "per minute", "per second", "per day", "/1min", "too many requests")
_MONEY_WORDS = (
    "billing hard limit",
    "billing limit",
    "check your plan and billing",
    "exceeded your current quota",
    "insufficient quota",
    "insufficient balance",
    "insufficient credit",
    "credit balance",
    "spend limit",
    "quota is not enough",
    "余额不足",
    "额度不足",
)
_MONEY_WORDS_429 = ("quota", "billing", "balance", "credit")


def _by_code(error: ApiError) -> Cause | None:
    return _CODES.get(error.code.lower())


def _by_type(error: ApiError) -> Cause | None:
    kind = error.type.lower()
    return next((cause for suffix, cause in _TYPES.items() if kind.endswith(suffix)), None)


def _by_words(status: int, error: ApiError) -> Cause | None:
    """Words count only where a person could have been meant: in 4xx answers and in error events."""
    if status >= 500:
        return None
    words = error.message.lower()
    if _any_in(words, _REFUSAL_WORDS):
        return Cause.REFUSAL
    if _any_in(words, _MONEY_WORDS):
        return Cause.MONEY
    if status == 429 and _any_in(words, _MONEY_WORDS_429) and not _any_in(words, _RATE_WORDS):
        return Cause.MONEY
    return None


def _by_status(status: int, error: ApiError, told_to_wait: bool) -> Cause:
    if status in _STATUSES:
        return _STATUSES[status]
    if 300 <= status < 400:
        return Cause.ADDRESS
    if status in (503, 529) and (error.from_api or told_to_wait):
        return Cause.RATE
    if status in (200, 408, 409) or status >= 500:
        return Cause.FAULT if error.from_api else Cause.DOUBT
    return Cause.REQUEST


_STATUSES = {401: Cause.KEY, 402: Cause.MONEY, 403: Cause.ACCESS, 429: Cause.RATE}

_OUTCOMES = {
    Cause.REFUSAL: (Outcome.REFUSED, False),
    Cause.REQUEST: (Outcome.REJECTED, False),
    Cause.MONEY: (Outcome.REJECTED, True),
    Cause.KEY: (Outcome.REJECTED, True),
    Cause.ACCESS: (Outcome.REJECTED, True),
    Cause.ADDRESS: (Outcome.REJECTED, True),
    Cause.RATE: (Outcome.THROTTLED, True),
    Cause.FAULT: (Outcome.ERRORED, True),
    Cause.DOUBT: (Outcome.UNKNOWN, True),
}
"""Outcome, and whether a further attempt may succeed (after a person's resume where it pauses)."""

_KINDS = {
    Cause.REFUSAL: "moderation_blocked",
    Cause.MONEY: "billing",
    Cause.KEY: "invalid_api_key",
    Cause.ACCESS: "permission_denied",
    Cause.ADDRESS: "redirected",
    Cause.RATE: "rate_limit_exceeded",
    Cause.FAULT: "server_error",
}
"""Our word where the API gave no code."""

_NEXT = {
    Cause.MONEY: "Top the account up or raise its limit, then resume.",
    Cause.KEY: "Set a valid IMAGEMILL_API_KEY, then resume.",
    Cause.ACCESS: "The key may not use this model: verify the organisation or change the model, then resume.",
    Cause.ADDRESS: "The endpoint redirects: set IMAGEMILL_ENDPOINT_URL to the final address, then resume.",
}


def _verdict(cause: Cause, status: int, error: ApiError, model: str, secret: str) -> Verdict:
    outcome, retryable = _OUTCOMES[cause]
    kind = _kind(cause, status, error, secret)
    message = scrub(error.message or f"HTTP {status} without a message", secret)
    pause = None
    if cause in _NEXT:
        pause = Pause(model if cause is Cause.ACCESS else None, kind, scrub(f"{message} {_NEXT[cause]}"))
    return Verdict(outcome, kind, message, retryable, pause)


def _kind(cause: Cause, status: int, error: ApiError, secret: str) -> str:
    """The API's code where it is a word; some gateways put the status there."""
    if error.code and not error.code.isdigit():
        return scrub(error.code, secret, limit=80)
    return _KINDS.get(cause, f"http_{status}")


def _page_text(page: str) -> str:
    """A proxy's page by its title; other text as it is."""
    title = _TITLE.search(page)
    return title[1] if title else page


def _any_in(words: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in words for phrase in phrases)


def _text(value: Any) -> str:
    """Codes come as numbers too; objects are no text."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
