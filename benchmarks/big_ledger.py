"""A ledger of millions of attempts, made by SQL alone: years of use in minutes, for the benchmark of reports.

Everything follows from row numbers, so that both engines hold the same figures. The kept totals are counted from
the rows that they total; whether they are right, the ledger's own recount says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, event, text

from jobs.ledger.engine import Ledger
from jobs.ledger.intake import tags_id, tags_text
from jobs.ledger.schema import ALL_TAGS

DAY_MS = 86_400_000
MODELS = ("gpt-image-1", "gpt-image-1-mini", "dall-e-3", "flux-pro", "no-price-known")
SEASONS = ("spring", "summer", "autumn", "winter")
BIG = ("jobs", "attempts", "images", "charges")
PRICE = 42_000_000
"""Nano-dollars of one image; reserved, possible and charged are all of it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How many of everything. Each job has one attempt; every tenth was throttled first, and has two."""

    attempts: int
    batches: int
    days: int = 400
    tag_sets: int = 1_000
    sets_per_batch: int = 50
    """Tag sets among which one batch's jobs are spread evenly."""

    @property
    def jobs_per_batch(self) -> int:
        return -(-self.attempts * 10 // 11 // self.batches // 10) * 10

    @property
    def days_per_batch(self) -> int:
        return max(1, self.days // self.batches)


def fill(ledger: Ledger, shape: Shape) -> None:
    """Fill a new ledger. On SQLite nothing is synced meanwhile; PostgreSQL is quicker with wal_level minimal."""
    if ledger.is_sqlite:
        ledger.engine.dispose()
        event.listen(ledger.engine, "connect", _hurry)
    first_midnight = (int(datetime.now(UTC).timestamp() * 1000) // DAY_MS - shape.days) * DAY_MS
    ledger.write(_fill_small, shape, first_midnight)
    for table in BIG:
        ledger.write(_fill_big, table, shape)
    for statement in _totals(ledger):
        ledger.write(_execute, statement)
    # PostgreSQL does so by itself, sooner or later; SQLite has no statistics of its tables unless it is told to.
    _bare(ledger, "PRAGMA wal_checkpoint(TRUNCATE)" if ledger.is_sqlite else "VACUUM (ANALYZE)")
    if ledger.is_sqlite:
        event.remove(ledger.engine, "connect", _hurry)
        ledger.engine.dispose()


def _hurry(connection: Any, _record: object) -> None:
    for pragma in ("synchronous = OFF", "cache_size = -400000"):
        connection.execute(f"PRAGMA {pragma}")


def _execute(tx: Connection, sql: str) -> None:
    tx.execute(text(sql))


def _bare(ledger: Ledger, statement: str) -> None:
    """Outside of any transaction."""
    connection: Any = ledger.engine.raw_connection()
    if not ledger.is_sqlite:
        connection.driver_connection.autocommit = True
    connection.driver_connection.execute(statement)
    connection.invalidate()


def _fill_small(tx: Connection, shape: Shape, first_midnight: int) -> None:
    """Batches, and tag sets with their number; batches follow each other through the days."""
    tags = [{"season": SEASONS[number % 4], "shop": f"shop-{number // 4:03}"} for number in range(shape.tag_sets)]
    tx.execute(text("CREATE TABLE bench_tags (number BIGINT PRIMARY KEY, id BIGINT NOT NULL)"))
    tx.execute(
        text("INSERT INTO tag_sets (id, tags) VALUES (:id, :tags)"),
        [{"id": tags_id(one), "tags": tags_text(one)} for one in tags],
    )
    tx.execute(
        text("INSERT INTO bench_tags (number, id) VALUES (:number, :id)"),
        [{"number": number, "id": tags_id(one)} for number, one in enumerate(tags)],
    )
    tx.execute(
        text(
            "INSERT INTO batches (id, name, state, fingerprint, edition, manifest_sha256, settings, max_attempts,"
            " retry_unknown, time_limit_s, jobs, created_at, opened_at, ended_at) VALUES (:id, :name, 'done', :id,"
            " 1, :id, '{}', 5, 0, 3600, :jobs, :at, :at, :ended_at)"
        ),
        list(_batches(shape, first_midnight)),
    )


def _batches(shape: Shape, first_midnight: int) -> Iterator[dict[str, str | int]]:
    for number in range(shape.batches):
        at = first_midnight + number * shape.days // shape.batches * DAY_MS
        ended_at = at + shape.days_per_batch * DAY_MS - 1
        named = {"id": f"b_{10_000_000 + number}", "name": f"catalogue {number}"}
        yield {**named, "jobs": shape.jobs_per_batch, "at": at, "ended_at": ended_at}


def _fill_big(tx: Connection, table: str, shape: Shape) -> None:
    if tx.dialect.name == "postgresql":
        # Rows of a transaction that emptied the table need no write-ahead log; keys hold by construction.
        tx.execute(text("SET LOCAL session_replication_role = replica"))
        tx.execute(text("SET LOCAL work_mem = '256MB'"))
        tx.execute(text(f"TRUNCATE {', '.join(BIG[BIG.index(table) :])}"))
    numbers = {"n": shape.jobs_per_batch * shape.batches, "per_batch": shape.jobs_per_batch}
    numbers |= {"sets": shape.tag_sets, "own_sets": shape.sets_per_batch, "days": shape.days_per_batch}
    sql = _JOBS if table == "jobs" else {"attempts": _ATTEMPTS, "images": _IMAGES, "charges": _CHARGES}[table]
    numbering = _SERIES[tx.dialect.name]
    for name, number in numbers.items():  # in the text, for neither engine can then mistake their type
        sql = sql.replace(f":{name}:", str(number))
        numbering = numbering.replace(f":{name}:", str(number))
    tx.execute(text(sql.replace("NUMBERS", numbering)))


_SERIES = {
    "sqlite": "(WITH RECURSIVE s(g) AS (SELECT 0 UNION ALL SELECT g + 1 FROM s WHERE g < :n: - 1) SELECT g FROM s)",
    "postgresql": "(SELECT g FROM generate_series(0, CAST(:n: AS BIGINT) - 1) AS g)",
}
_MODEL = f"CASE g % 5 {' '.join(f'WHEN {place} THEN {name!r}' for place, name in enumerate(MODELS))} END"
_STATE = (
    "CASE WHEN h < 9400 THEN 'succeeded' WHEN h < 9600 THEN 'refused' WHEN h < 9900 THEN 'failed'"
    " WHEN h < 9902 THEN 'held' ELSE 'succeeded' END"
)
_OUTCOME = (
    "CASE WHEN j.tokens < 9400 THEN 'succeeded' WHEN j.tokens < 9600 THEN 'refused' WHEN j.tokens < 9700 THEN"
    " 'rejected' WHEN j.tokens < 9850 THEN 'errored' WHEN j.tokens < 9900 THEN 'image_lost'"
    " WHEN j.tokens < 9902 THEN 'unknown' ELSE 'succeeded' END"
)
_KIND = (
    "CASE WHEN {h} < 9400 THEN NULL WHEN {h} < 9600 THEN 'moderation_blocked' WHEN {h} < 9700 THEN 'invalid_value'"
    " WHEN {h} < 9850 THEN 'server_error' WHEN {h} < 9900 THEN 'image_empty'"
    " WHEN {h} < 9902 THEN 'read_timeout' END"
)
_UNPRICED = "(j.model = 'no-price-known')"

# `tokens` keeps the row's chance h, from which the rest follows.
_JOBS = f"""
INSERT INTO jobs (batch_id, row, custom_id, state, model, n, request, tag_set, ceiling_nano, tokens, due_at,
    attempts, counted, unknowns, first_admitted_at, images, charged_nano, possible_nano, error_kind, error_message)
SELECT 'b_' || CAST(10000000 + b AS TEXT), r + 1, 'sku-' || CAST(g AS TEXT), {_STATE}, {_MODEL}, 1,
    '{{"model":"m","prompt":"a fox, number ' || CAST(g AS TEXT) || '"}}', t.id, {PRICE}, h, 0,
    CASE WHEN r % 10 = 0 THEN 2 ELSE 1 END, 1, CASE WHEN h BETWEEN 9900 AND 9901 THEN 1 ELSE 0 END, 1,
    CASE WHEN h < 9400 OR h > 9901 THEN 1 ELSE 0 END,
    CASE WHEN g % 5 < 4 AND (h < 9400 OR h > 9901 OR h BETWEEN 9850 AND 9899) THEN {PRICE} ELSE 0 END,
    CASE WHEN h BETWEEN 9900 AND 9901 THEN {PRICE} ELSE 0 END,
    {_KIND.format(h="h")}, CASE WHEN h BETWEEN 9400 AND 9901 THEN 'the endpoint said so' END
FROM (SELECT g, g / :per_batch: AS b, g % :per_batch: AS r, (g * 7919 + 13) % 10000 AS h FROM NUMBERS AS n) AS x
JOIN bench_tags AS t ON t.number = (b * 37 + (r / 5) % :own_sets:) % :sets:
"""

_ATTEMPTS = f"""
INSERT INTO attempts (id, batch_id, row, number, worker_id, endpoint, model, admitted_at, deadline_at, ended_at,
    outcome, http_status, request_id, error_kind, error_message, usage, ceiling_nano, charged_nano, possible_nano,
    priced_by, price_book, duration_ms)
SELECT 'a_' || substr(j.batch_id, 3) || CAST(10000000000000000 + j.row * 10 + a.number AS TEXT) || '0', j.batch_id,
    j.row, a.number, 'w_0123456789AB', 'http://127.0.0.1:9/v1', j.model,
    b.opened_at + j.row * {DAY_MS - 100_000} * :days: / :per_batch:, b.ended_at,
    b.opened_at + j.row * {DAY_MS - 100_000} * :days: / :per_batch: + 9000 + a.number,
    CASE WHEN a.number < j.attempts THEN 'throttled' ELSE {_OUTCOME} END,
    CASE WHEN a.number < j.attempts THEN 429 WHEN j.tokens < 9400 THEN 200 ELSE 400 END,
    'req_' || CAST(j.row AS TEXT), CASE WHEN a.number < j.attempts THEN 'rate_limit_exceeded' ELSE j.error_kind END,
    CASE WHEN a.number < j.attempts THEN 'slow down' ELSE j.error_message END,
    CASE WHEN a.number = j.attempts AND j.images > 0 THEN '{{"input_tokens"\\:12,"output_tokens"\\:1056}}' END,
    j.ceiling_nano, CASE WHEN a.number = j.attempts AND j.charged_nano > 0 THEN j.charged_nano END,
    CASE WHEN a.number = j.attempts THEN j.possible_nano ELSE 0 END,
    CASE WHEN a.number < j.attempts OR j.tokens BETWEEN 9400 AND 9849 OR j.tokens BETWEEN 9900 AND 9901 THEN NULL
        WHEN {_UNPRICED} THEN 'none' ELSE 'usage' END, '2026-01', 9000 + j.tokens
FROM jobs AS j CROSS JOIN batches AS b CROSS JOIN (SELECT 1 AS number UNION ALL SELECT 2) AS a
WHERE b.id = j.batch_id AND a.number <= j.attempts
"""

_IMAGES = """
INSERT INTO images (attempt_id, "index", batch_id, row, path, sha256, bytes, format, width, height, surplus,
    stored_at)
SELECT id, 0, batch_id, row, batch_id || '/' || CAST(row AS TEXT) || '_sku.png',
    '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', 1500000, 'png', 1024, 1024, FALSE, ended_at
FROM attempts WHERE outcome = 'succeeded'
"""

_CHARGES = f"""
INSERT INTO charges (attempt_id, meter, correction, quantity, unit, rate_nano_per_million, amount_nano, price_book,
    basis, charged_at)
SELECT id, m.meter, 0, 1056, 'token', 40000000000000, CASE WHEN m.meter = 'text_in' THEN 0 ELSE charged_nano END,
    '2026-01', 'usage', ended_at
FROM attempts CROSS JOIN (SELECT 'image_out' AS meter UNION ALL SELECT 'text_in') AS m
WHERE priced_by IS NOT NULL AND (m.meter = 'image_out' OR model = '{MODELS[0]}')
"""


def _totals(ledger: Ledger) -> Iterator[str]:
    """The kept totals out of the rows, one statement for each table of them."""
    day = (
        "date({} / 1000, 'unixepoch')"
        if ledger.is_sqlite
        else "to_char(to_timestamp({} / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    )
    sums = (
        "count(*), sum(CASE WHEN outcome = 'succeeded' THEN 1 ELSE 0 END), sum(coalesce(a.charged_nano, 0)),"
        " sum(a.possible_nano), sum(CASE WHEN priced_by = 'none' THEN 1 ELSE 0 END) FROM attempts AS a"
    )
    yield (
        "INSERT INTO job_tallies (batch_id, model, state, jobs)"
        " SELECT batch_id, model, state, count(*) FROM jobs GROUP BY 1, 2, 3"
    )
    # Work leaves a 0 where jobs were queued and running.
    yield (
        "INSERT INTO job_tallies (batch_id, model, state, jobs) SELECT DISTINCT batch_id, model, s.state, 0"
        " FROM job_tallies CROSS JOIN (SELECT 'queued' AS state UNION ALL SELECT 'running') AS s"
    )
    yield (
        "INSERT INTO budgets (scope, key, confirmed_nano, possible_nano, reserved_nano)"
        " SELECT 'batch', batch_id, sum(charged_nano), sum(possible_nano), 0 FROM jobs GROUP BY batch_id"
    )
    yield (
        "INSERT INTO attempt_tallies (batch_id, day, model, tag_set, outcome, attempts, images, charged_nano,"
        f" possible_nano, unpriced) SELECT batch_id, {day.format('ended_at')}, model, {ALL_TAGS}, outcome, {sums}"
        " GROUP BY 1, 2, 3, 5"
    )
    yield (
        "INSERT INTO tag_tallies (batch_id, day, tag_set, attempts, images, charged_nano, possible_nano, unpriced)"
        f" SELECT a.batch_id, {day.format('ended_at')}, tag_set, {sums}"
        " JOIN jobs AS j ON j.batch_id = a.batch_id AND j.row = a.row GROUP BY 1, 2, 3"
    )
    yield (
        "INSERT INTO charge_tallies (batch_id, day, model, tag_set, outcome, meter, charges, quantity, amount_nano,"
        f" unpriced) SELECT batch_id, {day.format('charged_at')}, model, {ALL_TAGS}, outcome, meter, count(*),"
        " sum(quantity), sum(coalesce(amount_nano, 0)), sum(CASE WHEN amount_nano IS NULL THEN 1 ELSE 0 END)"
        " FROM charges AS c JOIN attempts AS a ON a.id = c.attempt_id GROUP BY 1, 2, 3, 5, 6"
    )
    yield (
        "INSERT INTO progress (batch_id, minute, jobs_ended, images) SELECT batch_id, ended_at / 60000,"
        " sum(CASE WHEN outcome = 'throttled' THEN 0 ELSE 1 END),"
        " sum(CASE WHEN outcome = 'succeeded' THEN 1 ELSE 0 END) FROM attempts GROUP BY 1, 2"
    )
