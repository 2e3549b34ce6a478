"""The lock files pin all that imagemill asks for, by version and hash, and name no registry."""

import re
import site
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[2]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]
RUN = [
    *PROJECT["project"]["dependencies"],
    *PROJECT["project"]["optional-dependencies"]["simulator"],
    *GROUPS["build"],
    *PROJECT["build-system"]["requires"],
]
LOCKS = {
    "requirements.lock": RUN,
    "requirements-test.lock": [*RUN, *GROUPS["test"], *GROUPS["lint"]],
    "requirements-redis.lock": GROUPS["redis"],
    "requirements-postgres.lock": GROUPS["postgres"],
    "requirements-fuzz.lock": GROUPS["fuzz"],
}
PIN = re.compile(r"([a-z0-9.-]+)==(\S+)(?: ;[^#]*?)?((?: +--hash=sha256:[0-9a-f]{64})+)")
KNOWN_PTH = {"_editable_impl_imagemill.pth", "distutils-precedence.pth", "_virtualenv.pth"}
"""This checkout; setuptools, where a Python or a server's wheel brings it; uv's and virtualenv's own patch."""


def pins(name: str) -> dict[str, str]:
    """Package -> version of one lock file. Whatever else stands in it is an error."""
    text = (CHECKOUT / name).read_text().replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = [PIN.fullmatch(entry) for entry in entries]
    assert all(found), [entry for entry, match in zip(entries, found, strict=True) if match is None]
    return {match[1]: match[2] for match in found if match}


@pytest.mark.parametrize("name", LOCKS)
def test_c22_a_lock_pins_all_that_is_asked_for_within_its_bounds(name: str) -> None:
    locked = pins(name)
    for text in LOCKS[name]:
        asked = Requirement(text)
        assert asked.specifier.contains(locked[canonicalize_name(asked.name)]), f"{text}: sh scripts/lock"


def test_c22_the_locks_agree_with_one_another() -> None:
    tested = pins("requirements-test.lock")
    for name in LOCKS:
        for package, version in pins(name).items():
            assert tested.get(package, version) == version
    assert pins("requirements.lock").items() <= tested.items()


def test_c22_what_is_installed_runs_no_code_at_start_but_what_is_known() -> None:
    """A line of a .pth file that begins with `import` runs in every Python of the environment."""
    found = {path.name for folder in site.getsitepackages() for path in Path(folder).glob("*.pth")}
    assert found - KNOWN_PTH == set()
