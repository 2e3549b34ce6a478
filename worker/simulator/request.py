"""Reads and judges the body of a generation request.

`read_request` takes decoded JSON and returns an ImageRequest with every open choice made (size, quality,
background, format), or raises the ApiError the endpoint would answer. An explicit null counts as absent.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.simulator.errors import ApiError, invalid
from worker.simulator.models import MODELS, Family, Model

DEFAULT_MODEL = "dall-e-2"
AUTO_SIZE = "1024x1024"
MAX_EDGE_PX = 3840
MIN_PX, MAX_PX = 655_360, 8_294_400
GIF_SHEETS = (9, 12, 16)
"""The frames of a GIF share one sheet with so many places, and the sheet's pixels are bounded."""


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """A request the model takes. Where the caller left a choice open, it is made here."""

    model: Model
    prompt: str
    n: int
    width: int
    height: int
    quality: str
    background: str
    output_format: str
    compression: int
    by_url: bool
    """Asked for by response_format, or the habit of dall-e."""
    stream: bool
    partial_images: int
    safety_identifier: str | None
    frame_count: int
    frame_duration_ms: int

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these words."""

    words: tuple[str, ...]

    def judge(self, name: str, value: object) -> None:
        if not isinstance(value, str):
            raise _wrong_type(name, "a string", value)
        if value not in self.words:
            supported = ", ".join(f"'{word}'" for word in self.words)
            raise invalid(name, f"Invalid value: '{value}'. Supported values are: {supported}.")


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds, both included."""

    low: int
    high: int

    def judge(self, name: str, value: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong_type(name, "an integer", value)
        if not self.low <= value <= self.high:
            raise invalid(name, f"Invalid value for '{name}': {value} is not from {self.low} to {self.high}.")


@dataclass(frozen=True, slots=True)
class Kind:
    """Anything of one JSON type."""

    type: type
    name: str

    def judge(self, name: str, value: object) -> None:
        if not isinstance(value, self.type):
            raise _wrong_type(name, self.name, value)


TEXT, SWITCH, OBJECT = Kind(str, "a string"), Kind(bool, "a boolean"), Kind(dict, "an object")
RULES: dict[str, Choice | Whole | Kind] = {
    "prompt": TEXT,
    "model": TEXT,
    "size": TEXT,
    "user": TEXT,
    "safety_identifier": TEXT,
    "n": Whole(1, 10),
    "response_format": Choice(("url", "b64_json")),
    "style": Choice(("vivid", "natural")),
    "background": Choice(("transparent", "opaque", "auto")),
    "output_compression": Whole(0, 100),
    "moderation": Choice(("auto", "low")),
    "stream": SWITCH,
    "partial_images": Whole(0, 3),
    "complexity": Choice(("low", "medium", "high")),
    "frame_count": Whole(2, 16),
    "frame_duration_ms": Whole(1, 655_350),
    "svg": OBJECT,
}
"""What each field takes whatever the model; the model narrows quality, output_format, size and n further."""


def read_request(payload: object) -> ImageRequest:
    """Judge decoded JSON. Raises ApiError with the status, code and param of the first fault found."""
    if not isinstance(payload, dict):
        raise ApiError(400, "The request body must be a JSON object.")
    given = {name: value for name, value in payload.items() if value is not None}
    model = _model(given)
    _judge_fields(given, model)
    _judge_prompt(given, model.family)
    for rule in CROSS_RULES:
        rule(given)
    return _resolve(given, model)


def _model(given: Mapping[str, Any]) -> Model:
    name = given.get("model", DEFAULT_MODEL)
    TEXT.judge("model", name)
    if name not in MODELS:
        raise model_not_found(name, 404)
    return MODELS[name]


def model_not_found(name: str, status: int) -> ApiError:
    """404 for a name nobody knows; a retired one was seen to get 400."""
    message = f"The model '{name}' does not exist or you do not have access to it."
    return ApiError(status, message, code="model_not_found", param="model")


def _judge_fields(given: Mapping[str, Any], model: Model) -> None:
    family = model.family
    narrowed = {"quality": Choice(family.qualities), "output_format": Choice(family.formats)}
    for name, value in given.items():
        if name not in family.fields:
            raise invalid(name, f"Unknown parameter: '{name}'.", code="unknown_parameter")
        (narrowed.get(name) or RULES[name]).judge(name, value)
    Whole(1, family.n_max).judge("n", given.get("n", 1))
    if "size" in given:
        _judge_size(given["size"], family, _sheet(given))


def _judge_prompt(given: Mapping[str, Any], family: Family) -> None:
    if "prompt" not in given:
        message = "Missing required parameter: 'prompt'."
        raise invalid("prompt", message, code="missing_required_parameter")
    if not given["prompt"]:
        raise invalid("prompt", "Invalid 'prompt': it is empty.")
    if len(given["prompt"]) > family.prompt_max:
        message = (
            f"Invalid 'prompt': string too long. Expected a string with maximum length {family.prompt_max}, "
            f"but got a string with length {len(given['prompt'])} instead."
        )
        raise invalid("prompt", message, code="string_above_max_length")


def _sheet(given: Mapping[str, Any]) -> int:
    """How many frames' worth of pixels a size asks for."""
    if _format(given) != "gif":
        return 1
    return next(places for places in GIF_SHEETS if given.get("frame_count", 9) <= places)


def _judge_size(size: str, family: Family, sheet: int) -> None:
    if family.sizes is not None:
        Choice(family.sizes).judge("size", size)
    elif size != "auto":
        _judge_free_size(size, sheet)


def _judge_free_size(size: str, sheet: int) -> None:
    """Multiples of 16, at most 3 : 1, each edge and the pixels within bounds."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", size)
    if match is None:
        raise invalid("size", f"Invalid value: '{size}'. Supported values are: WIDTHxHEIGHT or 'auto'.")
    width, height = int(match[1]), int(match[2])
    if width % 16 or height % 16:
        raise invalid("size", f"Invalid size '{size}': both edges must be multiples of 16.")
    if max(width, height) > MAX_EDGE_PX or max(width, height) > 3 * min(width, height):
        raise invalid("size", f"Invalid size '{size}': edges at most {MAX_EDGE_PX}, at most 3:1.")
    if not MIN_PX <= width * height * sheet <= MAX_PX:
        raise invalid("size", f"Invalid size '{size}': {MIN_PX} to {MAX_PX} pixels, all frames together.")


def _format(given: Mapping[str, Any]) -> str:
    return str(given.get("output_format", "png"))


def _transparency(given: Mapping[str, Any]) -> None:
    if given.get("background") == "transparent" and _format(given) == "jpeg":
        raise invalid("background", "Transparent background needs output_format png or webp.")


def _compression(given: Mapping[str, Any]) -> None:
    if given.get("output_compression", 100) != 100 and _format(given) not in ("jpeg", "webp"):
        raise invalid("output_compression", "Compression below 100 needs output_format jpeg or webp.")


def _partials(given: Mapping[str, Any]) -> None:
    if given.get("partial_images", 0) > 0 and not given.get("stream"):
        raise invalid("partial_images", "partial_images needs stream to be true.")


def _moving_and_vector(given: Mapping[str, Any]) -> None:
    kind = _format(given)
    if kind in ("gif", "svg") and given.get("stream"):
        raise invalid("stream", f"output_format {kind} cannot be streamed.")
    if kind == "svg" and given.get("n", 1) > 1:
        raise invalid("n", "output_format svg makes a single image.")
    if kind != "svg" and "svg" in given:
        raise invalid("svg", "svg needs output_format svg.")
    if "model" in given.get("svg", {}):
        raise invalid("svg.model", "Author-model selection is not enabled for this organization.")


def _frames(given: Mapping[str, Any]) -> None:
    for name in ("frame_count", "frame_duration_ms"):
        if name in given and _format(given) != "gif":
            raise invalid(name, f"{name} needs output_format gif.")


CROSS_RULES: tuple[Callable[[Mapping[str, Any]], None], ...] = (
    _transparency,
    _compression,
    _partials,
    _moving_and_vector,
    _frames,
)


def _edges(size: str, *, gif: bool) -> tuple[int, int]:
    """Width and height in pixels; a GIF left open is small enough for any number of frames."""
    if size == "auto":
        size = "720x720" if gif else AUTO_SIZE
    width, _, height = size.partition("x")
    return int(width), int(height)


def _resolve(given: Mapping[str, Any], model: Model) -> ImageRequest:
    family = model.family
    quality = given.get("quality", "auto")
    width, height = _edges(given.get("size", "auto"), gif=_format(given) == "gif")
    return ImageRequest(
        model=model,
        prompt=given["prompt"],
        n=given.get("n", 1),
        width=width,
        height=height,
        quality=family.auto_quality if quality == "auto" else quality,
        background="transparent" if given.get("background") == "transparent" else "opaque",
        output_format=_format(given),
        compression=given.get("output_compression", 100),
        by_url=not family.is_gpt and given.get("response_format", "url") == "url",
        stream=given.get("stream", False),
        partial_images=given.get("partial_images", 0),
        safety_identifier=given.get("safety_identifier", given.get("user")),
        frame_count=given.get("frame_count", 9),
        frame_duration_ms=given.get("frame_duration_ms", 200),
    )


def _wrong_type(name: str, expected: str, value: object) -> ApiError:
    message = f"Invalid type for '{name}': expected {expected}, but got {type(value).__name__} instead."
    return invalid(name, message, code="invalid_type")
