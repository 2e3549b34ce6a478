"""docs/security.md names tests, and they are there."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def test_every_test_that_the_security_table_names_exists() -> None:
    told = set(re.findall(r"`(test_[cs]\d+_\w+)(?:…)?`", (CHECKOUT / "docs/security.md").read_text("utf-8")))
    sources = "".join(path.read_text("utf-8") for path in (CHECKOUT / "tests").rglob("test_*.py"))
    assert len(told) > 20
    assert {name for name in told if f"def {name}" not in sources} == set()
