"""The list of commands, their help and their examples."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from jobs.cli.group import COMMANDS, imagemill
from jobs.cli.options import Verb

NAMES = [name for section in COMMANDS.values() for name in section]


def verbs() -> Iterator[tuple[str, Verb]]:
    """Every command that does something, with its full name; the simulator's is its own."""
    with click.Context(imagemill) as ctx:
        for name in NAMES:
            command = imagemill.get_command(ctx, name)
            if isinstance(command, click.Group):
                yield from (
                    (f"{name} {sub}", one) for sub, one in command.commands.items() if isinstance(one, Verb)
                )
            elif isinstance(command, Verb):
                yield name, command


VERBS = dict(verbs())
EXAMPLES = [(name, example) for name, command in VERBS.items() for example in command.examples]


def test_every_promised_command_is_there() -> None:
    promised = "check submit run work status watch jobs attempts images report failures retry pause resume cancel"
    assert set(promised.split()) | {
        "resolve",
        "acts",
        "budget",
        "simulate",
        "db",
        "doctor",
        "config",
        "metrics",
        "serve",
        "token",
    } == set(NAMES)
    assert {"db upgrade", "db check", "db restored", "db path"} <= VERBS.keys()


@pytest.mark.parametrize("name", VERBS)
def test_a_help_text_opens_with_two_examples_and_says_what_the_command_does(name: str) -> None:
    command = VERBS[name]
    assert len(command.examples) >= 2
    text = command.get_help(click.Context(command, info_name=name))
    body = text.split("\n\n", 1)[1].splitlines()
    assert [line.strip() for line in body[: len(command.examples)]] == list(command.examples)
    assert command.help and command.help[0].isupper()


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_an_example_can_be_parsed(name: str, example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for manifest in ("products.csv", "prompts.jsonl"):
        (tmp_path / manifest).touch()
    command = example.split(" | ", maxsplit=1)[0].split(" > ", maxsplit=1)[0]
    if not command.startswith("imagemill "):
        assert "$(imagemill db path)" in command  # a shell line that only shows where a path may stand
        return
    words = shlex.split(command)[1 + len(name.split()) :]
    assert shlex.split(command)[1 : 1 + len(name.split())] == name.split()
    VERBS[name].make_context(name, words).close()


@pytest.mark.parametrize("name", VERBS)
def test_every_option_says_what_it_is_for(name: str) -> None:
    options = [one for one in VERBS[name].params if isinstance(one, click.Option) and not one.hidden]
    assert [one.opts for one in options if not one.help] == []


def test_the_help_lists_every_command_and_every_exit_code() -> None:
    text = imagemill.get_help(click.Context(imagemill, info_name="imagemill"))
    for name in NAMES:
        assert f"\n  {name} " in text
    for code in (
        "0 fine",
        "1 error",
        "2 usage",
        "3 finished",
        "4 stopped by budget",
        "5 endpoint",
        "130 interrupted",
    ):
        assert code in text
