"""What every command line pays for: processes of their own, so that nothing is imported already."""

import subprocess
import sys

import pytest

HEAVY = (
    *("sqlalchemy", "celery", "httpx", "aiohttp", "PIL", "pydantic"),
    *("rich", "alembic", "msgspec", "fastapi", "jinja2"),
)
LOADED = """
import sys
from jobs.cli import main
try:
    main(sys.argv[1:])
finally:
    print("loaded:", *(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--help"], 0), (["--version"], 0), (["statsu"], 2), (["status", "--help"], 0), (["run", "--help"], 0)],
)
def test_help_version_and_usage_errors_import_nothing_heavy(words: list[str], code: int) -> None:
    done = python("-c", LOADED.format(heavy=HEAVY), *words)
    assert done.returncode == code
    assert done.stderr.splitlines()[-1] == "loaded:"


def test_the_module_is_the_command() -> None:
    done = python("-m", "jobs.cli", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("imagemill ")


def test_a_worker_without_a_broker_says_what_to_set() -> None:
    done = python("-m", "jobs.cli", "work", "--in-flight", "7")
    assert done.returncode == 2
    assert done.stderr.startswith("error: IMAGEMILL_BROKER_URL is not set")


def test_a_reader_that_has_enough_is_no_error() -> None:
    lines = "import sys\nfrom jobs.cli.trouble import run\nfrom jobs.cli import group\nimport click\n"
    lines += "@click.command()\ndef many():\n  for n in range(100000): click.echo(n)\n"
    lines += "group.imagemill = many\nsys.exit(run([]))\n"
    with subprocess.Popen(
        [sys.executable, "-c", lines], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == "0\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        process.wait(60)
    assert process.returncode in (0, 1)
