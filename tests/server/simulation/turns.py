"""Which pass may start when, and which has to."""

from math import inf

from server.schedule.schedule import PASSES_MAX, Pass
from server.schedule.terms import Limits, Priority
from tests.server.simulation.traffic import Sent

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK


class Turns:
    """Follows the passes that are under way, and how often a priority was passed over."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._under_way: list[Pass[Sent]] = []
        self._interactive_at = -inf
        self._passed_over = 0
        self._bulk_in_a_row = 0

    @property
    def none(self) -> bool:
        return not self._under_way

    def started(
        self, started: Pass[Sent], inside: dict[Sent, float], now: float, *, idle: bool
    ) -> None:
        """Check a start; inside are the messages that waited before it, with their arrival."""
        for each in inside:
            self.saw(each, now)
        waiting = {
            priority: [each for each in inside if each.priority is priority]
            for priority in Priority
        }
        if started.priority is BULK:
            self._check_bulk(started, waiting, inside, now)
        else:
            self._check_interactive(waiting[BULK], inside, now)
        rushed = bool(self._under_way) and not idle
        if rushed and not (started.priority is BULK and waiting[INTERACTIVE]):
            alone = started.priority is INTERACTIVE and not waiting[BULK]
            full = self._full(waiting[started.priority], now, alone=alone)
            assert full, "a pass did not wait for more"
        self._under_way.append(started)
        assert len(self._under_way) <= PASSES_MAX, "too many passes are under way"

    def ended(self, done: Pass[Sent]) -> None:
        self._under_way.remove(done)

    def saw(self, message: Sent, now: float) -> None:
        if message.priority is INTERACTIVE:
            self._interactive_at = now

    def rests(self, inside: dict[Sent, float], now: float, *, idle: bool) -> None:
        """Check that nothing could start."""
        if len(self._under_way) == PASSES_MAX or not inside:
            return
        assert self._under_way, "the engine rests while messages wait"
        interactive = [each for each in inside if each.priority is INTERACTIVE]
        if interactive:
            alone = len(interactive) == len(inside)
            beside_bulk = not alone or self._under_way[0].priority is BULK
            waited = now >= min(inside.values()) + self._limits.wait_s
            late = idle and (beside_bulk or waited)
            assert not late, "somebody waits beside an empty place"
            assert not self._full(interactive, now, alone=alone), "a full pass waits"
        elif self._calm(now) or self._under_way[0].priority is INTERACTIVE:
            assert not self._full(list(inside), now), "a full pass waits beside an empty place"
            waited = now >= min(inside.values()) + self._limits.wait_s
            assert not (idle and waited), "bulk waits beside an empty place"

    def _check_bulk(
        self,
        started: Pass[Sent],
        waiting: dict[Priority, list[Sent]],
        inside: dict[Sent, float],
        now: float,
    ) -> None:
        if not self._calm(now):
            beside = [each for each in self._under_way if each.priority is BULK]
            assert not beside, "no place is left for interactive messages"
        if waiting[INTERACTIVE]:
            since = min(inside[each] for each in waiting[BULK])
            enough = 1 if since + self._limits.bulk_wait_s <= now else 2
            assert self._passed_over >= enough, "bulk goes first before its turn"
        left = [each for each in waiting[INTERACTIVE] if each not in started.messages]
        self._bulk_in_a_row = self._bulk_in_a_row + 1 if left else 0
        assert self._bulk_in_a_row <= 1, "interactive messages are passed over twice"
        self._passed_over = 0

    def _check_interactive(self, bulk: list[Sent], inside: dict[Sent, float], now: float) -> None:
        self._bulk_in_a_row = 0
        if not bulk:
            self._passed_over = 0
            return
        blocked = any(each.priority is BULK for each in self._under_way)
        aged = min(inside[each] for each in bulk) + self._limits.bulk_wait_s <= now
        assert blocked or self._passed_over < (1 if aged else 2), "bulk is passed over too often"
        self._passed_over += 1

    def _calm(self, now: float) -> bool:
        return now >= self._interactive_at + self._limits.interactive_memory_s

    def _full(self, waiting: list[Sent], now: float, *, alone: bool = False) -> bool:
        """Tell whether some lane fills a pass."""
        sizes: dict[tuple[str, bool], int] = {}
        for each in waiting:
            sizes[each.lane] = sizes.get(each.lane, 0) + each.claims
        calm = self._calm(now) and not any(each.priority is INTERACTIVE for each in waiting)
        long = calm or (alone and len(sizes) == 1)
        limit = self._limits.claims_max if long else self._limits.claims_short
        return max(sizes.values(), default=0) >= limit
