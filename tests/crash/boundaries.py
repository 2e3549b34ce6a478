"""The table of the sweep: the sixteen boundaries, where the product meets them, and how every case must end.

The batch of a case has four rows: an image in the answer, one by URL, four images in one answer, and a request
that is refused with 400. The process that is stopped books its four answers together, so that everything is at
stake at once. What must be the case afterwards is counted over all four.
"""

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.stops import Commit, Counts, Step, Way
from tests.faults.powercut import Kept

JOURNAL = "CRASH_SWEEP_JOURNAL"
"""Names the endpoint's books in the environment of the processes."""

ROWS = 4
PAID = 3


@dataclass(frozen=True, slots=True)
class Fate:
    """Attempts by outcome when all is over, and the calls that the endpoint saw, at least and at most."""

    calls: tuple[int, int] = (ROWS, ROWS)
    succeeded: int = PAID
    rejected: int = ROWS - PAID
    unknown: int = 0
    not_sent: int = 0
    errored: int = 0

    @property
    def outcomes(self) -> dict[str, int]:
        counts = {name: getattr(self, name) for name in ("succeeded", "rejected", "unknown", "not_sent", "errored")}
        return {name: count for name, count in counts.items() if count}


Fates = tuple[Fate, ...]
"""Those that are right: which of the four calls came first is nobody's business."""

AS_IF_NOTHING_HAD_HAPPENED: Fates = (Fate(),)
NEVER_SENT: Fates = (Fate(not_sent=ROWS),)
"""Admitted and provably not sent: freed, and sent by the next process."""
OWNED: Fates = (Fate(rejected=0, unknown=1),)
"""Paid answers were safe: replayed, not one further call. A refusal costs nothing and is not kept: a doubt."""
ONE_DOUBT: Fates = (
    Fate(calls=(ROWS - 1, ROWS), rejected=0, unknown=1),
    Fate(calls=(ROWS - 1, ROWS), succeeded=PAID - 1, unknown=1),
)
PAID_DOUBTED: Fates = (Fate(succeeded=0, unknown=PAID),)
CONNECTED_AGAIN: Fates = (Fate(errored=1),)


def all_in_doubt(least: int, most: int = ROWS) -> Fates:
    return (Fate(calls=(least, most), succeeded=0, rejected=0, unknown=ROWS),)


@dataclass(frozen=True, slots=True, eq=False)
class Boundary:
    """One of the sixteen. `alone` is its place where there is no broker, if it is another one."""

    k: int
    name: str
    place: Commit | Step
    fates: Mapping[Way, Fates] = field(default_factory=dict)
    """Only those that differ from AS_IF_NOTHING_HAD_HAPPENED."""
    alone: Step | None = None

    @property
    def ways(self) -> tuple[Way, ...]:
        all_ways = tuple(Way)
        return all_ways if isinstance(self.place, Commit) else all_ways[:-1]

    def place_name(self, *, broker: bool) -> str:
        """In PLACES."""
        return f"k{self.k}" if broker or self.alone is None else f"k{self.k}-alone"

    def fates_of(self, way: Way) -> Fates:
        return self.fates.get(way, AS_IF_NOTHING_HAD_HAPPENED)


def broken() -> Exception:
    return RuntimeError("planted")


def broker_gone() -> OSError:
    return ConnectionResetError(errno.ECONNRESET, "planted")


def _at(place: str, error: Callable[[], Exception] = broken, **more: Any) -> Step:
    """One function, whose entry is before the boundary and whose return is past it."""
    return Step(place, place, error, **more)


def disk_failed() -> OSError:
    return OSError(errno.EIO, "planted")


def no_route() -> OSError:
    return OSError(errno.ENETUNREACH, "planted")


def _is_part(*args: Any) -> bool:
    return isinstance(args[0], Path) and args[0].suffix == ".part"


def _names_answers(*args: Any) -> bool:
    return any(isinstance(one, Path) and one.match("answers-*.json") for one in args)


def _is_call(request: Any, *_: Any) -> bool:
    return bool(request.method == "POST")


def _has_images(_settled: Any, endings: Any, *_: Any) -> bool:
    return any(ending.images for ending in endings)


def _arrived(request: Any, *_: Any) -> bool:
    """Whether the endpoint has written the call down."""
    journal = Path(os.environ[JOURNAL])
    return request.headers["X-Client-Request-Id"].encode() in journal.read_bytes()


KILLS = (Way.KILL_BEFORE, Way.KILL_AFTER)

BOUNDARIES = (
    Boundary(1, "submit commit", Commit("jobs.ledger.intake:open_batch")),
    Boundary(
        2,
        "ticket published",
        _at("celery.app.base:Celery.send_task", broker_gone),
        alone=_at("jobs.cli.submitting:wake_workers"),
    ),
    Boundary(
        3,
        "ticket received",
        _at("worker.executor:Executor.wake"),
        alone=_at("worker.executor:Executor._due_batches"),
    ),
    Boundary(4, "heartbeat row committed", Commit("jobs.ledger.recovery:register_worker")),
    Boundary(
        5,
        "admission commit",
        Commit("jobs.ledger.admission:admit", lambda admission, *_: bool(admission.admitted)),
        {Way.KILL_AFTER: NEVER_SENT, Way.REPLY_LOST: NEVER_SENT},
    ),
    Boundary(
        6,
        "connect",
        _at("aiohttp.connector:BaseConnector.connect", no_route),
        dict.fromkeys(KILLS, all_in_doubt(0, 0)) | {Way.EXCEPTION: CONNECTED_AGAIN},
    ),
    Boundary(
        7,
        "request sent",
        _at("aiohttp.client_reqrep:ClientRequest.send", counts=_is_call, passed=_arrived),
        {Way.KILL_BEFORE: all_in_doubt(0), Way.KILL_AFTER: all_in_doubt(1), Way.EXCEPTION: ONE_DOUBT},
    ),
    Boundary(
        8,
        "headers read",
        _at("aiohttp.client_reqrep:ClientResponse.start", counts=lambda response, *_: response.method == "POST"),
        {Way.KILL_BEFORE: all_in_doubt(0), Way.KILL_AFTER: all_in_doubt(1), Way.EXCEPTION: ONE_DOUBT},
    ),
    Boundary(
        9,
        "body streamed into parts",
        _at("worker.parts:PartWriter.write", disk_failed),
        dict.fromkeys(KILLS, all_in_doubt(1)) | {Way.EXCEPTION: (Fate(succeeded=PAID - 1, unknown=1),)},
    ),
    Boundary(
        10,
        "parts fsynced",
        _at("jobs.files:fsync", disk_failed, counts=_is_part),
        dict.fromkeys(KILLS, all_in_doubt(ROWS)) | {Way.EXCEPTION: PAID_DOUBTED},
    ),
    Boundary(
        11,
        "answers renamed, folder fsynced",
        Step("jobs.files:rename", "jobs.files:write_durably", disk_failed, _names_answers),
        {Way.KILL_BEFORE: all_in_doubt(ROWS), Way.KILL_AFTER: OWNED, Way.EXCEPTION: PAID_DOUBTED},
    ),
    Boundary(
        12,
        "images published",
        Step("jobs.files:link", "jobs.storage:LocalStore.publish", disk_failed),
        dict.fromkeys(KILLS, OWNED),
    ),
    Boundary(
        13,
        "settlement commit",
        Commit("jobs.ledger.alarms:settle_and_stop", _has_images),
        {Way.KILL_BEFORE: OWNED},
    ),
    Boundary(
        14,
        "spool entry removed",
        _at("worker.spool:Spool.release", disk_failed),
    ),
    Boundary(
        15,
        "sweep commit",
        Commit("jobs.ledger.recovery:sweep", lambda swept, *_: swept.attempts > 0),
        dict.fromkeys(Way, all_in_doubt(1)),
    ),
    Boundary(
        16,
        "late answer resolves",
        Commit("jobs.ledger.alarms:settle_and_stop", _has_images),
        dict.fromkeys(Way, OWNED),
    ),
)


@dataclass(frozen=True, slots=True)
class Cut:
    """A power cut: where, what survives by chance of the names that nobody fsynced, and how it must end."""

    k: int
    place: str
    way: Way
    kept: Kept
    fates: Fates


CUTS = (
    Cut(9, "k9", Way.KILL_AFTER, Kept.NOTHING, all_in_doubt(1)),
    Cut(10, "k10", Way.KILL_AFTER, Kept.NOTHING, all_in_doubt(ROWS)),
    Cut(11, "k11-renamed", Way.KILL_BEFORE, Kept.NOTHING, all_in_doubt(ROWS)),
    Cut(11, "k11-renamed", Way.KILL_BEFORE, Kept.NAMES, OWNED),
    Cut(11, "k11", Way.KILL_AFTER, Kept.NOTHING, OWNED),
    Cut(12, "k12", Way.KILL_AFTER, Kept.NOTHING, OWNED),
    Cut(12, "k14", Way.KILL_AFTER, Kept.REMOVALS, AS_IF_NOTHING_HAD_HAPPENED),
    Cut(13, "k13", Way.KILL_AFTER, Kept.NOTHING, AS_IF_NOTHING_HAD_HAPPENED),
    Cut(14, "k14", Way.KILL_AFTER, Kept.NOTHING, AS_IF_NOTHING_HAD_HAPPENED),
)
"""The second of K12 comes when the spool has let go: then the published names alone hold the images."""

FIRST_KILLS: tuple[tuple[int, str, Way, Fates], ...] = (
    (11, "k11", Way.KILL_AFTER, OWNED),
    (12, "k12", Way.KILL_AFTER, OWNED),
    (13, "k13", Way.KILL_BEFORE, OWNED),
    (14, "k14", Way.KILL_BEFORE, AS_IF_NOTHING_HAD_HAPPENED),
)
"""Kills that leave answers in the spool."""
SECOND_KILLS = (
    ("k12", Way.KILL_AFTER),
    ("k13", Way.KILL_BEFORE),
    ("k13", Way.KILL_AFTER),
    ("replay-released", Way.KILL_AFTER),
)
"""Kills in the replay of them."""


def _image_of_four(index: int) -> Counts:
    return lambda _, target: "_four_" in target.name and target.stem.endswith(f"_{index}")


def _spool_folder(folder: Path) -> bool:
    return folder.parent.name == "spool"


PLACES: dict[str, Commit | Step] = {
    **{f"k{one.k}": one.place for one in BOUNDARIES},
    **{f"k{one.k}-alone": one.alone for one in BOUNDARIES if one.alone},
    **{f"k12-image-{index}": _at("jobs.files:link", counts=_image_of_four(index)) for index in range(4)},
    "k11-renamed": _at("jobs.files:fsync_folder", disk_failed, counts=_spool_folder),
    "replay-released": _at("worker.spool:AbandonedSpool.release", disk_failed),
}
"""By name, for the processes that stop there."""
