"""What a person decides about a batch, each as one act on record: the same by command, over HTTP and on a page.

Every function is one transaction, and returns what it moved. Whoever calls it asks first where asking is due, and
wakes workers afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.ledger import control
from jobs.ledger.acts import Act, recorded
from jobs.ledger.budgets import Scope, set_cap
from jobs.ledger.engine import Ledger
from jobs.ledger.limits import Paused, resume_endpoints
from jobs.states import JobState


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which jobs of a batch to send again: in these states, and of one cause or model if they are named."""

    states: Sequence[JobState]
    error_kind: str | None = None
    model: str | None = None

    @property
    def narrowed(self) -> list[Any]:
        return control.narrowed_to(self.error_kind, self.model)


def worst_case(ledger: Ledger, batch_id: str, chosen: Chosen) -> tuple[int, int]:
    """(jobs, ceiling in nano-dollars) that `retry` would queue."""
    with ledger.read() as tx:
        return control.worst_case(tx, batch_id, chosen.states, *chosen.narrowed)


def retry(ledger: Ledger, who: str, batch_id: str, chosen: Chosen, worst_nano: int) -> int:
    """Queue the jobs again; the number of them. `worst_nano` is what was shown before, for the record."""
    facts = {"states": [state.value for state in chosen.states], "worst_case_nanodollars": worst_nano}
    named = {"cause": chosen.error_kind, "model": chosen.model}
    act = Act(who, "retry", batch_id, facts | {name: value for name, value in named.items() if value is not None})
    return ledger.write(recorded, act, control.retry, batch_id, chosen.states, *chosen.narrowed)


def pause(ledger: Ledger, who: str, batch_id: str, reason: str) -> bool:
    return ledger.write(recorded, Act(who, "pause", batch_id, {"reason": reason}), control.pause, batch_id, reason)


def resume(ledger: Ledger, who: str, batch_id: str, budget_nano: int | None = None) -> bool:
    """Go on after a pause; with a new budget, if one is given."""
    if budget_nano is not None:
        raised = Act(who, "resume", batch_id, {"budget_nanodollars": budget_nano})
        ledger.write(recorded, raised, control.set_budget, batch_id, budget_nano)
    return ledger.write(recorded, Act(who, "resume", batch_id), control.resume, batch_id)


def resume_all_endpoints(ledger: Ledger, who: str) -> list[Paused]:
    """Lift what account trouble had stopped; what was lifted."""
    return ledger.write(recorded, Act(who, "resume", None, {"of": "endpoint"}), resume_endpoints)


def cancel(ledger: Ledger, who: str, batch_id: str) -> int:
    """Drop what is queued; the number of jobs."""
    return ledger.write(recorded, Act(who, "cancel", batch_id), control.cancel, batch_id)


def set_budget(ledger: Ledger, who: str, scope: Scope, key: str, cap_nano: int | None) -> None:
    what = {"scope": scope.value, "key": key, "cap_nanodollars": cap_nano}
    act = Act(who, "budget set", key if scope is Scope.BATCH else None, what)
    ledger.write(recorded, act, set_cap, scope, key, cap_nano)
