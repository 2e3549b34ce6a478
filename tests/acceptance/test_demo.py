"""The first of the two commands: what a stranger sees, and that its books are right."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def run_demo(folder: Path) -> str:
    environment = os.environ | {"DEMO_DATA": str(folder)}
    done = subprocess.run(
        ["sh", "scripts/demo"],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def billed_nano(folder: Path) -> int:
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return sum(line["amount_nanodollars"] for line in lines if line["kind"] == "call" and line["billed"])


def report(folder: Path) -> dict[str, int]:
    imagemill = CHECKOUT / ".venv" / "bin" / "imagemill"
    shown = subprocess.run(
        [imagemill, "report", "last", "--json", "--data-dir", folder], capture_output=True, text=True, check=True
    )
    figures: dict[str, int] = json.loads(shown.stdout)
    return figures


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, str]]:
    folder = tmp_path_factory.mktemp("demo")
    yield folder, run_demo(folder), run_demo(folder)


def test_the_demo_shows_problems_recovery_and_what_to_do_next(demo: tuple[Path, str, str]) -> None:
    _, first, _ = demo
    assert "60 rows · 57 images · 3 errors" in first
    assert "throttled" in first and "errored" in first and "refused" in first
    assert "https://maas.apigo.ai/v1" in first


def test_the_demo_s_report_agrees_with_the_simulator_s_journal(demo: tuple[Path, str, str]) -> None:
    folder, _, _ = demo
    figures = report(folder)
    confirmed, possible = figures["confirmed_nanodollars"], figures["possible_nanodollars"]
    assert 0 < confirmed <= billed_nano(folder) <= confirmed + possible


def test_a_second_demo_pays_for_nothing(demo: tuple[Path, str, str]) -> None:
    folder, first, second = demo
    assert "already done, $0.00 spent" in second
    calls = [line for line in (folder / "journal.jsonl").read_text().splitlines() if '"kind":"call"' in line]
    assert f"total\t{len(calls)}\t" in first  # the calls of the first run, and no more since


def test_the_contact_sheet_stands_alone(demo: tuple[Path, str, str]) -> None:
    folder, _, _ = demo
    sheet = (folder / "contact-sheet.html").read_text()
    assert sheet.count("data:image/") >= 50
    assert "http://" not in sheet.replace("http://www.w3.org", "") and "<script src" not in sheet
