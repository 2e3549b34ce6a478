"""Where images are said to be: the store decides, asked once for each folder."""

from pathlib import Path

import pytest

from jobs.cli.rows import _locator
from jobs.errors import UsageError
from jobs.storage import LocalStore

STORE = LocalStore(Path("/data/images"))


def in_store(name: str) -> str:
    return str(STORE.path_of(name))


@pytest.mark.parametrize(
    "name", ["b_1/1_fox.png", "b_1/猫 one.png", "b_1//1.png", "b/./1.png", "1.png", "a/b/1.png"]
)
def test_an_image_is_where_the_store_has_it(name: str) -> None:
    located = _locator(in_store)
    assert located(name) == in_store(name)
    assert located(name) == in_store(name)


@pytest.mark.parametrize("name", ["../1.png", "b_1/../../1.png", "/etc/passwd", "b_1/..", "b_1/\0.png", "", "//x"])
def test_a_name_that_leads_out_of_the_store_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        _locator(in_store)(name)


def test_the_store_is_asked_once_for_a_folder() -> None:
    asked: list[str] = []
    located = _locator(lambda name: asked.append(name) or f"/images/{name}")
    assert [located(f"b_1/{number}.png") for number in range(3)] == [
        f"/images/b_1/{number}.png" for number in range(3)
    ]
    assert asked == ["b_1"]
