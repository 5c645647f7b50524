"""Requests into passes: the only concurrency.

Messages of all streams and unary calls wait in lanes; which of them come in, and which form the
next pass, the schedule says. This is its clock and its hands: it asks what to do now, runs the
passes, and wakes when something changed or when the schedule wants to be asked again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from time import monotonic
from types import TracebackType
from typing import Self

from opentelemetry.trace import SpanContext

from engine.messages import Columns, Message
from server.errors import (
    CallFaultError,
    DeadlineError,
    DrainingError,
    OverloadedError,
    QuotaExceededError,
    TenantOverloadedError,
)
from server.queue_metrics import EXPIRED, QueueMetrics
from server.schedule.schedule import Pass, Schedule
from server.schedule.terms import Limits, Priority, Refusal, Why
from server.scorer import Answer, EngineThread


@dataclass(slots=True, eq=False)
class Work:
    """One message on its way through a pass."""

    message: Message = field(repr=False)
    tenant: str
    view: int
    expires_at: float
    """Moment of the monotonic clock after which nobody waits for the answer."""
    history: bool = True
    """Whether earlier claims and member data count; the messages of a pass agree on it."""
    priority: Priority = Priority.BULK
    """Who waits for the answer."""
    request_id: str = ""
    """Id of the call that the message came in."""
    caller: SpanContext | None = None
    """The trace of that call."""
    claims: int = field(init=False)
    accepted_at: float = field(init=False, default_factory=monotonic)
    answered: asyncio.Future[Answer] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Count the claims and open the promise of an answer."""
        self.claims = self.message.claims
        self.answered = asyncio.get_running_loop().create_future()

    @property
    def lane(self) -> tuple[str, bool, bool]:
        """The lane it waits in: what the messages of a pass have in common, rows or columns too."""
        return self.tenant, self.history, isinstance(self.message, Columns)

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for the answer."""
        return not self.answered.done()

    def deliver(self, answer: Answer) -> None:
        """Answer the message, if somebody still waits."""
        if self.wanted:
            self.answered.set_result(answer)

    def fail(self, fault: Exception) -> None:
        """Tell whoever still waits that there is no answer."""
        if self.wanted:
            self.answered.set_exception(fault)


class Batcher:
    """Forms passes of waiting messages and has them run, inside an `async with` block."""

    def __init__(
        self,
        run_pass: Callable[[Sequence[Work]], Awaitable[None]],
        thread: EngineThread,
        limits: Limits,
        metrics: QueueMetrics,
    ) -> None:
        self._run_pass = run_pass
        self._thread = thread
        self._metrics = metrics
        self._schedule: Schedule[Work] = Schedule(limits)
        self._turns: dict[Work, asyncio.Future[None]] = {}
        self._changed = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._forming: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start forming passes."""
        self._thread.when_idle = self._changed.set
        await self._tasks.__aenter__()
        self._forming = self._tasks.create_task(self._form_passes())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop forming passes, refuse what waits, let what is under way end."""
        if self._forming:
            self._forming.cancel()
        for work in self._schedule.clear():
            work.fail(DrainingError())
            self._let_in(work)
        await self._tasks.__aexit__(kind, error, trace)

    @property
    def queued_claims(self) -> int:
        """How many claims wait for a pass."""
        return sum(self._schedule.claims(priority) for priority in Priority)

    def refresh_metrics(self) -> None:
        """Bring the gauges of the queue up to date."""
        claims = {priority: self._schedule.claims(priority) for priority in Priority}
        self._metrics.refresh(claims, self._schedule.quotas_left(monotonic()))

    def check_room(self, tenant: str) -> None:
        """Refuse a single call before its message is read, where the queue is as good as full.

        Raises:
            OverloadedError: the queue is full.
            TenantOverloadedError: the tenant holds as much of the queue as one tenant may.
        """
        refusal = self._schedule.refusal_unread(tenant, monotonic())
        self._settle()
        if refusal:
            self._metrics.refused(Priority.INTERACTIVE, refusal.why.value)
            raise _fault_of(refusal)

    def offer(self, work: Work) -> None:
        """Queue a message, or refuse it at once.

        Raises:
            OverloadedError: the queue is full, or the part of it that bulk may use.
            TenantOverloadedError: the tenant holds as much of the queue as one tenant may.
            QuotaExceededError: the tenant sent more than its quota allows.
        """
        if refusal := self._schedule.offer(work, monotonic()):
            self._metrics.refused(work.priority, refusal.why.value)
            raise _fault_of(refusal)
        self._follow(work)

    async def put(self, work: Work) -> None:
        """Queue a message as soon as the queue, its tenant's part and its quota have room for it.

        One that expires before is failed, like one that expires in the queue.
        """
        turn = self._turns[work] = asyncio.get_running_loop().create_future()
        self._schedule.put(work, monotonic())
        self._follow(work)
        try:
            await turn
        except asyncio.CancelledError:
            self._turns.pop(work, None)
            work.answered.cancel()
            raise

    def _follow(self, work: Work) -> None:
        """Forget a message as soon as nobody waits for it."""
        work.answered.add_done_callback(lambda _: self._forget(work))
        self._settle()
        self._changed.set()

    def _forget(self, work: Work) -> None:
        if not work.answered.cancelled():
            return  # whoever answers or fails a message has taken it out
        self._schedule.remove(work, monotonic())
        self._settle()
        self._changed.set()

    async def _form_passes(self) -> None:
        while True:
            now = monotonic()
            started = self._schedule.take(now, idle=self._thread.idle)
            self._settle()
            if started:
                self._start(started, now)
                # The pass reaches the engine first, so that the next one sees whether it is idle.
                await asyncio.sleep(0)
                continue
            self._changed.clear()
            wake_at = self._schedule.wake_at(now, idle=self._thread.idle)
            try:
                async with asyncio.timeout(None if wake_at == inf else wake_at - monotonic()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _start(self, started: Pass[Work], now: float) -> None:
        works = [work for work in started.messages if work.wanted]
        self._metrics.pass_started(works, now)
        self._tasks.create_task(self._run(started, works))

    async def _run(self, started: Pass[Work], works: Sequence[Work]) -> None:
        try:
            if works:
                await self._run_pass(works)
        finally:
            self._schedule.ended(started, monotonic())
            self._changed.set()

    def _settle(self) -> None:
        """Tell the callers of those that expired and of those that came in."""
        for work in self._schedule.pop_expired():
            self._metrics.refused(work.priority, EXPIRED)
            work.fail(DeadlineError("the deadline passed before the claims could be scored"))
            self._let_in(work)
        for work in self._schedule.pop_admitted():
            self._let_in(work)

    def _let_in(self, work: Work) -> None:
        turn = self._turns.pop(work, None)
        if turn and not turn.done():
            turn.set_result(None)


def _fault_of(refusal: Refusal) -> CallFaultError:
    retry_ms = ceil(refusal.retry_s * 1000)
    if refusal.why is Why.QUOTA:
        return QuotaExceededError(refusal.claims, refusal.claims_max, retry_ms)
    if refusal.why is Why.TENANT_FULL:
        return TenantOverloadedError(refusal.claims, refusal.claims_max, retry_ms)
    return OverloadedError(refusal.claims, refusal.claims_max, retry_ms)
