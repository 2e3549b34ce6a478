"""The private servers do what the tests built on them assume: restarts, crashes, an end with the run."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.conftest import own_folder
from tests.services import MissingServerError, PostgresServer, RedisServer, find_postgres, find_redis
from tests.services.find import postgres_wheel_folders
from tests.services.server import ServerError, free_port

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def durable_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path, appendonly=True) as server:
        yield server


def wait_until(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "the awaited condition did not come true"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Running; a dead process that nobody has waited for yet counts as dead."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state = done.stdout.strip()
    return state != "" and not state.startswith("Z")


def fetch(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def add_mark(url: str) -> None:
    fetch(url, "CREATE TABLE mark ()")


def test_redis_is_at_least_the_version_kombu_needs(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        version = client.info("server")["redis_version"]
    assert tuple(map(int, version.split(".")))[:2] >= (6, 2)


def test_redis_asks_for_its_password(redis_server: RedisServer) -> None:
    stranger = redis.Redis(port=redis_server.port, retry=Retry(NoBackoff(), 0))
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_redis_never_evicts(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_the_redis_fixture_hands_out_an_empty_server(redis_server: RedisServer, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "over")
    redis_server.flushall()
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_a_plain_redis_forgets_over_a_restart(redis_server: RedisServer) -> None:
    url = redis_server.url
    with redis_server.client() as client:
        client.set("kept", "1")
    redis_server.restart()
    assert redis_server.url == url
    with redis_server.client() as client:
        assert client.get("kept") is None


@pytest.mark.parametrize("end", [RedisServer.stop, RedisServer.crash])
def test_an_append_only_redis_remembers_over_any_end(
    durable_redis: RedisServer, end: Callable[[RedisServer], None]
) -> None:
    with durable_redis.client() as client:
        client.set("kept", "1")
    end(durable_redis)
    assert not durable_redis.answers()
    durable_redis.start()
    with durable_redis.client() as client:
        assert client.get("kept") == b"1"


def test_postgres_is_durable_as_in_production(postgres_url: str) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert fetch(postgres_url, f"SHOW {setting}") == [("on",)]


def test_postgres_asks_for_its_password(postgres_server: PostgresServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host="127.0.0.1", port=postgres_server.port, user="postgres", password="guess")


def test_every_database_is_a_new_one(postgres_database: Callable[..., str]) -> None:
    first, second = postgres_database(), postgres_database()
    add_mark(first)
    assert fetch(first, "SELECT to_regclass('mark')::text") == [("mark",)]
    assert fetch(second, "SELECT to_regclass('mark')::text") == [(None,)]


def test_a_database_starts_as_its_template(
    postgres_server: PostgresServer, postgres_database: Callable[..., str]
) -> None:
    postgres_server.make_template("marked", add_mark)
    assert fetch(postgres_database("marked"), "SELECT to_regclass('mark')::text") == [("mark",)]
    postgres_server.drop_database(postgres_server.url("marked"))


@pytest.mark.parametrize("end", [PostgresServer.stop, PostgresServer.crash])
def test_postgres_keeps_what_was_committed_over_any_end(
    postgres_server: PostgresServer, postgres_url: str, end: Callable[[PostgresServer], None]
) -> None:
    fetch(postgres_url, "CREATE TABLE kept AS SELECT 7 AS number")
    end(postgres_server)
    assert not postgres_server.answers()
    postgres_server.start()
    assert fetch(postgres_url, "SELECT number FROM kept") == [(7,)]


def test_a_database_is_dropped_under_a_connected_client(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    with psycopg.connect(url) as connection:
        postgres_server.drop_database(url)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_starting_a_running_server_changes_nothing(redis_server: RedisServer) -> None:
    before = redis_server.pid
    redis_server.start()
    assert redis_server.pid == before


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with RedisServer(first) as server:
        rival = RedisServer(second)
        rival.port = server.port
        with pytest.raises(ServerError, match=r"(?s)ended at once.*in use"):
            rival.start()
        assert not rival.running


def test_a_server_does_not_outlive_a_killed_test_run(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, tests.services as services\n"
        "server = services.RedisServer(pathlib.Path(sys.argv[1])); server.start()\n"
        "print(server.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        server_pid = int(run.stdout.readline())
        assert is_alive(server_pid)
        run.kill()
    wait_until(lambda: not is_alive(server_pid))


def test_a_free_port_is_outside_the_range_systems_hand_out() -> None:
    assert 15000 <= free_port() < 30000


def test_an_old_redis_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.14 sha=00000000:0 bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setattr("tests.services.find._package_folder", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingServerError, match="redis-server"):
        find_redis()


def test_a_missing_postgres_says_which_package_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tests.services.find._package_folder", lambda name: None)
    monkeypatch.setattr("tests.services.find.DISTRIBUTION_FOLDERS", ())
    with pytest.raises(MissingServerError, match="install the package postgresql"):
        find_postgres()


def test_postgres_behind_a_link_is_found_with_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, linked = tmp_path / "real", tmp_path / "linked"
    real.mkdir()
    linked.mkdir()
    for name in ("postgres", "initdb"):
        (real / name).write_text("#!/bin/sh\n")
        (real / name).chmod(0o755)
    (linked / "postgres").symlink_to(real / "postgres")
    monkeypatch.setenv("PATH", str(linked))
    monkeypatch.setattr("tests.services.find.unprivileged", Anybody)
    assert find_postgres() == real


class Anybody:
    """An account that reaches everything."""

    def can_run(self, program: Path) -> bool:
        return program.exists()


def test_the_wheels_oldest_postgres_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pginstall18", "pginstall"):
        (tmp_path / name / "bin").mkdir(parents=True)
    monkeypatch.setattr("tests.services.find._package_folder", lambda name: tmp_path)
    assert postgres_wheel_folders() == [tmp_path / "pginstall" / "bin", tmp_path / "pginstall18" / "bin"]


def test_a_server_folder_is_gone_after_use() -> None:
    with own_folder("gone") as folder:
        assert folder.is_dir()
    assert not folder.exists()
