"""What the README shows is what the program does: its commands exist, and those of the first screen are run."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.simulator import SimulatorConfig, start_in_thread

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
IMAGEMILL = Path(sys.executable).with_name("imagemill")


def shown_commands() -> list[list[str]]:
    """Every line of a code block that calls imagemill, in words, without its comment."""
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", README, re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("imagemill ")]


def named_in_table() -> list[str]:
    rows = [line for line in README.splitlines() if line.startswith("| `imagemill ")]
    return [word for row in rows for word in re.findall(r"`(?:imagemill )?([a-z]+)\b", row.split(" | ")[0])]


def run(words: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [IMAGEMILL, *words],
        cwd=CHECKOUT,
        env=os.environ | {"IMAGEMILL_DATA_DIR": str(folder)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with start_in_thread(SimulatorConfig(pictures="prerendered", image_bytes=4_000)) as simulator:
        yield simulator.url


@pytest.mark.parametrize("words", shown_commands(), ids=" ".join)
def test_a_shown_command_is_understood(words: list[str], tmp_path: Path) -> None:
    shown = run([words[1], "--help"], tmp_path)
    assert shown.returncode == 0, shown.stderr
    for option in (word for word in words if word.startswith("--")):
        assert f"{option} " in shown.stdout, option


def test_every_command_of_the_table_exists(tmp_path: Path) -> None:
    listed = run(["--help"], tmp_path).stdout
    assert len(named_in_table()) > 18
    assert [name for name in named_in_table() if f"  {name} " not in listed] == []


def test_the_check_of_the_first_screen_finds_what_is_wrong(tmp_path: Path) -> None:
    words = next(words for words in shown_commands() if words[1] == "check")
    done = run([*words[1:], "--problems", str(tmp_path / "problems.csv")], tmp_path)
    assert done.returncode == 2
    assert "1920x1080" in done.stdout


def test_the_run_of_the_first_screen_makes_images(tmp_path: Path, endpoint: str) -> None:
    words = next(words for words in shown_commands() if words[1] == "run")
    far_end = {
        "IMAGEMILL_ENDPOINT_URL": endpoint,
        "IMAGEMILL_API_KEY": "k",
        "IMAGEMILL_ALLOW_PRIVATE_HOSTS": "127.0.0.1",
    }
    done = run([*words[1:], "--problems", str(tmp_path / "problems.csv")], tmp_path, **far_end)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "images").rglob("*.png"))
