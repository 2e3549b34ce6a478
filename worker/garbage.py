"""How often a worker's process looks for garbage in cycles; the executor asks for it once."""

import gc


def collect_less_often() -> None:
    """Python looks for cycles at every 700 new objects, through everything that was ever imported: a tenth of the
    CPU time of a small call. What a call leaves behind is freed by counting; a look at every 50,000 is enough."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
