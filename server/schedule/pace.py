"""How fast the engine goes while it has work: what a refused caller's wait is reckoned from."""

from collections import deque
from math import inf
from typing import Final

_PASSES: Final = 32


class Pace:
    """Claims a second over the last passes; pauses between passes do not count."""

    def __init__(self) -> None:
        self._passes: deque[tuple[int, float]] = deque(maxlen=_PASSES)
        self._ended_at = -inf

    def add(self, claims: int, started_at: float, ended_at: float) -> None:
        """Count a pass; the time that it ran beside the one before counts once."""
        busy_s = max(0.0, ended_at - max(started_at, self._ended_at))
        self._passes.append((claims, busy_s))
        self._ended_at = ended_at

    def seconds_for(self, claims: int) -> float:
        """Return how long so many claims will take; 0 while nothing is known."""
        done = sum(count for count, _ in self._passes)
        return claims * sum(busy_s for _, busy_s in self._passes) / done if done else 0.0
