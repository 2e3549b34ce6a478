"""The great manifest: rows of every kind, each with the end that its words ask for.

A row's expectation follows from its markers and the contract alone; nothing here asks imagemill.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from random import Random
from typing import Any

GPT1: dict[str, Any] = {"model": "gpt-image-1", "size": "1024x1024", "quality": "low"}
GPT2: dict[str, Any] = {"model": "gpt-image-2", "size": "1088x1088", "quality": "low"}
FLARE: dict[str, Any] = {"model": "gpt-image-2.5-flare", "size": "1024x1536", "quality": "medium"}
MINI: dict[str, Any] = {"model": "gpt-image-1-mini", "size": "1024x1024", "quality": "medium"}
DALLE2: dict[str, Any] = {"model": "dall-e-2", "size": "256x256"}
DALLE3: dict[str, Any] = {"model": "dall-e-3", "size": "1024x1024"}
B64 = {"response_format": "b64_json"}


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows that are alike but for their prompt."""

    name: str
    rows: int
    """Of 2,000."""
    request: dict[str, Any]
    marker: str = ""
    state: str = "succeeded"
    outcomes: tuple[str, ...] = ("succeeded",)
    images: int | None = None
    """None: as many as asked for."""
    nanodollars: int | None = None
    """What the row costs, where the contract's table says it."""
    prompt: str = "a paper boat"


PLAIN = (
    Kind("plain", 480, GPT1),
    Kind("jpeg", 120, GPT1 | {"n": 2, "output_format": "jpeg", "output_compression": 60}),
    Kind("wide", 150, GPT2 | {"size": "1536x1024"}),
    Kind("clear", 150, FLARE | {"background": "transparent", "output_format": "webp"}),
    Kind("three", 120, DALLE2 | B64 | {"n": 3}, nanodollars=48_000_000),
    Kind("small", 80, DALLE2 | {"size": "512x512"}, nanodollars=18_000_000),
    Kind("vivid", 120, DALLE3 | {"style": "vivid"}, nanodollars=40_000_000),
    Kind("hd", 100, DALLE3 | B64 | {"quality": "hd", "size": "1792x1024"}, nanodollars=120_000_000),
    Kind("chinese", 100, GPT2, prompt="一只纸船，在雨中的街道上漂流"),
    Kind("stream", 80, GPT2 | {"stream": True, "partial_images": 2}),
    Kind("plain-stream", 40, FLARE | {"stream": True}),
    Kind("mini", 78, MINI),
)
ODD_BUT_GOOD = (
    Kind("data-url", 20, GPT1, "data-url"),
    Kind("url", 30, GPT1, "url"),
    Kind("extra", 10, GPT2, "extra"),
    Kind("slow", 8, FLARE, "slow 0.4"),
    Kind("late", 8, GPT1, "delay 0.5"),
    Kind("file-fail", 8, DALLE3, "file-fail 1", nanodollars=40_000_000),
    Kind("file-cut", 8, DALLE2, "file-cut 1", nanodollars=16_000_000),
)
AFTER_A_RETRY = (
    Kind("500 once", 40, GPT1, "500 x1", outcomes=("errored", "succeeded")),
    Kind("500 twice", 20, GPT2, "500 x2", outcomes=("errored", "errored", "succeeded")),
    Kind("408", 6, GPT1, "408 x1", outcomes=("errored", "succeeded")),
    Kind("409", 6, FLARE, "409 x1", outcomes=("errored", "succeeded")),
    Kind("stream error", 6, GPT2 | {"stream": True}, "sse-error x1 unbilled", outcomes=("errored", "succeeded")),
    Kind("429 once", 6, GPT1, "429 0.1 x1", outcomes=("throttled", "succeeded")),
    Kind("429 twice", 2, GPT1, "429 0.1 x2", outcomes=("throttled", "throttled", "succeeded")),
    Kind("503", 2, GPT1, "503 0.2 x1", outcomes=("throttled", "succeeded")),
    Kind("529", 2, GPT1, "529 0.2 x1", outcomes=("throttled", "succeeded")),
    Kind(
        "gateway 429", 2, MINI | {"model": "gpt-image-1.5"}, "gateway-429 x1", outcomes=("throttled", "succeeded")
    ),
    Kind("429, 500", 2, GPT1, "429 0.1 x1]] [[sim: 500 x1", outcomes=("throttled", "errored", "succeeded")),
)
WITHOUT_IMAGES = (
    Kind("500 always", 6, GPT1, "500", "failed", ("errored", "errored", "errored"), 0, 0),
    Kind("400", 12, GPT1, "400", "failed", ("rejected",), 0, 0),
    Kind("404", 6, DALLE2, "404", "failed", ("rejected",), 0, 0),
    Kind("413", 4, FLARE, "413", "failed", ("rejected",), 0, 0),
    Kind("422", 4, GPT2, "422", "failed", ("rejected",), 0, 0),
    Kind("unknown field", 12, GPT2 | {"seed": 7}, "", "failed", ("rejected",), 0, 0),
    Kind("refuse", 30, GPT1, "refuse", "refused", ("refused",), 0, 0),
    Kind("refuse-dalle", 16, DALLE3, "refuse-dalle", "refused", ("refused",), 0, 0),
    Kind("gateway-refuse", 6, GPT2, "gateway-refuse", "refused", ("refused",), 0, 0),
)
PAID_FOR_NOTHING = (
    Kind("empty", 6, GPT1, "empty", "failed", ("image_lost",), 0),
    Kind("no-data", 4, GPT2, "no-data", "failed", ("image_lost",), 0),
    Kind("null-data", 4, FLARE, "null-data", "failed", ("image_lost",), 0),
    Kind("empty-item", 4, DALLE3, "empty-item", "failed", ("image_lost",), 0, 40_000_000),
    Kind("bad-image", 6, GPT1, "bad-image", "failed", ("image_lost",), 0),
    Kind("bad-base64", 6, GPT2, "bad-base64", "failed", ("image_lost",), 0),
    Kind("fewer", 6, DALLE2 | B64 | {"n": 3}, "fewer", "failed", ("image_lost",), 2, 32_000_000),
    Kind("expired-url", 6, DALLE3, "expired-url", "failed", ("image_lost",), 0, 40_000_000),
    Kind("lost-url", 4, DALLE2, "lost-url", "failed", ("image_lost",), 0, 16_000_000),
)
IN_DOUBT = (
    Kind("timeout", 8, GPT1, "timeout", "held", ("unknown",), 0, 0),
    Kind("reset", 8, GPT2, "reset", "held", ("unknown",), 0, 0),
    Kind("close", 8, DALLE3, "close", "held", ("unknown",), 0, 0),
    Kind("cut", 8, FLARE, "cut 0.6", "held", ("unknown",), 0, 0),
    Kind("hang-body", 4, GPT1, "hang-body 0.5", "held", ("unknown",), 0, 0),
    Kind("bad-json", 4, GPT1, "bad-json", "held", ("unknown",), 0, 0),
    Kind("html-502", 6, GPT2, "html-502", "held", ("unknown",), 0, 0),
    Kind("html-504", 4, DALLE2, "html-504", "held", ("unknown",), 0, 0),
    Kind("empty-500", 4, FLARE, "empty-500", "held", ("unknown",), 0, 0),
)
KINDS = PLAIN + ODD_BUT_GOOD + AFTER_A_RETRY + WITHOUT_IMAGES + PAID_FOR_NOTHING + IN_DOUBT


@dataclass(frozen=True, slots=True)
class Expected:
    """A row of the manifest, and how it must end."""

    kind: Kind
    row: dict[str, Any] = field(hash=False)

    @property
    def images(self) -> int:
        return int(self.row.get("n", 1)) if self.kind.images is None else self.kind.images

    @property
    def prompt_sha256(self) -> str:
        return sha256(self.row["prompt"].encode()).hexdigest()


def great_manifest(part: float = 1.0) -> list[Expected]:
    """Some 2,000 rows in an order that mixes them, the same every time; or a part of each kind, at least one."""
    numbers = count(1)
    rows = [
        Expected(kind, _row(kind, next(numbers))) for kind in KINDS for _ in range(max(1, round(kind.rows * part)))
    ]
    Random(7).shuffle(rows)
    return rows


def _row(kind: Kind, number: int) -> dict[str, Any]:
    marker = f" [[sim: {kind.marker}]]" if kind.marker else ""
    return {
        "id": f"{kind.name}-{number}",
        "prompt": f"{kind.prompt}, number {number}{marker}",
        "tags": {"kind": kind.name},
        **kind.request,
    }


def plain_rows(number: int, marker: str = "", **request: Any) -> list[dict[str, Any]]:
    """Rows that are alike, for tests of something else than rows."""
    told = f" [[sim: {marker}]]" if marker else ""
    return [
        GPT1 | request | {"id": f"row-{one}", "prompt": f"a kite, number {one}{told}"}
        for one in range(1, number + 1)
    ]
