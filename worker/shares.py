"""Who gets the free slots: pure arithmetic for the dispatcher.

Slots go to those with the fewest calls in flight, so that a batch that comes late has its equal share as soon as
slots come free; where slots are plenty and permits are scarce, turns decide, and those go to who waited longest.
"""

from collections.abc import Iterable, Sequence


def fair_shares(free: int, in_flight: Sequence[int]) -> list[int]:
    """How many of the free slots each may fill, so that the smallest count in flight becomes as large as it can.
    What does not divide goes to the first of those who are level."""
    level, rest = _level(free, sorted(in_flight))
    shares = []
    for count in in_flight:
        extra = 1 if rest and count <= level else 0
        rest -= extra
        shares.append(max(0, level - count) + extra)
    return shares


def _level(free: int, counts: Sequence[int]) -> tuple[int, int]:
    """Up to how many in flight all can be filled, and the slots left over then, fewer than there are at that level.
    `counts` is sorted."""
    filled = 0
    for below, count in enumerate(counts):
        if below * count - filled > free:
            return divmod(free + filled, below)
        filled += count
    return divmod(free + filled, len(counts)) if counts else (0, 0)


class Turns:
    """Who was served longest ago comes first; who never was, before all others."""

    def __init__(self) -> None:
        self._served: dict[str, int] = {}
        self._count = 0

    def order(self, names: Iterable[str]) -> list[str]:
        """In turn; those never served as they are given."""
        return sorted(names, key=lambda name: self._served.get(name, 0))

    def served(self, name: str) -> None:
        self._count += 1
        self._served[name] = self._count

    def keep(self, names: Iterable[str]) -> None:
        """Forget all others."""
        self._served = {name: self._served[name] for name in names if name in self._served}
