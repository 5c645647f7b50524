"""Requests into passes: the only concurrency.

Messages of all streams and unary calls wait in one lane per tenant, and
one more for those that want no history. A pass takes what has arrived
in one lane, whole messages up to `claims_max`, and starts at once when nothing else is under way.
While passes are under way the next one waits for the engine to be free, and `wait_s` for more
claims; a lane that fills a pass waits for neither. At most two passes are under way, so that one is
read while the other waits for what it gathers.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Final, Self

from opentelemetry.trace import SpanContext

from engine.messages import Columns, Message
from server.errors import DeadlineError, DrainingError, OverloadedError
from server.room import Room
from server.scorer import Answer, EngineThread

PASSES_MAX: Final = 2


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
    request_id: str = ""
    """Id of the call that the message came in."""
    caller: SpanContext | None = None
    """The trace of that call."""
    queued: bool = field(init=False, default=False)
    """Whether the message is in a lane and counts there."""
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


@dataclass(slots=True)
class Lane:
    """What waits of one tenant to be scored alike, first come first served."""

    works: deque[Work] = field(default_factory=deque)
    claims: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How passes form and how much may wait."""

    claims_max: int
    wait_s: float
    queue_claims_max: int
    retry_ms: int


class Batcher:
    """Forms passes of waiting messages and has them run, inside an `async with` block."""

    def __init__(
        self,
        run_pass: Callable[[Sequence[Work]], Awaitable[None]],
        thread: EngineThread,
        limits: Limits,
    ) -> None:
        self._run_pass = run_pass
        self._thread = thread
        self._limits = limits
        self._room = Room(limits.queue_claims_max)
        self._lanes: OrderedDict[tuple[str, bool, bool], Lane] = OrderedDict()
        self._changed = asyncio.Event()
        self._passes = 0
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
        for lane in self._lanes.values():
            for work in lane.works:
                work.fail(DrainingError())
        self._lanes.clear()
        await self._tasks.__aexit__(kind, error, trace)

    @property
    def queued_claims(self) -> int:
        """How many claims wait for a pass."""
        return self._room.size

    def offer(self, work: Work) -> None:
        """Queue a message, or refuse it at once when the queue is full."""
        if not self._room.enter_now(work.claims):
            raise OverloadedError(
                self._room.size, self._limits.queue_claims_max, self._limits.retry_ms
            )
        self._queue(work)

    async def put(self, work: Work) -> None:
        """Queue a message as soon as the queue has room for it."""
        await self._room.enter(work.claims)
        self._queue(work)

    def _queue(self, work: Work) -> None:
        if not work.wanted:
            self._room.leave(work.claims)
            return
        lane = self._lanes.setdefault(work.lane, Lane())
        lane.works.append(work)
        lane.claims += work.claims
        work.queued = True
        work.answered.add_done_callback(lambda _: self._unqueue(lane, work))
        self._changed.set()

    def _unqueue(self, lane: Lane, work: Work) -> None:
        """Stop counting a message: it is in a pass, or nobody waits for it any more."""
        if work.queued:
            work.queued = False
            lane.claims -= work.claims
            self._room.leave(work.claims)
            self._changed.set()

    async def _form_passes(self) -> None:
        while True:
            works = self._take()
            if works:
                self._passes += 1
                self._tasks.create_task(self._run(works))
                continue
            self._changed.clear()
            try:
                async with asyncio.timeout(self._wait_left_s()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _run(self, works: Sequence[Work]) -> None:
        try:
            await self._run_pass(works)
        finally:
            self._passes -= 1
            self._changed.set()

    def _take(self) -> list[Work]:
        """Take a pass out of the lane whose turn it is; nothing if no pass may start yet."""
        for key, lane in list(self._lanes.items()):
            if not self._next(lane):
                del self._lanes[key]
            elif self._may_start(lane):
                self._lanes.move_to_end(key)
                return self._cut(lane)
        return []

    def _next(self, lane: Lane) -> Work | None:
        """Return the first message that somebody waits for; drop those before it unscored."""
        while lane.works:
            work = lane.works[0]
            if work.queued and monotonic() >= work.expires_at:
                work.fail(DeadlineError("the deadline passed before the claims could be scored"))
            if work.queued and work.wanted:
                return work
            self._unqueue(lane, lane.works.popleft())
        return None

    def _may_start(self, lane: Lane) -> bool:
        if self._passes == 0:
            return True
        if self._passes >= PASSES_MAX:
            return False
        if lane.claims >= self._limits.claims_max:
            return True
        return self._thread.idle and monotonic() >= lane.works[0].accepted_at + self._limits.wait_s

    def _cut(self, lane: Lane) -> list[Work]:
        works: list[Work] = []
        claims = 0
        while work := self._next(lane):
            if works and claims + work.claims > self._limits.claims_max:
                break
            claims += work.claims
            works.append(lane.works.popleft())
            self._unqueue(lane, work)
        return works

    def _wait_left_s(self) -> float | None:
        """How long until a lane has waited enough; None while only an event can start a pass."""
        if self._passes >= PASSES_MAX or not self._thread.idle:
            return None
        now = monotonic()
        ends = [
            lane.works[0].accepted_at + self._limits.wait_s
            for lane in self._lanes.values()
            if lane.works
        ]
        return max(0.0, min(ends) - now) if ends else None
