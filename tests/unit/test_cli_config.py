"""How settings are shown: never a key, never a password."""

import pytest
from pydantic import SecretStr

from jobs.cli.config import shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ((), None),
        (("a.example", "b.example"), "a.example, b.example"),
        (32, "32"),
        (SecretStr("sk-canary"), "***"),
        (SecretStr("redis://:canary@host:6379/0"), "redis://:***@host:6379/0"),
        (SecretStr("postgresql://mill:canary@db/mill"), "postgresql://mill:***@db/mill"),
        (SecretStr("postgresql://mill@db/mill"), "postgresql://mill@db/mill"),
        (SecretStr("postgresql://db/mill?password=canary"), "postgresql://db/mill?***"),
        (SecretStr("redis://:can@ary/x@host:6379/0"), "redis://:***@host:6379/0"),
        (SecretStr("sqlite:////srv/ledger.db"), "sqlite:////srv/ledger.db"),
    ],
)
def test_a_value_is_shown_without_its_secret(value: object, text: str | None) -> None:
    assert shown(value) == text
