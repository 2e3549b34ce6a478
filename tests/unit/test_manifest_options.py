"""NAME=VALUE options."""

import pytest

from jobs.errors import UsageError
from jobs.manifest.options import parse_pairs


def test_pairs_are_split_at_the_first_equals_sign() -> None:
    assert parse_pairs(["id=SKU", "prompt = a=b "], "--map") == {"id": "SKU", "prompt": "a=b"}


@pytest.mark.parametrize("text", ["id", "=SKU", "id=", "", " = "])
def test_what_is_no_pair_is_refused_with_the_option_named(text: str) -> None:
    with pytest.raises(UsageError, match="--map"):
        parse_pairs([text], "--map")


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        parse_pairs(["id=A", "id=B"], "--map")
