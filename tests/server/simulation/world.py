"""A schedule with simulated traffic, engine and clock, as the batcher would drive it."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random

from server.schedule.schedule import Pass, Schedule
from tests.server.simulation.checks import Checks
from tests.server.simulation.traffic import Scenario, Sent

_ROUNDING_S = 1e-6
"""Moments that are nearer than this are one: a quota forgives so much of a claim."""
_EVENTS_MAX = 20_000


class World:
    """Runs a scenario to its end and checks what must hold after every step."""

    def __init__(
        self, scenario: Scenario, seed: int = 0, make: type[Schedule[Sent]] = Schedule
    ) -> None:
        self.scenario = scenario
        self.schedule = make(scenario.limits)
        self.checks = Checks(scenario.limits, self.schedule)
        self._random = Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._engine_free_at = 0.0
        self._jobs = 0
        self._wake_at = inf
        self.now = 0.0

    def run(self) -> "World":
        """Run until nothing is left to happen."""
        for message in self.scenario.messages:
            self._at(message.sent_at, lambda message=message: self._send(message))
            if message.cancelled_at < inf:
                self._at(message.cancelled_at, lambda message=message: self._cancel(message))
        if self.scenario.drained_at < inf:
            self._at(self.scenario.drained_at, self._drain)
        for _ in range(_EVENTS_MAX):
            if not self._events and self._wake_at == inf:
                self.checks.nothing_left(self.scenario.messages)
                return self
            at, happen = self._next()
            between = (self.now + at) / 2
            if not self.scenario.late_s and between - self.now > _ROUNDING_S:
                self._probe(between)
            self.now = at
            happen()
            self._turn()
        raise AssertionError(f"it does not come to an end: {len(self._events)} events are left")

    def _next(self) -> tuple[float, Callable[[], None]]:
        if not self._events or self._wake_at < self._events[0][0]:
            return self._wake_at, lambda: None
        at, _, happen = heappop(self._events)
        return at, happen

    def _at(self, at: float, happen: Callable[[], None]) -> None:
        heappush(self._events, (at, next(self._numbers), happen))

    def _send(self, message: Sent) -> None:
        if self.now >= self.scenario.drained_at:
            self.checks.turned_away(message)
        elif message.unary:
            unread = self.schedule.refusal_unread(message.tenant, self.now)
            self._settle()
            if unread:
                self.checks.refused_unread(message, unread)
                return
            refusal = self.schedule.offer(message, self.now)
            if refusal is None:
                self.checks.waits(message, self.now)
            self._settle()
            if refusal:
                self.checks.refused(message, refusal, self.now)
        else:
            self.checks.waits(message, self.now)
            self.schedule.put(message, self.now)

    def _cancel(self, message: Sent) -> None:
        if self.checks.waiting(message):
            self.schedule.remove(message, self.now)
            self.checks.cancelled(message)
            self._settle()

    def _drain(self) -> None:
        self._settle()
        self.checks.cleared(self.schedule.clear())

    def _turn(self) -> None:
        while started := self.schedule.take(self.now, idle=not self._jobs):
            self._settle()
            self.checks.started(started, self.now, idle=not self._jobs)
            self._run(started)
        self._settle()
        self.checks.settled(self.now, idle=not self._jobs)
        wake_at = self.schedule.wake_at(self.now, idle=not self._jobs)
        assert wake_at > self.now, "it wants to be woken again and again"
        self._wake_at = wake_at + self._random.uniform(0, self.scenario.late_s)

    def _probe(self, at: float) -> None:
        """Between two events nothing may be possible that nobody was to be woken for."""
        started = self.schedule.take(at, idle=not self._jobs)
        assert started is None, f"a pass could start at {at}, and nobody was told"
        assert not self.schedule.pop_admitted(), f"one could come in at {at}, and nobody was told"
        assert not self.schedule.pop_expired(), f"one expired at {at}, and nobody was told"

    def _settle(self) -> None:
        self.checks.dropped(self.schedule.pop_expired(), self.now)
        self.checks.came_in(self.schedule.pop_admitted(), self.now)

    def _run(self, started: Pass[Sent]) -> None:
        engine = self.scenario.engine
        read_s = engine.busy_s(started.claims) * engine.read_share
        score_s = engine.busy_s(started.claims) - read_s

        def gathered() -> None:
            self._job(score_s, ended)

        def read() -> None:
            self._at(self.now + engine.gather_s, gathered)

        def ended() -> None:
            self.schedule.ended(started, self.now)
            self.checks.ended(started, self.now)

        self._job(read_s, read)

    def _job(self, seconds: float, then: Callable[[], None]) -> None:
        """Give the engine something to do, after what it has."""
        self._jobs += 1
        self._engine_free_at = max(self.now, self._engine_free_at) + seconds

        def done() -> None:
            self._jobs -= 1
            then()

        self._at(self._engine_free_at, done)
