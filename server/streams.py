"""One scoring stream: what was read and is not answered yet.

Reading stops while the window or the queue is full, so that flow control slows the caller down.
However a stream ends (the caller is done, a bad message, a fault, a drain, silence), every message
that was taken before is answered first; then comes the status, after a summary if it is OK.
A drain is said first, and a caller that heeds it and sends no more ends as if it were done.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Final, NamedTuple

from claimgate.v1 import score_pb2
from claimgate.v1 import scoring_service_pb2 as pb

from server.answer_bytes import in_response
from server.batcher import Batcher, Work
from server.calls import Call, Context, expires_at
from server.errors import (
    CallFaultError,
    DeadlineError,
    DrainingError,
    EmptyRequestError,
    InternalFaultError,
    InvalidColumnError,
    InvalidFieldError,
    OptionsAfterClaimsError,
    TooManyClaimsError,
)
from server.priorities import checked_priority
from server.requests import StreamRequest
from server.schedule.terms import Priority
from server.scorer import Answer
from server.stream_account import Acknowledgements, StreamAccount

# A response gathers small answers up to this many claims, so that it stays far below 4 MiB.
_RESPONSE_CLAIMS_MAX: Final = 64
_GATHER_S: Final = 0.004


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What one stream may hold."""

    claims_max: int
    unacknowledged_max: int
    idle_s: float
    drain_notice_s: float
    """How long a caller that was told of a drain may go on sending what it had under way."""


class Finished(NamedTuple):
    """A message that has its answer, or the fault instead."""

    sequence: int
    place: int
    work: Work

    @property
    def answered(self) -> asyncio.Future[Answer]:
        """The answer or the fault."""
        return self.work.answered


class ScoringStream:
    """Reads, hands over and writes one stream."""

    def __init__(
        self, call: Call, batcher: Batcher, limits: StreamLimits, draining: asyncio.Event
    ) -> None:
        self._call = call
        self._batcher = batcher
        self._limits = limits
        self._draining = draining
        self._view: int = score_pb2.VIEW_EVIDENCE
        self._history = True
        self._priority = Priority.BULK
        self._expires_at = inf
        self._gather = False
        self._acknowledged = Acknowledgements()
        self._account = StreamAccount()
        self._notice_due = False
        self._window = asyncio.Semaphore(limits.unacknowledged_max)
        self._unanswered: set[Work] = set()
        self._finished: deque[Finished] = deque()
        self._changed = asyncio.Event()
        self._active_at = monotonic()
        self._queueing = False
        self._read_all = False
        self._ending: CallFaultError | None = None

    async def run(self, requests: AsyncIterator[StreamRequest], context: Context) -> None:
        """Answer every message that was taken, then end the stream."""
        self._expires_at = expires_at(context)
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(requests))
                watching = tasks.create_task(self._watch(reading))
                await self._write(context, reading)
                watching.cancel()
        finally:
            for work in self._unanswered:
                work.answered.cancel()
        if self._ending:
            raise self._ending

    async def _read(self, requests: AsyncIterator[StreamRequest]) -> None:
        first = True
        try:
            await self._window.acquire()
            async for request in requests:
                self._active_at = monotonic()
                if request.options is not None:
                    self._configure(request.sequence, request.options, first=first)
                else:
                    await self._score(request)
                    await self._window.acquire()
                first = False
        except CallFaultError as fault:
            self._end(fault)
        finally:
            self._read_all = True
            self._changed.set()

    def _configure(self, sequence: int, options: pb.StreamOptions, *, first: bool) -> None:
        if not first:
            raise OptionsAfterClaimsError(sequence)
        self._view = checked_view(options.view)
        self._history = not options.without_history
        self._priority = checked_priority(options.priority, Priority.BULK)
        self._gather = options.gather_answers

    async def _score(self, request: StreamRequest) -> None:
        check_batch(request.message.claims, self._limits.claims_max, sequence=request.sequence)
        work = Work(
            message=request.message,
            tenant=self._call.principal.tenant,
            view=self._view,
            history=self._history,
            priority=self._priority,
            expires_at=self._expires_at,
            request_id=self._call.request_id,
            caller=self._call.span,
        )
        self._queueing = True
        await self._batcher.put(work)
        self._queueing = False
        self._active_at = monotonic()
        self._unanswered.add(work)
        finished = Finished(request.sequence, self._acknowledged.take(request.sequence), work)
        if not finished.place:
            self._account.begin()
        work.answered.add_done_callback(lambda _: self._finish(finished))

    def _finish(self, finished: Finished) -> None:
        self._unanswered.discard(finished.work)
        if not finished.answered.cancelled():
            self._finished.append(finished)
            self._changed.set()

    def _end(self, fault: CallFaultError) -> None:
        """Remember the first reason to end the stream."""
        if self._ending is None:
            self._ending = fault

    async def _watch(self, reading: asyncio.Task[None]) -> None:
        """Stop reading when the process drains, or when there was nothing to do for too long."""
        while not self._silent():
            left_s = self._active_at + self._limits.idle_s - monotonic()
            try:
                async with asyncio.timeout(left_s if left_s > 0 else self._limits.idle_s):
                    await self._draining.wait()
            except TimeoutError:
                continue
            await self._drain(reading)
            return
        self._stop(
            reading,
            DeadlineError(
                f"nothing was sent for {self._limits.idle_s:g} s; open a new stream for more"
            ),
        )

    async def _drain(self, reading: asyncio.Task[None]) -> None:
        """Tell the caller; stop reading from one that goes on sending all the same."""
        self._notice_due = True
        self._changed.set()
        await asyncio.wait([reading], timeout=self._limits.drain_notice_s)
        self._stop(reading, DrainingError())

    def _silent(self) -> bool:
        idle_s = monotonic() - self._active_at
        idle = not (self._queueing or self._unanswered or self._finished)
        return idle and idle_s >= self._limits.idle_s

    def _stop(self, reading: asyncio.Task[None], fault: CallFaultError) -> None:
        if not self._read_all:
            self._end(fault)
            reading.cancel()

    async def _write(self, context: Context, reading: asyncio.Task[None]) -> None:
        while not self._read_all or self._unanswered or self._finished:
            if self._notice_due:
                self._notice_due = False
                await context.write(pb.ScoreClaimsResponse(draining=True).SerializeToString())
            if not self._finished:
                self._changed.clear()
                await self._changed.wait()
                continue
            if fault := self._fault_of(self._finished[0]):
                self._finished.popleft()
                self._end(fault)
                reading.cancel()
                continue
            if self._gather and self._unanswered:
                await asyncio.sleep(_GATHER_S)
            await context.write(self._response())
            self._active_at = monotonic()
        if self._ending is None:
            last = pb.ScoreClaimsResponse(summary=self._account.summary())
            await context.write(last.SerializeToString())

    def _response(self) -> bytes:
        """Gather finished messages, at least one, into a response."""
        answers: list[bytes] = []
        claims = 0
        while self._finished and not self._fault_of(self._finished[0]):
            claims += self._finished[0].work.claims
            if answers and claims > _RESPONSE_CLAIMS_MAX:
                break
            finished = self._finished.popleft()
            answer = finished.answered.result()
            answers.append(in_response(finished.sequence, answer.content))
            self._acknowledged.answer(finished.place)
            self._account.add(answer.totals, finished.work.accepted_at)
            self._window.release()
        upto = pb.ScoreClaimsResponse(acknowledged_sequence=self._acknowledged.upto)
        return b"".join((*answers, upto.SerializeToString()))

    @staticmethod
    def _fault_of(finished: Finished) -> CallFaultError | None:
        """Return why a message has no answer, with its place in the stream."""
        error = finished.answered.exception()
        if isinstance(error, InternalFaultError):
            return InternalFaultError(error.error_id, sequence=finished.sequence)
        if isinstance(error, InvalidColumnError):
            return InvalidColumnError(error.column, error.expected, sequence=finished.sequence)
        if error is None or isinstance(error, CallFaultError):
            return error
        raise error


def check_batch(claims: int, claims_max: int, **facts: int) -> None:
    """Refuse a batch without claims, or with more than a message may hold."""
    if claims < 0:
        raise InvalidColumnError("claims", "a number of claims, 1 or more", **facts)
    if not claims:
        raise EmptyRequestError("at least one claim", **facts)
    if claims > claims_max:
        raise TooManyClaimsError(claims, claims_max, **facts)


def checked_view(view: int) -> int:
    """Return the view to answer with: EVIDENCE where none is named."""
    if view not in score_pb2.View.values():
        raise InvalidFieldError("view", "VIEW_DECISION, VIEW_EVIDENCE or VIEW_TRACE")
    return view or score_pb2.VIEW_EVIDENCE
