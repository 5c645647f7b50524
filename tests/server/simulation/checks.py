"""What must hold of every schedule, kept by books of its own."""

from math import inf

from server.schedule.schedule import Pass, Schedule
from server.schedule.terms import Limits, Priority, Refusal, Why
from tests.server.simulation.fairness import Fairness
from tests.server.simulation.quotas import TOLERANCE, Quotas
from tests.server.simulation.rooms import Rooms, claims, of_tenant
from tests.server.simulation.traffic import Sent
from tests.server.simulation.turns import Turns

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK


class Checks:
    """Follows each message from its arrival to its one end."""

    def __init__(self, limits: Limits, schedule: Schedule[Sent]) -> None:
        self._limits = limits
        self._schedule = schedule
        self.ends: dict[Sent, str] = {}
        self.came_in_at: dict[Sent, float] = {}
        self.started_at: dict[Sent, float] = {}
        self.ended_at: dict[Sent, float] = {}
        self.refusals: dict[Sent, Refusal] = {}
        self.passes: list[Pass[Sent]] = []
        self._outside: dict[Sent, float] = {}
        self._inside: dict[Sent, float] = {}
        self._quotas = Quotas(limits)
        self._rooms = Rooms(limits)
        self._turns = Turns(limits)
        self._fair = {priority: Fairness(limits, priority) for priority in Priority}

    def waiting(self, message: Sent) -> bool:
        return message in self._outside or message in self._inside

    def turned_away(self, message: Sent) -> None:
        self._end(message, "turned away")

    def waits(self, message: Sent, now: float) -> None:
        self._outside[message] = now

    def refused(self, message: Sent, refusal: Refusal, now: float) -> None:
        self.refusals[message] = refusal
        self._end(message, f"refused: {refusal.why.value}")
        spare = self._quotas.spare(message, now)
        if abs(spare) > TOLERANCE:
            assert (refusal.why is Why.QUOTA) == (spare < 0), "the wrong reason is given"
        assert 0 < refusal.retry_s < inf
        if refusal.why is Why.TENANT_FULL:
            assert of_tenant([*self._inside], message), "a tenant that holds nothing is refused"
        if refusal.why is not Why.QUOTA:
            assert self._limits.retry_s <= refusal.retry_s <= self._limits.retry_s_max
            full = refusal.claims + message.claims > refusal.claims_max
            assert full or self._outside, "refused although there was room"

    def refused_unread(self, message: Sent, refusal: Refusal) -> None:
        self.refusals[message] = refusal
        self._end(message, f"refused unread: {refusal.why.value}")
        assert self._limits.retry_s <= refusal.retry_s <= self._limits.retry_s_max
        assert self._rooms.nearly_full(message.tenant, [*self._inside]), "refused without a look"

    def came_in(self, messages: list[Sent], now: float) -> None:
        for message in messages:
            peers = of_tenant([*self._outside], message)
            assert peers[0] is message, "one came in before another of the same tenant"
            self._rooms.check_turn(message, [*self._inside], self._outside, now)
            del self._outside[message]
            self._inside[message] = self.came_in_at[message] = now
            self._turns.saw(message, now)
            self._fair[message.priority].came_in(message)
            self._quotas.pay(message, now)

    def dropped(self, messages: list[Sent], now: float) -> None:
        for message in messages:
            assert message.expires_at <= now, "dropped before its time"
            self._leave(message)
            self._end(message, "expired")

    def cancelled(self, message: Sent) -> None:
        self._leave(message)
        self._end(message, "cancelled")

    def cleared(self, messages: list[Sent]) -> None:
        assert len(messages) == len(set(messages))
        assert set(messages) == {*self._outside, *self._inside}, "the drain lost a message"
        for message in messages:
            self._leave(message)
            self._end(message, "cleared")
        self._quotas.forget()

    def started(self, started: Pass[Sent], now: float, *, idle: bool) -> None:
        self._check_content(started)
        self._turns.started(started, self._inside, now, idle=idle)
        for message in started.messages:
            assert message.expires_at > now, "an expired message is scored"
            del self._inside[message]
            self.started_at[message] = now
            self._end(message, "scored")
        self._fair[started.priority].served(started)
        for message in started.messages:
            self._fair[message.priority].left(message, [*self._inside])
        self.passes.append(started)

    def ended(self, done: Pass[Sent], now: float) -> None:
        self._turns.ended(done)
        self.ended_at.update(dict.fromkeys(done.messages, now))

    def settled(self, now: float, *, idle: bool) -> None:
        """Check what must hold whenever the schedule has come to rest."""
        for priority in Priority:
            inside = claims([each for each in self._inside if each.priority is priority])
            assert self._schedule.claims(priority) == inside, "the books differ"
        late = [each for each in [*self._outside, *self._inside] if each.expires_at <= now]
        assert not late, "an expired message still waits"
        self._rooms.check([*self._inside])
        self._turns.rests(self._inside, now, idle=idle)
        if not self._inside:
            for message in {(e.tenant, e.priority): e for e in reversed(self._outside)}.values():
                spare = self._quotas.spare(message, now)
                assert spare < inf, "one waits outside an empty queue"
                assert spare < TOLERANCE, "a quota is wasted"

    def nothing_left(self, messages: list[Sent]) -> None:
        """Check that each message has come to its one end."""
        assert self._turns.none, "a pass does not end"
        lost = [message for message in messages if message not in self.ends]
        assert not lost, f"{len(lost)} messages are lost"
        self._quotas.check()

    def _check_content(self, started: Pass[Sent]) -> None:
        messages, limits = started.messages, self._limits
        assert messages, "a pass without messages"
        assert len({each.lane for each in messages}) == 1, "a pass mixes lanes"
        assert len(messages) == 1 or started.claims <= limits.claims_max, "a pass is too large"
        assert messages[0].priority is started.priority
        if any(each.priority is INTERACTIVE for each in messages):
            short = len(messages) == 1 or started.claims <= limits.claims_short
            alone = all(
                each.priority is INTERACTIVE and each.lane == messages[0].lane
                for each in self._inside
            )
            assert short or alone, "somebody waits for a long pass"
        for priority in Priority:
            taken = [each for each in messages if each.priority is priority]
            assert not (taken and priority is BULK and started.priority is INTERACTIVE)
            waited = [
                each
                for each in self._inside
                if each.priority is priority and each.lane == messages[0].lane
            ]
            assert taken == waited[: len(taken)], "a message overtakes another of its lane"

    def _leave(self, message: Sent) -> None:
        if self._outside.pop(message, None) is None:
            del self._inside[message]
            self._fair[message.priority].left(message, [*self._inside])

    def _end(self, message: Sent, how: str) -> None:
        assert message not in self.ends, f"{how}, and before: {self.ends.get(message)}"
        self.ends[message] = how
