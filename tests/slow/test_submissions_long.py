"""A submission of a hundred thousand rows, killed half way and made again."""

from collections.abc import Callable

from tests.acceptance.mill import Mill
from tests.acceptance.test_people import killed_while_loading


def test_s28_a_submission_of_a_hundred_thousand_rows_is_all_or_nothing(
    new_mill: Callable[..., Mill], ledger_url: str
) -> None:
    killed_while_loading(new_mill(database_url=ledger_url), 100_000)
