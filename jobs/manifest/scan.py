"""One pass over a manifest: every row read and checked, problems grouped, money added up.

`check` shows the result; `submit` stages rows from the same pass through `on_row`, so the file is read once.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from jobs.catalogue.prices import PriceBook
from jobs.manifest.check import judge_row
from jobs.manifest.options import ManifestOptions
from jobs.manifest.read import read_rows
from jobs.manifest.rows import Problem, Row, error, place, place_in
from jobs.money import Estimate
from jobs.money.quotes import UNKNOWN

KEPT_PROBLEMS = 20
KEPT_SAMPLES = 3
MOST_MODELS = 1_000
"""Tallies are kept per model, here and in the ledger: a column of prompts taken for models must not fill either."""

OnRow = Callable[[Row, Estimate], None]
OnProblem = Callable[[Problem], None]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one pass found."""

    rows: int
    """Data rows of the file, invalid ones included."""
    accepted: int
    images: int
    """That the accepted rows ask for."""
    errors: int
    warnings: int
    problems: tuple[Problem, ...]
    """The first ones: errors before warnings, then in file order."""
    codes: Mapping[str, int]
    """How often each code occurred, most frequent first."""
    models: Mapping[str, int]
    """Accepted rows per model; "" for rows that name none."""
    estimate: Estimate
    """Sums over the accepted rows that have a price; a stated ceiling stands in for a missing one."""
    unpriced: int
    """Accepted rows without a price of their own: in no sum but by their stated ceiling."""
    samples: tuple[Row, ...]
    """The first accepted rows, as they would be sent."""

    @property
    def ok(self) -> bool:
        return self.errors == 0


def check_manifest(
    path: Path,
    options: ManifestOptions,
    book: PriceBook,
    day: date,
    ceiling: int | None = None,
    *,
    on_row: OnRow | None = None,
    on_problem: OnProblem | None = None,
) -> CheckResult:
    """Read the file once. `ceiling` is the user's bound in nano-dollars for a call that the book cannot bound.

    `on_row` gets every accepted row with what its call may cost, `on_problem` every problem, both in file order.
    Raises ManifestError.
    """
    entries = read_rows(path, options)
    return scan(entries, options, book, day, ceiling, on_row=on_row, on_problem=on_problem)


def scan(
    entries: Iterable[Row | Problem],
    options: ManifestOptions,
    book: PriceBook,
    day: date,
    ceiling: int | None = None,
    *,
    on_row: OnRow | None = None,
    on_problem: OnProblem | None = None,
) -> CheckResult:
    """The same pass over anything that yields rows and problems."""
    tally = _Tally()
    for judged, cost in _judged(entries, options, book, day, ceiling):
        entry = tally.refused(judged)
        if isinstance(entry, Problem):
            tally.add_problem(entry)
            if on_problem is not None:
                on_problem(entry)
        else:
            tally.add_row(entry, cost, ceiling)
            if on_row is not None:
                on_row(entry, cost)
    return tally.result()


def _judged(
    entries: Iterable[Row | Problem], options: ManifestOptions, book: PriceBook, day: date, ceiling: int | None
) -> Iterator[tuple[Row | Problem, Estimate]]:
    """Problems, and the rows that have no error; a manifest without any row is a problem itself."""
    empty = True
    has_ceiling = ceiling is not None
    for entry in entries:
        empty = empty and entry.row is None
        if isinstance(entry, Problem):
            yield entry.as_error() if options.strict else entry, UNKNOWN
            continue
        problems, cost = judge_row(entry, book=book, day=day, has_ceiling=has_ceiling, strict=options.strict)
        for problem in problems:
            yield problem, UNKNOWN
        if all(problem.severity == "warning" for problem in problems):
            yield entry, cost
    if empty:
        yield place(error("no_rows", "the manifest has no rows", "add one"), line=1, row=None), UNKNOWN


@dataclass(slots=True)
class _Tally:
    """Sums in the making."""

    rows: int = 0
    accepted: int = 0
    images: int = 0
    unpriced: int = 0
    low: int = 0
    expected: int = 0
    ceiling: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    severities: Counter[str] = field(default_factory=Counter)
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    samples: list[Row] = field(default_factory=list)

    def add_row(self, row: Row, cost: Estimate, stated_ceiling: int | None) -> None:
        self.rows = max(self.rows, row.row)
        self.accepted += 1
        self.images += row.request.get("n", 1)
        self.models[row.request.get("model", "")] += 1
        self.unpriced += cost.ceiling is None
        self.low += cost.low or 0
        self.expected += cost.expected or 0
        self.ceiling += (stated_ceiling or 0) if cost.ceiling is None else cost.ceiling
        if len(self.samples) < KEPT_SAMPLES:
            self.samples.append(row)

    def refused(self, entry: Row | Problem) -> Row | Problem:
        """The row's problem if its model is one too many, else the entry as it is."""
        if isinstance(entry, Problem) or len(self.models) < MOST_MODELS:
            return entry
        model = entry.request.get("model", "")
        if model in self.models:
            return entry
        message = f"the manifest names more than {MOST_MODELS:,} models"
        complaint = error("too_many_models", message, "see which column is the model", field="model", value=model)
        return place_in(entry, complaint)

    def add_problem(self, problem: Problem) -> None:
        self.rows = max(self.rows, problem.row or 0)
        self.codes[problem.code] += 1
        self.severities[problem.severity] += 1
        kept = self.errors if problem.severity == "error" else self.warnings
        if len(kept) < KEPT_PROBLEMS:
            kept.append(problem)

    def result(self) -> CheckResult:
        return CheckResult(
            rows=self.rows,
            accepted=self.accepted,
            images=self.images,
            errors=self.severities["error"],
            warnings=self.severities["warning"],
            problems=tuple([*self.errors, *self.warnings][:KEPT_PROBLEMS]),
            codes=dict(self.codes.most_common()),
            models=dict(self.models.most_common()),
            estimate=Estimate(self.low, self.expected, self.ceiling),
            unpriced=self.unpriced,
            samples=tuple(self.samples),
        )
