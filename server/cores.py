"""Which core a worker runs on."""

import os
from pathlib import Path
from typing import Final

CORE_FLAG: Final = "--core"


class NoCoresError(RuntimeError):
    """The system does not let a process choose its core."""

    def __init__(self) -> None:
        super().__init__(
            "pin_workers is on, but this system does not let a process choose its core; "
            "set it to false, or serve on Linux"
        )


def cores_of(workers: int, *, pinned: bool | None) -> list[int | None]:
    """Return the core that each worker keeps to; None where the system moves it about.

    Args:
        workers: How many there are.
        pinned: Whether each keeps to a core, in turn where there are fewer; None: where there is
            just one for each of those that this process may use.

    Raises:
        NoCoresError: They should be pinned, and cannot be.
    """
    if not hasattr(os, "sched_getaffinity"):
        if pinned:
            raise NoCoresError
        return [None] * workers
    cores = sorted(os.sched_getaffinity(0))
    if pinned is None:
        pinned = len(cores) == workers > 1
    return [cores[number % len(cores)] if pinned else None for number in range(workers)]


def keep_to(core: int) -> None:
    """Run every thread of this process on one core, those that it starts later too.

    Two threads of a worker take turns anyway, for one of them holds Python's lock. On a core of
    their own they wake each other up within a millisecond; where the system spreads the threads of
    several workers over all cores, one of a hundred wake-ups took 50 to 200 ms.
    """
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
