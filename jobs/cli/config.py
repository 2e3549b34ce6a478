"""`imagemill config`: every setting, its value, and where it came from. Secrets are masked."""

import re
from typing import Any

from jobs.cli.options import (
    calling_options,
    flags,
    json_option,
    ledger_options,
    price_options,
    storage_options,
    verb,
)
from jobs.cli.output import show_json, show_table

_MASK = "***"


@verb("config", "imagemill config", "imagemill config --json")
@price_options
@calling_options
@storage_options
@ledger_options
@json_option
def config(as_json: bool) -> None:
    """Every setting with its value, its variable and what decided it: flag, environment, imagemill.toml or
    default. Keys and passwords are shown only as ***."""
    from jobs.report.table import Column, Table
    from jobs.settings import load_settings, origins

    settings, found = load_settings(**flags()), origins(**flags())
    lines = [
        {
            "name": name,
            "value": shown(getattr(settings, name)),
            "variable": f"IMAGEMILL_{name.upper()}",
            "origin": found[name],
            "meaning": field.description or "",
        }
        for name, field in type(settings).model_fields.items()
    ]
    if as_json:
        show_json({"settings": lines})
        return
    names = ("name", "value", "origin", "variable", "meaning")
    show_table(Table(tuple(map(Column, names)), [[line[name] for name in names] for line in lines]))


def shown(value: Any) -> str | None:
    """The value as text: of a secret URL all but its password, of any other secret nothing."""
    if value is None or value == ():
        return None
    if hasattr(value, "get_secret_value"):
        return _masked(value.get_secret_value())
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _masked(secret: str) -> str:
    """Everything up to the last @ may be password: rather too much is hidden than too little."""
    if "://" not in secret:
        return _MASK
    without_password = re.sub(r"(?<=://)([^:@/]*):.*@", rf"\1:{_MASK}@", secret, flags=re.DOTALL)
    place, query, _ = without_password.partition("?")
    return f"{place}?{_MASK}" if query else place
