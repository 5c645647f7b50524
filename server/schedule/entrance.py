"""Who comes into the queue: bounds, quotas, and those who wait outside.

Messages wait outside in the order of arrival, by tenant and priority. Of the tenants whose first
message is within their own bounds the one that holds least of the queue comes first, and nobody
overtakes it: a large message waits until there is room for it.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from math import inf
from typing import Final, Generic, NamedTuple

from server.schedule.quota import Bucket
from server.schedule.terms import PRIORITIES, Limits, M, Priority, Refusal, Why

_UNREAD_SHARE: Final = 1 / 64
"""Share of a bound that is not worth a look: where messages differ in size, a full queue has gaps,
and in nearly all of them the next message would not fit either."""


class Bound(NamedTuple):
    """How much of the queue may be held, and is."""

    why: Why
    held: int
    held_max: int

    def fits(self, claims: int) -> bool:
        """Tell whether so many more may come in."""
        return self.held + claims <= self.held_max

    @property
    def shut(self) -> bool:
        """Whether there is so little room that a message is not worth reading."""
        return self.held_max - self.held < max(1, int(self.held_max * _UNREAD_SHARE))


class Entrance(Generic[M]):
    """Counts what is inside, and lets in who waits outside."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._inside = dict.fromkeys(PRIORITIES, 0)
        self._held: defaultdict[tuple[str, Priority], int] = defaultdict(int)
        self._buckets: dict[str, Bucket] = {}
        self._outside: dict[tuple[Priority, str], OrderedDict[M, float]] = {}
        every = limits.queue_claims_max
        bulk = every - int(every * limits.interactive_share)
        self._places = {Priority.INTERACTIVE: every, Priority.BULK: bulk}

    def __contains__(self, message: M) -> bool:
        """Tell whether a message waits outside."""
        return message in self._outside.get((message.priority, message.tenant), ())

    def __iter__(self) -> Iterator[M]:
        """Go over the messages that wait outside."""
        for waiting in self._outside.values():
            yield from waiting

    @property
    def claims(self) -> int:
        """How many claims are inside."""
        return sum(self._inside.values())

    def claims_of(self, priority: Priority) -> int:
        """Return how many claims of a priority are inside."""
        return self._inside[priority]

    def bucket(self, tenant: str, now: float) -> Bucket | None:
        """Return what is left of a tenant's quota; None where it has none."""
        quota = self._limits.quota(tenant)
        if quota is None:
            return None
        if tenant not in self._buckets:
            self._buckets[tenant] = Bucket(quota, now)
        return self._buckets[tenant]

    @property
    def buckets(self) -> dict[str, Bucket]:
        """The quotas that were asked for so far."""
        return self._buckets

    def enter_at_once(self, message: M, now: float) -> bool:
        """Let a message in that nobody waits before, if there is room for it; tell whether.

        What `wait` and `admit` would do, in a fraction of their time.
        """
        if self._outside or not (
            self._within_own_bounds(message, now)
            and self._part(message.priority).fits(message.claims)
            and self._whole.fits(message.claims)
        ):
            return False
        self._enter(message, now)
        return True

    def wait(self, message: M, now: float) -> None:
        """Put a message at the end of those who wait outside."""
        key = (message.priority, message.tenant)
        self._outside.setdefault(key, OrderedDict())[message] = now

    def discard(self, message: M) -> bool:
        """Let a message wait no longer; tell whether it did."""
        key = (message.priority, message.tenant)
        waiting = self._outside.get(key)
        if waiting is None or message not in waiting:
            return False
        del waiting[message]
        if not waiting:
            del self._outside[key]
        return True

    def admit(self, now: float) -> M | None:
        """Let in the message whose turn it is, if there is room for it; it has paid its quota."""
        if not self._outside:
            return None
        first, last = (self._chosen(priority, now) for priority in PRIORITIES)
        if last and now >= self._aged_at(last):
            first, last = last, first
        message = first or last
        if message is None or not self._whole.fits(message.claims):
            return None
        self.discard(message)
        self._enter(message, now)
        return message

    def leave(self, message: M) -> None:
        """Count a message no longer: it is in a pass, or nobody waits for it."""
        self._inside[message.priority] -= message.claims
        self._held[message.tenant, message.priority] -= message.claims

    def next_at(self, now: float) -> float:
        """Return when time alone may let somebody in who waits outside; infinity if it cannot."""
        firsts = [next(iter(waiting)) for waiting in self._outside.values()]
        moments = [now + self._quota_wait_s(message, now) for message in firsts]
        moments += [self._aged_at(each) for each in firsts if each.priority is Priority.BULK]
        return min((moment for moment in moments if moment > now), default=inf)

    def refusal(self, message: M, now: float, drain_s: float) -> Refusal:
        """Return why a message cannot come in now, and when it may come again."""
        if wait_s := self._quota_wait_s(message, now):
            bucket = self.bucket(message.tenant, now)
            rate = round(bucket.quota.claims_per_s) if bucket else 0
            return Refusal(Why.QUOTA, message.claims, rate, wait_s)
        bounds = [
            self._whole,
            self._part(message.priority),
            *self._bounds_of(message.tenant, message.priority),
        ]
        bound = next((each for each in bounds if not each.fits(message.claims)), bounds[0])
        return self._refusal(bound, drain_s)

    def refusal_unread(self, tenant: str, drain_s: float) -> Refusal | None:
        """Return why a message that nobody has read could not come in; None where it might.

        It is taken for interactive: of two messages that one may come in where the other may not.
        """
        bounds = [self._whole, *self._bounds_of(tenant, Priority.INTERACTIVE)]
        shut = next((each for each in bounds if each.shut), None)
        return None if shut is None else self._refusal(shut, drain_s)

    def _refusal(self, bound: Bound, drain_s: float) -> Refusal:
        retry_s = min(max(drain_s, self._limits.retry_s), self._limits.retry_s_max)
        return Refusal(bound.why, bound.held, bound.held_max, retry_s)

    @property
    def _whole(self) -> Bound:
        return Bound(Why.FULL, self.claims, self._limits.queue_claims_max)

    def _part(self, priority: Priority) -> Bound:
        """The part of the queue that a priority may use."""
        if priority is Priority.INTERACTIVE:
            return self._whole
        return Bound(Why.FULL, self._inside[priority], self._places[priority])

    def _bounds_of(self, tenant: str, priority: Priority) -> list[Bound]:
        """The parts that a tenant may hold; none binds the first message of a priority."""
        held = self._held_by(tenant)
        mine = self._held[tenant, priority]
        if not mine:
            return []
        share, places = self._limits.tenant_share, self._places[priority]
        return [
            Bound(Why.TENANT_FULL, held, int(share * self._limits.queue_claims_max)),
            Bound(Why.TENANT_FULL, mine, int(share * places)),
        ]

    def _held_by(self, tenant: str) -> int:
        held = self._held
        return held[tenant, Priority.INTERACTIVE] + held[tenant, Priority.BULK]

    def _quota_wait_s(self, message: M, now: float) -> float:
        bucket = self.bucket(message.tenant, now)
        if bucket is None:
            return 0.0
        bulk = message.priority is Priority.BULK
        return bucket.wait_s(message.claims, self._limits.interactive_share if bulk else 0.0, now)

    def _within_own_bounds(self, message: M, now: float) -> bool:
        """Tell whether its tenant may have it inside."""
        return not self._quota_wait_s(message, now) and all(
            bound.fits(message.claims)
            for bound in self._bounds_of(message.tenant, message.priority)
        )

    def _chosen(self, priority: Priority, now: float) -> M | None:
        """Return whose turn it is among those of a priority.

        None where bulk has no places left: then interactive messages may still come in. A message
        for which the whole queue has no room keeps its turn.
        """
        firsts = [
            message
            for (of, _), waiting in self._outside.items()
            if of is priority and self._within_own_bounds(message := next(iter(waiting)), now)
        ]
        if not firsts:
            return None
        message = min(firsts, key=lambda each: (self._load(each.tenant), self._since(each)))
        blocked = priority is Priority.BULK and not self._part(priority).fits(message.claims)
        return None if blocked else message

    def _aged_at(self, message: M) -> float:
        """From when on bulk comes in before interactive messages."""
        return self._since(message) + self._limits.bulk_wait_s

    def _load(self, tenant: str) -> float:
        return self._held_by(tenant) / self._limits.weight(tenant)

    def _since(self, message: M) -> float:
        return self._outside[message.priority, message.tenant][message]

    def _enter(self, message: M, now: float) -> None:
        self._inside[message.priority] += message.claims
        self._held[message.tenant, message.priority] += message.claims
        if bucket := self.bucket(message.tenant, now):
            bucket.pay(message.claims, now)
