"""`imagemill budget set|list`: the caps on money, and how full they are."""

from typing import TYPE_CHECKING, Any

import click

from jobs.cli.acting import who
from jobs.cli.opening import open_ledger, read_settings, reading, the_batch
from jobs.cli.options import Dollars, json_option, ledger_options, verb
from jobs.cli.output import say, show_json, show_table, tell
from jobs.errors import UsageError

if TYPE_CHECKING:
    from jobs.ledger.budgets import Budget, Scope
    from jobs.ledger.engine import Ledger

NO_CAP = "none"


class Cap(Dollars):
    """An amount as integer nano-dollars; `none` is None."""

    name = "usd|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return NO_CAP if value == NO_CAP else super().convert(value, param, ctx)


@verb("set", "imagemill budget set day 80", "imagemill budget set tag:team=catalogue 250")
@click.argument("scope", metavar="SCOPE")
@click.argument("usd", type=Cap(), metavar="USD|none")
@ledger_options
@json_option
def set_(scope: str, usd: int | str, as_json: bool) -> None:
    """Cap what calls may cost. SCOPE is overall, month, day, tag:KEY=VALUE, or a BATCH. The cap of a month or day
    holds for each from now on; a call counts on the UTC day of its admission, and must fit into every budget that
    covers it. A cap below what is used takes nothing back: it stops new calls."""
    from jobs import decide
    from jobs.ledger.budgets import read_budget
    from jobs.ledger.figures import standing
    from jobs.report.budgets import budget_json

    cap_nano = usd if isinstance(usd, int) else None
    settings = read_settings()
    with open_ledger(settings) as ledger:
        kind, key = _named(ledger, scope)
        what = {"scope": kind.value, "key": key, "cap_nanodollars": cap_nano}
        decide.set_budget(ledger, who(settings), kind, key, cap_nano)
        with ledger.read() as tx:
            found = read_budget(tx, kind, key)
            paused = kind == "batch" and standing(tx, key).at_budget
    if as_json:
        show_json(budget_json(found) if found else what)
    else:
        _tell(found, scope)
    if paused:
        say(f"{key} is paused; go on: imagemill resume {key}")


@verb("list", "imagemill budget list", "imagemill budget list --json")
@ledger_options
@json_option
def list_(as_json: bool) -> None:
    """Every cap in force, what is used of it, and the room that is left; of days and months the present ones, of
    batches those that have not ended."""
    from jobs.ledger.budgets import list_budgets
    from jobs.report.budgets import budget_json, budgets_table

    with reading() as ledger, ledger.read() as tx:
        found = list_budgets(tx)
    if as_json:
        show_json({"budgets": [budget_json(one) for one in found]})
    elif found:
        show_table(budgets_table(found))
    else:
        tell("no budget is set; `imagemill budget set day USD` sets one")


@click.group("budget", commands=[set_, list_], context_settings={"max_content_width": 110})
def budget() -> None:
    """Caps on money: overall, of each month, of each day, of a tag, of a batch."""


def _named(ledger: "Ledger", text: str) -> tuple["Scope", str]:
    """The scope and the key that a word on the command line means. Raises UsageError."""
    from jobs.ledger.budgets import Scope

    if text in (Scope.OVERALL, Scope.MONTH, Scope.DAY):
        return Scope(text), ""
    if text.startswith("tag:"):
        name, equals, value = text.removeprefix("tag:").partition("=")
        if not name.strip() or not equals:
            raise UsageError(f"{text!r} must be written tag:KEY=VALUE")
        return Scope.TAG, f"{name.strip()}={value}"
    return Scope.BATCH, the_batch(ledger, text)


def _tell(found: "Budget | None", scope: str) -> None:
    from jobs.report.budgets import budget_words

    if found is None:
        tell(f"{scope} has no budget")
        return
    tell(budget_words(found))
    if found.room_nano is not None and found.room_nano < 0:
        say("more than that is used: nothing it covers is admitted until the cap is raised or doubts are resolved")
