"""The bugs as data: what is changed in the product, letter by letter, and the tests that must fail by it.

A change whose text is not in its file any more is an error: the bug is then brought up to date, not dropped.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """`old` stands exactly once in the file `path` and is replaced by `new`."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Bug:
    """`tests` are names of test functions, or the beginnings of names; each of them must fail by an assertion."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


NO_SWEEP_NO_POLLING = Bug(
    "sweep-and-polling-off",
    (
        Edit(
            "worker/sweep.py",
            "    def _look(self) -> None:\n",
            "    def _look(self) -> None:\n        return\n\n    def _never(self) -> None:\n",
        ),
        Edit("worker/dispatcher.py", "POLL_S = 5.0\n", "POLL_S = 1e6\n"),
    ),
    (
        "test_s2_four_machines_killed_at_once_leave_their_calls_to_the_fifth",
        "test_s7_work_of_which_no_ticket_tells_is_found_by_looking",
    ),
)
SPOOL_WITHOUT_FSYNC = Bug(
    "spool-without-fsync",
    (
        Edit(
            "worker/spool.py",
            "        self._fsync_parts([self.part_path(image.part) for answer in kept",
            "        list([self.part_path(image.part) for answer in kept",
        ),
    ),
    ("test_power_cut_at_k11",),
)
PUBLISH_WITHOUT_FOLDER_FSYNC = Bug(
    "publish-without-folder-fsync",
    (
        Edit(
            "jobs/storage.py",
            "        for folder in touched:\n            files.fsync_folder(folder)\n",
            "",
        ),
    ),
    ("test_power_cut_at_k12",),
)
FLOAT_MONEY = Bug(
    "float-money",
    (
        Edit(
            "jobs/ledger/endings.py",
            "        confirmed=(charged or 0) - (attempt.charged_nano or 0),\n",
            "        confirmed=int(float(charged or 0) - float(attempt.charged_nano or 0)),\n",
        ),
    ),
    ("test_s26_64_claimers_never_pass_a_cap",),
)
LATE_ANSWER_UNGUARDED = Bug(
    "late-answer-unguarded",
    (
        Edit(
            "jobs/ledger/endings.py",
            "        return job.state in (JobState.HELD, JobState.QUEUED, JobState.RUNNING)"
            " or job.failed_by_resolution\n",
            "        return True\n",
        ),
    ),
    ("test_s25_a_zombie",),
)
RESCUE_BY_AGE = Bug(
    "rescue-by-age",
    (
        Edit(
            "jobs/ledger/recovery.py",
            "watched & (attempts.c.deadline_at + LEASE_MS < now)",
            "attempts.c.admitted_at + LEASE_MS < now",
        ),
    ),
    ("test_s11_",),
)
CLIENT_RETRIES = Bug(
    "client-retries",
    (
        Edit(
            "worker/endpoint.py",
            "        response = await self._transport.handle_async_request(self._request(call))\n",
            "        try:\n"
            "            response = await self._transport.handle_async_request(self._request(call))\n"
            "        except httpx.HTTPError:\n"
            "            response = await self._transport.handle_async_request(self._request(call))\n",
        ),
    ),
    ("test_s23_",),
)
UNKNOWN_FREED = Bug(
    "unknown-freed",
    (
        Edit(
            "jobs/ledger/endings.py",
            "ceiling if ending.outcome is Outcome.UNKNOWN or (ending.cost and charged is None) else 0",
            "ceiling if ending.cost and charged is None else 0",
        ),
    ),
    ("test_s15_errors_that_may_bill", "test_the_promises_hold_after_every_step_of_any_order"),
)
CHECK_THEN_SPEND = Bug(
    "check-then-spend",
    (
        Edit(
            "jobs/ledger/budgets.py",
            "_LOCK_IN_FORCE = _IN_FORCE.with_for_update()\n",
            "_LOCK_IN_FORCE = _IN_FORCE\n",
        ),
        Edit(
            "jobs/ledger/funds.py",
            '    .where(*_MINE, or_(budgets.c.cap_nano.is_(None), _USED + bindparam("nano") <=',
            '    .where(*_MINE, or_(budgets.c.cap_nano.is_(None), bindparam("nano") * 0 <=',
        ),
    ),
    ("test_s26_64_claimers_never_pass_a_cap",),
)
TICKET_TRUSTED = Bug(
    "redelivered-ticket-trusted",
    (
        Edit(
            "worker/app.py",
            "    if _process:\n        _process.executor.wake()\n",
            "    if _process:\n"
            "        from jobs.ledger import control\n"
            "        from jobs.states import JobState\n\n"
            "        _process.executor.ledger.write(control.retry, _batch_id, [JobState.RUNNING])\n"
            "        _process.executor.wake()\n",
        ),
    ),
    ("test_s20_",),
)
LEASE_BY_LOCAL_CLOCK = Bug(
    "lease-by-local-clock",
    (
        Edit(
            "jobs/ledger/clock.py",
            "    return int(tx.execute(statement).scalar_one())\n",
            "    import time\n\n    return int(time.time() * 1000) if statement is not None else 0\n",
        ),
    ),
    ("test_s17_a_worker_whose_own_clock_is_wrong",),
)
MANIFEST_BY_SPLITLINES = Bug(
    "manifest-cut-by-splitlines",
    (
        Edit(
            "jobs/manifest/jsonl.py",
            "    while line := file.readline(MAX_LINE_BYTES + 1):\n",
            '    for text in file.read().decode(errors="surrogateescape").splitlines(keepends=True):\n'
            '        line = text.encode(errors="surrogateescape")\n',
        ),
    ),
    ("test_c18_only_the_byte_lf_ends_a_line",),
)
REPEAT_BOUGHT_AGAIN = Bug(
    "repeat-bought-again",
    (
        Edit(
            "jobs/api/openai/generations.py",
            "    repeated = idempotency_key is None and x_stainless_retry_count > 0\n",
            "    repeated = x_stainless_retry_count < 0\n",
        ),
    ),
    (
        "test_a_request_whose_answer_was_lost_is_repeated_by_the_sdk_and_not_paid_twice",
        "test_a_server_that_is_killed_while_a_client_waits_costs_no_second_image",
    ),
)
CREATION_MADE_AGAIN = Bug(
    "creation-made-again",
    (
        Edit(
            "jobs/api/openai/wishes.py",
            "        skip_invalid=wishes.skip_invalid,\n",
            "        skip_invalid=wishes.skip_invalid,\n        again=True,\n",
        ),
    ),
    ("test_a_creation_whose_answer_was_lost_is_repeated_by_the_sdk_without_a_second_batch",),
)

BUGS = {
    bug.name: bug
    for bug in (
        NO_SWEEP_NO_POLLING,
        SPOOL_WITHOUT_FSYNC,
        PUBLISH_WITHOUT_FOLDER_FSYNC,
        FLOAT_MONEY,
        LATE_ANSWER_UNGUARDED,
        RESCUE_BY_AGE,
        CLIENT_RETRIES,
        UNKNOWN_FREED,
        CHECK_THEN_SPEND,
        TICKET_TRUSTED,
        LEASE_BY_LOCAL_CLOCK,
        MANIFEST_BY_SPLITLINES,
        REPEAT_BOUGHT_AGAIN,
        CREATION_MADE_AGAIN,
    )
}
