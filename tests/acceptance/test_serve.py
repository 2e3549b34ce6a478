"""`imagemill serve` as a process: where it listens, whom it lets in, how it ends."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.acceptance.processes import Process
from tests.acceptance.waiting import wait_until

LINE = '{"model": "gpt-image-2", "prompt": "a fox", "size": "1024x1024", "quality": "low"}\n'
WITHIN_S = 60.0


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGEMILL_")}
    return kept | {"IMAGEMILL_DATA_DIR": str(folder / "data"), "IMAGEMILL_OPERATOR": "ana"}


def command(folder: Path, *words: str) -> Process:
    return Process(["imagemill", *words], env=environment(folder), cwd=folder, log=folder / "log")


def done(folder: Path, *words: str) -> tuple[int, str]:
    """The exit code of a command that ends, and what it said."""
    log = folder / "log"
    log.unlink(missing_ok=True)
    with command(folder, *words) as process:
        return process.wait(WITHIN_S), log.read_text()


@contextmanager
def served(folder: Path, *words: str) -> Iterator[tuple[Process, httpx.Client]]:
    (folder / "log").unlink(missing_ok=True)
    with command(folder, "serve", "--port", "0", *words) as process:
        wait_until(lambda: "Ctrl-C stops it" in process.said(), WITHIN_S, process.tail)
        found = re.search(r"http://\S+:(\d+)", process.said())
        assert found
        with httpx.Client(base_url=f"http://127.0.0.1:{found[1]}", timeout=30, trust_env=False) as client:
            yield process, client


def token(folder: Path, *scopes: str) -> dict[str, str]:
    words = [word for scope in scopes for word in ("--scope", scope)]
    code, said = done(folder, "token", "create", "-".join(scopes), *words)
    assert code == 0
    (text,) = re.findall(r"^imill_\S+$", said, re.MULTILINE)
    return {"Authorization": f"Bearer {text}"}


def test_a_server_for_this_machine_needs_nothing_and_keeps_what_it_was_told(tmp_path: Path) -> None:
    key = {"Idempotency-Key": "k", "Content-Type": "application/x-ndjson"}
    with served(tmp_path) as (process, client):
        made = client.post("/api/batches?again=1", content=LINE, headers=key)
        assert made.status_code == 202
        assert process.stop() == 0
    with served(tmp_path) as (process, client):
        again = client.post("/api/batches?again=1", content=LINE, headers=key)
        assert again.json()["batch"] == made.json()["batch"]
        assert client.get("/api/acts").json()["acts"][0]["who"] == "ana"
        assert process.stop(signal.SIGINT) == 0
    assert list((tmp_path / "data" / "uploads").iterdir()) == []


def test_a_killed_server_leaves_no_half_batch_and_no_upload(tmp_path: Path) -> None:
    with served(tmp_path) as (process, client):
        made = client.post("/api/batches", content=LINE).json()["batch"]
        process.crash()
    (tmp_path / "data" / "uploads" / "0.upload").write_bytes(b"left")
    with served(tmp_path) as (process, client):
        assert [line["batch"] for line in client.get("/api/batches").json()["batches"]] == [made]
        assert client.post("/api/batches", content=LINE).json()["batch"] == made
        assert list((tmp_path / "data" / "uploads").iterdir()) == []
        assert process.stop() == 0


def test_open_event_streams_do_not_hold_a_server_that_is_told_to_stop(tmp_path: Path) -> None:
    with served(tmp_path) as (process, client), client.stream("GET", "/api/events") as answer:
        assert next(answer.iter_lines()) == "event: standing"
        assert process.stop(within_s=WITHIN_S) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "images.example.com"])
def test_c15_a_server_that_other_machines_reach_is_refused_without_saying_so(tmp_path: Path, host: str) -> None:
    code, said = done(tmp_path, "serve", "--port", "0", "--host", host)
    assert code == 2
    assert said.startswith(f"error: {host} can be reached from other machines: add --public")


def test_c15_a_public_server_is_refused_as_long_as_there_is_no_token(tmp_path: Path) -> None:
    wanted = "error: a public server needs a token: `imagemill token create NAME --scope admin` makes the first"
    assert done(tmp_path, "serve", "--port", "0", "--public") == (2, wanted + "\n")
    token(tmp_path, "read")
    assert done(tmp_path, "token", "revoke", "read")[0] == 0
    assert done(tmp_path, "serve", "--port", "0", "--public") == (2, wanted + "\n")


def test_c15_a_public_server_asks_everybody_and_a_revoked_token_ends_at_once(tmp_path: Path) -> None:
    header = token(tmp_path, "submit")
    names = ("--host", "0.0.0.0", "--public", "--allow-host", "mill.example")
    with served(tmp_path, *names) as (process, client):
        assert client.get("/api/health").status_code == 200
        assert client.get("/api/status").status_code == 401
        assert client.get("/api/status", headers=header | {"Host": "mill.example"}).status_code == 200
        assert client.get("/api/status", headers=header | {"Host": "0.0.0.0"}).status_code == 403
        made = client.post("/api/batches", content=LINE, headers=header)
        assert made.status_code == 202
        assert client.get("/api/acts", headers=header).json()["acts"][0]["who"] == "submit"
        with command(tmp_path, "token", "revoke", "submit") as revoking:
            assert revoking.wait(WITHIN_S) == 0
        assert client.get("/api/status", headers=header).json()["code"] == "token_invalid"
        assert process.stop() == 0


def test_c12_no_token_stands_in_ledger_log_or_process_list(tmp_path: Path) -> None:
    header = token(tmp_path, "admin")
    secret = header["Authorization"].split("_", 2)[2].encode()
    with served(tmp_path, "--public") as (process, client):
        assert client.get("/api/status", headers=header).status_code == 200
        assert (
            client.get("/api/status", headers={"Authorization": header["Authorization"] + "x"}).status_code == 401
        )
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert process.stop() == 0
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert kept == []
    assert secret not in words


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with served(tmp_path) as (process, client):
        port = client.base_url.port
        other = tmp_path / "other"
        other.mkdir()
        code, said = done(other, "serve", "--port", str(port))
        assert (code, said) == (2, f"error: cannot listen at 127.0.0.1 port {port}: Address already in use\n")
        assert process.stop() == 0
