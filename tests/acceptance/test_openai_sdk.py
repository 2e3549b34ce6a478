"""The official SDK, unchanged, with a server, workers and a broker that are real processes."""

import base64
import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from openai import OpenAI
from openai.types import Batch

from tests.acceptance.mill import KEY, Mill
from tests.acceptance.processes import Process
from tests.acceptance.waiting import wait_until
from tests.integration.dialects import ENDPOINT, batch_lines
from worker.simulator.config import SimulatorConfig
from worker.simulator.running import Simulator

CHECKOUT = Path(__file__).parents[2]
WITHIN_S = 90.0
BIG_IMAGES, BIG_BYTES = 400, 200_000
MANY_LINES = 45_000
"""More than are staged at a time."""


@dataclass
class Served:
    """A mill with a server and a client of it."""

    mill: Mill
    server: Process
    client: OpenAI

    @property
    def port(self) -> int:
        return int(self.client.base_url.port or 0)

    def ended(self, batch: Batch) -> Batch:
        found: list[Batch] = []

        def has_ended() -> bool:
            found.append(self.client.batches.retrieve(batch.id))
            return found[-1].status in ("completed", "cancelled", "failed")

        wait_until(has_ended, WITHIN_S, self.mill.tails)
        return found[-1]


def start_server(mill: Mill, port: int = 0) -> tuple[Process, int]:
    server = mill.start("serve", "--port", str(port))
    wait_until(lambda: "Ctrl-C stops it" in server.said(), WITHIN_S, server.tail)
    (found,) = re.findall(r"http://127\.0\.0\.1:(\d+)", server.said())
    return server, int(found)


@contextmanager
def served(mill: Mill) -> Iterator[Served]:
    """The mill's own server; workers are the test's matter."""
    server, port = start_server(mill)
    made = mill.run("token", "create", "shop", "--scope", "submit", "--json").json()
    with OpenAI(api_key=made["token"], base_url=f"http://127.0.0.1:{port}/v1", timeout=WITHIN_S) as client:
        yield Served(mill, server, client)


def create(client: OpenAI, lines: str) -> Batch:
    file = client.files.create(file=("prompts.jsonl", lines.encode()), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")


def test_everything_that_is_offered_works_with_the_sdk(grown_mill: Mill) -> None:
    with served(grown_mill) as there:
        client = there.client
        grown_mill.start_worker()
        batch = create(client, batch_lines("a fox", "a hen [[sim: refuse]]", "a cow"))
        single = client.images.generate(model="gpt-image-1", prompt="a dog", quality="low", size="1024x1024")
        done = there.ended(batch)
        assert done.request_counts is not None
        assert (done.status, done.request_counts.completed, done.request_counts.failed) == ("completed", 2, 1)
        assert done.output_file_id is not None and done.error_file_id is not None
        lines = [json.loads(line) for line in client.files.content(done.output_file_id).text.splitlines()]
        sent = [line["response"]["body"]["data"][0]["b64_json"] for line in lines]
        assert single.data is not None
        images = {base64.b64decode(text or "") for text in [*sent, single.data[0].b64_json]}
        assert images == {path.read_bytes() for path in grown_mill.images.rglob("*") if path.is_file()}
        (refused,) = client.files.content(done.error_file_id).text.splitlines()
        assert json.loads(refused)["response"]["body"]["error"]["code"] == "moderation_blocked"

        slow = create(client, batch_lines("a snail [[sim: delay 2]]"))
        wait_until(lambda: grown_mill.calls_in_flight() == 1, WITHIN_S, grown_mill.tails)
        assert client.batches.cancel(slow.id).status == "cancelling"
        assert there.ended(slow).status == "cancelled"
        assert {one.id for one in client.batches.list(limit=1)} == {batch.id, slow.id}
        assert len(list(client.files.list(limit=1))) == 5
        assert "gpt-image-2" in {model.id for model in client.models.list()}
        assert there.server.stop() == 0
    grown_mill.check()


def test_a_server_that_is_killed_while_a_client_waits_costs_no_second_image(grown_mill: Mill) -> None:
    with served(grown_mill) as there, ThreadPoolExecutor(1) as pool:
        grown_mill.start_worker()
        stubborn = there.client.with_options(max_retries=20)
        waiting = pool.submit(
            stubborn.images.generate,
            model="gpt-image-1",
            prompt="a fox [[sim: delay 2]]",
            quality="low",
            size="1024x1024",
        )
        wait_until(lambda: grown_mill.calls_in_flight() == 1, WITHIN_S, grown_mill.tails)
        there.server.crash()
        start_server(grown_mill, there.port)
        answer = waiting.result(WITHIN_S)
    assert answer.data is not None
    assert len(grown_mill.simulator.calls()) == 1
    (path,) = (path for path in grown_mill.images.rglob("*") if path.is_file())
    assert base64.b64decode(answer.data[0].b64_json or "") == path.read_bytes()
    grown_mill.check()


def test_a_server_that_is_killed_while_it_records_a_batch_records_one(mill: Mill) -> None:
    with served(mill) as there, ThreadPoolExecutor(1) as pool:
        lines = batch_lines(*(f"fox {number}" for number in range(MANY_LINES)))
        creating = pool.submit(create, there.client.with_options(max_retries=20), lines)
        staged = "SELECT count(*) FROM jobs"
        wait_until(lambda: mill.books.number(staged) > 0 or creating.done(), WITHIN_S, mill.tails)
        assert not creating.done(), "it was to be killed in the middle"
        there.server.crash()
        server, _ = start_server(mill, there.port)
        made = creating.result(WITHIN_S)
        assert made.request_counts is not None
        assert (made.status, made.request_counts.total) == ("in_progress", MANY_LINES)
        assert create(there.client, lines).id == made.id
        assert server.stop() == 0
    opened = mill.books.ask("SELECT id FROM batches WHERE state <> 'loading'")
    assert [row["id"] for row in opened] == [made.id]


def examples() -> dict[str, str]:
    """The Python example of each text, by its file."""
    found = {}
    for name in ("docs/openai-batch.md", "README.md"):
        (found[name],) = re.findall(r"```python\n(.*?)```", (CHECKOUT / name).read_text("utf-8"), re.DOTALL)
    return found


@pytest.mark.parametrize("name", ["docs/openai-batch.md", "README.md"])
def test_the_example_runs_as_it_is_printed(grown_mill: Mill, name: str) -> None:
    lines = examples()[name].strip().splitlines()
    assert len([line for line in lines if line]) <= 11
    home = grown_mill.home
    (home / "prompts.jsonl").write_text(batch_lines("a fox", "a hen"))
    (home / "example.py").write_text("\n".join(lines))
    with served(grown_mill) as there:
        grown_mill.start_worker()
        grown_mill.env |= {"OPENAI_BASE_URL": str(there.client.base_url), "OPENAI_API_KEY": there.client.api_key}
        example = grown_mill.start("example.py", program=Path(sys.executable).name)
        assert example.wait(WITHIN_S) == 0, example.tail()
    told = [json.loads(line) for line in (home / "images.jsonl").read_text().splitlines()]
    assert [line["custom_id"] for line in told] == ["row-1", "row-2"]


def peak_bytes(pid: int) -> int:
    """VmHWM: the most that a process ever held."""
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found) * 1024


def test_the_download_of_many_images_takes_little_memory(tmp_path: Path, redis_url: str, ledger_url: str) -> None:
    config = SimulatorConfig(api_keys=(KEY,), pictures="prerendered", image_bytes=BIG_BYTES, latency_s=0.0)
    settings = {"database_url": ledger_url, "broker_url": redis_url, "in_flight": 32}
    with Simulator(config) as simulator, Mill(tmp_path, simulator, **settings) as mill, served(mill) as there:  # type: ignore[arg-type]
        mill.start_worker()
        done = there.ended(create(there.client, batch_lines(*(f"fox {number}" for number in range(BIG_IMAGES)))))
        assert done.output_file_id is not None
        before = peak_bytes(there.server.pid)
        size = 0
        with there.client.files.with_streaming_response.content(done.output_file_id) as answer:
            for piece in answer.iter_bytes(1 << 20):
                size += len(piece)
        grown = peak_bytes(there.server.pid) - before
        assert size == there.client.files.retrieve(done.output_file_id).bytes
        assert size > BIG_IMAGES * BIG_BYTES
        assert grown < 32 * 1024 * 1024, f"{grown:,} bytes more for {size:,}"
