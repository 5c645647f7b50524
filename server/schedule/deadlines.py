"""Which waiting messages expire when."""

from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import Final, Generic

from server.schedule.terms import M

_STALE_MIN: Final = 64


class Deadlines(Generic[M]):
    """The deadlines of what waits, the next one first."""

    def __init__(self) -> None:
        self._at: dict[M, float] = {}
        self._heap: list[tuple[float, int, M]] = []
        self._numbers = count()

    def add(self, message: M) -> None:
        """Watch a message; one that never expires needs no watch."""
        if message.expires_at < inf:
            self._at[message] = message.expires_at
            heappush(self._heap, (message.expires_at, next(self._numbers), message))

    def discard(self, message: M) -> None:
        """Watch a message no longer.

        Its entry stays in the heap for a while, never more of them than of live ones: an entry
        holds the claims of its message.
        """
        if self._at.pop(message, None) is None:
            return
        if len(self._heap) > 2 * len(self._at) + _STALE_MIN:
            self._heap = [entry for entry in self._heap if entry[2] in self._at]
            heapify(self._heap)

    def pop(self, now: float) -> list[M]:
        """Return the messages that expired, and watch them no longer."""
        expired = []
        while self._heap and self._heap[0][0] <= now:
            _, _, message = heappop(self._heap)
            if self._at.pop(message, None) is not None:
                expired.append(message)
        return expired

    def next_at(self) -> float:
        """Return when the next message expires; infinity if none does."""
        while self._heap and self._heap[0][2] not in self._at:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else inf
