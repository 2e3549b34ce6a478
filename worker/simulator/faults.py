"""What can go wrong at the far end, and the words by which a prompt or a rate asks for it.

A marker in the prompt chooses the fault for that row; several may stand in one prompt:

    [[sim: NAME [NUMBER] [xK] [billed|unbilled]]]

`xK` means the first K calls of that model and prompt, which then succeed; without it, every call. Several
endings take turns: `[[sim: 429 x2]] [[sim: 500 x1]]` answers 429, 429, 500, then images. `billed` and
`unbilled` overrule what the call costs. A name that is not listed is itself answered by 400.

Endings, instead of images. Errors are free, and come at once, unless marked billed; silence is billed unless
marked unbilled:

    400 401 402 403 404 408 409 413 422      the API's own error with that status
    429 [S], 503 [S], 529 [S]                rate limit, overload; S is the seconds to wait that they advise
    500, billed-500, empty-500               server error, after billing, without a body
    slow-down, quota, credit, billing        429 slow_down; money as 429 (two codes) and as 400
    refuse, refuse-dalle                     refusal of the GPT image models, of dall-e
    gateway-429, gateway-refuse              the same two as a gateway rewrites them
    html-502, html-504                       a proxy's page
    redirect                                 307 to the same path
    timeout                                  no answer until the caller goes away
    reset, close                             connection reset, closed, before the first byte

Ways to spoil an answer that is billed:

    cut [F], hang-body [F], slow [S]         body ends or stalls after the fraction F (0.5), takes S seconds (1)
    empty, no-data, null-data, empty-item    data is [], absent, null, [{}]
    bad-image, bad-base64, bad-json          bytes that are no picture, characters that are no base64, no JSON
    fewer                                    one image less than asked
    no-usage, bad-usage                      usage absent, usage with nonsense in it
    data-url                                 base64 behind a data: prefix
    url, expired-url, lost-url               delivered by url; the url is past its time, is not there
    file-fail [K], file-cut [K]              by url; the first K downloads (1) answer 500, end half way
    sse-error, sse-short                     a stream that ends in an error event, without `completed`
    extra                                    fields nobody knows
    delay S                                  answers S seconds later

The same words, with a probability each, are the fault rates of a configuration. What a call draws depends
only on the seed, the model and prompt, and how many calls with them came before: a run can be repeated.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import blake2b

from worker.simulator.errors import ApiError, retry_headers

SILENT = frozenset({"timeout", "reset", "close"})
"""Endings without any answer."""
HTML = {"html-502": 502, "html-504": 504}
BARE = frozenset({"empty-500", "redirect", *HTML})
"""Endings that answer, but not with the API's JSON."""

BODY = frozenset({"cut", "hang-body", "slow", "delay", "bad-json", "extra"})
ITEMS = frozenset({"empty", "no-data", "null-data", "empty-item", "bad-image", "bad-base64", "fewer", "data-url"})
USAGE = frozenset({"no-usage", "bad-usage"})
STREAM = frozenset({"sse-error", "sse-short"})
BY_URL = frozenset({"url", "expired-url", "lost-url", "file-fail", "file-cut"})
SPOILS = BODY | ITEMS | USAGE | STREAM | BY_URL
DEFAULT_NUMBERS = {"cut": 0.5, "hang-body": 0.5, "slow": 1.0, "file-fail": 1.0, "file-cut": 1.0, "delay": 1.0}

_REFUSED = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us at"
    " help.openai.com and include the request ID. safety_violations=[violence]."
)
_MONEY = "You exceeded your current quota, please check your plan and billing details."
_USER_ERROR = "image_generation_user_error"

ERRORS: dict[str, ApiError] = {
    "400": ApiError(400, "Invalid value: 'simulated'.", code="invalid_value", param="size"),
    "401": ApiError(401, "Incorrect API key provided.", code="invalid_api_key"),
    "402": ApiError(402, "Insufficient balance.", type="insufficient_balance", code="insufficient_balance"),
    "403": ApiError(403, "Your organization must be verified to use the model."),
    "404": ApiError(404, "The model does not exist.", code="model_not_found", param="model"),
    "408": ApiError(408, "Request timeout.", type="server_error"),
    "409": ApiError(409, "Another request holds the lock.", type="conflict_error"),
    "413": ApiError(413, "Request entity too large."),
    "422": ApiError(422, "Unprocessable entity."),
    "429": ApiError(
        429,
        "Rate limit reached on images per minute (simulated). Please try again later.",
        type="rate_limit_error",
        code="rate_limit_exceeded",
    ),
    "503": ApiError(
        503,
        "The server is overloaded, please try again later.",
        type="service_unavailable_error",
        code="server_is_overloaded",
    ),
    "529": ApiError(529, "Overloaded.", type="overloaded_error", code="overloaded"),
    "500": ApiError(500, "The server had an error while processing your request.", type="server_error"),
    "slow-down": ApiError(429, "Slow down: ramp up gently.", type="rate_limit_error", code="slow_down"),
    "quota": ApiError(429, _MONEY, type="insufficient_quota", code="insufficient_quota"),
    "credit": ApiError(429, _MONEY, type="insufficient_quota", code="credit_balance_exhausted"),
    "billing": ApiError(400, "Billing hard limit has been reached.", code="billing_hard_limit_reached"),
    "refuse": ApiError(400, _REFUSED, type=_USER_ERROR, code="moderation_blocked"),
    "refuse-dalle": ApiError(
        400,
        "Your request was rejected as a result of our safety system. Your prompt may contain text that is not"
        " allowed by our safety system.",
        code="content_policy_violation",
    ),
    "gateway-429": ApiError(429, "Rate limit exceeded.", type="throttling_error", code="429"),
    "gateway-refuse": ApiError(400, _REFUSED, type=f"gateway_{_USER_ERROR}", code="400"),
}
ADVISED = frozenset({"429", "503", "529"})
"""Errors that say how long to wait."""
ENDINGS = SILENT | BARE | ERRORS.keys()
ALIASES = {"billed-500": ("500", True), "502html": ("html-502", None), "504html": ("html-504", None)}

_MARKER = re.compile(r"\[\[\s*sim\s*:\s*([^\]]*?)\s*\]\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    name: str
    number: float | None = None
    times: int | None = None
    """For the first so many calls; None for all."""
    billed: bool | None = None
    """None leaves it to the fault."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to one call: at most one ending, and any number of spoils, with their numbers."""

    ending: Fault | None = None
    spoils: Mapping[str, float] = field(default_factory=dict)
    billed: bool = True

    @property
    def silent(self) -> bool:
        """Nothing will be answered."""
        return self.ending is not None and self.ending.name in SILENT

    @property
    def words(self) -> str:
        """The faults by name, for the journal."""
        return "+".join(([self.ending.name] if self.ending else []) + sorted(self.spoils))


def read_fault(words: str) -> Fault:
    """One fault from the marker language. Raises ValueError with the nearest known name."""
    name, *rest = words.lower().split() or [""]
    name, billed = ALIASES.get(name, (name, None))
    if name not in ENDINGS | SPOILS:
        near = get_close_matches(name, ENDINGS | SPOILS, n=1)
        raise ValueError(f"unknown fault '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""))
    number, times = DEFAULT_NUMBERS.get(name), None
    for word in rest:
        if word in ("billed", "unbilled"):
            billed = word == "billed"
        elif re.fullmatch(r"x\d+", word):
            times = int(word[1:])
        elif re.fullmatch(r"\d+(\.\d+)?", word):
            number = float(word)
        else:
            raise ValueError(f"cannot read '{word}' in the fault '{words}'")
    return Fault(name, number, times, billed)


def read_markers(prompt: str) -> list[Fault]:
    """The faults a prompt asks for, in order. Raises ValueError."""
    return [read_fault(words) for words in _MARKER.findall(prompt)]


def without_markers(prompt: str) -> str:
    return " ".join(_MARKER.sub(" ", prompt).split())


def draw(seed: int, key: bytes, ordinal: int, purpose: str) -> float:
    """A number from 0 up to 1 that is always the same for the same arguments."""
    text = f"{seed}|{ordinal}|{purpose}|".encode()
    return int.from_bytes(blake2b(text + key, digest_size=7).digest()) / (1 << 56)


def drawn_fault(rates: Iterable[tuple[Fault, float]], chance: float) -> Fault | None:
    """Which of the rates that number falls on: each takes its probability's share of 0 to 1."""
    for fault, rate in rates:
        if chance < rate:
            return fault
        chance -= rate
    return None


def plan(faults: Iterable[Fault], ordinal: int) -> Plan:
    """What these faults do to call number `ordinal` (from 0) of their prompt."""
    ending: Fault | None = None
    spoils: dict[str, float] = {}
    billed: bool | None = None
    ended = ordinal
    for fault in faults:
        if fault.name in SPOILS:
            hit = fault.times is None or ordinal < fault.times
            if hit:
                spoils[fault.name] = fault.number or 0.0
        else:
            hit = ending is None and (fault.times is None or ended < fault.times)
            if hit:
                ending = fault
            ended -= fault.times or 0
        if hit and fault.billed is not None:
            billed = fault.billed
    free_by_nature = ending is not None and ending.name not in SILENT
    return Plan(ending, spoils, not free_by_nature if billed is None else billed)


def ending_error(fault: Fault, retry_after_s: float) -> ApiError:
    """The API's own error of an ending, with its advice how long to wait."""
    model = ERRORS[fault.name]
    headers = {}
    if fault.name in ADVISED:
        headers = retry_headers(retry_after_s if fault.number is None else fault.number)
    return ApiError(
        model.status, model.message, type=model.type, code=model.code, param=model.param, headers=headers
    )
