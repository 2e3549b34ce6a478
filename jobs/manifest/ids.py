"""Which custom_ids a file has used, a million of them in some 30 MB.

A dict of strings would take five times that. Digests of 16 bytes lie densely in two columns of numbers, the lines
beside them, and an open-addressed table of 4-byte positions finds them.
"""

from array import array
from hashlib import blake2b
from struct import Struct

_HALVES = Struct("<QQ")
_FIRST_SLOTS = 1 << 12


class UsedIds:
    """A set of texts that remembers the line on which each was first seen."""

    __slots__ = ("_highs", "_lines", "_lows", "_slots")

    def __init__(self) -> None:
        self._lows: array[int] = array("Q")
        self._highs: array[int] = array("Q")
        self._lines: array[int] = array("I")
        self._slots: array[int] = array("I", bytes(4 * _FIRST_SLOTS))  # 0: free, else position + 1

    def __len__(self) -> int:
        return len(self._lines)

    def first_line(self, text: str, line: int) -> int | None:
        """Remember `text` at `line`; None if it is new, else the line that had it first."""
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_HALVES.size).digest()
        halves: tuple[int, int] = _HALVES.unpack(digest)
        low, high = halves
        slots, lows, mask = self._slots, self._lows, len(self._slots) - 1
        slot = low & mask
        while entry := slots[slot]:
            if lows[entry - 1] == low and self._highs[entry - 1] == high:
                return self._lines[entry - 1]
            slot = (slot + 1) & mask
        lows.append(low)
        self._highs.append(high)
        self._lines.append(line)
        slots[slot] = len(lows)
        if 3 * len(lows) > 2 * len(slots):
            self._grow()
        return None

    def _grow(self) -> None:
        slots = array("I", bytes(8 * len(self._slots)))
        mask = len(slots) - 1
        for position, low in enumerate(self._lows):
            slot = low & mask
            while slots[slot]:
                slot = (slot + 1) & mask
            slots[slot] = position + 1
        self._slots = slots
