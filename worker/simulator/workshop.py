"""Does the work of a call that is let in: pictures, usage, price, and the body that carries them."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

from pybase64 import b64encode

from worker.simulator.answers import NO_DATA, UNFINISHED, Sent, images_body, stream_events
from worker.simulator.billing import amount_nanodollars, usage_of
from worker.simulator.config import SimulatorConfig
from worker.simulator.faults import BY_URL
from worker.simulator.files import TemporaryFile, TemporaryFiles, url_path
from worker.simulator.pictures import Picture, Studio
from worker.simulator.replies import ending_reply
from worker.simulator.request import ImageRequest
from worker.simulator.values import Reply, Verdict, Work

NO_PICTURE = b"This is not an image. " * 50
NO_IMAGE = UNFINISHED | NO_DATA.keys() | {"bad-json", "bad-base64", "lost-url"}
"""Spoils after which the answer carries no file that could be had."""
NO_STREAMED_IMAGE = UNFINISHED | {"bad-base64"}
"""The same of a stream: it has no data member to spoil, and no urls."""


class Workshop:
    """Makes the Verdict of a planned call. Owns the pictures and the temporary files."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.files = TemporaryFiles()
        self._studio = Studio()

    def close(self) -> None:
        self._studio.close()

    async def carry_out(self, work: Work) -> Verdict:
        """Make what the plan leaves to be made. The bill is the same whether or not the caller gets it."""
        request, billed = work.request, work.plan.billed
        images = request.n - 1 if "fewer" in work.plan.spoils else request.n
        usage = usage_of(request, images)
        if request.stream and usage is not None:
            del usage["output_tokens_details"]
        reply, pictures = await self._reply(work, images, usage)
        return Verdict(
            reply,
            request,
            fault=work.plan.words,
            billed=billed,
            usage=usage if billed else None,
            amount_nanodollars=amount_nanodollars(request, usage, images) if billed else 0,
            pictures=pictures,
        )

    async def _reply(
        self, work: Work, images: int, usage: dict[str, Any] | None
    ) -> tuple[Reply, tuple[Picture, ...]]:
        """The reply, and the pictures that it carries or links to."""
        ending, spoils = work.plan.ending, work.plan.spoils
        if ending is not None and work.plan.silent:
            return Reply(work.request_id, None, silence=ending.name), ()
        if ending is not None:
            return ending_reply(work.request_id, ending, self.config.retry_after_s), ()
        sent = [await self._sent(work, index) for index in range(images)]
        spoiled = (NO_STREAMED_IMAGE if work.request.stream else NO_IMAGE) & spoils.keys()
        pictures = () if spoiled else tuple(image.picture for image in sent)
        if work.request.stream:
            chunks = tuple(stream_events(work, sent, usage))
            return Reply(work.request_id, 200, chunks, "text/event-stream", spoils=spoils), pictures
        return Reply(work.request_id, 200, images_body(work, sent, usage), spoils=spoils), pictures

    async def _sent(self, work: Work, index: int) -> Sent:
        picture = await self._studio.make(self.config, work.request, index)
        if "bad-image" in work.plan.spoils:
            picture = _ruined(picture)
        if work.request.stream:
            return Sent(picture, partials=await self._partials(work.request, index))
        return Sent(picture, url=self._url(work, index, picture) if self._by_url(work) else None)

    async def _partials(self, request: ImageRequest, index: int) -> tuple[Picture, ...]:
        notes = [f"partial {number + 1}" for number in range(request.partial_images)]
        return tuple([await self._studio.make(self.config, request, index, note) for note in notes])

    def _by_url(self, work: Work) -> bool:
        gateway = self.config.gpt_image_urls and work.request.model.family.is_gpt
        return work.request.by_url or gateway or bool(BY_URL & work.plan.spoils.keys())

    def _url(self, work: Work, index: int, picture: Picture) -> str:
        """Keep the picture behind a temporary url."""
        spoils, now = work.plan.spoils, work.arrival.at.timestamp()
        expires_at = now - 1 if "expired-url" in spoils else now + self.config.url_ttl_s
        name = f"{work.request_id}-{index}.{picture.format}"
        if "lost-url" not in spoils:
            fails, cuts = int(spoils.get("file-fail", 0)), int(spoils.get("file-cut", 0))
            self.files.add(name, TemporaryFile(picture, expires_at, fails, cuts), now)
        return (self.config.public_url or work.arrival.base_url) + url_path(name, expires_at)


def _ruined(picture: Picture) -> Picture:
    """In place of the picture, bytes that no viewer opens."""
    digest = sha256(NO_PICTURE).hexdigest()
    return replace(picture, data=NO_PICTURE, b64=b64encode(NO_PICTURE), sha256=digest)
