"""What the process does with memory that it has used."""

import ctypes
import gc
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
"""Names of glibc's mallopt(3)."""

_KEPT_BYTES: Final = 256 << 20
_FROM_HEAP_BYTES: Final = 32 << 20
_COLLECT_AFTER_OBJECTS: Final = 10_000


def keep_freed_memory() -> None:
    """Have the C library keep what is freed, up to 256 MB, for the next pass.

    Every pass frees the columns that the next one needs again. Handed back to the system in
    between, each of their pages is taken and cleared anew: a twentieth of a worker's time. Without
    glibc this does nothing.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, _FROM_HEAP_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def collect_rarely() -> None:
    """Leave what was loaded for good out of garbage collection, and collect the rest rarely.

    What a pass makes ends with it, hardly any of it in a cycle. To look at a hundred thousand new
    objects at once stopped the event loop for 40 to 200 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS)
