"""Keys and passwords show nowhere: not in the ledger, the spool, the broker, the logs or the process list.

And the broker holds nothing of a worker but the queue of tickets: no events, no gossip, no remote control.
"""

import os
import re
import signal
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest

from tests.acceptance.mill import KEY, Mill
from tests.acceptance.rows import great_manifest, plain_rows
from tests.acceptance.waiting import wait_until
from tests.pictures import picture
from tests.services import RedisServer


@pytest.fixture
def secret_mill(new_mill: Callable[..., Mill], ledger_url: str, redis_url: str) -> Mill:
    return new_mill(
        database_url=ledger_url, broker_url=redis_url, in_flight=32, read_timeout_s=1, log_level="debug"
    )


def test_c13_no_secret_is_left_anywhere(
    secret_mill: Mill, ledger_url: str, redis_url: str, redis_server: RedisServer
) -> None:
    mill = secret_mill
    secrets = [KEY, urlsplit(ledger_url).password or "", urlsplit(redis_url).password or ""]
    assert all(len(secret) > 20 for secret in secrets)
    mill.submit([one.row for one in great_manifest(0.01)], "--max-attempts", "1")
    in_broker = everything_in(redis_server)
    assert in_broker
    worker = mill.start_worker()
    arguments = Path(f"/proc/{worker.pid}/cmdline").read_bytes()
    assert b"work" in arguments
    wait_until(lambda: mill.spooled() and mill.settled_jobs() > 20, 30, mill.tails)
    worker.crash()  # so that the spool keeps what it has
    killed = read_all(mill.home)
    mill.start_worker()
    mill.wait_done(len(great_manifest(0.01)), 60)

    mill.simulator.configure(api_keys=["another"])
    mill.submit(plain_rows(3), name="locked-out.jsonl")
    wait_until(
        lambda: mill.books.number("SELECT count(*) FROM endpoints WHERE paused_at IS NOT NULL"), 30, mill.tails
    )
    told = "".join(
        done.out + done.err
        for done in (mill.run("config"), mill.run("status", "last"), mill.run("doctor", expect=None))
    )
    places = {
        "ledger": mill.books.dump().encode(),
        "broker, tickets waiting": in_broker,
        "broker, worker running": everything_in(redis_server),
        "files of a killed worker": killed,
        "files": read_all(mill.home),
        "process list": arguments,
        "what commands say": told.encode(),
    }
    found = [place for place, text in places.items() for secret in secrets if secret.encode() in text]
    assert found == []


def test_c12_an_endpoint_that_echoes_the_key_brings_it_nowhere(new_mill: Callable[..., Mill]) -> None:
    with echoing() as url:
        mill = new_mill(endpoint_url=url, in_flight=4, log_level="debug", read_timeout_s=20)
        manifest = mill.write(plain_rows(2 * len(ECHOES)))
        mill.run("run", manifest, "--max-attempts", "1", expect=3)
        crashing = mill.start("run", mill.write(plain_rows(8, SILENCE), "silence.jsonl"))
        wait_until(mill.open_attempts, 30, crashing.tail)
        limits = Path(f"/proc/{crashing.pid}/limits").read_text()
        os.kill(crashing.pid, signal.SIGSEGV)
        crashing.wait(30)
    assert re.search(r"Max core file size +0 ", limits)
    batch = mill.books.ask("SELECT id FROM batches ORDER BY created_at")[0]["id"]
    told = [mill.run(command, batch) for command in ("attempts", "failures")]
    told += [mill.run(command, batch, "--jsonl") for command in ("jobs", "attempts", "images")]
    told += [mill.run("report", batch, "--format", "html", "-o", mill.home / "sheet.html")]
    said = "".join(done.out + done.err for done in told)
    assert "[secret]" in said  # so the echoes came this far
    places = {"ledger": mill.books.dump(), "commands": said, "files": read_all(mill.home).decode("latin-1")}
    assert [place for place, text in places.items() if KEY in text] == []
    assert mill.spooled() or mill.logs


SILENCE = "say nothing"
ECHOES = (
    (
        200,
        '{"created": 1, "data": [{"b64_json": "%(png)s", "revised_prompt": "%(key)s"}], "usage": {"%(key)s": 1}}',
    ),
    (200, '{"data": [{"b64_json": "%(png)s"}], "note": "%(escaped)s", "%(escaped)s": {"a": ["%(escaped)s"]}}'),
    (200, '{"data": [{"url": "http://%(key)s.test/%(key)s"}]}'),
    (200, "Bearer %(key)s"),
    (400, '{"error": {"code": "%(escaped)s", "message": "no %(escaped)s, %(key)s"}, "usage": {"%(escaped)s": 1}}'),
    (502, "<html><title>%(key)s</title>%(key)s</html>"),
)


@contextmanager
def echoing() -> Iterator[str]:
    """An endpoint that repeats the key in every place that an answer has, in turn; its URL."""
    turns, over = count(), Event()
    png = b64encode(picture()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            key = self.headers["Authorization"].removeprefix("Bearer ")
            if SILENCE.encode() in asked:
                over.wait(30)
            status, text = ECHOES[next(turns) % len(ECHOES)]
            body = (text % {"key": key, "escaped": key.replace("sk", "\\u0073k"), "png": png}).encode()
            self.send_response(status)
            for name in ("X-Request-Id", "CF-Ray", "Location", "X-RateLimit-Limit-Requests", key):
                self.send_header(name, f"for {key}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for start in range(0, len(body), 11):  # so that the key is cut
                self.wfile.write(body[start : start + 11])

        def log_message(self, *_: object) -> None:
            """Not on the screen."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            over.set()
            server.shutdown()


def test_a_worker_leaves_nothing_in_the_broker_but_its_queue(secret_mill: Mill, redis_server: RedisServer) -> None:
    mill = secret_mill
    worker = mill.start_worker()
    with redis_server.client() as client:
        wait_until(lambda: client.exists("_kombu.binding.imagemill"), 30, worker.tail)
        mill.submit(plain_rows(10))
        mill.wait_done(10, 30)
        keys = {key.decode() for key in client.scan_iter()}
        channels = client.pubsub_channels()
    assert {key for key in keys if not key.startswith("_kombu.binding")} == set()
    assert {key.rpartition(".")[2] for key in keys} == {"imagemill"}
    assert channels == []
    assert worker.stop() == 0


def everything_in(redis_server: RedisServer) -> bytes:
    with redis_server.client() as client:
        keys = list(client.scan_iter())
        return b"".join(key + (client.dump(key) or b"") for key in keys)


def read_all(folder: Path) -> bytes:
    """Every file under the folder, but for the manifests, which are the user's."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".jsonl"]
    return b"".join(bytes(path) + path.read_bytes() for path in files)
