"""Decides each call: let in or turned away, which fault it meets, and has it carried out and booked.

The server hands over an Arrival and delivers the Reply. When `answer` returns, the call's journal line is
written, so a caller that goes away now has still been billed: an upstream does not cancel.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from secrets import token_hex
from typing import Any

import msgspec

from worker.simulator.billing import input_tokens, usage_of
from worker.simulator.config import SimulatorConfig
from worker.simulator.errors import ApiError, invalid
from worker.simulator.faults import Fault, Plan, draw, drawn_fault, plan, read_fault, read_markers
from worker.simulator.journal import Journal
from worker.simulator.latency import is_random, latency_s
from worker.simulator.limits import Limiter
from worker.simulator.replies import error_reply
from worker.simulator.request import ImageRequest, model_not_found, read_request
from worker.simulator.values import Arrival, Reply, Verdict, Work
from worker.simulator.workshop import Workshop


class Endpoint:
    """The state of one simulator: limits, ordinals, workshop, journal, counts."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.workshop = Workshop(config)
        self.stats: Counter[str] = Counter()
        self._ordinals: Counter[bytes] = Counter()
        self._answered: dict[tuple[str, str, bytes], str] = {}
        self.configure(config)
        self.journal = Journal(config.journal)

    def configure(self, config: SimulatorConfig) -> None:
        """Take a configuration; rate limits begin full. Raises ValueError for a fault it cannot read."""
        rates = [(read_fault(words), rate) for words, rate in config.fault_rates.items()]
        self._limiter = Limiter(config)
        self._rates = rates
        if not config.honour_idempotency_keys:
            self._answered.clear()
        self.config = self.workshop.config = config

    def close(self) -> None:
        self.workshop.close()
        self.journal.close()

    async def answer(self, arrival: Arrival) -> Reply:
        """Judge, carry out and book one call; the Reply is still to be delivered."""
        request_id = f"req_{token_hex(16)}"
        try:
            verdict = await self._judge(arrival, request_id)
        except ApiError as error:
            verdict = Verdict(error_reply(request_id, error))
        self._count(verdict)
        self.journal.call(arrival, verdict)
        return verdict.reply

    async def _judge(self, arrival: Arrival, request_id: str) -> Verdict:
        key = self._authorize(arrival.headers)
        request = read_request(_json(arrival.body))
        if self.config.refuse_retired and request.model.retired(arrival.at.date()):
            raise model_not_found(request.model.id, 400)
        faults = _markers(request.prompt)
        try:
            limits = self._limiter.take(key, request.model.id, _costs(request), time.monotonic())
        except ApiError as error:
            return Verdict(error_reply(request_id, error), request, "rate-limit")
        verdict = await self._let_in(arrival, request_id, request, faults, key)
        headers = {**limits, **verdict.reply.headers}
        return replace(verdict, reply=replace(verdict.reply, headers=headers))

    def _authorize(self, headers: Mapping[str, str]) -> str:
        scheme, _, key = headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            raise ApiError(401, "You didn't provide an API key.")
        if self.config.api_keys and key not in self.config.api_keys:
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
        return key

    async def _let_in(
        self, arrival: Arrival, request_id: str, request: ImageRequest, faults: list[Fault], key: str
    ) -> Verdict:
        call = blake2b(f"{request.model.id}|{request.prompt}".encode(), digest_size=8).digest()
        resend = (key, arrival.headers.get("Idempotency-Key", ""), call)
        first = self._answered.get(resend)
        if first is not None:
            verdict = await self.workshop.carry_out(Work(arrival, request_id, request, Plan(billed=False)))
            return replace(verdict, fault="replay", replay_of=first)
        ordinal = self._ordinal(call, faults)
        planned = self._plan(faults, call, ordinal)
        if self.config.honour_idempotency_keys and resend[1] and planned.billed:
            self._answered[resend] = request_id
        verdict = await self.workshop.carry_out(Work(arrival, request_id, request, planned))
        delay_s = planned.spoils.get("delay", 0.0)
        if planned.ending is None or planned.billed:  # what was never worked on is answered at once
            delay_s += latency_s(self.config, request, call, ordinal)
        return replace(verdict, reply=replace(verdict.reply, delay_s=delay_s))

    def _ordinal(self, call: bytes, faults: list[Fault]) -> int:
        """How many such calls came before; counted only where something depends on it."""
        if not (self._rates or is_random(self.config) or any(fault.times for fault in faults)):
            return 0
        self._ordinals[call] += 1
        return self._ordinals[call] - 1

    def _plan(self, faults: list[Fault], call: bytes, ordinal: int) -> Plan:
        """Markers rule; the rates fall on prompts without any."""
        if not faults and self._rates:
            drawn = drawn_fault(self._rates, draw(self.config.seed, call, ordinal, "fault"))
            faults = [] if drawn is None else [drawn]
        return plan(faults, ordinal)

    def _count(self, verdict: Verdict) -> None:
        self.stats["calls"] += 1
        self.stats[f"status_{verdict.reply.status or 'none'}"] += 1
        self.stats["billed_calls"] += verdict.billed
        self.stats["amount_nanodollars"] += verdict.amount_nanodollars
        self.stats["images"] += len(verdict.pictures)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, "We could not parse the JSON body of your request.") from error


def _markers(prompt: str) -> list[Fault]:
    if "[[" not in prompt:
        return []
    try:
        return read_markers(prompt)
    except ValueError as error:
        raise invalid("prompt", f"Simulator marker: {error}") from error


def _costs(request: ImageRequest) -> dict[str, int]:
    usage = usage_of(request, request.n)
    tokens = input_tokens(request.prompt) if usage is None else usage["total_tokens"]
    return {"requests": 1, "images": request.n, "tokens": tokens}
