"""`imagemill token create|list|revoke`: who may use the HTTP API and the dashboard, and for what."""

import re
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.acting import who
from jobs.cli.opening import open_ledger, read_settings, reading
from jobs.cli.options import json_option, ledger_options, verb
from jobs.cli.output import say, show_json, show_table, tell
from jobs.errors import UsageError

if TYPE_CHECKING:
    from jobs.ledger.tokens import Token

_SCOPES = ("read", "submit", "review", "finance", "admin")
_UNITS_S = {"h": 3600, "d": 86_400, "w": 7 * 86_400}
_MOST_NAME = 100


class Lifetime(click.ParamType[int]):
    """12h, 90d, 2w, as seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([1-9]\d{0,4})([hdw])", value)
        if not found:
            self.fail(f"{value!r} is no lifetime such as 12h, 90d or 2w", param, ctx)
        return int(found[1]) * _UNITS_S[found[2]]


@verb(
    "create", "imagemill token create shop --scope submit --expires 90d", "imagemill token create ana --scope admin"
)
@click.argument("name")
@click.option(
    "--scope", "scopes", type=click.Choice(_SCOPES), multiple=True, required=True, help="what it allows; repeatable"
)
@click.option("--expires", type=Lifetime(), metavar="90d", help="ends by itself: 12h, 90d, 2w; never otherwise")
@ledger_options
@json_option
def create(name: str, scopes: tuple[str, ...], expires: int | None, as_json: bool) -> None:
    """Make a token and print it, this once: only its hash is kept. NAME is who acts with it, in `imagemill acts`.

    Scopes, each of which includes read: submit (submit, retry, pause, resume, cancel), review (retry, pause),
    finance (budgets, resolve), admin (all, and lift a pause of the endpoint)."""
    from jobs.ledger import tokens

    _require_name(name)
    settings = read_settings()
    with open_ledger(settings, make=True) as ledger:
        held = [tokens.TokenScope(scope) for scope in scopes]
        made, text = ledger.write(tokens.create, name, held, expires, by=who(settings))
    if as_json:
        show_json({**token_json(made), "token": text})
    else:
        tell(text)
        say("keep it now: it is shown only this once")


@verb("list", "imagemill token list", "imagemill token list --json")
@ledger_options
@json_option
def list_(as_json: bool) -> None:
    """Every token there is or was: who, for what, since when, until when."""
    from jobs.ledger import tokens
    from jobs.report.table import Column, Table

    with reading() as ledger, ledger.read() as tx:
        found = [token_json(one) for one in tokens.list_tokens(tx)]
    if as_json:
        show_json({"tokens": found})
    elif found:
        names = ("name", "scopes", "created_at", "expires_at", "revoked_at")
        cells = [[" ".join(one["scopes"]), *(one[name] for name in names[2:])] for one in found]
        rows = [[one["name"], *rest] for one, rest in zip(found, cells, strict=True)]
        show_table(Table(tuple(map(Column, names)), rows))
    else:
        tell("there is no token; `imagemill token create NAME --scope SCOPE` makes one")


@verb("revoke", "imagemill token revoke shop", "imagemill token revoke shop --json")
@click.argument("name")
@ledger_options
@json_option
def revoke(name: str, as_json: bool) -> None:
    """End a token, and the sessions of the dashboard that were opened with it, at once."""
    from jobs.ledger import tokens

    settings = read_settings()
    with open_ledger(settings) as ledger:
        moved = ledger.write(tokens.revoke, name, by=who(settings))
    if not moved:
        raise UsageError(f"there is no live token {name!r}; `imagemill token list` shows all")
    if as_json:
        show_json({"name": name, "revoked": True})
    else:
        tell(f"{name} is revoked")


@click.group("token", commands=[create, list_, revoke], context_settings={"max_content_width": 110})
def token() -> None:
    """Who may use the HTTP API and the dashboard of `imagemill serve`, and for what."""


def token_json(one: "Token") -> dict[str, Any]:
    from jobs.ledger.clock import iso

    return {
        "name": one.name,
        "scopes": sorted(one.scopes),
        "created_at": iso(one.created_at),
        "expires_at": iso(one.expires_at),
        "revoked_at": iso(one.revoked_at),
    }


def _require_name(name: str) -> None:
    if not name.strip() or len(name) > _MOST_NAME or not name.isprintable():
        raise UsageError(
            f"a token's name is 1 to {_MOST_NAME} printable characters: it stands in the record of acts"
        )
