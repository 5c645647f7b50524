"""How much of the queue may be held, by whom, and who comes in first."""

from math import inf

from server.schedule.terms import Limits, Priority
from tests.server.simulation.traffic import Sent

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK


class Rooms:
    """The bounds of the queue, reckoned from the messages themselves."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        every = limits.queue_claims_max
        self._places = {BULK: every - int(every * limits.interactive_share), INTERACTIVE: every}

    def check(self, inside: list[Sent]) -> None:
        assert claims(inside) <= self._limits.queue_claims_max, "the queue holds too much"
        bulk = [each for each in inside if each.priority is BULK]
        assert claims(bulk) <= self._places[BULK], "bulk holds too much"
        for message in inside:
            mine = of_tenant(inside, message)
            fits = claims(mine) <= int(self._places[message.priority] * self._limits.tenant_share)
            assert len(mine) == 1 or fits, "a tenant holds too much"

    def nearly_full(self, tenant: str, inside: list[Sent]) -> bool:
        """Tell whether interactive messages of a tenant have hardly any room, of any size."""
        every, share = self._limits.queue_claims_max, self._limits.tenant_share
        held = [each for each in inside if each.tenant == tenant]
        mine = [each for each in held if each.priority is INTERACTIVE]
        bounds = [(claims(inside), every)]
        if mine:
            bounds += [(claims(held), int(every * share)), (claims(mine), int(every * share))]
        return any(most - now < max(1, most // 64) for now, most in bounds)

    def check_turn(
        self, message: Sent, inside: list[Sent], outside: dict[Sent, float], now: float
    ) -> None:
        """Check that nobody was passed over who waits outside; where there are quotas, nothing."""
        if self._limits.quotas:
            return
        firsts = [
            first
            for first in {(e.tenant, e.priority): e for e in reversed(outside)}.values()
            if first is not message and self._within_share(first, inside)
        ]
        peers = [first for first in firsts if first.priority is message.priority]
        loads = [self._load(peer, inside) for peer in peers]
        least = self._load(message, inside) <= min(loads, default=inf)
        assert least, "one came in before another that holds less"
        others = [first for first in firsts if first.priority is not message.priority]
        if message.priority is BULK and others:
            assert self._aged(message, outside, now), "bulk overtakes an interactive message"
        if message.priority is INTERACTIVE and others:
            empty = not any(each.priority is BULK for each in inside)
            aged = all(self._aged(each, outside, now) for each in others)
            assert not (aged and empty), "bulk waits outside for ever"

    def _aged(self, message: Sent, outside: dict[Sent, float], now: float) -> bool:
        return outside[message] + self._limits.bulk_wait_s <= now

    def _within_share(self, message: Sent, inside: list[Sent]) -> bool:
        mine, share = of_tenant(inside, message), self._limits.tenant_share
        if not mine:
            return True
        held = [each for each in inside if each.tenant == message.tenant]
        return claims([message, *held]) <= int(self._limits.queue_claims_max * share) and claims(
            [message, *mine]
        ) <= int(self._places[message.priority] * share)

    def _load(self, message: Sent, inside: list[Sent]) -> float:
        held = claims([each for each in inside if each.tenant == message.tenant])
        return held / self._limits.weight(message.tenant)


def claims(messages: list[Sent]) -> int:
    return sum(each.claims for each in messages)


def of_tenant(inside: list[Sent], message: Sent) -> list[Sent]:
    """Return what a tenant has inside of a message's priority."""
    key = (message.tenant, message.priority)
    return [each for each in inside if (each.tenant, each.priority) == key]
