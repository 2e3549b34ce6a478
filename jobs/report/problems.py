"""Manifest problems grouped for people: one line per thing that is wrong, with the lines it is wrong on.

A sheet with one wrong column has one problem, not ten thousand; the file of all problems has them all.
"""

from dataclasses import dataclass, field

from jobs.manifest.rows import Problem
from jobs.report.table import Cell, Column, Table

_MOST_GROUPS = 500
_LINES_NAMED = 5
_ON_SCREEN = 20


@dataclass(slots=True)
class _Group:
    first: Problem
    count: int = 0
    lines: list[int] = field(default_factory=list)


class ProblemDigest:
    """Filled problem by problem in a pass over the file, in bounded memory."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str | None], _Group] = {}
        self.errors = 0
        self.warnings = 0

    def add(self, problem: Problem) -> None:
        self.errors += problem.severity == "error"
        self.warnings += problem.severity == "warning"
        key = (problem.severity, problem.message, problem.field)
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= _MOST_GROUPS:
                return
            group = self._groups[key] = _Group(problem)
        group.count += 1
        if len(group.lines) < _LINES_NAMED:
            group.lines.append(problem.line)

    def table(self) -> Table:
        """Errors before warnings, the commonest first; at most 20 lines."""
        columns = (Column("times", number=True), Column("lines"), Column("field"), Column("problem"))
        groups = sorted(self._groups.values(), key=lambda group: (group.first.severity != "error", -group.count))
        return Table((*columns, Column("what to do")), [_cells(group) for group in groups[:_ON_SCREEN]])


def _cells(group: _Group) -> list[Cell]:
    more = "…" if group.count > len(group.lines) else ""
    first = group.first
    column = f" (column {first.excel_column})" if first.excel_column else ""
    lines = ", ".join(map(str, group.lines)) + more
    return [group.count, lines, f"{first.field or ''}{column}", f"{first.severity}: {first.message}", first.next]
