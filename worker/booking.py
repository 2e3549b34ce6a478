"""From owned answers to booked attempts: publish the images, price the answer, settle, learn.

Used by the settler for answers that just came in, and by the replay for those a dead process left in its spool.
Repeating it is safe at every step: images are published under names that contain the attempt, settlement is
keyed by the attempt.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from jobs.catalogue.prices import PriceBook
from jobs.errors import LedgerRestored
from jobs.events import tell
from jobs.ledger import clock, limits
from jobs.ledger.acts import Act, recorded
from jobs.ledger.admission import Admitted
from jobs.ledger.alarms import Alarm, settle_and_stop
from jobs.ledger.endings import Ending, JobFacts, StoredImage
from jobs.ledger.engine import Ledger
from jobs.ledger.limits import Lesson
from jobs.ledger.settlement import Settled
from jobs.money import Cost, UsageRejected, post_ceiling, price_answer
from jobs.pace import LetIn
from jobs.states import CHARGED, Outcome
from jobs.storage import LocalStore, image_name
from worker import metrics
from worker.calls import Answer
from worker.retries import RetryPolicy, next_try

_Limits = tuple[int | None, int | None, int | None]


class Booking:
    """Books answers into one ledger and one image store, at the prices of one book."""

    def __init__(
        self, ledger: Ledger, store: LocalStore, book: PriceBook, endpoint: str, who: str = "worker"
    ) -> None:
        """`who` stops things in the record of acts."""
        self._who = who
        self._ledger = ledger
        self._store = store
        self._book = book
        self._endpoint = endpoint
        self._known_limits: dict[str, _Limits] = {}
        self._let_in: dict[str, LetIn] = defaultdict(LetIn)
        self._policy = RetryPolicy()

    def book(self, answers: Sequence[Answer], admitted: Mapping[str, Admitted], parts: Path) -> Settled:
        """Publish and settle answers whose parts are in the folder `parts`. The caller owns them in the spool.

        Raises LedgerRestored, the others booked, for answers to calls that the ledger does not know: the spool must
        keep these.
        """
        stored = self._publish(answers, admitted, parts)
        priced = [self._ending(one, admitted[one.attempt_id], stored) for one in answers]
        self._learn(answers, admitted)
        self._pause_endpoint(answers)
        endings = [ending for ending, _ in priced]
        alarms = {ending.attempt_id: alarm for ending, alarm in priced if alarm}
        settled, stopped = self._ledger.write(settle_and_stop, endings, self.retry, alarms, self._who)
        metrics.count_booked(settled.booked, endings)
        for alarm in stopped:
            tell("batch_paused", batch=alarm.batch_id, reason=alarm.reason)
        if overruled := [one.attempt_id for one in settled.booked if one.corrects]:
            tell("resolution_overruled", attempts=overruled)
        for batch_id in settled.batches_done:
            tell("batch_done", batch=batch_id)
        if settled.strangers:
            raise LedgerRestored(
                f"the database does not know {settled.strangers[-1]}: is it restored from a backup?"
            )
        return settled

    def retry(self, job: JobFacts, ending: Ending) -> int | None:
        return next_try(self._policy, job, ending, random.random())

    def _publish(
        self, answers: Sequence[Answer], admitted: Mapping[str, Admitted], parts: Path
    ) -> dict[str, tuple[StoredImage, ...]]:
        """Every image under its own name in the store, durable; folders are fsynced once per group."""
        moves: list[tuple[Path, str]] = []
        stored: dict[str, tuple[StoredImage, ...]] = {}
        for answer in answers:
            if answer.images:
                named = _named(answer, admitted[answer.attempt_id])
                moves += [(parts / image.part, one.path) for image, one in zip(answer.images, named, strict=True)]
                stored[answer.attempt_id] = named
        self._store.publish(moves)
        return stored

    def _ending(
        self, answer: Answer, job: Admitted, stored: Mapping[str, tuple[StoredImage, ...]]
    ) -> tuple[Ending, Alarm | None]:
        cost, reason = self._price(answer, job)
        ending = Ending(
            attempt_id=answer.attempt_id,
            outcome=answer.outcome,
            http_status=answer.http_status,
            request_id=answer.request_id,
            error_kind=answer.error_kind,
            error_message=answer.error_message,
            usage=answer.usage,
            facts=answer.facts,
            duration_ms=round(answer.seconds * 1000),
            cost=cost,
            price_book=self._book.version,
            images=stored.get(answer.attempt_id, ()),
            retryable=answer.retryable,
            retry_after_s=answer.rate.retry_after_s,
            account_trouble=answer.pause is not None,
        )
        return ending, Alarm(job.batch_id, reason) if reason else None

    def _price(self, answer: Answer, job: Admitted) -> tuple[Cost | None, str | None]:
        """What the attempt costs, and why the price is an alarm if it is one. Unbilled outcomes cost nothing.
        The price is that of the day on which the call was admitted, however late its answer is booked."""
        if answer.outcome not in CHARGED and not (answer.outcome is Outcome.REFUSED and answer.usage):
            return None, None
        day = date.fromisoformat(clock.utc_day(job.admitted_at))
        request = msgspec.json.decode(job.request)
        asked = _as_answered(request, answer.facts)
        received = answer.facts.get("items", len(answer.images))
        cost = price_answer(self._book, day, asked, answer.usage, received, ceiling_nano=job.ceiling_nano)
        if isinstance(cost, UsageRejected):
            return post_ceiling(self._book, day, request, job.ceiling_nano), f"{job.custom_id}: {cost.reason}"
        if cost.total_nano is not None and cost.total_nano > job.ceiling_nano:
            return cost, f"{job.custom_id}: cost {cost.total_nano} nano-dollars, reserved were {job.ceiling_nano}"
        return cost, None

    def _learn(self, answers: Sequence[Answer], admitted: Mapping[str, Admitted]) -> None:
        """Tell the fleet what the answers said of limits, if it is anything new."""
        lessons = [lesson for one in answers if (lesson := self._lesson(one, admitted[one.attempt_id]))]
        if lessons:
            self._ledger.write(limits.learn, self._endpoint, lessons, random.random())

    def _lesson(self, answer: Answer, job: Admitted) -> Lesson | None:
        rate = answer.rate
        said: _Limits = (rate.limit_requests, rate.limit_images, rate.limit_tokens)
        news = any(said) and self._known_limits.get(job.model) != said
        throttled = answer.outcome is Outcome.THROTTLED
        let_in = self._let_in[job.model]
        if answer.outcome is Outcome.SUCCEEDED:
            let_in.note(job.admitted_at)
        if not (news or throttled):
            return None
        if any(said):
            self._known_limits[job.model] = said
        return Lesson(
            model=job.model,
            images=job.n,
            sent_at=job.admitted_at,
            throttled=throttled,
            retry_after_s=rate.retry_after_s,
            let_in_at=let_in.last_sent_at,
            by_chance=throttled and let_in.turned_away_by_chance(),
            requests_per_min=rate.limit_requests,
            images_per_min=rate.limit_images,
            tokens_per_min=rate.limit_tokens,
        )

    def _pause_endpoint(self, answers: Sequence[Answer]) -> None:
        """Account trouble stops the endpoint; before the settlement that queues the jobs again, or they would be
        sent into the same trouble."""
        for pause in {answer.pause for answer in answers if answer.pause}:
            told = {"of": "endpoint", "model": pause.model, "reason": pause.kind}
            act = Act(self._who, "pause", None, told)
            stop = limits.pause_endpoint
            self._ledger.write(recorded, act, stop, self._endpoint, pause.model, pause.kind, pause.message)
            tell("endpoint_paused", endpoint=self._endpoint, model=pause.model, kind=pause.kind)


def _named(answer: Answer, job: Admitted) -> tuple[StoredImage, ...]:
    return tuple(
        StoredImage(
            index=image.index,
            path=image_name(job.batch_id, job.row, job.custom_id, answer.attempt_id, image.index, image.format),
            sha256=image.sha256,
            bytes=image.bytes,
            format=image.format,
            width=image.width,
            height=image.height,
            revised_prompt=image.revised_prompt,
        )
        for image in answer.images
    )


def _as_answered(request: dict[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The request with the size and quality that the answer says it used: a table price is then exact."""
    said = {name: facts[name] for name in ("size", "quality") if isinstance(facts.get(name), str)}
    return {**request, **said}
