"""What flows into a quota and out of it, reckoned apart from the schedule."""

from dataclasses import dataclass, field
from math import inf

from server.schedule.quota import Quota
from server.schedule.terms import Limits, Priority
from tests.server.simulation.traffic import Sent

# Sums of many floats differ a little from the one product that they stand for.
TOLERANCE = 1e-4


@dataclass(slots=True)
class Level:
    """What is left of one quota."""

    quota: Quota
    left: float
    at: float
    paid: list[tuple[float, int]] = field(default_factory=list)

    def fill(self, now: float) -> float:
        grown = self.left + (now - self.at) * self.quota.claims_per_s
        self.left, self.at = min(self.quota.burst_claims, grown), now
        return self.left


class Quotas:
    """Follows the quotas of all tenants."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._levels: dict[str, Level] = {}

    def spare(self, message: Sent, now: float) -> float:
        """Return by how much a quota is enough for a message; below 0 it is not."""
        level = self._level(message.tenant, now)
        if level is None:
            return inf
        burst = level.quota.burst_claims
        share = self._limits.interactive_share if message.priority is Priority.BULK else 0.0
        return level.fill(now) - min(burst, message.claims + burst * share)

    def pay(self, message: Sent, now: float) -> None:
        assert self.spare(message, now) > -TOLERANCE, "a quota was exceeded"
        if level := self._level(message.tenant, now):
            level.left -= message.claims
            level.paid.append((now, message.claims))

    def forget(self) -> None:
        self._levels.clear()

    def check(self) -> None:
        """In no span of time more comes in than flows in; but the last message may leave a debt."""
        for level in self._levels.values():
            for first, (since, _) in enumerate(level.paid):
                claims = 0
                for at, more in level.paid[first:]:
                    claims += more
                    allowed = level.quota.burst_claims + (at - since) * level.quota.claims_per_s
                    debt = max(0.0, more - level.quota.burst_claims)
                    assert claims <= allowed + debt + TOLERANCE, "a quota was exceeded"

    def _level(self, tenant: str, now: float) -> Level | None:
        quota = self._limits.quota(tenant)
        if quota is None:
            return None
        return self._levels.setdefault(tenant, Level(quota, quota.burst_claims, now))
