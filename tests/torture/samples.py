"""What the run reads while it runs: the endpoint's journal as it grows, and the ledger's sums, by its own SQL."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.books import Books

MONEY = """
SELECT (SELECT coalesce(sum(confirmed_nano), 0) FROM budgets WHERE scope = 'batch') AS confirmed,
       (SELECT coalesce(sum(possible_nano), 0) FROM budgets WHERE scope = 'batch') AS possible,
       (SELECT coalesce(sum(reserved_nano), 0) FROM budgets WHERE scope = 'batch') AS reserved,
       coalesce(sum(charged_nano), 0) AS counted_confirmed,
       coalesce(sum(possible_nano), 0) AS counted_possible,
       coalesce(sum(CASE WHEN outcome IS NULL THEN ceiling_nano ELSE 0 END), 0) AS counted_reserved,
       (SELECT count(*) FROM budgets WHERE confirmed_nano + possible_nano + reserved_nano > cap_nano) AS over_cap
FROM attempts
"""
"""One statement, hence one moment: the sums that are kept, and the same counted from the attempts."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Nano-dollars of the whole ledger at one moment, as kept and as counted, and budgets that are passed."""

    confirmed: int
    possible: int
    reserved: int
    counted_confirmed: int
    counted_possible: int
    counted_reserved: int
    over_cap: int

    def problems(self) -> Iterator[str]:
        kept = (self.confirmed, self.possible, self.reserved)
        counted = (self.counted_confirmed, self.counted_possible, self.counted_reserved)
        if kept != counted:
            yield f"the ledger keeps {kept}, its attempts come to {counted}"
        if self.over_cap:
            yield f"{self.over_cap} budgets are passed"


class Journal:
    """The endpoint's books, read on from where the last look ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.billed_nano = 0
        self.called: set[str] = set()
        """Attempts that reached the endpoint."""
        self._read_bytes = 0

    def read_on(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            lines, _, rest = file.read().rpartition(b"\n")
            self._read_bytes = file.tell() - len(rest)
        for line in map(json.loads, lines.splitlines()):
            if line["kind"] == "call":
                self.billed_nano += line["amount_nanodollars"]
                self.called.add(line["attempt_id"])

    def lines(self) -> list[dict[str, Any]]:
        """Everything from the beginning."""
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]


def read_sums(books: Books) -> Sums:
    (row,) = books.ask(MONEY)
    return Sums(**{name: int(value) for name, value in row.items()})


def sample(books: Books, journal: Journal) -> list[str]:
    """Ledger, journal, ledger: any other order would give false alarms. Returns what is wrong."""
    before = read_sums(books)
    journal.read_on()
    billed = journal.billed_nano
    after = read_sums(books)
    found = [*before.problems(), *after.problems()]
    if before.confirmed > billed:
        found.append(f"confirmed {before.confirmed} before {billed} were billed")
    if billed > (most := after.confirmed + after.possible + after.reserved):
        found.append(f"billed {billed}, the ledger explains {most} at most")
    return found
