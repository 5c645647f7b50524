"""A bound on what waits: a refusal for those who can come again, a queue for the others."""

import asyncio
from collections import deque


class Room:
    """Counts what is inside, up to a bound; who waits gets in first come, first served."""

    def __init__(self, size_max: int) -> None:
        self.size_max = size_max
        self.size = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def enter_now(self, size: int) -> bool:
        """Go in if there is room and nobody waits."""
        if self._waiting or not self._fits(size):
            return False
        self.size += size
        return True

    async def enter(self, size: int) -> None:
        """Go in as soon as there is room."""
        if self.enter_now(size):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            self._give_up(size, turn)
            raise

    def leave(self, size: int) -> None:
        """Make room, and let those in that now fit."""
        self.size -= size
        self._admit()

    def _fits(self, size: int) -> bool:
        return self.size + size <= self.size_max

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            if not turn.cancelled():
                self.size += size
                turn.set_result(None)

    def _give_up(self, size: int, turn: asyncio.Future[None]) -> None:
        """Undo a wait: a turn that was already given is handed on."""
        if turn.done() and not turn.cancelled():
            self.leave(size)
        else:
            self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
            self._admit()
