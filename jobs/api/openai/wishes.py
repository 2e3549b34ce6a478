"""What a batch's metadata says: tags for every job, and under names of ours how the batch is treated.

The SDKs let a client add nothing to a batch but metadata. A key that begins with `imagemill_` is a setting of
`imagemill submit`; every other pair is a tag, so that reports know it and that other metadata make another batch.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.api.problems import Problem
from jobs.api.settings import MOST_TIMES, Dollars, nano_of
from jobs.submit import Policy

_OURS = "imagemill_"
_WINDOW_S = 24 * 3600

Metadata = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=64)],
        Annotated[str, Field(max_length=512)],
    ],
    Field(max_length=16),
]


class Wishes(BaseModel):
    """The settings that metadata can hold, as text."""

    model_config = ConfigDict(extra="forbid")

    budget_dollars: Dollars | None = None
    ceiling_dollars: Dollars | None = None
    max_possible_dollars: Dollars | None = None
    max_attempts: int = Field(default=5, ge=1, le=MOST_TIMES)
    retry_unknown: int = Field(default=0, ge=0, le=MOST_TIMES)
    skip_invalid: bool = False
    images: Literal["b64_json", "url"] = "b64_json"


def policy_of(metadata: Mapping[str, str] | None, name: str) -> Policy:
    """How the batch is treated. The window of 24 hours is how long each job may try from its first call on."""
    wishes = _wishes(metadata)
    tags = {key: value for key, value in (metadata or {}).items() if not key.startswith(_OURS)}
    return Policy(
        budget_nano=nano_of(wishes.budget_dollars),
        ceiling_nano=nano_of(wishes.ceiling_dollars),
        max_attempts=wishes.max_attempts,
        retry_unknown=wishes.retry_unknown,
        max_possible_nano=nano_of(wishes.max_possible_dollars),
        time_limit_s=_WINDOW_S,
        tags=tags,
        name=name,
        skip_invalid=wishes.skip_invalid,
    )


def is_images_as_urls(metadata: Mapping[str, str] | None) -> bool:
    return _wishes(metadata).images == "url"


def _wishes(metadata: Mapping[str, str] | None) -> Wishes:
    """Raises Problem 400 for a setting that does not exist or has no such value."""
    told = {key.removeprefix(_OURS): value for key, value in (metadata or {}).items() if key.startswith(_OURS)}
    try:
        return Wishes.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        name = f"metadata.{_OURS}{'.'.join(map(str, first['loc']))}"
        raise Problem(400, "invalid_value", f"{name}: {first['msg']}", param=name) from None
