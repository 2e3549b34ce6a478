"""What `check`, `submit` and `run` share: options that say how a manifest is read, and how a check is shown."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from jobs.cli.options import Dollars, Pair
from jobs.errors import UsageError

if TYPE_CHECKING:
    from jobs.manifest import CheckResult, ManifestOptions, Problem
    from jobs.report.problems import ProblemDigest

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULTS = {
    "model": ("model for rows that name none", click.STRING),
    "size": ("size, such as 1024x1536", click.STRING),
    "quality": ("quality", click.STRING),
    "n": ("images per row", click.IntRange(1)),
    "background": ("transparent, opaque or auto", click.STRING),
    "output_format": ("png, jpeg or webp", click.STRING),
    "output_compression": ("0 to 100", click.IntRange(0, 100)),
    "moderation": ("auto or low", click.STRING),
    "style": ("vivid or natural", click.STRING),
    "response_format": ("url or b64_json", click.STRING),
}


def manifest_options(command: F) -> F:
    """Adds the options; the command gets one parameter more, `reading`, that `manifest_reading` understands."""
    for name, (text, kind) in reversed(_DEFAULTS.items()):
        metavar = "N" if isinstance(kind, click.IntRange) else None
        command = _reading(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=text)(command)
    for decorate in reversed(
        (
            _reading(
                "--map", type=Pair(), multiple=True, metavar="FIELD=COLUMN", help="where a field is; repeatable"
            ),
            _reading("--prompt-template", help='prompt with {column} places, "photo of {title}, {colour}"'),
            _reading("--tag-columns", help="columns that become tags, comma-separated"),
            _reading("--tags-from-rest", is_flag=True, help="all columns that are no fields become tags"),
            _reading("--require-tags", help="tags that every row must have, comma-separated"),
            _reading("--encoding", help="of a CSV file, such as cp1252"),
            _reading("--strict", is_flag=True, help="warnings stop as errors do"),
            _reading("--limit", type=click.IntRange(1), metavar="N", help="read only the first rows"),
        )
    ):
        command = decorate(command)
    return command


def ceiling_option(command: F) -> F:
    kind = Dollars()
    return click.option("--ceiling", type=kind, help="most that one call may cost, where no price is known")(
        command
    )


def problems_option(command: F) -> F:
    kind = click.Path(dir_okay=False, path_type=Path)
    option = click.option(
        "--problems", type=kind, default="problems.csv", show_default=True, help="file for all problems, if any"
    )
    return option(command)


def _reading(flag: str, **kwargs: Any) -> Callable[[F], F]:
    def keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        ctx.meta.setdefault("imagemill.reading", {})[parameter.name] = value

    return click.option(flag, expose_value=False, callback=keep, **kwargs)


def manifest_reading() -> "ManifestOptions":
    """How the manifest is to be read, as the flags say."""
    from jobs.manifest import ManifestOptions

    told = click.get_current_context().meta["imagemill.reading"]
    given = {name: told[name] for name in _DEFAULTS if told[name] is not None}
    return ManifestOptions(
        map=_pairs(told["map"], "--map"),
        prompt_template=told["prompt_template"],
        tag_columns=_listed(told["tag_columns"]),
        tags_from_rest=told["tags_from_rest"],
        require_tags=_listed(told["require_tags"]),
        defaults=given,
        encoding=told["encoding"],
        strict=told["strict"],
        limit=told["limit"],
    )


def tags_of(pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return _pairs(pairs, "--tag")


@contextmanager
def problem_file(path: Path) -> Iterator[tuple[Callable[["Problem"], None], "ProblemDigest"]]:
    """A function that keeps a problem, and the digest of those kept. All of them go to the file, which is made
    when there is a first one."""
    from contextlib import ExitStack

    from jobs.manifest import open_problems
    from jobs.report.problems import ProblemDigest

    digest = ProblemDigest()
    with ExitStack() as stack:
        write: Callable[[Problem], None] | None = None

        def keep(problem: "Problem") -> None:
            nonlocal write
            write = write or stack.enter_context(open_problems(path))
            write(problem)
            digest.add(problem)

        yield keep, digest


def check_words(check: "CheckResult", budget_nano: int | None = None) -> list[str]:
    """ "1000 rows · 3 errors · …", then the estimate."""
    from jobs.report.words import counted

    counts = [counted(check.rows, "row"), counted(check.images, "image")]
    counts += [counted(check.errors, "error")] if check.errors else []
    counts += [counted(check.warnings, "warning")] if check.warnings else []
    models = ", ".join(f"{name or 'no model'} ×{number:,}" for name, number in check.models.items())
    return [" · ".join(counts), f"models: {models or '–'}", _estimate_words(check, budget_nano)]


def _estimate_words(check: "CheckResult", budget_nano: int | None) -> str:
    from jobs.report.words import usd

    cost = check.estimate
    words = f"estimate {usd(cost.expected or 0)} (low {usd(cost.low or 0)}, ceiling {usd(cost.ceiling or 0)})"
    if check.unpriced:
        words += f" + {check.unpriced:,} unpriced rows, bounded by --ceiling"
    if budget_nano is None:
        return words
    short = "; the batch will pause when it is full" if (cost.expected or 0) > budget_nano else ""
    return f"{words} of {usd(budget_nano)} budget{short}"


def _pairs(pairs: tuple[tuple[str, str], ...], option: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in pairs:
        if key in found:
            raise UsageError(f"{option} {key} is given twice")
        found[key] = value
    return found


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()
