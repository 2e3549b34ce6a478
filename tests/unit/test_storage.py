"""Names of image files: unique, readable, and never leading out of the store."""

import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.errors import UsageError
from jobs.storage import LocalStore, image_name, open_store

HOSTILE = st.one_of(
    st.text(max_size=400),
    st.sampled_from(
        ["../../x", "/etc/passwd", "..", ".", "", "CON", "a\0b", "\u202egnp", "x/../y", "~", "é", "e\u0301"]
    ),
)


def test_a_name_tells_batch_row_id_attempt_and_index() -> None:
    name = image_name("b_7", 12, "lamp-4711", "at9", 0, "png")
    assert name == "b_7/12_lamp-4711_at9_0.png"


def test_a_foreign_id_is_made_safe_and_cut() -> None:
    assert image_name("b", 1, "Grüße / an: alle", "a", 0, "png") == "b/1_Gr_e_an_alle_a_0.png"
    assert image_name("b", 1, "x" * 300, "a", 0, "png") == f"b/1_{'x' * 60}_a_0.png"


@settings(max_examples=1000, deadline=None)
@given(st.lists(HOSTILE, min_size=10, max_size=10), HOSTILE, st.integers(0, 10**7))
def test_c9_no_id_leads_out_of_the_store(custom_ids: list[str], batch: str, row: int) -> None:
    store = LocalStore(Path("/srv/images"))
    for custom_id in custom_ids:
        name = image_name(batch, row, custom_id, "at9", 0, "png")
        folder, file = name.split("/")
        assert folder.strip(".")
        assert file.startswith(f"{row}_")
        assert name.isascii()
        assert len(file) < 120
        assert store.path_of(name).parent.parent == store.root


PIECES = (
    "../",
    "..\\",
    "/",
    "CON",
    "nul.",
    "\0",
    "a",
    "A",
    "é",
    "e\u0301",
    "\u202e",
    "~",
    " ",
    ".",
    "\n",
    "x" * 300,
    "%2e",
    ":",
)


def test_c9_a_hundred_thousand_hostile_ids_have_paths_of_their_own_under_the_root() -> None:
    draw = Random(9)
    store = LocalStore(Path("/srv/images"))
    rows = range(1, 100_001)
    names = [image_name("b_7", row, "".join(draw.choices(PIECES, k=4)), "at9", 0, "png") for row in rows]
    assert len({name.casefold() for name in names}) == len(names)  # also where a file system knows no capitals
    allowed = re.compile(r"b_7/[A-Za-z0-9_][A-Za-z0-9._-]{1,118}[A-Za-z0-9]")
    assert all(map(allowed.fullmatch, names))
    assert {store.path_of(name).parent for name in names[:1000]} == {store.root / "b_7"}


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a\0b"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        LocalStore(Path("/srv/images")).path_of(name)


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("/srv/images", "/srv/images"),
        ("file:///srv/my%20images", "/srv/my images"),
        ("file://localhost/srv/images", "/srv/images"),
    ],
)
def test_a_store_is_named_by_path_or_file_url(url: str, root: str) -> None:
    assert open_store(url).root == Path(root)


def test_a_relative_path_is_made_absolute() -> None:
    assert open_store("images").root == Path("images").absolute()


@pytest.mark.parametrize(
    "url", ["", "s3://bucket/x", "gs://b", "https://host/x", "file://server/share", "file:images"]
)
def test_other_stores_are_refused_with_what_is_supported(url: str) -> None:
    with pytest.raises(UsageError, match=r"path|file:///"):
        open_store(url)
