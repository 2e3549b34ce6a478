"""A worker's metrics, scraped over HTTP: every figure is the ledger's and the endpoint's."""

import json
import socket
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.mill import Mill
from tests.acceptance.processes import Process
from tests.acceptance.rows import DALLE3, GPT1, GPT2, plain_rows
from tests.acceptance.waiting import wait_until

ROWS = [
    *plain_rows(6),
    GPT1 | {"id": "two", "prompt": "two kites", "n": 2, "output_format": "jpeg"},
    GPT2 | {"id": "again", "prompt": "a kite [[sim: 500 x1]]"},
    GPT2 | {"id": "throttled", "prompt": "a kite [[sim: 429 0.1 x1]]"},
    GPT1 | {"id": "refused", "prompt": "a kite [[sim: refuse]]"},
    DALLE3 | {"id": "by-url", "prompt": "a kite"},
    DALLE3 | {"id": "lost", "prompt": "a kite [[sim: empty-item]]"},
    GPT2 | {"id": "doubt", "prompt": "a kite [[sim: close unbilled]]"},
]

Samples = dict[tuple[str, ...], float]


@pytest.fixture
def mill(new_mill: Callable[..., Mill], ledger_url: str, redis_url: str) -> Mill:
    return new_mill(database_url=ledger_url, broker_url=redis_url, in_flight=8, metrics_port=0)


def served_at(worker: Process) -> str:
    """Where the worker says that its metrics are."""
    lines = [json.loads(line) for line in worker.said().splitlines() if '"metrics_served"' in line]
    return str(lines[0]["url"])


def scraped(url: str) -> dict[str, Samples]:
    """{name of the sample: {its labels' values, by the labels' names in alphabetical order: value}}"""
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, Samples] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def totals(mill: Mill, sql: str) -> Samples:
    """Rows of labels and a number, as samples."""
    rows = [list(row.values()) for row in mill.books.ask(sql)]
    return {tuple(map(str, labels)): float(number) for *labels, number in rows}


def test_every_figure_that_is_scraped_is_the_ledgers_and_the_endpoints(mill: Mill) -> None:
    worker = mill.start_worker()
    mill.submit(ROWS)
    mill.wait_done(len(ROWS), 60)
    url = served_at(worker)
    assert url.startswith("http://127.0.0.1:")
    wait_until(
        lambda: sum(scraped(url)["imagemill_attempts_total"].values()) == len(mill.simulator.calls()), 20, url
    )
    found = scraped(url)
    host = f"127.0.0.1:{mill.simulator.port}"
    for name, select in {
        "attempts_total": f"model, outcome, '{host}', count(*) FROM attempts GROUP BY model, outcome",
        "images_stored_total": "format, a.model, count(*) FROM images JOIN attempts a ON a.id = attempt_id"
        " GROUP BY a.model, format",
        "image_bytes_total": "format, a.model, sum(bytes) FROM images JOIN attempts a ON a.id = attempt_id"
        " GROUP BY a.model, format",
        "usage_tokens_total": "meter, a.model, sum(quantity) FROM charges JOIN attempts a ON a.id = attempt_id"
        " WHERE unit = 'token' GROUP BY a.model, meter",
    }.items():
        assert found[f"imagemill_{name}"] == totals(mill, f"SELECT {select}"), name
    assert set(totals(mill, "SELECT outcome, count(*) FROM attempts GROUP BY outcome")) >= {
        ("succeeded",), ("errored",), ("throttled",), ("refused",), ("image_lost",), ("unknown",)
    }  # fmt: skip
    calls = Counter(line["model"] for line in mill.simulator.calls())
    assert found["imagemill_attempt_duration_seconds_count"] == {(model, host): n for model, n in calls.items()}
    spent = sum(line["amount_nanodollars"] for line in mill.simulator.calls() if line["billed"])
    assert round(sum(found["imagemill_spend_dollars_total"].values()) * 1e9) == spent
    assert found["imagemill_ledger_transaction_seconds_count"][()] > 0
    assert list(found["imagemill_build_info"].values()) == [1.0]
    assert worker.stop() == 0


def test_a_second_worker_at_the_same_port_says_so_and_ends(
    new_mill: Callable[..., Mill], ledger_url: str, redis_url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        worker = new_mill(database_url=ledger_url, broker_url=redis_url, metrics_port=port).start("work")
        assert worker.wait(30) == 2
    assert f"metrics cannot be served at 127.0.0.1:{port}: Address already in use" in worker.said()
    assert "IMAGEMILL_METRICS_PORT" in worker.said()


def test_without_a_port_nothing_is_served(new_mill: Callable[..., Mill], ledger_url: str, redis_url: str) -> None:
    worker = new_mill(database_url=ledger_url, broker_url=redis_url).start_worker()
    assert "metrics_served" not in worker.said()
