"""What people do without kept totals and without imagemill's listing: GROUP BY over all attempts, a bare cursor.

The peers of bench_reports, and its check: both ways must give the same figures.
"""

import json
import os
from typing import Any

from sqlalchemy import Connection, text

from jobs.ledger.engine import Ledger

Figures = dict[str, tuple[int, int, int]]
"""{key: (attempts, charged, possible)}"""

_DAY = {
    "sqlite": "date(ended_at / 1000, 'unixepoch')",
    "postgresql": "to_char(to_timestamp(ended_at / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}
_KEYS = {"status": "outcome", "outcome": "outcome", "model": "model", "batch": "a.batch_id"}
_TAGS = " JOIN jobs AS j ON j.batch_id = a.batch_id AND j.row = a.row JOIN tag_sets AS t ON t.id = j.tag_set"
_FIELDS = (
    "a.id, a.batch_id, a.row, j.custom_id, a.number, a.worker_id, a.endpoint, a.model, a.admitted_at, a.ended_at,"
    " a.outcome, a.http_status, a.request_id, a.error_kind, a.error_message, a.usage, a.ceiling_nano,"
    " a.charged_nano, a.possible_nano, a.priced_by, a.price_book, a.duration_ms"
)


def counted_by(tx: Connection, by: str) -> Figures | None:
    """None: nothing to compare this question with."""
    if by == "day":
        return _counted(tx, _DAY[tx.dialect.name])
    if by.startswith("tag:"):
        return _by_tag(_counted(tx, "t.tags", _TAGS), by.removeprefix("tag:"))
    return _counted(tx, _KEYS[by]) if by in _KEYS else None


def _counted(tx: Connection, key: str, joined: str = "") -> Figures:
    statement = (
        f"SELECT {key}, count(*), coalesce(sum(a.charged_nano), 0), sum(a.possible_nano) FROM attempts AS a{joined}"
        f" WHERE a.outcome IS NOT NULL GROUP BY {key}"
    )
    return {row[0]: (int(row[1]), int(row[2]), int(row[3])) for row in tx.execute(text(statement))}


def _by_tag(by_set: Figures, key: str) -> Figures:
    found: Figures = {}
    for tags, numbers in by_set.items():
        value = json.loads(tags).get(key, "untagged")
        kept = found.get(value, (0, 0, 0))
        found[value] = (kept[0] + numbers[0], kept[1] + numbers[1], kept[2] + numbers[2])
    return found


def dumped(ledger: Ledger, batch: str) -> int:
    """Each attempt of a batch through the driver's own cursor and json.dumps; returns how many there were."""
    number = 0
    with ledger.read() as tx, open(os.devnull, "w") as sink:  # noqa: PTH123 - as people write it
        connection: Any = tx.connection.driver_connection
        cursor = connection.cursor() if ledger.is_sqlite else connection.cursor(name="rows")
        cursor.execute(_rows_of(batch))
        names = [column[0] for column in cursor.description]
        for row in cursor:
            sink.write(json.dumps(dict(zip(names, row, strict=True))) + "\n")
            number += 1
        cursor.close()
    return number


def copied(ledger: Ledger, batch: str) -> int:
    """The ceiling on PostgreSQL: the same rows as its own text format, not looked at."""
    number = 0
    with ledger.read() as tx:
        connection: Any = tx.connection.driver_connection
        with connection.cursor() as cursor, cursor.copy(f"COPY ({_rows_of(batch)}) TO STDOUT") as rows:
            for block in rows:
                number += bytes(block).count(b"\n")
    return number


def _rows_of(batch: str) -> str:
    return (
        f"SELECT {_FIELDS} FROM attempts AS a JOIN jobs AS j ON j.batch_id = a.batch_id AND j.row = a.row"
        f" WHERE a.batch_id = '{batch}' ORDER BY a.row, a.number"
    )
