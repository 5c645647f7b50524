"""When a failed claim is tried again, and when no more.

    wait = d/2 + chance * d/2,  d = min(retry_wait_s_max, retry_wait_s * 2 ** retries)

`chance` is drawn from 0 to 1, so that claims that failed together do not come back together, and
half of the wait is certain. After `retries_max` failed retries a claim is dead.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import SystemRandom
from typing import Final

_DOUBLINGS_MAX: Final = 60
"""Beyond, the longest wait holds whatever the first one is."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait between retries, and how many there are."""

    wait_s: float = 60.0
    """Longest wait before the first retry."""

    wait_s_max: float = 86_400.0
    """Longest wait before any."""

    retries_max: int = 5
    """Failed retries after which a claim is dead."""

    chance: Callable[[], float] = SystemRandom().random
    """Draws a number from 0 up to 1."""

    def wait(self, retries: int) -> timedelta:
        """Return how long a claim waits that has failed so many retries."""
        whole = min(self.wait_s_max, self.wait_s * 2.0 ** min(retries, _DOUBLINGS_MAX))
        return timedelta(seconds=whole / 2 + self.chance() * whole / 2)

    def dead(self, retries: int) -> bool:
        """Tell whether so many failed retries are enough."""
        return retries >= self.retries_max
