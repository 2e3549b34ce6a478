"""Output files appear when a batch has ended: whoever looks at it gives them their ids and sizes.

To know a size the rows are read once, without the images. That is quick, but for very many rows it takes longer
than a request should: then it goes on in a thread, the batch is `finalizing`, and the next look finds it done. A
restart in the middle loses nothing, since the next look begins again.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock

from jobs.api.openai import lines
from jobs.api.openai.wishes import is_images_as_urls
from jobs.api.service import Service
from jobs.ledger import clock, dialect
from jobs.ledger.dialect import Known
from jobs.ledger.figures import standing
from jobs.ledger.files import BATCH_OUTPUT, File
from jobs.states import JobState

PATIENCE_S = 5.0
_MOST_AT_ONCE = 20
_FILES = (("output", lines.OUTPUT), ("error", lines.ERRORS))


class Collector:
    """Thread-safe; one for each process. Two processes that collect the same batch write the same."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="collect")
        self._under_way: dict[str, Future[None]] = {}

    def look(self, service: Service, known: Known) -> Known:
        """The batch, with its output files if it has ended and they were ready in time."""
        if known.ended_at is None or known.is_collected:
            return known
        _wait([self._begin(service, known.asked.id)])
        with service.ledger.read() as tx:
            return dialect.find_batch(tx, known.asked.id) or known

    def look_at_all(self, service: Service) -> None:
        """Before files are listed: the newest batches that have ended."""
        with service.ledger.read() as tx:
            ids = dialect.uncollected(tx, _MOST_AT_ONCE)
        _wait([self._begin(service, batch_id) for batch_id in ids])

    def _begin(self, service: Service, batch_id: str) -> Future[None]:
        with self._lock:
            future = self._under_way.get(batch_id)
            if future is None:
                self._under_way[batch_id] = future = self._pool.submit(self._collect, service, batch_id)
            return future

    def _collect(self, service: Service, batch_id: str) -> None:
        try:
            collect(service, batch_id)
        finally:
            with self._lock:
                self._under_way.pop(batch_id, None)


def _wait(futures: Sequence[Future[None]]) -> None:
    """Until they are done, or time is up. Raises what one of them met."""
    for future in wait(futures, PATIENCE_S).done:
        future.result()


def collect(service: Service, batch_id: str) -> None:
    """Give a batch that has ended its output files; nothing where calls are still in flight."""
    with service.ledger.read() as tx:
        known, stands, now = dialect.find_batch(tx, batch_id), standing(tx, batch_id), clock.now(tx)
    if known is None or known.ended_at is None or stands.ended_jobs < stands.total_jobs:
        return
    made = [_file(service, known, what, states, stands.jobs, now) for what, states in _FILES]
    service.ledger.write(dialect.collect, batch_id, known.ended_at, *made)


def _file(
    service: Service, known: Known, what: str, states: frozenset[JobState], jobs: dict[str, int], now: int
) -> File | None:
    """None for a file without a line."""
    batch_id = known.asked.id
    if not any(jobs[state] for state in states):
        return None
    pieces = lines.file_pieces(service, batch_id, states, as_urls=is_images_as_urls(known.asked.metadata))
    lives_s = known.asked.outputs_live_s
    return File(
        id=dialect.output_id(batch_id, what),
        purpose=BATCH_OUTPUT,
        name=f"{batch_id}_{what}.jsonl",
        bytes=lines.measured(pieces),
        created_at=now,
        expires_at=None if lives_s is None else now + lives_s * 1000,
    )
