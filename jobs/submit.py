"""Submit: a manifest becomes a batch, whole or not at all, in one pass over the file.

Rows are staged as they are checked; the batch opens only if the whole file stood the check. The same file, read the
same way, is the same batch: budget and retry policy are not part of its identity, so that a second
submission with more money never buys anything twice.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from jobs.catalogue.prices import PriceBook
from jobs.errors import Conflict, LedgerError, UsageError
from jobs.ids import new_batch_id
from jobs.ledger import acts, intake
from jobs.ledger.acts import Act
from jobs.ledger.bulk import open_for_loading
from jobs.ledger.engine import Ledger
from jobs.ledger.intake import NewBatch, NewJob
from jobs.ledger.overview import Transaction
from jobs.manifest import CheckResult, ManifestOptions, Problem, Row, check_manifest, manifest_digest
from jobs.money import Estimate

_PIECE_ROWS = 20_000
_PIECE_CHARS = 8_000_000
"""Of requests; two pieces are in memory at a time, one being read and one being written."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a batch is treated. Money in nano-dollars."""

    budget_nano: int | None = None
    """A wall for confirmed + possible + reserved; None: none."""
    ceiling_nano: int | None = None
    """The user's bound for one call, where the price book has none."""
    max_attempts: int = 5
    retry_unknown: int = 0
    """Repeats of a call that may have been paid for, per job."""
    max_possible_nano: int | None = None
    """No such repeat while the batch's possible money is above it; None: no wall but the budget."""
    time_limit_s: int = 6 * 3600
    """From a job's first admission to giving up on retries."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Added to every job; a row's own tag of the same name wins."""
    name: str | None = None
    again: bool = False
    """A batch of its own although the same one was submitted before."""
    skip_invalid: bool = False


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of it. `batch_id` None: the manifest has errors and nothing was recorded."""

    batch_id: str | None
    jobs: int
    duplicate: bool
    check: CheckResult | None
    """None for a duplicate: the file was not read again."""


def submit(
    ledger: Ledger,
    path: Path,
    options: ManifestOptions,
    policy: Policy,
    book: PriceBook,
    *,
    who: str,
    on_problem: Callable[[Problem], None] | None = None,
    on_open: Callable[[Transaction, str], None] | None = None,
) -> Submission:
    """Check and record the manifest; a new batch is an act of `who`. Raises ManifestError when the file cannot be
    read at all.

    `on_open(transaction, batch)` writes what must be there exactly when the batch is; of two that raise Conflict
    in it one opens, and the other returns that batch if it was the same submission, else raises.
    """
    digest, _ = manifest_digest(path)
    fingerprint = _fingerprint(digest, options, policy)
    earlier = _earlier(ledger, fingerprint)
    if earlier and not policy.again:
        return Submission(earlier[0], earlier[2], True, None)
    loading = _Loading(ledger, policy)
    edition = earlier[1] + 1 if earlier else 1
    ledger.write(
        intake.begin_batch, _new_batch(loading.batch_id, path, digest, fingerprint, edition, policy, options)
    )
    try:
        check = check_manifest(
            path,
            options,
            book,
            datetime.now(UTC).date(),
            policy.ceiling_nano,
            on_row=loading.add,
            on_problem=on_problem,
        )
        loading.finish()
        if not loading.by_model or (check.errors and not policy.skip_invalid):
            ledger.write(intake.discard_batch, loading.batch_id)
            return Submission(None, 0, False, check)
        opened = _recorded(who, policy.name or path.stem, loading, on_open)
        return _open(ledger, loading, fingerprint, policy, check, opened)
    except BaseException:
        loading.close()
        with suppress(LedgerError):  # what stays under loading never runs, and is cleared away later
            ledger.write(intake.discard_batch, loading.batch_id)
        raise


def _recorded(
    who: str, name: str, loading: "_Loading", on_open: Callable[[Transaction, str], None] | None
) -> Callable[[Transaction, str], None]:
    """Write with the batch that `who` submitted it, and what `on_open` writes."""

    def write(tx: Transaction, batch_id: str) -> None:
        told = {"name": name, "budget_nanodollars": loading.policy.budget_nano, "jobs": loading.by_model.total()}
        acts.record(tx, Act(who, "submit", batch_id, told))
        if on_open:
            on_open(tx, batch_id)

    return write


def _open(
    ledger: Ledger,
    loading: "_Loading",
    fingerprint: str,
    policy: Policy,
    check: CheckResult,
    on_open: Callable[[Transaction, str], None],
) -> Submission:
    try:
        ledger.write(intake.open_batch, loading.batch_id, loading.by_model, policy.budget_nano, on_open)
    except Conflict:  # the same submission, made elsewhere at the same time, opened first
        ledger.write(intake.discard_batch, loading.batch_id)
        earlier = _earlier(ledger, fingerprint)
        if earlier is None:
            raise
        return Submission(earlier[0], earlier[2], True, check)
    return Submission(loading.batch_id, loading.by_model.total(), False, check)


class _Loading:
    """Accepted rows on their way into the ledger, some thousand at a time.

    A thread writes one piece while the next is read: the disk or the database server works in the meantime.
    """

    def __init__(self, ledger: Ledger, policy: Policy) -> None:
        self.batch_id = new_batch_id()
        self.by_model: Counter[str] = Counter()
        self._ledger = open_for_loading(ledger)
        self.policy = policy
        self._piece: list[NewJob] = []
        self._piece_chars = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="intake")
        self._writing: Future[None] | None = None

    def add(self, row: Row, cost: Estimate) -> None:
        """Raises what writing the rows before has met."""
        job = self._job(row, cost)
        self.by_model[job.model] += 1
        self._piece.append(job)
        self._piece_chars += len(job.request)
        if len(self._piece) >= _PIECE_ROWS or self._piece_chars >= _PIECE_CHARS:
            self._write_piece()

    def finish(self) -> None:
        """Return when all rows are written, or raise."""
        if self._piece:
            self._write_piece()
        self._wait()
        self.close()

    def close(self) -> None:
        """Return when nothing is being written any more."""
        self._writer.shutdown()
        self._ledger.close()

    def _write_piece(self) -> None:
        self._wait()
        self._writing = self._writer.submit(self._ledger.write, intake.stage_jobs, self.batch_id, self._piece)
        self._piece, self._piece_chars = [], 0

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()

    def _job(self, row: Row, cost: Estimate) -> NewJob:
        request = row.request
        bound = self.policy.ceiling_nano if cost.ceiling is None else cost.ceiling
        if bound is None:
            raise UsageError(f"row {row.row} ({row.custom_id}) has no price: state one with --ceiling")
        return NewJob(
            row=row.row,
            custom_id=row.custom_id,
            model=str(request.get("model", "")),
            n=int(request.get("n", 1)),
            request=msgspec.json.encode(request).decode(),
            tags={**self.policy.tags, **row.tags},
            ceiling_nano=bound,
            tokens=cost.tokens,
        )


def _earlier(ledger: Ledger, fingerprint: str) -> tuple[str, int, int] | None:
    with ledger.read() as tx:
        return intake.find_batch(tx, fingerprint)


def _fingerprint(digest: str, options: ManifestOptions, policy: Policy) -> str:
    """What makes two submissions the same: the file, how it is read, and what its jobs are marked with."""
    identity = {
        "manifest": digest,
        "options": asdict(options),
        "tags": dict(policy.tags),
        "ceiling_nano": policy.ceiling_nano,
        "skip_invalid": policy.skip_invalid,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=dict).encode()).hexdigest()


def _new_batch(
    batch_id: str,
    path: Path,
    digest: str,
    fingerprint: str,
    edition: int,
    policy: Policy,
    options: ManifestOptions,
) -> NewBatch:
    return NewBatch(
        id=batch_id,
        name=policy.name or path.stem,
        fingerprint=fingerprint,
        edition=edition,
        manifest_sha256=digest,
        settings=json.dumps({"options": asdict(options), "policy": asdict(policy)}, sort_keys=True, default=dict),
        max_attempts=policy.max_attempts,
        retry_unknown=policy.retry_unknown,
        max_possible_nano=policy.max_possible_nano,
        time_limit_s=policy.time_limit_s,
    )
