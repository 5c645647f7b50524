"""The state machine of the batcher: messages in, passes out.

A pass holds whole messages of one lane. It starts at once when nothing is under way. While one is,
the next waits for the engine to be free, and `wait_s` for more claims, but interactive messages
beside bulk do not; a lane that fills a pass waits for neither. At most two passes are under way:
one is read while the other gathers.

Interactive messages go before bulk. While they wait, and for a while after, passes are short and
only one pass of bulk is under way, so that the other place is free for who comes. Where nothing
waits but one lane of interactive messages its passes are not short. Bulk is passed over at most
twice, and only once where it waited longer than `bulk_wait_s`.
"""

from dataclasses import dataclass
from math import inf
from typing import Final, Generic

from server.schedule.deadlines import Deadlines
from server.schedule.entrance import Entrance
from server.schedule.lanes import Lanes
from server.schedule.pace import Pace
from server.schedule.terms import PRIORITIES, Limits, M, Priority, Refusal

PASSES_MAX: Final = 2
_PASSED_OVER_MAX: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class Pass(Generic[M]):
    """Messages that are scored together."""

    messages: list[M]
    priority: Priority
    """The line that it is from; interactive messages may ride along on bulk."""
    started_at: float

    @property
    def claims(self) -> int:
        """How many claims it has."""
        return sum(message.claims for message in self.messages)


class Schedule(Generic[M]):
    """Decides who waits, who is refused, who is scored when. Every method says what time it is."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._entrance: Entrance[M] = Entrance(limits)
        self._lanes: Lanes[M] = Lanes(limits.weight)
        self._deadlines: Deadlines[M] = Deadlines()
        self._pace = Pace()
        self._under_way: list[Pass[M]] = []
        self._passed_over = 0
        self._calm_at = -inf
        self._admitted: list[M] = []
        self._expired: list[M] = []

    def claims(self, priority: Priority) -> int:
        """Return how many claims of a priority wait in the queue."""
        return self._entrance.claims_of(priority)

    def quotas_left(self, now: float) -> dict[str, float]:
        """Return the claims that each tenant with a quota may send at once, those seen so far."""
        return {tenant: each.claims(now) for tenant, each in self._entrance.buckets.items()}

    def offer(self, message: M, now: float) -> Refusal | None:
        """Take a message into the queue, or say at once why not."""
        self.put(message, now)
        if message not in self._entrance:
            return None
        self._entrance.discard(message)
        self._deadlines.discard(message)
        return self._entrance.refusal(message, now, self._drain_s)

    def refusal_unread(self, tenant: str, now: float) -> Refusal | None:
        """Return why to refuse a message of a tenant before it is read; None if it may be read."""
        self.advance(now)
        return self._entrance.refusal_unread(tenant, self._drain_s)

    def put(self, message: M, now: float) -> None:
        """Take a message into the queue as soon as there is room for it; until then it waits."""
        self._drop_expired(now)
        self._deadlines.add(message)
        if message.expires_at > now and self._entrance.enter_at_once(message, now):
            self._came_in(message, now)
            return
        self._entrance.wait(message, now)
        self.advance(now)

    def remove(self, message: M, now: float) -> None:
        """Forget a message that waits and that nobody waits for any more."""
        if self._forget(message):
            self._deadlines.discard(message)
            self.advance(now)

    def clear(self) -> list[M]:
        """Forget and return everything that waits."""
        left = list(self._entrance)
        for line in self._lanes.lines.values():
            left += [message for lane in line for message in lane.waiting]
        self._entrance, self._lanes = Entrance(self._limits), Lanes(self._limits.weight)
        self._deadlines = Deadlines()
        return left

    def advance(self, now: float) -> None:
        """Drop what expired, then let in those for whom there is room."""
        self._drop_expired(now)
        while admitted := self._entrance.admit(now):
            self._came_in(admitted, now)

    def pop_admitted(self) -> list[M]:
        """Return which messages came into the queue since the last time."""
        admitted, self._admitted = self._admitted, []
        return admitted

    def pop_expired(self) -> list[M]:
        """Return which messages expired unscored since the last time."""
        expired, self._expired = self._expired, []
        return expired

    def take(self, now: float, *, idle: bool) -> Pass[M] | None:
        """Start a pass, if one may start.

        Args:
            now: The time.
            idle: Whether the engine is free: of the passes under way each waits for something else.
        """
        self.advance(now)
        for priority in self._turns(now):
            if self._start_at(priority, now, idle=idle) <= now:
                return self._start(priority, now)
        return None

    def ended(self, done: Pass[M], now: float) -> None:
        """Count a pass as over."""
        self._under_way.remove(done)
        self._pace.add(done.claims, done.started_at, now)

    def wake_at(self, now: float, *, idle: bool) -> float:
        """Return when time alone lets something happen; infinity if only an event does."""
        moments = [self._deadlines.next_at(), self._entrance.next_at(now)]
        moments += [self._start_at(priority, now, idle=idle) for priority in PRIORITIES]
        return min(moments)

    @property
    def _drain_s(self) -> float:
        """How long what waits will take."""
        return self._pace.seconds_for(self._entrance.claims)

    def _drop_expired(self, now: float) -> None:
        for expired in self._deadlines.pop(now):
            self._forget(expired)
            self._expired.append(expired)

    def _came_in(self, message: M, now: float) -> None:
        self._lanes.lines[message.priority].add(message, now)
        self._admitted.append(message)
        if message.priority is Priority.INTERACTIVE:
            self._calm_at = now + self._limits.interactive_memory_s

    def _forget(self, message: M) -> bool:
        """Take out a message that will never be scored; tell whether it was there."""
        if self._entrance.discard(message):
            return True
        if not self._lanes.lines[message.priority].discard(message):
            return False
        self._entrance.leave(message)
        return True

    def _turns(self, now: float) -> tuple[Priority, Priority]:
        """Return which line is asked first."""
        if self._bulk_turn_at() <= now:
            return Priority.BULK, Priority.INTERACTIVE
        return Priority.INTERACTIVE, Priority.BULK

    def _bulk_turn_at(self) -> float:
        """Return when bulk was passed over often enough; infinity if it is not passed over."""
        if self._passed_over >= _PASSED_OVER_MAX:
            return -inf
        if self._passed_over:
            return self._lanes.lines[Priority.BULK].since + self._limits.bulk_wait_s
        return inf

    def _start_at(self, priority: Priority, now: float, *, idle: bool) -> float:
        """Return when a pass of a line may start if no event comes before; infinity if never."""
        line = self._lanes.lines[priority]
        if not line or len(self._under_way) == PASSES_MAX:
            return inf
        if not self._under_way:
            return now
        free_at = self._place_free_at(priority, now)
        if priority is Priority.BULK and self._lanes.lines[Priority.INTERACTIVE]:
            return max(free_at, self._bulk_turn_at())
        claims_max = self._claims_max(priority, max(free_at, now))
        if any(lane.claims >= claims_max for lane in line):
            return free_at
        return max(free_at, line.since + self._wait_s(priority)) if idle else inf

    def _wait_s(self, priority: Priority) -> float:
        """Return how long a line waits for more claims; interactive messages beside bulk do not."""
        beside_bulk = self._lanes.lines[Priority.BULK] or any(
            each.priority is Priority.BULK for each in self._under_way
        )
        if priority is Priority.INTERACTIVE and beside_bulk:
            return 0.0
        return self._limits.wait_s

    def _place_free_at(self, priority: Priority, now: float) -> float:
        """Return when the second place is there for a line: bulk leaves it free for a while."""
        if priority is Priority.INTERACTIVE or all(
            each.priority is Priority.INTERACTIVE for each in self._under_way
        ):
            return now
        return inf if self._lanes.lines[Priority.INTERACTIVE] else self._calm_at

    def _claims_max(self, priority: Priority, now: float) -> int:
        """Return how many claims a pass of a line may have."""
        interactive, bulk = (self._lanes.lines[each] for each in PRIORITIES)
        if priority is Priority.INTERACTIVE:
            # Short passes would only delay the messages of the one lane that waits.
            long = not bulk and len(interactive) == 1
        else:
            long = not interactive and now >= self._calm_at
        return self._limits.claims_max if long else self._limits.claims_short

    def _start(self, priority: Priority, now: float) -> Pass[M]:
        if self._lanes.lines[Priority.INTERACTIVE]:
            self._calm_at = now + self._limits.interactive_memory_s
        messages = self._lanes.cut(priority, self._claims_max(priority, now))
        for message in messages:
            self._entrance.leave(message)
            self._deadlines.discard(message)
        if priority is Priority.BULK or not self._lanes.lines[Priority.BULK]:
            self._passed_over = 0
        else:
            self._passed_over += 1
        started = Pass(messages, priority, now)
        self._under_way.append(started)
        return started
