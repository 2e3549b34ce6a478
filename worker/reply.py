"""From what came over the wire to an Answer: the head, the decoded body or the error, put together.

Pure. The endpoint client calls one of the three functions at the end of each call.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from jobs.states import Outcome
from worker.answer import Decoded
from worker.calls import Answer, Call, ReceivedImage
from worker.headers import HeaderFacts, read_headers
from worker.parts import Broken, Part
from worker.scrub import hide, scrub
from worker.verdict import ApiError, error_of, judge


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers of an answer; names in lower case. Status 0: none came."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, raw: Iterable[tuple[bytes, bytes]], secret: str = "") -> "Head":
        """From the headers as they came, without `secret`, the API key, in case they echo it."""
        return cls(
            status, {name.decode("latin-1").lower(): hide(value.decode("latin-1"), secret) for name, value in raw}
        )

    def told(self) -> HeaderFacts:
        """What the headers say."""
        return read_headers(self.headers, datetime.now(UTC))


NO_HEAD = Head()


def answer_of_images(
    call: Call, head: Head, reply: Decoded, received: Sequence[Part | Broken | None], secret: str = ""
) -> Answer:
    """A paid answer; `received` says for each of its items what became of the image. `secret` must not be kept."""
    told = head.told()
    outcome, kind, message = weigh(received, call.n, secret)
    images = tuple(
        _image(index, image, reply.items[index].revised_prompt)
        for index, image in enumerate(received)
        if isinstance(image, Part)
    )
    surplus = {"surplus_images": len(images) - call.n} if len(images) > call.n else {}
    items = {"items": len(reply.items)}  # what is paid by the image is paid for each, also where its URL fails
    return Answer(
        call.attempt_id,
        outcome,
        http_status=head.status,
        request_id=told.request_id,
        error_kind=kind,
        error_message=message,
        images=images,
        usage=reply.usage,
        facts=reply.facts | items | surplus,
        rate=told.rate,
    )


def answer_of_error(call: Call, head: Head, error: ApiError, secret: str, may_bill: Collection[int] = ()) -> Answer:
    """An answer that reports an error. `secret`, the API key, must not be kept; `may_bill` is that of `judge`."""
    told = head.told()
    verdict = judge(
        head.status,
        error,
        model=call.model,
        should_retry=told.should_retry,
        told_to_wait=told.rate.retry_after_s is not None,
        may_bill=may_bill,
        secret=secret,
    )
    return Answer(
        call.attempt_id,
        verdict.outcome,
        http_status=head.status,
        request_id=told.request_id,
        error_kind=verdict.error_kind,
        error_message=verdict.error_message,
        usage=error.usage,
        retryable=verdict.retryable,
        rate=told.rate,
        pause=verdict.pause,
    )


def answer_of_failure(call: Call, head: Head, outcome: Outcome, kind: str, message: str) -> Answer:
    """No answer, or none that can be read. What came of its head is kept as evidence."""
    told = head.told()
    return Answer(
        call.attempt_id,
        outcome,
        http_status=head.status or None,
        request_id=told.request_id,
        error_kind=kind,
        error_message=message,
        retryable=True,
        rate=told.rate,
    )


def error_in(reply: Decoded) -> ApiError:
    """The error of an answer that came with a status of success."""
    error = error_of(reply.error) or ApiError(message="the answer reports an error without a word")
    return replace(error, usage=reply.usage or error.usage)


def weigh(
    received: Sequence[Part | Broken | None], asked: int, secret: str = ""
) -> tuple[Outcome, str | None, str | None]:
    """Outcome, kind and message of an answer that was paid for, by what became of its images."""
    usable = sum(isinstance(image, Part) for image in received)
    if usable >= asked:
        return Outcome.SUCCEEDED, None, None
    broken = next((image for image in received if isinstance(image, Broken)), None)
    kind = broken.kind if broken else "images_missing" if usable else "no_image"
    why = f": {broken.message}" if broken else ""
    return Outcome.IMAGE_LOST, kind, scrub(f"{usable} of {asked} images came whole{why}", secret)


def _image(index: int, part: Part, revised_prompt: str | None) -> ReceivedImage:
    return ReceivedImage(
        index=index,
        part=part.name,
        sha256=part.sha256,
        bytes=part.bytes,
        format=part.picture.format,
        width=part.picture.width,
        height=part.picture.height,
        revised_prompt=revised_prompt,
    )
