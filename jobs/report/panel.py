"""The live panel and its plain twin: a standing and a glimpse in, lines of text out. Others draw them."""

from jobs.ledger.figures import Standing
from jobs.ledger.overview import Glimpse
from jobs.report.words import duration, escaped, shortened, usd_brief
from jobs.states import BatchState, Outcome

_JOBS_BEFORE_MEASURED = 20
_WORDS = (
    ("succeeded", "ok"),
    ("failed", "failed"),
    ("refused", "refused"),
    ("held", "held"),
    ("cancelled", "cancelled"),
)


def panel_lines(standing: Standing, seen: Glimpse, width: int) -> list[str]:
    """Four or five lines, none longer than `width`; the second begins with the bar."""
    lines = [_counts(standing, width), _bar(standing, seen, width), _money(standing)]
    lines.append(_details(standing, seen, width))
    if standing.waiting_for and standing.state != BatchState.PAUSED:
        lines.append(f"waiting: {standing.waiting_for}")
    return [shortened(escaped(line), width) for line in lines]


def plain_line(standing: Standing) -> str:
    """One line for logs and pipes."""
    counts = " · ".join(f"{standing.jobs[state]} {word}" for state, word in _WORDS if standing.jobs[state])
    open_counts = f"{standing.jobs['running']} in flight · {standing.jobs['queued']} queued"
    parts = [f"{standing.batch} {standing.ended_jobs}/{standing.total_jobs}", counts, open_counts, _spend(standing)]
    if standing.eta_s and standing.eta_s >= 1:
        parts.append(f"ETA {duration(standing.eta_s)}")
    if standing.waiting_for:
        parts.append(standing.waiting_for)
    return escaped(" | ".join(part for part in parts if part))


def tone(standing: Standing) -> str:
    """The colour of the bar."""
    if standing.state == BatchState.PAUSED or standing.jobs["held"]:
        return "yellow"
    return "red" if standing.jobs["failed"] else "green"


def _counts(standing: Standing, width: int) -> str:
    done = f"{standing.jobs['succeeded']}/{standing.total_jobs} ok"
    parts = [f"{standing.jobs[state]} {word}" for state, word in _WORDS[1:] if standing.jobs[state]]
    parts += [f"{standing.jobs['running']} in flight", f"{standing.jobs['queued']} queued"]
    head = f"{standing.batch} {shortened(standing.name or '', max(8, width // 4))}"
    return "   ".join([head, done, *parts])


def _bar(standing: Standing, seen: Glimpse, width: int) -> str:
    share = standing.ended_jobs / standing.total_jobs if standing.total_jobs else 1.0
    cells = max(8, min(40, width // 3))
    full = int(share * cells)
    parts = [f"{int(share * 100):3} %"]
    if standing.rate_per_s is not None:
        parts.append(f"{standing.rate_per_s:.2f} jobs/s now · {standing.mean_rate_per_s or 0:.2f} mean")
    if standing.eta_s and standing.eta_s >= 1:
        parts.append(f"ETA {duration(standing.eta_s)}")
    if seen.median_s is not None and seen.slow_s is not None:
        parts.append(f"p50 {seen.median_s:.1f} s · p95 {seen.slow_s:.1f} s")
    return f"[{'#' * full}{'-' * (cells - full)}] {'   '.join(parts)}"


def _money(standing: Standing) -> str:
    projected = projection(standing)
    return f"{_spend(standing)}{f'   projected {projected}' if projected else ''}"


def _spend(standing: Standing) -> str:
    unpriced = f" + {standing.unpriced_attempts} unpriced" if standing.unpriced_attempts else ""
    cap = f" of {usd_brief(standing.budget_nano)}" if standing.budget_nano is not None else ""
    amounts = (("possible", standing.possible_nano), ("reserved", standing.reserved_nano))
    more = "".join(f" + {usd_brief(nano)} {word}" for word, nano in amounts if nano)
    return f"spend {usd_brief(standing.confirmed_nano)}{unpriced} confirmed{more}{cap}"


def projection(standing: Standing) -> str | None:
    """What the whole batch will have cost at the price so far, once enough jobs have ended to tell."""
    ended = standing.ended_jobs
    if ended < _JOBS_BEFORE_MEASURED or ended == standing.total_jobs or standing.unpriced_attempts:
        return None
    return f"{usd_brief(standing.confirmed_nano * standing.total_jobs // ended)} (measured)"


def _details(standing: Standing, seen: Glimpse, width: int) -> str:
    """What happened last, and the command at hand, which stays whole where the line is too long."""
    parts = []
    if seen.last_custom_id is not None:
        charged = f" {usd_brief(seen.last_charged_nano)}" if seen.last_charged_nano else ""
        word = "ok" if seen.last_outcome == Outcome.SUCCEEDED else (seen.last_outcome or "")
        parts.append(f"last: {shortened(seen.last_custom_id, 30)} {word}{charged}")
    if seen.causes:
        parts.append("top causes: " + " · ".join(f"{kind} ×{number}" for kind, number in seen.causes))
    told, hint = "   ".join(parts), _hint(standing)
    room = width - len(hint) - 3
    return "   ".join(part for part in (shortened(told, room) if room > 12 else "", hint) if part)


def _hint(standing: Standing) -> str:
    if standing.state == BatchState.PAUSED:
        return f"{standing.waiting_for}   go on: imagemill resume {standing.batch}"
    return f"pause: imagemill pause {standing.batch}" if standing.state == BatchState.OPEN else ""
