"""What `doctor` finds in the ledger: whether it keeps what it confirms, who works on it, what waits for whom."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from jobs.catalogue.matrix import find_model
from jobs.catalogue.prices import Meter, PriceBook
from jobs.cli.finding import Finding
from jobs.errors import ImagemillError, LedgerRestored
from jobs.ledger import figures, health, migrate
from jobs.ledger.durability import weaknesses
from jobs.ledger.engine import Ledger
from jobs.ledger.health import Pulse
from jobs.ledger.limits import list_pauses
from jobs.ledger.overview import Transaction
from jobs.ledger.restored import queued_batches
from jobs.report.words import counted, duration, usd
from jobs.settings import Settings

_CLOCKS_APART_S = 5.0
_SHOWN = 10
_FOUND_WITHIN_S = 120.0
"""By then a sweep has closed what a dead worker left open, if any worker lives."""
_DEAF_AFTER_S = 300.0


def examine_ledger(settings: Settings) -> Iterator[Finding]:
    file = Path(settings.ledger_url.partition(":///")[2])
    if settings.ledger_url.startswith("sqlite") and not file.exists():
        yield Finding("database", "ok", f"{file} will be made by the first submit")
        return
    try:
        with closing(Ledger(settings.ledger_url)) as ledger:
            yield from _schema(ledger)
            yield from _restored(ledger, settings)
            with ledger.read() as tx:
                yield from _tables(tx, settings)
    except ImagemillError as error:
        yield Finding("database", "bad", str(error))


def _schema(ledger: Ledger) -> Iterator[Finding]:
    migrate.require_newest(ledger)
    kind = "SQLite" if ledger.is_sqlite else "PostgreSQL"
    yield Finding("database", "ok", f"{kind}, schema {migrate.newest()}")
    weak = weaknesses(ledger)
    yield Finding("durability", "bad" if weak else "ok", "; ".join(weak) or "commits survive a power cut")


def _restored(ledger: Ledger, settings: Settings) -> Iterator[Finding]:
    from worker.witness import Witness

    try:
        Witness(settings.data_dir.absolute()).require_known(ledger)
    except LedgerRestored as error:
        yield Finding("backup", "bad", str(error))


def _tables(tx: Transaction, settings: Settings) -> Iterator[Finding]:
    yield _clock(tx)
    yield from _models(health.models_in_use(tx), settings)
    yield from _pauses(tx)
    yield from _workers(tx, settings)
    yield from _spools(tx, settings.spool_dir)
    yield from _waiting(tx)
    yield from _doubts(tx)


def _clock(tx: Transaction) -> Finding:
    ahead = health.clock_ahead_s(tx, round(time.time() * 1000))
    told = f"the database's is {ahead:+.1f} s against this machine's"
    return Finding("clock", "look" if abs(ahead) > _CLOCKS_APART_S else "ok", told)


def _models(names: Sequence[str], settings: Settings) -> Iterator[Finding]:
    book, today = PriceBook.load(settings.prices), datetime.now(UTC).date()
    unpriced, retired = [], []
    for name in names:
        if not any(book.dearest(name, meter, today) for meter in Meter):
            unpriced.append(name or "(none named)")
        known = find_model(name)
        if known and known.shutdown_date:
            retired.append(f"{name} {'since' if known.retired_on(today) else 'on'} {known.shutdown_date}")
    if unpriced:
        yield Finding(
            "prices", "look", f"none for {', '.join(unpriced)}: add them with --prices; book {book.version}"
        )
    else:
        yield Finding("prices", "ok", f"book {book.version} prices every model of the ledger")
    if retired:
        yield Finding("shutdown", "look", f"the provider ends {', '.join(retired)}; gateways may serve on")


def _pauses(tx: Transaction) -> Iterator[Finding]:
    for pause in list_pauses(tx):
        told = f"{pause.kind}: {pause.message.rstrip('.')}: `imagemill resume`"
        yield Finding(f"endpoint paused{f' for {pause.model}' if pause.model else ''}", "bad", told)


def _workers(tx: Transaction, settings: Settings) -> Iterator[Finding]:
    pulses = health.pulses(tx)
    live = [one for one in pulses if one.live]
    if live:
        yield Finding("workers", "ok", f"{len(live)} live: {', '.join(map(_pulse_words, live[:_SHOWN]))}")
    yield from (_dead(one) for one in pulses if not one.live and one.open_attempts)
    if due := health.due_jobs(tx):
        yield from _silence(tx, due) if live else [_nobody(due, settings)]


def _pulse_words(one: Pulse) -> str:
    return f"{one.host}:{one.pid} beat {duration(one.beat_age_s)} ago, {one.in_flight} in flight"


def _dead(one: Pulse) -> Finding:
    told = (
        f"{one.host}:{one.pid} has not beaten for {duration(one.beat_age_s)}, "
        f"{counted(one.open_attempts, 'call')} open: a live worker's sweep holds them; start one"
    )
    return Finding("dead worker", "bad" if one.beat_age_s > _FOUND_WITHIN_S else "look", told)


def _nobody(due: int, settings: Settings) -> Finding:
    """With a broker there should be workers; without one, `run` may simply not have been called yet."""
    start = "`imagemill work`" if settings.broker_url else "`imagemill run last`, or a worker"
    told = f"none live, and {counted(due, 'job')} due: start {start}"
    return Finding("workers", "bad" if settings.broker_url else "look", told)


def _silence(tx: Transaction, due: int) -> Iterator[Finding]:
    silent_s = health.silent_s(tx)
    if silent_s > _DEAF_AFTER_S and not list_pauses(tx):
        told = (
            f"{counted(due, 'job')} due, but nothing was admitted for {duration(silent_s)}: `waiting` may say why; "
            "else look into the workers' logs and restart them"
        )
        yield Finding("admission", "look", told)


def _spools(tx: Transaction, folder: Path) -> Iterator[Finding]:
    """Folders of dead workers: whoever starts on this machine books what is in them."""
    if not folder.is_dir():
        return
    live = {one.spool for one in health.pulses(tx) if one.live}
    left = sorted(one.name for one in folder.iterdir() if one.is_dir() and one.name not in live)
    left = [name for name in left if not name.startswith(".")]
    if left:
        told = (
            f"{counted(len(left), 'folder')} of dead workers in {folder} ({', '.join(left[:3])}): the next worker "
            "or run on this machine books the answers in them; one that stays is named in its log"
        )
        yield Finding("spool", "look", told)


def _waiting(tx: Transaction) -> Iterator[Finding]:
    for batch in queued_batches(tx)[:_SHOWN]:
        if why := figures.standing(tx, batch.batch_id).waiting_for:
            yield Finding("waiting", "look", f"{batch.batch_id} ({counted(batch.jobs, 'job')}): {why}")


def _doubts(tx: Transaction) -> Iterator[Finding]:
    doubts = health.doubts(tx)
    if doubts.attempts:
        told = (
            f"{counted(doubts.attempts, 'call')} may have been paid for, {usd(doubts.possible_nano)} at most, the "
            f"oldest since {duration(doubts.oldest_s)}: `imagemill resolve` with the provider's books"
        )
        yield Finding("doubts", "look", told)
