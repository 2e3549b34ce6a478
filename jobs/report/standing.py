"""A standing in JSON and in words: what `status`, `watch`, `submit --wait` and `run` say about a batch."""

from typing import Any

from jobs.ledger.clock import iso
from jobs.ledger.figures import Standing
from jobs.ledger.overview import BatchLine
from jobs.money import dollars
from jobs.report.table import STATE_STYLES, Column, Table
from jobs.report.words import counted, duration, escaped, usd, with_unpriced
from jobs.states import BatchState


def standing_json(standing: Standing) -> dict[str, Any]:
    """The fields that the command line promises; money in nano-dollars, and beside it in dollars for people."""
    return {
        "batch": standing.batch,
        "name": standing.name,
        "state": standing.state,
        "jobs": standing.jobs,
        "attempts": standing.attempts,
        "images": standing.images,
        **money_json(standing),
        "rate_per_s": standing.rate_per_s,
        "mean_rate_per_s": standing.mean_rate_per_s,
        "eta_s": standing.eta_s,
        "waiting_for": standing.waiting_for,
        "oldest_unknown_s": standing.oldest_unknown_s,
        "opened_at": iso(standing.opened_at),
        "ended_at": iso(standing.ended_at),
    }


def money_json(standing: Standing) -> dict[str, Any]:
    amounts = {
        "confirmed": standing.confirmed_nano,
        "possible": standing.possible_nano,
        "reserved": standing.reserved_nano,
        "budget": standing.budget_nano,
    }
    exact = {f"{name}_nanodollars": nano for name, nano in amounts.items()}
    worded = {f"{name}_dollars": None if nano is None else dollars(nano) for name, nano in amounts.items()}
    return exact | {"unpriced_attempts": standing.unpriced_attempts} | worded


def standing_words(standing: Standing) -> str:
    """Some lines for a person: what, how many, how much, how fast, why it waits."""
    lines = [_title(standing), f"  jobs      {state_counts(standing.jobs)}"]
    if standing.attempts:
        lines.append(f"  attempts  {_counts(standing.attempts)} · {counted(standing.images, 'image')}")
    lines.append(f"  spend     {spend(standing)}")
    if standing.oldest_unknown_s is not None:
        lines.append(f"  in doubt  {_doubts(standing)}")
    if speed := _speed(standing):
        lines.append(f"  speed     {speed}")
    if standing.waiting_for:
        full = standing.at_budget and standing.state == BatchState.PAUSED
        lines.append(f"  waiting   {f'paused: {full_words(standing)}' if full else standing.waiting_for}")
    return "\n".join(escaped(line) for line in lines)


def full_words(standing: Standing) -> str:
    """Of a batch that its own budget stopped: what the budget is full of, and the command that goes on."""
    unknown = standing.attempts.get("unknown", 0)
    doubts = f" ({unknown} unknown: imagemill resolve frees it)" if unknown else ""
    amounts = f"confirmed {usd(standing.confirmed_nano)}, reserved {usd(standing.reserved_nano)}"
    return (
        f"the budget of {usd(standing.budget_nano or 0)} does not hold the next call: {amounts}, "
        f"possible {usd(standing.possible_nano)}{doubts}; raise it: imagemill resume {standing.batch} --budget USD"
    )


def state_counts(jobs: dict[str, int]) -> str:
    """ "412 succeeded · 9 failed", the states that have jobs."""
    return _counts(jobs) or "none"


def spend(standing: Standing) -> str:
    """The three figures, never one sum of them."""
    parts = [f"{with_unpriced(standing.confirmed_nano, standing.unpriced_attempts)} confirmed"]
    parts += [f"{usd(standing.possible_nano)} possible"] if standing.possible_nano else []
    parts += [f"{usd(standing.reserved_nano)} reserved"] if standing.reserved_nano else []
    cap = f" of {usd(standing.budget_nano)}" if standing.budget_nano is not None else ""
    return " + ".join(parts) + cap


def batches_table(lines: list[BatchLine]) -> Table:
    names = (
        "batch",
        "name",
        "state",
        "jobs",
        "succeeded",
        "confirmed",
        "possible",
        "reserved",
        "budget",
        "created",
    )
    numbers = {"jobs", "succeeded", "confirmed", "possible", "reserved", "budget"}
    return Table(
        tuple(Column(name, name in numbers) for name in names),
        [_batch_cells(line) for line in lines],
        styles=STATE_STYLES,
    )


def batch_json(line: BatchLine) -> dict[str, Any]:
    return {
        "batch": line.batch,
        "name": line.name,
        "state": line.state,
        "jobs": line.jobs,
        "succeeded": line.succeeded,
        "confirmed_nanodollars": line.confirmed_nano,
        "possible_nanodollars": line.possible_nano,
        "reserved_nanodollars": line.reserved_nano,
        "budget_nanodollars": line.budget_nano,
        "created_at": iso(line.created_at),
    }


def _batch_cells(line: BatchLine) -> list[str | int | None]:
    money = [usd(line.confirmed_nano), usd(line.possible_nano), usd(line.reserved_nano)]
    cap = None if line.budget_nano is None else usd(line.budget_nano)
    return [line.batch, line.name, line.state, line.jobs, line.succeeded, *money, cap, iso(line.created_at)]


def _doubts(standing: Standing) -> str:
    """How many calls may have been paid for, since when, and what ends that."""
    calls, age = counted(standing.attempts.get("unknown", 0), "call"), duration(standing.oldest_unknown_s or 0)
    batch = standing.batch or "BATCH"
    return f"{calls} maybe paid, the oldest for {age}; imagemill attempts {batch} --outcome unknown, then resolve"


def _title(standing: Standing) -> str:
    if standing.batch is None:
        return f"all batches: {counted(standing.total_jobs, 'job')}"
    return f"{standing.batch} {standing.name}: {standing.state}, {counted(standing.total_jobs, 'job')}"


def _counts(numbers: dict[str, int]) -> str:
    return " · ".join(f"{number:,} {word}" for word, number in numbers.items() if number)


def _speed(standing: Standing) -> str:
    parts = [f"{standing.rate_per_s:.2f} jobs/s now"] if standing.rate_per_s else []
    parts += [f"{standing.mean_rate_per_s:.2f} jobs/s on average"] if standing.mean_rate_per_s else []
    parts += [f"about {duration(standing.eta_s)} left"] if standing.eta_s and standing.eta_s >= 1 else []
    return " · ".join(parts)
