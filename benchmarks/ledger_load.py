"""The programs that bench_ledger measures, each run in a process of its own, and the rows they work on.

    ledger     admit a group, settle it, again and again, through the ledger's own functions
    executor   the whole executor: dispatcher, network thread, spool, settler; only the endpoint is a fake
    bare       psycopg or sqlite3 alone: a row inserted and committed, then updated and committed

A program gets ready, prints "ready", and starts when a line comes in; at the end it prints one JSON object:
jobs, seconds and its own cpu_s.
"""

import argparse
import json
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psycopg
from sqlalchemy import Connection, make_url, text

from jobs import events
from jobs.catalogue.prices import Meter, PriceBook
from jobs.ids import new_worker_id
from jobs.ledger import intake, recovery, schema
from jobs.ledger.admission import Admitted, Claimer, admit
from jobs.ledger.endings import Ending
from jobs.ledger.engine import Ledger, insert_missing
from jobs.ledger.settlement import settle
from jobs.money import Charge, Cost
from jobs.pacing import Caps
from jobs.settings import load_settings
from jobs.states import Outcome
from worker.calls import Answer, Call
from worker.executor import Executor

MODEL = "gpt-image-1"
REQUEST = f'{{"model":"{MODEL}","prompt":"studio photo of a cup, number %","size":"1024x1024","quality":"low"}}'
USAGE = {"input_tokens": 15, "output_tokens": 272, "input_tokens_details": {"text_tokens": 15, "image_tokens": 0}}
CEILING_NANO = 20_000_000
ENDPOINT = "http://127.0.0.1:9/v1"
LOOK_EVERY_S = 0.1
ENDS_WITHIN_S = 170.0

COST = Cost(
    (
        Charge(Meter.TEXT_IN, 15, "token", 5_000_000_000_000, 75_000),
        Charge(Meter.IMAGE_OUT, 272, "token", 40_000_000_000_000, 10_880_000),
    ),
    "usage",
    10_955_000,
)

_FILL = text(
    "INSERT INTO jobs (batch_id, row, custom_id, state, model, n, request, tag_set, ceiling_nano, tokens, due_at) "
    "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < :rows) "
    "SELECT :batch, number, 'row-' || number, 'queued', :model, 1, replace(:request, '%', CAST(number AS TEXT)), "
    ":tag_set, :ceiling, 300, 0 FROM numbers"
)


def fill(ledger: Ledger, batch_id: str, rows: int) -> None:
    """An open batch of so many queued jobs, as a submission would leave it."""
    batch = intake.NewBatch(batch_id, batch_id, batch_id, 1, "00", "{}", 5, 0, 86_400)
    ledger.write(intake.begin_batch, batch)
    ledger.write(_stage, batch_id, rows)
    ledger.write(intake.open_batch, batch_id, Counter({MODEL: rows}), None)


def _stage(tx: Connection, batch_id: str, rows: int) -> None:
    tag_set = intake.tags_id({})
    insert_missing(tx, schema.tag_sets, [{"id": tag_set, "tags": "{}"}])
    said = {"rows": rows, "batch": batch_id, "model": MODEL, "request": REQUEST}
    tx.execute(_FILL, said | {"tag_set": tag_set, "ceiling": CEILING_NANO})


def ledger_program(url: str, batch_id: str, jobs: int, group: int) -> Callable[[], int]:
    ledger, worker = Ledger(url), new_worker_id()
    ledger.write(recovery.register_worker, worker, "bench", 0, worker)
    claimer = Claimer(worker, ENDPOINT, Caps(), 900_000)

    def run() -> int:
        done = 0
        while done < jobs:
            admitted = ledger.write(admit, claimer, batch_id, min(group, jobs - done)).admitted
            if not admitted:
                break
            ledger.write(settle, [ending(one) for one in admitted], lambda job, ending: None)
            done += len(admitted)
        return done

    return run


def ending(one: Admitted) -> Ending:
    return Ending(
        attempt_id=one.attempt_id,
        outcome=Outcome.SUCCEEDED,
        http_status=200,
        request_id=f"req_{one.row}",
        usage=USAGE,
        facts={"created": 1_700_000_000, "size": "1024x1024"},
        duration_ms=3,
        cost=COST,
        price_book="bench",
    )


class NullEndpoint:
    """Answers at once: paid, with usage, without an image."""

    async def call(self, call: Call, send_by_s: float) -> Answer:
        facts = {"created": 1_700_000_000, "size": "1024x1024"}
        return Answer(call.attempt_id, Outcome.SUCCEEDED, 200, "req_bench", usage=USAGE, facts=facts)

    async def close(self) -> None:
        pass


class NullExecutor(Executor):
    """Everything but the network client is the product's."""

    def _open_endpoint(self) -> NullEndpoint:  # type: ignore[override]
        return NullEndpoint()


def executor_program(url: str, batch_id: str, in_flight: int, folder: Path) -> Callable[[], int]:
    """Runs until the batch is done, whichever process ends its last job."""
    events.configure("error")
    ledger = Ledger(url)
    settings = load_settings(data_dir=folder, endpoint_url=ENDPOINT, in_flight=in_flight, database_url=url)
    executor = NullExecutor(ledger, settings, PriceBook.load(None))

    def run() -> int:
        executor.start()
        ends_s = time.monotonic() + ENDS_WITHIN_S
        while _unfinished(ledger, batch_id):
            if time.monotonic() > ends_s:
                raise SystemExit(f"the batch did not end within {ENDS_WITHIN_S:.0f} s")
            time.sleep(LOOK_EVERY_S)
        executor.close()
        with ledger.read() as tx:
            counted = text("SELECT count(*) FROM attempts WHERE worker_id = :worker AND outcome = 'succeeded'")
            return int(tx.execute(counted, {"worker": executor.worker_id}).scalar_one())

    return run


def _unfinished(ledger: Ledger, batch_id: str) -> bool:
    with ledger.read() as tx:
        state = text("SELECT state FROM batches WHERE id = :batch")
        return bool(tx.execute(state, {"batch": batch_id}).scalar_one() == "open")


BARE_TABLE = "CREATE TABLE IF NOT EXISTS bare (id BIGINT PRIMARY KEY, state TEXT NOT NULL, body TEXT NOT NULL)"
_INSERT = "INSERT INTO bare (id, state, body) VALUES ({0}, 'running', {0})"
_UPDATE = "UPDATE bare SET state = 'succeeded' WHERE id = {0}"


def bare_program(url: str, jobs: int, first: int) -> Callable[[], int]:
    """Two durable commits a job and nothing else: what a plain task per row writes at the least."""
    execute, mark = _bare_connection(url)
    insert, update = (statement.format(mark) for statement in (_INSERT, _UPDATE))

    def run() -> int:
        for number in range(first, first + jobs):
            execute(insert, (number, str(number)))
            execute(update, (number,))
        return jobs

    return run


def _bare_connection(url: str) -> tuple[Callable[..., object], str]:
    if make_url(url).get_backend_name() == "postgresql":
        return psycopg.connect(url, autocommit=True).execute, "%s"
    connection = sqlite3.connect(make_url(url).database or "", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection.execute, "?"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["ledger", "executor", "bare"])
    parser.add_argument("--batch", default="")
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument(
        "--group", type=int, default=32, help="jobs per admission; of the executor: calls in flight"
    )
    parser.add_argument("--warm", type=int, default=0, help="jobs admitted and settled before the start")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, default=Path("imagemill-data"), help="of the executor: spool and images"
    )
    chosen = parser.parse_args()
    url = sys.stdin.readline().strip()  # it holds a password
    threading.current_thread().name = "bench"
    if chosen.name == "bare":
        run = bare_program(url, chosen.jobs, chosen.first)
    elif chosen.name == "executor":
        run = executor_program(url, chosen.batch, chosen.group, chosen.folder)
    else:
        ledger_program(url, chosen.batch, chosen.warm, chosen.group)()
        run = ledger_program(url, chosen.batch, chosen.jobs, chosen.group)
    print("ready", flush=True)
    sys.stdin.readline()
    started_s, cpu_s = time.monotonic(), time.process_time()
    jobs = run()
    print(json.dumps({"jobs": jobs, "seconds": time.monotonic() - started_s, "cpu_s": time.process_time() - cpu_s}))


if __name__ == "__main__":
    main()
