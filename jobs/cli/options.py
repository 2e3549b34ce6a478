"""What commands share: the option decorators, and the command class that puts examples first in its help.

Options for settings and for the look of the output keep their values in the context, not in the command's
parameters: `flags()` gives the settings, `jobs.cli.output` asks for the look.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

F = TypeVar("F", bound=Callable[..., Any])

_SETTINGS = "imagemill.settings"
LOOK = "imagemill.look"


class Verb(click.Command):
    """A command whose help opens with examples."""

    def __init__(self, *args: Any, examples: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        for example in self.examples:
            formatter.write(f"  {example}\n")
        super().format_help_text(ctx, formatter)


def verb(name: str, *examples: str) -> Callable[[Callable[..., Any]], Verb]:
    """Make a command of a function: `@verb("check", "imagemill check products.csv", ...)`."""
    wide = {"max_content_width": 110}
    return click.command(name, cls=Verb, examples=examples, context_settings=wide)


def flags() -> dict[str, Any]:
    """The settings that were given as flags."""
    return dict(click.get_current_context().meta.get(_SETTINGS, {}))


def _keep(where: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        given = value is not None and value is not False
        if given:
            ctx.meta.setdefault(where, {})[parameter.name] = value
        return value

    return keep


def setting_option(flag: str, help_text: str, **kwargs: Any) -> Callable[[F], F]:
    if isinstance(kwargs.get("type"), click.IntRange):
        kwargs["metavar"] = "N"
    variable = "IMAGEMILL_" + flag.removeprefix("--").replace("-", "_").upper()
    kwargs.setdefault("callback", _keep(_SETTINGS))
    return click.option(flag, help=f"{help_text}  [{variable}]", expose_value=False, **kwargs)


def _without_password(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    if value and urlsplit(value).password:
        variable = f"IMAGEMILL_{(parameter.name or '').upper()}"
        raise click.BadParameter(
            f"a password on the command line is seen by everybody on this machine: put the URL into {variable}"
        )
    return _keep(_SETTINGS)(ctx, parameter, value)


def _refuse_key(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.fail(
            "a key on the command line is seen by everybody on this machine: put it into IMAGEMILL_API_KEY "
            "or imagemill.toml"
        )


def look_options(command: F) -> F:
    """--no-color and --width, also through NO_COLOR and COLUMNS."""
    return _stack(
        command,
        click.option(
            "--no-color", is_flag=True, expose_value=False, callback=_keep(LOOK), help="no colour; so does NO_COLOR"
        ),
        click.option(
            "--width",
            type=click.IntRange(40, 1000),
            metavar="N",
            expose_value=False,
            callback=_keep(LOOK),
            help="columns of tables and panel",
        ),
    )


def ledger_options(command: F) -> F:
    """What every command takes that opens the ledger."""
    return _stack(
        command,
        setting_option("--data-dir", "folder of database, spool and images", type=click.Path(file_okay=False)),
        setting_option("--database-url", "ledger, if it is not in the data folder", callback=_without_password),
        click.option("--api-key", hidden=True, expose_value=False, callback=_refuse_key),
        click.option("--no-color", is_flag=True, expose_value=False, callback=_keep(LOOK), hidden=True),
        click.option(
            "--width",
            type=click.IntRange(40, 1000),
            metavar="N",
            expose_value=False,
            callback=_keep(LOOK),
            hidden=True,
        ),
    )


def storage_options(command: F) -> F:
    return setting_option("--storage-url", "where images are")(command)


def price_options(command: F) -> F:
    return setting_option("--prices", "price file laid over the built-in prices", type=click.Path(dir_okay=False))(
        command
    )


def broker_options(command: F) -> F:
    return setting_option("--broker-url", "Redis or RabbitMQ of the workers", callback=_without_password)(command)


def calling_options(command: F) -> F:
    """What a command takes that calls the endpoint."""
    return _stack(
        command,
        setting_option("--endpoint-url", "base URL of the image API, ends in /v1"),
        setting_option("--in-flight", "calls in flight per worker process", type=click.IntRange(1, 5000)),
        setting_option("--requests-per-minute", "stated limit per model", type=click.IntRange(1)),
        setting_option("--images-per-minute", "stated limit per model", type=click.IntRange(1)),
        setting_option("--allow-private-hosts", "hosts that image URLs may name although private"),
    )


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="one JSON object")(command)


def yes_option(command: F) -> F:
    return click.option("--yes", "-y", is_flag=True, help="do not ask")(command)


def progress_option(command: F) -> F:
    modes = click.Choice(["auto", "panel", "plain", "json", "none"])
    return click.option(
        "--progress", type=modes, default="auto", show_default=True, help="how to show it going on"
    )(command)


class Dollars(click.ParamType[int]):
    """An amount such as 12.50, as integer nano-dollars."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        from jobs.errors import UsageError
        from jobs.money import parse_dollars

        try:
            return parse_dollars(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Pair(click.ParamType[tuple[str, str]]):
    """KEY=VALUE, as a pair of texts."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value[0], value[1]
        key, equals, text = value.partition("=")
        if not equals or not key.strip():
            self.fail(f"{value!r} must be written KEY=VALUE", param, ctx)
        return key.strip(), text


def _stack(command: F, *decorators: Callable[[F], F]) -> F:
    for decorate in reversed(decorators):
        command = decorate(command)
    return command
