"""What waits inside the queue, and whose turn it is.

Each priority has a line of its own. In a line tenants share by claims and weight: a tenant's clock
goes on by claims / weight with each of its passes, and the tenant whose clock is lowest is next. A
tenant that comes back starts at the clock of the last pass, so that a pause saves nothing up.
Two tenants that both wait never differ by more than one pass each, in claims / weight.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Generic

from server.schedule.terms import PRIORITIES, M, Priority


@dataclass(slots=True, eq=False)
class Lane(Generic[M]):
    """Messages of one priority that may share a pass, first come first served."""

    tenant: str
    key: Hashable
    waiting: OrderedDict[M, float] = field(default_factory=OrderedDict)
    """Each message, with the moment when it came into the queue."""
    claims: int = 0

    @property
    def since(self) -> float:
        """Since when its first message waits."""
        return next(iter(self.waiting.values()))

    def cut(self, claims_max: int, claims: int = 0) -> list[M]:
        """Take whole messages from the front, beside so many claims, as long as they fit."""
        taken: list[M] = []
        for message in self.waiting:
            if claims + message.claims > claims_max:
                break
            claims += message.claims
            taken.append(message)
        for message in taken:
            self.remove(message)
        return taken

    def remove(self, message: M) -> None:
        """Take one message out."""
        del self.waiting[message]
        self.claims -= message.claims


class Line(Generic[M]):
    """The lanes of one priority in fair order across tenants."""

    def __init__(self, weight: Callable[[str], float]) -> None:
        self._weight = weight
        self._lanes: dict[Hashable, Lane[M]] = {}
        self._clocks: dict[str, float] = {}
        self._clock = 0.0

    def __iter__(self) -> Iterator[Lane[M]]:
        """Go over the lanes in which something waits."""
        return iter(self._lanes.values())

    def __len__(self) -> int:
        """Tell in how many lanes something waits."""
        return len(self._lanes)

    @property
    def since(self) -> float:
        """Since when the oldest message waits; infinity if none does."""
        return min((lane.since for lane in self), default=inf)

    def add(self, message: M, now: float) -> None:
        """Put a message at the end of its lane."""
        lane = self._lanes.get(message.lane)
        if lane is None:
            if all(other.tenant != message.tenant for other in self):
                clock = self._clocks.get(message.tenant, 0.0)
                self._clocks[message.tenant] = max(clock, self._clock)
            lane = self._lanes[message.lane] = Lane(message.tenant, message.lane)
        lane.waiting[message] = now
        lane.claims += message.claims

    def discard(self, message: M) -> bool:
        """Take a message out; tell whether it was in."""
        lane = self._lanes.get(message.lane)
        if lane is None or message not in lane.waiting:
            return False
        lane.remove(message)
        self._tidy(lane)
        return True

    def next(self) -> Lane[M]:
        """Return the lane whose turn it is: of the tenant that had least, its oldest message's."""
        return min(self, key=lambda lane: (self._clocks[lane.tenant], lane.since))

    def cut(self, lane: Lane[M], claims_max: int, claims: int = 0) -> list[M]:
        """Take messages from the front of a lane as long as they fit beside so many claims."""
        taken = lane.cut(claims_max, claims)
        self._tidy(lane)
        return taken

    def first(self, lane: Lane[M]) -> M:
        """Take the first message of a lane, whatever its size."""
        message = next(iter(lane.waiting))
        lane.remove(message)
        self._tidy(lane)
        return message

    def lane(self, key: Hashable) -> Lane[M] | None:
        """Return the lane of a key, if anything waits there."""
        return self._lanes.get(key)

    def charge(self, tenant: str, claims: int) -> None:
        """Move a tenant's clock on by what a pass gave it."""
        self._clock = max(self._clock, self._clocks[tenant])
        self._clocks[tenant] += claims / self._weight(tenant)

    def _tidy(self, lane: Lane[M]) -> None:
        if not lane.waiting:
            self._lanes.pop(lane.key, None)


class Lanes(Generic[M]):
    """Both lines: interactive messages and bulk."""

    def __init__(self, weight: Callable[[str], float]) -> None:
        self.lines: dict[Priority, Line[M]] = {priority: Line(weight) for priority in PRIORITIES}

    def cut(self, priority: Priority, claims_max: int) -> list[M]:
        """Take a pass out of the lane whose turn it is.

        Interactive messages ride along on bulk of their lane, behind its first message: they would
        be scored after it anyway, and cost no pass of their own. The pass counts as the tenant's
        share of the line that it is taken from.
        """
        line = self.lines[priority]
        lane = line.next()
        messages = [line.first(lane)]
        claims = messages[0].claims
        riding = self.lines[Priority.INTERACTIVE]
        if priority is Priority.BULK and (beside := riding.lane(lane.key)):
            messages += riding.cut(beside, claims_max, claims)
            claims = sum(message.claims for message in messages)
        messages += line.cut(lane, claims_max, claims)
        line.charge(lane.tenant, sum(message.claims for message in messages))
        return messages
