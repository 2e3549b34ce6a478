"""What dead processes left in the spool: answers are booked without a second call, the rest is named unknown.

A spool folder whose lock can be taken belongs to no live process. That proves its workers dead at once, without
waiting for their leases; what they sent and did not own may have been paid for, what they never sent goes on.
"""

from contextlib import closing

from jobs.errors import LedgerAway, LedgerRestored
from jobs.events import tell
from jobs.ledger import recovery
from jobs.ledger.admission import read_admitted
from worker import metrics
from worker.executor import Executor
from worker.spool import AbandonedSpool, Group, abandoned


def replay_abandoned(executor: Executor) -> None:
    """Replay every folder under this process's spool root that nobody holds. A folder that cannot be replayed
    stays, is named in the log, and is tried again the next time; the others do not wait for it."""
    for spool in abandoned(executor.settings.spool_dir):
        with closing(spool):
            try:
                _replay(executor, spool)
            except Exception as error:  # a damaged file, a missing part, a ledger that is away
                tell("spool_not_replayed", spool=spool.owner, error=repr(error)[:500])


def _replay(executor: Executor, spool: AbandonedSpool) -> None:
    booked = sum(_book(executor, spool, group) for group in spool.groups())
    closed = executor.ledger.write(recovery.close_spool, spool.owner, executor.booking.retry, spool.sent())
    metrics.count_booked(closed)
    spool.clean()
    tell("spool_replayed", spool=spool.owner, booked=booked, closed=len(closed))


def _book(executor: Executor, spool: AbandonedSpool, group: Group) -> int:
    """Book one group and forget it. One that cannot be booked keeps its files; its attempts become unknown, which
    a later replay resolves. So does one with answers to calls that the ledger does not know: they were paid for.
    Raises LedgerAway."""
    with executor.ledger.read() as tx:
        admitted = read_admitted(tx, [answer.attempt_id for answer in group.answers])
    answers = [answer for answer in group.answers if answer.attempt_id in admitted]
    try:
        settled = executor.booking.book(answers, admitted, spool.folder)
        if len(answers) < len(group.answers):
            raise LedgerRestored("there are answers to calls that the database does not know")
    except LedgerAway:
        raise
    except Exception as error:
        tell("spool_not_replayed", spool=spool.owner, error=repr(error)[:500])
        return 0
    spool.release(group)
    return settled.attempts
