"""Ids: short, safe in names and URLs, different, and in order of time where that helps the index."""

import re

from jobs import ids


def test_ids_are_safe_in_file_names_and_urls_and_name_their_kind() -> None:
    assert re.fullmatch(r"b_[0-9A-HJKMNP-TV-Z]{8}", ids.new_batch_id())
    assert re.fullmatch(r"a_[0-9A-HJKMNP-TV-Z]{26}", ids.new_attempt_id())
    assert re.fullmatch(r"w_[0-9A-HJKMNP-TV-Z]{12}", ids.new_worker_id())


def test_no_two_ids_are_the_same() -> None:
    for make in (ids.new_attempt_id, ids.new_worker_id):
        assert len({make() for _ in range(5_000)}) == 5_000


def test_attempt_ids_grow_with_time() -> None:
    made = [ids.new_attempt_id() for _ in range(2_000)]
    assert made == sorted(made)
