"""Counts tokens and money of a call: the simulator's own books.

Money is integer nano-dollars: 5 USD per million tokens are 5,000 nano-dollars a token.
"""

from typing import Any

from worker.simulator.models import Family
from worker.simulator.request import ImageRequest

PARTIAL_IMAGE_TOKENS = 100
"""Output tokens that one partial image of a stream adds."""

TABLE_TOKENS = {
    ("low", "1024x1024"): 272,
    ("low", "1024x1536"): 408,
    ("low", "1536x1024"): 400,
    ("medium", "1024x1024"): 1056,
    ("medium", "1024x1536"): 1584,
    ("medium", "1536x1024"): 1568,
    ("high", "1024x1024"): 4160,
    ("high", "1024x1536"): 6240,
    ("high", "1536x1024"): 6208,
}
IMAGE_NANODOLLARS = {
    ("dall-e-2", "standard", "256x256"): 16_000_000,
    ("dall-e-2", "standard", "512x512"): 18_000_000,
    ("dall-e-2", "standard", "1024x1024"): 20_000_000,
    ("dall-e-3", "standard", "1024x1024"): 40_000_000,
    ("dall-e-3", "standard", "1792x1024"): 80_000_000,
    ("dall-e-3", "standard", "1024x1792"): 80_000_000,
    ("dall-e-3", "hd", "1024x1024"): 80_000_000,
    ("dall-e-3", "hd", "1792x1024"): 120_000_000,
    ("dall-e-3", "hd", "1024x1792"): 120_000_000,
}


def output_tokens(family: Family, quality: str, width: int, height: int) -> int:
    """Image output tokens of one image, by the family's formula or table."""
    if not family.factors:
        return TABLE_TOKENS[quality, f"{width}x{height}"]
    long_px, short_px = max(width, height), min(width, height)
    factor = family.factors[quality]
    scaled = (2 * factor * short_px + long_px) // (2 * long_px)
    return -(-factor * scaled * (2_000_000 + width * height) // 4_000_000)


def input_tokens(prompt: str) -> int:
    """One token for four bytes of UTF-8, begun ones counted whole."""
    return max(1, -(-len(prompt.encode()) // 4))


def usage_of(request: ImageRequest, images: int) -> dict[str, Any] | None:
    """The usage object for that many images; None for models billed by the image."""
    if not request.model.family.is_gpt:
        return None
    text = input_tokens(request.prompt)
    each = output_tokens(request.model.family, request.quality, request.width, request.height)
    image = images * (each + request.partial_images * PARTIAL_IMAGE_TOKENS)
    return {
        "input_tokens": text,
        "input_tokens_details": {"text_tokens": text, "image_tokens": 0},
        "output_tokens": image,
        "output_tokens_details": {"image_tokens": image, "text_tokens": 0},
        "total_tokens": text + image,
    }


def amount_nanodollars(request: ImageRequest, usage: dict[str, Any] | None, images: int) -> int:
    """What the call costs: by its usage, else by the images."""
    model = request.model
    if usage is None:
        return images * IMAGE_NANODOLLARS[model.id, request.quality, request.size]
    text: int = usage["input_tokens"] * model.text_nanodollars
    output: int = usage["output_tokens"] * model.image_nanodollars
    return text + output
