"""Whether tenants that wait at the same time are served alike."""

from itertools import combinations

from server.schedule.schedule import Pass
from server.schedule.terms import Limits, Priority
from tests.server.simulation.traffic import Sent

_TOLERANCE = 1e-6


class Fairness:
    """The bound of one priority: as long as two tenants wait, their shares differ by a pass each.

    A share is claims / weight.
    """

    def __init__(self, limits: Limits, priority: Priority) -> None:
        self._limits = limits
        self._priority = priority
        self._served: dict[str, float] = {}
        self._ranges: dict[tuple[str, str], tuple[float, float]] = {}
        self._pass_max = limits.claims_max

    def came_in(self, message: Sent) -> None:
        self._pass_max = max(self._pass_max, message.claims)
        if message.tenant not in self._served:
            self._served[message.tenant] = 0.0
            for pair in self._pairs():
                if message.tenant in pair:
                    difference = self._difference(pair)
                    self._ranges[pair] = (difference, difference)

    def served(self, started: Pass[Sent]) -> None:
        tenant = started.messages[0].tenant
        self._served[tenant] += started.claims / self._limits.weight(tenant)
        for pair in self._pairs():
            if tenant in pair:
                self._check(pair)

    def left(self, message: Sent, inside: list[Sent]) -> None:
        """A tenant of which nothing waits any more saves nothing up and owes nothing."""
        if any(e.tenant == message.tenant and e.priority is self._priority for e in inside):
            return
        if self._served.pop(message.tenant, None) is not None:
            self._ranges = {
                pair: each for pair, each in self._ranges.items() if message.tenant not in pair
            }

    def _pairs(self) -> list[tuple[str, str]]:
        return list(combinations(sorted(self._served), 2))

    def _difference(self, pair: tuple[str, str]) -> float:
        return self._served[pair[0]] - self._served[pair[1]]

    def _check(self, pair: tuple[str, str]) -> None:
        low, high = self._ranges[pair]
        difference = self._difference(pair)
        low, high = self._ranges[pair] = min(low, difference), max(high, difference)
        bound = sum(self._pass_max / self._limits.weight(tenant) for tenant in pair)
        assert high - low <= bound + _TOLERANCE, "one tenant is served before another for too long"
