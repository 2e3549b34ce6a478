"""Every call of imagemill in docker-compose.yml is one that the installed command understands."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

CHECKOUT = Path(__file__).parents[2]
IMAGEMILL = Path(sys.executable).with_name("imagemill")


def imagemill_calls() -> list[list[str]]:
    """The words after `imagemill`, of commands and health checks alike."""
    services = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8"))["services"].values()
    calls = [service.get("command", []) for service in services]
    calls += [service.get("healthcheck", {}).get("test", [])[1:] for service in services]
    return [call[1:] for call in calls if call[:1] == ["imagemill"]]


def usage(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([IMAGEMILL, *words, "--help"], capture_output=True, text=True, check=False)


def test_the_file_calls_the_command_line() -> None:
    assert [call[0] for call in imagemill_calls()] == ["db", "work", "serve", "simulate", "doctor"]


@pytest.mark.parametrize("call", imagemill_calls(), ids=" ".join)
def test_a_call_is_one_the_command_line_has(call: list[str]) -> None:
    options = [word for word in call if word.startswith("--")]
    commands = call[: call.index(options[0])] if options else call
    shown = usage(commands)
    assert shown.returncode == 0, shown.stderr
    assert [option for option in options if f"{option} " not in f"{shown.stdout} "] == []


def test_a_call_it_lacks_would_be_noticed() -> None:
    assert usage(["no-such-command"]).returncode == 2
