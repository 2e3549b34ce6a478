"""Is this row a request that can run, and has it a price? Asked before anything is spent.

The scan asks for every row of a manifest, the API for every request that comes in by HTTP. Rows that share all
parameters but the prompt share one judgement and one quote, which is what makes a million rows a matter of seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import msgspec

from jobs.catalogue.matrix import Model, find_model, nearest
from jobs.catalogue.prices import PriceBook
from jobs.manifest.rows import Complaint, Problem, Row, error, place_in, warning
from jobs.manifest.rules import (
    cross_complaints,
    field_complaints,
    model_complaints,
    open_price_complaints,
)
from jobs.money import Estimate
from jobs.money.quotes import UNKNOWN, Quote, estimate_at, quote

_PROMPT_MAX_CHARS = 32_000
_MODEL_MAX_CHARS = 200
_CACHED_BYTES = 1024
"""Longer parameters are judged each time, so that the cache cannot grow large."""


@dataclass(frozen=True, slots=True)
class _Judgement:
    """Of all the requests that differ in their prompts only."""

    complaints: tuple[Complaint, ...]
    model: Model | None
    quote: Quote | None
    """None where there is no price, and where an error makes it idle to ask."""


def check_row(
    row: Row, *, book: PriceBook, day: date, stated_ceiling_nano: int | None = None, strict: bool = False
) -> list[Problem]:
    """Everything that is wrong or doubtful with the row; [] is the usual answer.

    `stated_ceiling_nano` is the user's own bound for a call whose ceiling the book cannot give.
    """
    has_ceiling = stated_ceiling_nano is not None
    return judge_row(row, book=book, day=day, has_ceiling=has_ceiling, strict=strict)[0]


def judge_row(
    row: Row, *, book: PriceBook, day: date, has_ceiling: bool, strict: bool
) -> tuple[list[Problem], Estimate]:
    """The row's problems, and what its call may cost; nothing is known of a row with an error."""
    complaints, cost = _judge_request(row.request, book, day, has_ceiling)
    problems = [place_in(row, complaint) for complaint in complaints]
    return [problem.as_error() for problem in problems] if strict else problems, cost


def check_request(
    request: dict[str, Any], *, book: PriceBook, day: date, has_ceiling: bool = False
) -> list[Complaint]:
    """The same for a request that stands in no file."""
    return [*_judge_request(request, book, day, has_ceiling)[0]]


def _judge_request(
    request: dict[str, Any], book: PriceBook, day: date, has_ceiling: bool
) -> tuple[tuple[Complaint, ...], Estimate]:
    params = {field: value for field, value in request.items() if field != "prompt"}
    try:
        encoded = msgspec.json.encode(params)
    except UnicodeEncodeError:
        half = error("lone_surrogate", "a field contains half of a surrogate pair", "write the character whole")
        return (half,), UNKNOWN
    judge = _judge if len(encoded) <= _CACHED_BYTES else _judge.__wrapped__
    judged = judge(encoded, book, day, has_ceiling)
    complaints = (*_prompt_complaints(request.get("prompt"), judged.model), *judged.complaints)
    return complaints, estimate_at(judged.quote, request)


@lru_cache(maxsize=4096)
def _judge(encoded: bytes, book: PriceBook, day: date, has_ceiling: bool) -> _Judgement:
    """All but the prompt. The key is JSON because 1, 1.0 and true are one and the same to a hash."""
    params = msgspec.json.decode(encoded)
    name = params.get("model")
    model = find_model(name) if isinstance(name, str) else None
    complaints = [*_model_named(name, model), *field_complaints(params, model)]
    if model is not None:
        complaints += [
            *model_complaints(model, day),
            *cross_complaints(params, model),
            *open_price_complaints(params, model),
        ]
    if any(complaint.severity == "error" for complaint in complaints):
        return _Judgement(tuple(complaints), model, None)
    quoted = quote(book, day, params)
    if quoted is None and not has_ceiling:
        complaints.append(_no_price(params))
    return _Judgement(tuple(complaints), model, quoted)


def _model_named(name: object, model: Model | None) -> Iterator[Complaint]:
    if name is None:
        message = "no model is named, and endpoints differ in their default"
        yield warning("no_model", message, "add a model, or --model", field="model")
    elif isinstance(name, str) and len(name) > _MODEL_MAX_CHARS:
        message = f"the model's name has {len(name):,} characters, at most {_MODEL_MAX_CHARS} are kept"
        yield error("long_model", message, "see which column is the model", field="model", value=name)
    elif isinstance(name, str) and model is None:
        near = nearest(name)
        hint = f"did you mean {near}?" if near else "check the spelling"
        message = f"{name!r} is not a known model; the row is sent as it is"
        yield warning("unknown_model", message, hint, field="model", value=name)


def _no_price(params: dict[str, Any]) -> Complaint:
    """Whether a bound exists does not depend on the prompt."""
    name = params.get("model")
    message = f"there is no price for {name}" if name else "without a model there is no price"
    if params.get("output_format") == "svg":
        message = "an svg is also billed by its author model, so its price has no bound"
    return error("no_price", message, "state a bound with --ceiling, or add prices", field="model", value=name)


def _prompt_complaints(prompt: object, model: Model | None) -> tuple[Complaint, ...]:
    most = model.prompt_max_chars if model else _PROMPT_MAX_CHARS
    if prompt is None or prompt == "" or (isinstance(prompt, str) and prompt.isspace()):
        return (error("no_prompt", "there is no prompt", "write one", field="prompt"),)
    if not isinstance(prompt, str):
        return (error("wrong_type", "prompt must be text", "write text", field="prompt", value=prompt),)
    if len(prompt) > most:
        message = f"the prompt has {len(prompt):,} characters, at most {most:,} are allowed"
        return (error("prompt_too_long", message, "shorten it", field="prompt", value=prompt),)
    return ()
