"""The examples in the help texts are run as they stand, but for those that would start a worker."""

import shlex
from pathlib import Path

import pytest

from jobs.ledger import tokens
from jobs.ledger.acts import Act, record
from jobs.ledger.engine import Ledger
from tests.integration.commands import Commands, fill
from tests.unit.test_cli_commands import EXAMPLES

ELSEWHERE = {"run", "work", "serve", "watch", "db path"}
"""`run` has its own tests, `work` those of the workers, `serve` those of the API; a watched batch must end; of
`db path` one is a shell's."""
SHEET = "SKU;title;colour\n00417;chair;red\n"
LINE = '{"model": "gpt-image-2", "prompt": "a fox", "size": "1024x1024", "quality": "low"}\n'


@pytest.mark.parametrize("example", [example for name, example in EXAMPLES if name not in ELSEWHERE])
def test_an_example_works(
    example: str,
    sqlite_ledger: Ledger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mill = Commands(tmp_path, monkeypatch, capsys)
    (tmp_path / "products.csv").write_text(SHEET, encoding="utf-8-sig")
    (tmp_path / "prompts.jsonl").write_text(LINE)
    fill(sqlite_ledger, id="b_7Q2M0001")
    sqlite_ledger.write(record, Act("ana@here", "pause", "b_7Q2M0001"))
    if "revoke" in example:
        sqlite_ledger.write(tokens.create, "shop", [tokens.TokenScope.SUBMIT], by="ana@here")
    command = example.split(" | ", maxsplit=1)[0].split(" > ", maxsplit=1)[0]
    words = shlex.split(command)[1:]
    if words[0] in ("check", "submit") and "products.csv" in words:
        words += ["--model", "gpt-image-2", "--size", "1024x1024", "--quality", "low"]
        if "--prompt-template" not in words:
            words += ["--prompt-template", "{title}"]
    done = mill(*words)
    assert done.code == 0, done.err
    assert done.out


def test_every_command_has_an_example_that_is_run_here_or_is_named_as_run_elsewhere() -> None:
    assert {name for name, _ in EXAMPLES} >= ELSEWHERE
