"""How a worker's process holds memory; the executor asks for it once, before its threads start."""

import ctypes
import gc

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h


def collect_less_often() -> None:
    """Python looks for cycles at every 700 new objects, through everything that was ever imported: a tenth of the
    CPU time of a small call. What a call leaves behind is freed by counting; a look at every 50,000 is enough."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def share_one_arena() -> None:
    """glibc gives each thread a heap of its own and keeps there what the thread has freed; pictures wander through
    eight of them, and a process would hold a third more than it needs. Other C libraries do not."""
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "mallopt"):
        allocator.mallopt(_ARENA_MAX, 1)
