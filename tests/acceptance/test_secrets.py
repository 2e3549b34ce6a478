"""Keys and passwords show nowhere: not in the ledger, the spool, the broker, the logs or the process list.

And the broker holds nothing of a worker but the queue of tickets: no events, no gossip, no remote control.
"""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.mill import KEY, Mill
from tests.acceptance.rows import great_manifest, plain_rows
from tests.acceptance.waiting import wait_until
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
