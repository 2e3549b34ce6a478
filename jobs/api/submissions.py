"""A received manifest becomes a batch, once: also when the same request comes again under its Idempotency-Key.

The key is bound in the transaction that opens the batch (`jobs.ledger.idempotency`), so that a crash, a restart or
two requests at once change nothing. Used by /api/batches, by the dialect and by the dashboard.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime

from jobs.api.problems import Problem
from jobs.api.service import Service
from jobs.api.uploads import Upload
from jobs.errors import Conflict
from jobs.ledger.idempotency import Key, bind_key, find_key
from jobs.ledger.overview import Transaction
from jobs.manifest import CheckResult, ManifestOptions, check_manifest
from jobs.report.checks import check_json
from jobs.submit import Policy, Submission, submit

_MOST_KEY_CHARS = 255


def key_of(caller: str, text: str | None, upload: Upload, *told: object) -> Key | None:
    """The key of a request for `upload` and all that is told beside it. Raises Problem for one that is no key."""
    if text is None:
        return None
    if not 0 < len(text) <= _MOST_KEY_CHARS or not text.isprintable():
        told_so = f"an Idempotency-Key has 1 to {_MOST_KEY_CHARS} printable characters"
        raise Problem(400, "bad_key", told_so, next_="use a UUID")
    said = json.dumps([upload.sha256, *told], sort_keys=True, default=str)
    return Key(caller, text, hashlib.sha256(said.encode()).hexdigest())


def check(service: Service, upload: Upload, options: ManifestOptions, policy: Policy) -> CheckResult:
    """What would happen; records nothing."""
    return check_manifest(upload.path, options, service.book, datetime.now(UTC).date(), policy.ceiling_nano)


def record(
    service: Service,
    who: str,
    upload: Upload,
    options: ManifestOptions,
    policy: Policy,
    key: Key | None = None,
    on_open: Callable[[Transaction, str], None] | None = None,
) -> tuple[str, bool]:
    """(the batch, whether it was made before). A new one is an act of `who`, and wakes workers; `on_open` writes
    what must be there with it. Raises Problem: 422 with what is wrong with the manifest, 409 for a key that was
    used for something else."""
    earlier = _bound(service, key)
    if earlier:
        return earlier, True
    submission = _submit(service, who, upload, options, policy, key, on_open)
    if submission.batch_id is None:
        assert submission.check is not None
        raise invalid(submission.check)
    if submission.duplicate:
        return _bind(service, key, submission.batch_id), True
    service.wake(submission.batch_id, submission.jobs)
    return submission.batch_id, False


def invalid(found: CheckResult) -> Problem:
    told = f"the manifest has {found.errors:,} errors; nothing was recorded" if found.errors else "no row to record"
    next_ = "correct these rows, or leave them out with skip_invalid"
    return Problem(422, "manifest_invalid", told, next_=next_, check=check_json(found))


def _submit(
    service: Service,
    who: str,
    upload: Upload,
    options: ManifestOptions,
    policy: Policy,
    key: Key | None,
    on_open: Callable[[Transaction, str], None] | None,
) -> Submission:
    def opened(tx: Transaction, batch_id: str) -> None:
        if key:
            bind_key(tx, batch_id, key)
        if on_open:
            on_open(tx, batch_id)

    try:
        return submit(service.ledger, upload.path, options, policy, service.book, who=who, on_open=opened)
    except Conflict:
        earlier = _bound(service, key)  # the key was bound meanwhile, and to the same request: else this raises
        if earlier is None:
            raise
        return Submission(earlier, 0, True, None)


def _bound(service: Service, key: Key | None) -> str | None:
    """The batch that the key made; None while it is free. Raises Problem 409."""
    if key is None:
        return None
    with service.ledger.read() as tx:
        bound = find_key(tx, key)
    if bound is None:
        return None
    if bound.fingerprint != key.fingerprint:
        told = f"this Idempotency-Key made batch {bound.batch_id} of another request"
        raise Problem(409, "key_reused", told, next_="use a new key for a new request", batch=bound.batch_id)
    return bound.batch_id


def _bind(service: Service, key: Key | None, batch_id: str) -> str:
    """Bind the key to a batch that was there already; the batch that it is bound to in the end."""
    if key is None:
        return batch_id
    try:
        service.ledger.write(bind_key, batch_id, key)
    except Conflict:
        return _bound(service, key) or batch_id
    return batch_id
