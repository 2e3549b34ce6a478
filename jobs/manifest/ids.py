"""Which custom_ids a file has used, a million of them in some 30 MB.

A dict of strings would take ten times that. Digests of 16 bytes lie densely in one bytearray, the lines beside
them, and an open-addressed table of 4-byte positions finds them.
"""

from array import array
from hashlib import blake2b

_DIGEST_BYTES = 16
_FIRST_SLOTS = 1 << 12


class UsedIds:
    """A set of texts that remembers the line on which each was first seen."""

    __slots__ = ("_digests", "_lines", "_slots")

    def __init__(self) -> None:
        self._digests = bytearray()
        self._lines = array("I")
        self._slots = array("I", bytes(4 * _FIRST_SLOTS))  # 0: free, else position + 1

    def __len__(self) -> int:
        return len(self._lines)

    def first_line(self, text: str, line: int) -> int | None:
        """Remember `text` at `line`; None if it is new, else the line that had it first."""
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
        slot = self._slot(digest)
        if self._slots[slot]:
            return self._lines[self._slots[slot] - 1]
        self._digests += digest
        self._lines.append(line)
        self._slots[slot] = len(self._lines)
        if 3 * len(self._lines) > 2 * len(self._slots):
            self._grow()
        return None

    def _slot(self, digest: bytes) -> int:
        """Where this digest stands, or the free slot where it belongs."""
        slots, mask = self._slots, len(self._slots) - 1
        slot = int.from_bytes(digest[:8], "little") & mask
        while (entry := slots[slot]) and self._digest(entry - 1) != digest:
            slot = (slot + 1) & mask
        return slot

    def _digest(self, position: int) -> bytes:
        return bytes(self._digests[position * _DIGEST_BYTES : (position + 1) * _DIGEST_BYTES])

    def _grow(self) -> None:
        self._slots = array("I", bytes(8 * len(self._slots)))
        for position in range(len(self._lines)):
            self._slots[self._slot(self._digest(position))] = position + 1
