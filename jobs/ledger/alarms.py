"""Settlement of prices that cannot be trusted: in one transaction the charge is booked and its batch is stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from jobs.ledger import control
from jobs.ledger.acts import Act, recorded
from jobs.ledger.endings import Ending, RetryDecision
from jobs.ledger.settlement import Settled, settle


@dataclass(frozen=True, slots=True)
class Alarm:
    """A price that cannot be trusted: what is charged is more than was reserved, or usage made no sense."""

    batch_id: str
    reason: str


def settle_and_stop(
    tx: Connection, endings: Sequence[Ending], retry: RetryDecision, alarms: Mapping[str, Alarm], who: str
) -> tuple[Settled, list[Alarm]]:
    """Settle, and pause the open batch of each attempt in `alarms` that is booked here; `who` did so in the record
    of acts. Returns the alarms that stopped a batch as well."""
    settled = settle(tx, endings, retry)
    sounded = [alarms[one.attempt_id] for one in settled.booked if one.attempt_id in alarms]
    return settled, [alarm for alarm in sounded if _stop(tx, alarm, who)]


def _stop(tx: Connection, alarm: Alarm, who: str) -> bool:
    act = Act(who, "pause", alarm.batch_id, {"reason": alarm.reason})
    return recorded(tx, act, control.pause, alarm.batch_id, alarm.reason)
