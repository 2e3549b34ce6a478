"""What `pip install .` gives, without the checkout and without any of the test tools around it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and its dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--target", folder, CHECKOUT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def run(installed: Path, code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code that sees only the standard library and the installed folder."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    start = f"import sys; sys.path.insert(0, {str(installed)!r}); {code}"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", start],
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def imagemill(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(installed, f"from jobs.cli import main; main({list(words)!r})", folder)


def test_the_wheel_brings_its_migrations(installed: Path, tmp_path: Path) -> None:
    assert imagemill(installed, tmp_path, "db", "upgrade").returncode == 0
    assert imagemill(installed, tmp_path, "db", "check").returncode == 0


def test_the_wheel_checks_and_records_a_manifest(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(
        '{"prompt": "a cup", "model": "gpt-image-2", "size": "1024x1024", "quality": "low"}\n'
    )
    assert imagemill(installed, tmp_path, "check", "m.jsonl").returncode == 0
    assert imagemill(installed, tmp_path, "submit", "m.jsonl").returncode == 0


@pytest.mark.parametrize("broker", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"])
def test_the_wheel_has_all_that_a_worker_imports(installed: Path, tmp_path: Path, broker: str) -> None:
    code = "import worker.app; worker.app.app.connection_for_read().transport"
    done = run(installed, code, tmp_path, IMAGEMILL_BROKER_URL=broker)
    assert done.returncode == 0, done.stderr


def test_without_its_extra_the_simulator_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    done = imagemill(installed, tmp_path, "simulate", "--port", "0")
    assert done.returncode == 1
    assert "imagemill[simulator]" in done.stderr
