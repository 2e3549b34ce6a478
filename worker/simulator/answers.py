"""Builds the bodies of answers with images: JSON, or the events of a stream, whole or spoiled on purpose.

Pure functions of bytes. The base64 of a picture goes in as it is: thousands of answers under way share it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from worker.simulator.faults import Plan, without_markers
from worker.simulator.pictures import Picture
from worker.simulator.request import ImageRequest
from worker.simulator.values import Work

NONSENSE_USAGE = {"input_tokens": -3, "output_tokens": "many", "total_tokens": None}
NO_BASE64 = b"!!! this is not base64 !!!"
NO_DATA = {
    "empty": b',"data":[]',
    "null-data": b',"data":null',
    "no-data": b"",
    "empty-item": b',"data":[{}]',
}
"""The data member of an answer that holds no image, by the spoil that asks for it."""
SHARED_BYTES = 64_000
"""Answers larger than this go out in parts; smaller ones in one piece, which is quicker."""
STREAM_ERROR = (
    b'event: error\ndata: {"type":"error","error":{"type":"server_error","code":"image_generation_failed",'
    b'"message":"The image could not be finished.","param":null}}\n\n'
)
UNFINISHED = frozenset({"sse-short", "sse-error"})
"""Spoils of a stream that never says `completed`."""
UNKNOWN_FIELDS = {"provider_note": "a field nobody knows", "seed_used": 42}


@dataclass(frozen=True, slots=True)
class Sent:
    """One image of an answer: the picture, and the url when it goes that way."""

    picture: Picture
    url: str | None = None
    partials: tuple[Picture, ...] = ()
    """Previews that a stream shows first."""


def images_body(work: Work, sent: Sequence[Sent], usage: dict[str, Any] | None) -> tuple[bytes, ...]:
    """The JSON answer, in parts: the base64 of large pictures is shared by all answers that carry it."""
    created = _member("created", work.created)
    if "bad-json" in work.plan.spoils:
        return (b"{" + created + b',"data":[{"b64_json":"iVBORw0KGgo',)
    facts = _facts(work.request) | (UNKNOWN_FIELDS if "extra" in work.plan.spoils else {})
    shown_usage = _shown_usage(usage, work.plan)
    if shown_usage is not None:
        facts["usage"] = shown_usage
    rest = b"".join(b"," + _member(name, value) for name, value in facts.items())
    parts = (b"{" + created, *_data(work, sent), rest + b"}")
    return parts if sum(map(len, parts)) > SHARED_BYTES else (b"".join(parts),)


def stream_events(work: Work, sent: Sequence[Sent], usage: dict[str, Any] | None) -> list[bytes]:
    """The events of a stream: per image its partials and a `completed`, the whole usage in the last of these."""
    events = []
    shown_usage = _shown_usage(usage, work.plan)
    for number, image in enumerate(sent, start=1):
        for index, partial in enumerate(image.partials):
            events.append(_event("image_generation.partial_image", work, partial, partial_image_index=index))
        if UNFINISHED & work.plan.spoils.keys():
            continue
        last = number == len(sent) and shown_usage is not None
        extra = {"usage": shown_usage} if last else {}
        events.append(_event("image_generation.completed", work, image.picture, **extra))
    return [*events, STREAM_ERROR] if "sse-error" in work.plan.spoils else events


def _shown_usage(usage: dict[str, Any] | None, plan: Plan) -> dict[str, Any] | None:
    if usage is None or "no-usage" in plan.spoils:
        return None
    return NONSENSE_USAGE if "bad-usage" in plan.spoils else usage


def _facts(request: ImageRequest) -> dict[str, Any]:
    """What the answer repeats of the request; dall-e repeats nothing."""
    if not request.model.family.is_gpt:
        return {}
    facts = {
        "background": request.background,
        "output_format": request.output_format,
        "quality": request.quality,
        "size": request.size,
    }
    if request.safety_identifier is not None:
        facts["safety_identifier"] = request.safety_identifier
    return facts


def _data(work: Work, sent: Sequence[Sent]) -> list[bytes]:
    """The data member with its leading comma, in parts."""
    for spoil, member in NO_DATA.items():
        if spoil in work.plan.spoils:
            return [member]
    items = [part for image in sent for part in (b",", *_item(work, image))]
    return [b',"data":[', *items[1:], b"]"]


def _item(work: Work, image: Sent) -> list[bytes]:
    end = b"}"
    if work.request.model.id == "dall-e-3":
        end = b"," + _member("revised_prompt", revised(work.request.prompt)) + end
    if image.url is not None:
        return [b"{" + _member("url", image.url) + end]
    return [b"{", *_b64_member(image.picture, work.plan), end]


def revised(prompt: str) -> str:
    return f"A detailed picture of: {without_markers(prompt)}"


def _b64_member(picture: Picture, plan: Plan) -> list[bytes]:
    text = NO_BASE64 if "bad-base64" in plan.spoils else picture.b64
    prefix = f"data:image/{picture.format};base64,".encode() if "data-url" in plan.spoils else b""
    return [b'"b64_json":"' + prefix, text, b'"']


def _member(name: str, value: object) -> bytes:
    return msgspec.json.encode(name) + b":" + msgspec.json.encode(value)


def _event(name: str, work: Work, picture: Picture, **extra: object) -> bytes:
    facts = {"type": name, "created_at": work.created} | _facts(work.request) | extra
    head = b"".join(_member(key, value) + b"," for key, value in facts.items())
    parts = [b"event: ", name.encode(), b"\ndata: {", head, *_b64_member(picture, work.plan), b"}\n\n"]
    return b"".join(parts)
