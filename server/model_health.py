"""When an endpoint is asked, left alone and tried again: a small machine without clock or network.

An endpoint that fails several times in a row is ejected: it is left alone for a while that grows
with every ejection, then tried by one probe, and taken back if that is answered. Where every
endpoint is ejected there is nobody to ask: the breaker is open.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final


class State(IntEnum):
    """Who may ask; numbers as in the metrics."""

    CLOSED = 0
    """Passes may."""
    HALF_OPEN = 1
    """One probe is under way; nobody else may."""
    OPEN = 2
    """Nobody may."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How much an endpoint is forgiven, and how long it is left alone."""

    failures_max: int = 3
    """So many in a row eject."""
    retry_s: float = 1.0
    """How long the first time, give or take a quarter; twice as long each time after."""
    retry_s_max: float = 10.0

    def wait_s(self, ejections: int, chance: float) -> float:
        """Return how long to leave it alone; chance, 0 to 1, keeps clients from coming at once."""
        grown = self.retry_s * 2.0 ** min(ejections - 1, 30)
        return min(grown, self.retry_s_max) * (0.75 + chance / 2)


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of one endpoint."""

    state: State = State.CLOSED
    failures: int = 0
    """In a row, while it is asked."""
    ejections: int = 0
    """Without an answer to a pass in between."""
    retry_at: float = 0.0
    """Moment from which a probe may go; with OPEN."""

    def answered(self) -> "Health":
        """Return what is known after an answer to a pass."""
        # An answer to what was sent before an ejection proves nothing: the probe decides.
        return Health() if self.state is State.CLOSED else self

    def failed(self, now: float, patience: Patience, chance: float) -> "Health":
        """Return what is known after a pass had no answer."""
        if self.state is not State.CLOSED:
            return self
        failures = self.failures + 1
        if failures < patience.failures_max:
            return replace(self, failures=failures)
        return self._ejected(now, patience, chance)

    def probing(self, now: float) -> "Health":
        """Return what is known once a probe goes out; the same where none may."""
        if self.state is State.OPEN and now >= self.retry_at:
            return replace(self, state=State.HALF_OPEN)
        return self

    def probed(self, now: float, patience: Patience, chance: float, *, answered: bool) -> "Health":
        """Return what is known after the probe."""
        if self.state is not State.HALF_OPEN:
            return self
        if answered:
            # Ejections still count: one that answers probes alone is left alone for longer.
            return replace(self, state=State.CLOSED, failures=0)
        return self._ejected(now, patience, chance)

    def _ejected(self, now: float, patience: Patience, chance: float) -> "Health":
        ejections = self.ejections + 1
        return Health(
            State.OPEN,
            failures=0,
            ejections=ejections,
            retry_at=now + patience.wait_s(ejections, chance),
        )


def breaker(endpoints: Iterable[Health]) -> State:
    """Return the state of all endpoints together: that of the best one."""
    return min(endpoint.state for endpoint in endpoints)


HEDGED_SHARE: Final = 0.05
_HEDGES_SAVED_MAX: Final = 10.0


@dataclass(slots=True)
class HedgeBudget:
    """At most one second request for each twenty first ones, so that hedging cannot pile up."""

    _saved: float = 0.0

    def earn(self) -> None:
        """Count a first request."""
        self._saved = min(self._saved + HEDGED_SHARE, _HEDGES_SAVED_MAX)

    def spend(self) -> bool:
        """Tell whether a second request may go, and count it."""
        # Twenty times 0.05 is a little less than 1 in floats.
        if self._saved < 1 - 1e-9:
            return False
        self._saved -= 1
        return True
