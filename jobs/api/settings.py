"""The settings of a submission, as a request says them: in the query, in a form's fields, or beside JSON rows.

Names are those of `imagemill submit`'s options; money is in decimal dollars, as text.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.api.problems import Problem
from jobs.errors import UsageError
from jobs.manifest import ManifestOptions, parse_pairs
from jobs.money import parse_dollars
from jobs.submit import Policy

M = TypeVar("M", bound=BaseModel)

S = TypeVar("S", bound="BatchSettings")

DOLLARS = r"^\d{1,9}(\.\d{1,9})?$"
Dollars = Annotated[str, Field(pattern=DOLLARS, examples=["12.50"])]
"""An amount of dollars; nine decimals are a nano-dollar."""
Word = Annotated[str, Field(max_length=200)]
Pairs = Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=20)]
MOST_TIMES = 1_000


class BatchSettings(BaseModel):
    """How a manifest is read, and how its batch is treated."""

    model_config = ConfigDict(extra="forbid")

    map: Pairs = Field(default_factory=list, description="FIELD=COLUMN: where a field is")
    prompt_template: str | None = Field(default=None, max_length=8_000, description="prompt with {column} places")
    tag_columns: list[Word] = Field(default_factory=list, max_length=20, description="columns that become tags")
    tags_from_rest: bool = Field(default=False, description="all columns that are no fields become tags")
    require_tags: list[Word] = Field(
        default_factory=list, max_length=100, description="tags that every row must have"
    )
    encoding: Word | None = Field(default=None, description="of a CSV file, such as cp1252")
    strict: bool = Field(default=False, description="warnings stop as errors do")
    limit: int | None = Field(default=None, ge=1, le=10**9, description="read only the first rows")

    model: Word | None = Field(default=None, description="for rows that name none; so are the next ones")
    size: Word | None = None
    quality: Word | None = None
    n: int | None = Field(default=None, ge=1, le=1_000)
    background: Word | None = None
    output_format: Word | None = None
    output_compression: int | None = Field(default=None, ge=0, le=100)
    moderation: Word | None = None
    style: Word | None = None
    response_format: Literal["url", "b64_json"] | None = None

    name: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="of the batch"
    )
    tag: Pairs = Field(default_factory=list, description="KEY=VALUE on every job")
    budget_dollars: Dollars | None = Field(
        default=None, description="a wall: confirmed + possible + reserved stay below"
    )
    ceiling_dollars: Dollars | None = Field(
        default=None, description="most one call may cost, where no price is known"
    )
    max_attempts: int = Field(default=5, ge=1, le=MOST_TIMES, description="calls per job")
    retry_unknown: int = Field(
        default=0, ge=0, le=MOST_TIMES, description="repeats of a call that may have been paid"
    )
    max_possible_dollars: Dollars | None = Field(
        default=None, description="no such repeat while more than this is possible"
    )
    again: bool = Field(default=False, description="a batch of its own, though the same one was submitted")
    skip_invalid: bool = Field(default=False, description="leave rows with errors out")


class Asked(BatchSettings):
    """The settings of one request."""

    dry_run: bool = Field(default=False, description="check and price it, record nothing")


_DEFAULTS = (
    "model",
    "size",
    "quality",
    "n",
    "background",
    "output_format",
    "output_compression",
    "moderation",
    "style",
    "response_format",
)


def reading_of(told: BatchSettings) -> ManifestOptions:
    """Raises UsageError for a pair that is none."""
    given = {name: getattr(told, name) for name in _DEFAULTS if getattr(told, name) is not None}
    return ManifestOptions(
        map=parse_pairs(told.map, "map"),
        prompt_template=told.prompt_template,
        tag_columns=tuple(told.tag_columns),
        tags_from_rest=told.tags_from_rest,
        require_tags=tuple(told.require_tags),
        defaults=given,
        encoding=told.encoding,
        strict=told.strict,
        limit=told.limit,
    )


def policy_of(told: BatchSettings, name: str) -> Policy:
    """`name`: of the batch, where the settings give none."""
    return Policy(
        budget_nano=nano_of(told.budget_dollars),
        ceiling_nano=nano_of(told.ceiling_dollars),
        max_attempts=told.max_attempts,
        retry_unknown=told.retry_unknown,
        max_possible_nano=nano_of(told.max_possible_dollars),
        tags=_tags(told.tag),
        name=told.name or name,
        again=told.again,
        skip_invalid=told.skip_invalid,
    )


def nano_of(amount: str | None) -> int | None:
    return None if amount is None else parse_dollars(amount)


def with_fields(told: S, fields: list[tuple[str, str]]) -> S:
    """The settings with a form's fields over them; a field that comes twice is a list. Raises Problem 422."""
    given: dict[str, Any] = {}
    for name, value in fields:
        is_list = name in ("map", "tag", "tag_columns", "require_tags")
        given[name] = [*given.get(name, []), value] if is_list else value
    return overlaid(told, given)


def overlaid(told: S, given: dict[str, Any]) -> S:
    """The settings with the given ones over them. Raises Problem 422."""
    return judged(type(told), told.model_dump(exclude_unset=True) | given)


def judged(kind: type[M], value: Any) -> M:
    """A value from a body as the model says. Raises Problem 422."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        raise Problem(422, "invalid_request", told, next_="/api/openapi.json says what is taken") from None


def _tags(texts: list[str]) -> dict[str, str]:
    """As `--tag KEY=VALUE`: a value may be empty."""
    tags: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip() or key.strip() in tags:
            raise UsageError(f"tag {text!r}: write it as KEY=VALUE, each key once")
        tags[key.strip()] = value
    return tags
