"""A batch watched until it has ended: look by look, each a report where something has changed."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, TypeAlias

from loader.claims.batches import BatchState

EVERY_S: Final = 1.0
"""Least time between two looks."""
_COST_MAX: Final = 0.1
"""Share of the time that looking may take: a huge batch is looked at less often."""
_RATE_OVER_S: Final = 10.0

Look: TypeAlias = Callable[[], Awaitable[BatchState]]
Decide: TypeAlias = Callable[[], Awaitable[dict[str, int]]]
Pause: TypeAlias = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Report:
    """How far a batch is."""

    state: BatchState
    decisions: dict[str, int] = field(default_factory=dict)
    """Decisions by claims loaded; of a running batch maybe some seconds old, exact at its end."""
    claims_per_s: float = 0.0
    """Claims that came to their end, over the last ten seconds of watching."""

    @property
    def eta_s(self) -> float | None:
        """Seconds until the batch has ended at this rate; None where nothing moves."""
        return self.state.left / self.claims_per_s if self.claims_per_s else None


async def watch(
    look: Look, decide: Decide, *, every_s: float = EVERY_S, pause: Pause = asyncio.sleep
) -> AsyncIterator[Report]:
    """Yield a report at once, then at each change, and a last one when the batch has ended.

    Args:
        look: Returns the batch as it stands.
        decide: Returns the decisions on it.
        every_s: Least time between two looks.
        pause: Waits so many seconds; what it raises ends the watch.
    """
    ended: deque[tuple[float, int]] = deque()
    shown: tuple[dict[str, int], dict[str, int]] | None = None
    known: dict[str, int] = {}
    decide_at = 0.0
    while True:
        started = monotonic()
        state = await look()
        looked = monotonic()
        if state.ended or looked >= decide_at:
            known = await decide()
            decide_at = monotonic() + (monotonic() - looked) / _COST_MAX
        ended.append((started, state.claims - state.left))
        if shown != (state.statuses, known) or state.ended:
            shown = state.statuses, known
            yield Report(state, known, _rate(ended))
        if state.ended:
            return
        await pause(max(every_s, (looked - started) / _COST_MAX))


def _rate(ended: deque[tuple[float, int]]) -> float:
    """Return claims a second over the last looks."""
    while len(ended) > 2 and ended[-1][0] - ended[1][0] >= _RATE_OVER_S:
        ended.popleft()
    (first_s, first), (last_s, last) = ended[0], ended[-1]
    return max(last - first, 0) / (last_s - first_s) if last_s > first_s else 0.0
