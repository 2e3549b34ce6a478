"""Tickets over a real Redis: what a message holds, and a publisher that never waits for a broker for long."""

import json
import socket
import threading
import time
from base64 import b64decode
from collections.abc import Iterator

import pytest

from jobs.errors import UsageError
from jobs.settings import Settings, load_settings
from tests.services import RedisServer
from worker.tickets import MOST_TICKETS, QUEUE, broker_answers, make_app, publish

BATCH = "b_7Q2M"
BOUND_S = 15.0
"""Far below the minutes for which libraries wait by themselves, and above any pause of a busy machine."""


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return load_settings(broker_url=redis_url, share=250)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in taken:
        connection.close()


def messages(redis_server: RedisServer) -> list[dict[str, object]]:
    with redis_server.client() as client:
        return [json.loads(message) for message in client.lrange(QUEUE, 0, -1)]


def test_a_ticket_holds_the_batch_and_nothing_else(settings: Settings, redis_server: RedisServer) -> None:
    assert publish(settings, BATCH, jobs=1)
    (message,) = messages(redis_server)
    assert message["content-type"] == "application/json"
    args, kwargs, _ = json.loads(b64decode(str(message["body"])))
    assert (args, kwargs) == ([BATCH], {})


@pytest.mark.parametrize(("jobs", "tickets"), [(1, 1), (250, 1), (251, 2), (1000, 4), (10**6, MOST_TICKETS)])
def test_tickets_are_as_many_as_workers_are_worth_waking(
    settings: Settings, redis_server: RedisServer, jobs: int, tickets: int
) -> None:
    assert publish(settings, BATCH, jobs)
    assert len(messages(redis_server)) == tickets


def test_without_a_broker_nothing_is_published() -> None:
    assert publish(load_settings(), BATCH, jobs=1) is False


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_never_answers_is_given_up(silent_port: int, scheme: str) -> None:
    settings = load_settings(broker_url=f"{scheme}://user:word@127.0.0.1:{silent_port}/0")
    begun_s = time.monotonic()
    assert publish(settings, BATCH, jobs=10**6) is False
    assert broker_answers(settings) is False
    assert time.monotonic() - begun_s < 2 * BOUND_S


def test_a_broker_that_is_not_there_costs_a_false(redis_url: str, redis_server: RedisServer) -> None:
    settings = load_settings(broker_url=redis_url)
    assert broker_answers(settings)
    redis_server.stop()
    assert publish(settings, BATCH, jobs=1) is False
    assert broker_answers(settings) is False


def test_a_wrong_password_costs_a_false(redis_server: RedisServer, redis_url: str) -> None:
    settings = load_settings(broker_url=f"redis://:wrong@127.0.0.1:{redis_server.port}/0")
    assert publish(settings, BATCH, jobs=1) is False
    assert broker_answers(settings) is False


def test_a_broker_without_memory_costs_a_false(settings: Settings, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.config_set("maxmemory", "1")
        try:
            assert publish(settings, BATCH, jobs=1) is False
        finally:
            client.config_set("maxmemory", "0")


@pytest.mark.parametrize("url", ["postgresql://127.0.0.1/x", "redis://127.0.0.1:port/0", "127.0.0.1:6379", "x"])
def test_what_is_no_brokers_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(UsageError, match=r"redis://127\.0\.0\.1:6379/0"):
        make_app(url)


def test_several_brokers_may_stand_in_for_each_other(settings: Settings, redis_server: RedisServer) -> None:
    assert settings.broker_url is not None
    both = f"redis://127.0.0.1:{free_port()}/0;{settings.broker_url.get_secret_value()}"
    assert publish(load_settings(broker_url=both), BATCH, jobs=1)
    assert len(messages(redis_server)) == 1


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_the_worker_speaks_json_keeps_no_results_and_takes_no_orders(settings: Settings) -> None:
    assert settings.broker_url is not None
    conf = make_app(settings.broker_url.get_secret_value()).conf
    assert (conf.accept_content, conf.task_serializer) == (["json"], "json")
    assert conf.result_backend is None
    assert conf.task_ignore_result
    assert not conf.worker_enable_remote_control
    assert not conf.worker_send_task_events
    assert not conf.task_acks_late
    assert conf.worker_disable_prefetch
    assert conf.broker_connection_max_retries is None
    assert conf.broker_transport_options["socket_timeout"] <= 30
