"""The contact sheet as text: every job has its card, and nothing of a stranger's is more than text."""

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from jobs.ledger.overview import Picture, PicturedJob
from jobs.report.contact_sheet import contact_sheet
from tests.unit.standings import report

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)> \u202e\x1b'"


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def job(row: int = 1, state: str = "failed", **changes: Any) -> PicturedJob:
    values: dict[str, Any] = {
        "custom_id": f"SKU-{row}",
        "model": "gpt-image-1",
        "prompt": "a fox",
        "charged_nano": 0,
        "possible_nano": 0,
        "error_kind": None,
        "error_message": None,
        "pictures": (),
    }
    return PicturedJob(row=row, state=state, **{**values, **changes})


def sheet(jobs: Sequence[PicturedJob]) -> Page:
    nowhere = Path("/nowhere")
    return Page("".join(contact_sheet(report(), jobs, nowhere.joinpath, nowhere)))


def test_every_job_has_a_card_in_order_with_its_id_state_and_cost() -> None:
    page = sheet([job(1, "succeeded", charged_nano=41_460_000), job(2, "held", possible_nano=10**9)])
    assert [card["class"] for card in page.all("article")] == ["succeeded", "held"]
    assert page.text.index("SKU-1") < page.text.index("SKU-2")
    assert "$0.04146" in page.text
    assert "$0.00 + $1.00 possible" in page.text


def test_a_card_without_a_picture_says_why_and_what_to_do() -> None:
    page = sheet([job(error_kind="server_error", error_message="The server had an error")])
    assert "server_error" in page.text
    assert "The server had an error" in page.text
    assert "imagemill retry b_7Q2M4X9K --failed" in page.text


@pytest.mark.parametrize("state", ["queued", "running", "cancelled"])
def test_a_job_that_did_not_fail_has_no_advice(state: str) -> None:
    page = sheet([job(state=state)])
    assert state in page.text
    assert "imagemill retry" not in page.text


def test_c11_the_page_has_no_script_and_asks_nothing_of_the_network() -> None:
    page = sheet([job()])
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "http" not in policy


@pytest.mark.parametrize("field", ["custom_id", "prompt", "error_kind", "error_message", "state"])
def test_c11_hostile_text_stays_text(field: str) -> None:
    page = sheet([job(**{"error_kind": "x", field: HOSTILE})])
    assert not page.all("script")
    assert not page.all("img")
    assert "<script>alert(1)</script>" in page.text or field == "state"
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "\x1b" not in page.text and "\u202e" not in page.text


def test_a_picture_that_cannot_be_made_small_is_linked() -> None:
    picture = Picture("b_1/1_a b#_0.png", "png", 10**9, 20_000, 20_000, False)
    (image,) = sheet([job(state="succeeded", pictures=(picture,))]).all("img")
    assert image["src"] == "b_1/1_a%20b%23_0.png"


def test_c7_a_drawing_that_can_hold_scripts_is_named_and_not_shown() -> None:
    page = sheet([job(state="succeeded", pictures=(Picture("b_1/1.svg", "svg", 9, None, None, False),))])
    assert not page.all("img") and not page.all("a")
    assert "b_1/1.svg" in page.text


def test_a_picture_paid_twice_is_marked() -> None:
    pictures = (Picture("a.png", "png", 9, 9_000, 9_000, False), Picture("b.png", "png", 9, 9_000, 9_000, True))
    page = sheet([job(state="succeeded", pictures=pictures)])
    assert len(page.all("img")) == 2
    assert page.text.count("paid twice") == 1


def test_jobs_beyond_the_limit_are_counted() -> None:
    assert "999 jobs more in this batch" in sheet([job()]).text
