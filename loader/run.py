"""Staging -> service -> production, for as long as claims are pending.

    lease -> messages -> score -> rows -> load -> finish

Each arrow is a bounded queue and each step a task, so that claims are leased and decoded while
others are scored and others again are being committed. A claim is lent before it is scored and
finished after it is committed. Whatever dies in between, the lease runs out, the claim is scored
again, and production knows it by its key.

While it works, a loader says that it lives, and looks for claims of loaders that do not. When the
queue is empty but others hold claims, it waits for them: a run that ends well leaves none pending
and none on loan.
"""

import asyncio
import gc
import os
import socket
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, cast
from uuid import uuid4

import asyncpg
from claimgate.client import CallError, Client
from claimgate.v1 import score_pb2, scoring_service_pb2
from grpc import StatusCode

from loader import leases, source
from loader.batch import Batch, Loaded
from loader.failed.retry import retrier
from loader.failed.words import Category
from loader.failpoints import failpoint
from loader.link import CONNECTION_LOST, Link
from loader.messages import Message, form, read
from loader.opened import Opened
from loader.progress import (
    BatchLoaded,
    ClaimsFailed,
    ClaimsLeased,
    ClaimsScored,
    LeasingStopped,
    Progress,
    Summary,
    Tally,
    ignore,
)
from loader.rows import DECISION, FailedClaim, load_claim, provenance_row, rejected
from loader.settings import LoaderSettings
from loader.shards.fenced import is_fenced
from loader.sink import Sink
from loader.source import Leased, Status
from loader.vault import Vault

_FAULT_OF_A_CLAIM: Final = frozenset(
    {
        StatusCode.INTERNAL,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.UNKNOWN,
    }
)
"""What one claim can cause for the whole call: its message is then cut until it stands alone."""

_COLLECT_AFTER_OBJECTS: Final = 50_000
_BEATS: Final = 3
"""How often a loader says that it lives, within the time that it is believed to."""
_LOOK_S_MAX: Final = 1.0
"""Longest between two looks at what others still hold."""
_OVERLOADED_MAX: Final = 20
"""How often a call is repeated that the service was too full for."""


class Loads(Protocol):
    """Where batches of answers go."""

    async def load(self, batch: Batch) -> Loaded:
        """Load a batch, once and whole; the outcomes are those of all its claims, failed or not."""


async def run(
    settings: LoaderSettings,
    progress: Progress = ignore,
    *,
    open_sink: Callable[[Link, str], Loads] | None = None,
) -> Summary:
    """Score and load every pending claim of the tenant, and failed ones that are due.

    Args:
        settings: Databases, service, key and sizes.
        progress: Told what happens, while it happens.
        open_sink: Makes the sink from production and the tenant.

    Raises:
        CallError: the service cannot be reached; what was leased is given back.
        VaultError: there is no usable key.
    """
    vault = settings.vault()
    open_sink = open_sink or partial(Sink, backoff=settings.backoff())
    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"

    def link(url: str) -> Link:
        return Link(
            url,
            attempts=settings.database_attempts,
            idle_s=settings.lease_s,
            name=leases.session_of(owner),
        )

    async with (
        Client(settings.service_address) as client,
        link(settings.staging_url) as leasing,
        link(settings.staging_url) as finishing,
        link(settings.staging_url) as beating,
        link(settings.production_url) as fencing,
        AsyncExitStack() as stack,
    ):
        links = [
            await stack.enter_async_context(link(settings.production_url))
            for _ in range(settings.load_connections)
        ]
        sinks = [open_sink(each, settings.tenant) for each in links]
        run_once = _Run(
            settings, owner, progress, vault, client, leasing, finishing, beating, fencing, sinks
        )
        try:
            await retrier(settings, vault, links[0], leasing).retry_due()
            with _rare_collections():
                return await run_once.until_done()
        except asyncpg.PostgresError as error:
            if not is_fenced(error):
                raise
            progress(LeasingStopped(str(error)))
            return run_once.summary()


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let the garbage collector look through the claims under way less often: they hold no cycles.

    With Python's own threshold it took more than 5 % of the loader's time.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


@dataclass(slots=True)
class _Answered:
    """A batch of answers in the making."""

    batch: Batch = field(default_factory=Batch)
    tests: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.batch) + len(self.tests)


class ServiceAtFaultError(Exception):
    """The service itself failed on too many claims."""

    def __init__(self, claims: int) -> None:
        super().__init__(
            f"the service itself failed on {claims} claims (V00): its log has the cause; these "
            "claims stay in staging, or in failed_claims as failed by the service"
        )


class IncompleteAnswerError(Exception):
    """The service ended its stream, or an answer, before everything was answered."""

    def __init__(self, unanswered: int) -> None:
        """Say how much is missing."""
        super().__init__(
            f"the service left {unanswered} messages or claims without an answer; "
            "they stay pending, run again"
        )


class _Feed:
    """Messages on their way through a stream, and those that wait for an answer, by sequence."""

    def __init__(self, messages: asyncio.Queue[Message | FailedClaim | None]) -> None:
        self._messages = messages
        self._failed: list[FailedClaim] = []
        self._again: deque[Message] = deque()
        self._sequence = 0
        self.unanswered: dict[int, Message] = {}
        self.ended = False

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield what the service is sent; the position is the sequence that the answer carries."""
        self._sequence = 0
        while self._again:
            yield self._sent(self._again.popleft())
        while not self.ended and (item := await self._messages.get()) is not None:
            if isinstance(item, FailedClaim):
                self._failed.append(item)
            else:
                yield self._sent(item)
        self.ended = True

    def _sent(self, message: Message) -> bytes:
        """Note a message under its sequence; return its bytes."""
        self.unanswered[self._sequence] = message
        self._sequence += 1
        failpoint("send")
        return message.request()

    def send_again(self, messages: Iterable[Message]) -> None:
        """Put messages first in line for the next stream."""
        self._again.extend(messages)

    @property
    def empty(self) -> bool:
        """Whether everything was sent, and nothing is to be sent again."""
        return self.ended and not self._again

    def take_failed(self) -> list[FailedClaim]:
        """Hand over the claims that failed before they could be sent."""
        failed, self._failed = self._failed, []
        return failed

    def take_unanswered(self) -> list[Message]:
        """Hand over the messages that a broken stream left without an answer."""
        messages = list(self.unanswered.values())
        self.unanswered = {}
        return messages


class _Run:
    """One run: the queues between its tasks, and its counts."""

    def __init__(
        self,
        settings: LoaderSettings,
        owner: str,
        progress: Progress,
        vault: Vault,
        client: Client,
        leasing: Link,
        finishing: Link,
        beating: Link,
        fencing: Link,
        sinks: Sequence[Loads],
    ) -> None:
        self._settings = settings
        self._tenant = settings.tenant
        self._progress = progress
        self._vault = vault
        self._client = client
        self._leasing = leasing
        self._finishing = finishing
        self._beating = beating
        self._fencing = fencing
        self._sinks = sinks
        self._owner = owner
        self._taking = asyncio.Lock()
        self._answered = _Answered()
        self._blamed = 0
        self._stopped = False
        self._tally = Tally(started_s=time.monotonic())

    async def until_done(self) -> Summary:
        """Work until no claim is pending or on loan; give back what is held, however it ends."""
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._say_alive()
                beats = tasks.create_task(self._beat())
                while True:
                    await self._work()
                    if self._stopped or not await self._wait_for_more():
                        break
                beats.cancel()
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            with suppress(*CONNECTION_LOST):  # then the leases run out by themselves
                await asyncio.shield(self._leave())
        return self.summary()

    def summary(self) -> Summary:
        """Return what was done so far."""
        return self._tally.summary()

    async def _work(self) -> None:
        """Run the claims that are pending through all steps, to their end."""
        settings = self._settings
        self._messages = asyncio.Queue[Message | FailedClaim | None](settings.messages_waiting_max)
        self._batches = asyncio.Queue[_Answered | None](settings.batches_waiting_max)
        self._finished = asyncio.Queue[list[tuple[int, Status]] | None](
            settings.batches_waiting_max
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._lease())
            tasks.create_task(self._score())
            tasks.create_task(self._load())
            tasks.create_task(self._finish())

    async def _wait_for_more(self) -> bool:
        """Wait while others hold claims; tell whether there are claims to work on."""
        while True:
            # Nothing is under way here: what this loader still holds was leased by a step whose
            # commit was not heard of, and which was repeated.
            await self._give_back()
            await self._take_over()
            standing = await self._leasing.run(lambda c: leases.look(c, self._tenant))
            if standing.pending or not standing.lent:
                return standing.pending
            await asyncio.sleep(min(self._settings.lease_s / _BEATS, _LOOK_S_MAX))

    async def _leave(self) -> None:
        """Give back what is held, and say that this loader is gone; a move has done so itself."""
        try:
            await self._give_back()
            await self._finishing.run(lambda c: leases.leave(c, self._tenant, self._owner))
        except asyncpg.PostgresError as error:
            if not is_fenced(error):
                raise

    async def _give_back(self) -> None:
        """Give back what was leased and not finished."""
        failpoint("give_back")
        await self._finishing.run(lambda c: source.release(c, self._tenant, self._owner))

    # Live. ----------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Say at thirds of a lease that this loader lives, and look for those that do not."""
        while True:
            await asyncio.sleep(self._settings.lease_s / _BEATS)
            await self._say_alive()

    async def _say_alive(self) -> None:
        """Keep what this loader holds; put the claims of dead ones back into the queue."""
        lease_s = self._settings.lease_s
        async with self._taking:
            await self._beating.run(
                lambda c: leases.say_alive(c, self._tenant, self._owner, seconds=lease_s)
            )
        await self._take_over()

    async def _take_over(self) -> None:
        """Put the claims of dead loaders back into the queue, after ending what they have open."""
        async with self._taking:
            if dead := await self._beating.run(lambda c: leases.dead(c, self._tenant)):
                await self._fencing.run(lambda c: leases.fence(c, dead))
            await self._beating.run(lambda c: leases.take_over(c, self._tenant))

    # Lease. ---------------------------------------------------------------------------------------

    async def _lease(self) -> None:
        """Lease claims and queue them as messages, until none is pending or the shard is moved."""
        try:
            await self._lease_all()
        except asyncpg.PostgresError as error:
            if not is_fenced(error):
                raise
            self._stopped = True
            self._progress(LeasingStopped(str(error)))
        await self._messages.put(None)

    async def _lease_all(self) -> None:
        """Lease claims and queue them as messages, until none is pending."""
        while leased := await self._leasing.run(self._lease_some):
            failpoint("lease.done")
            self._count_leased(len(leased))
            items = self._read(leased)
            failpoint("read.done")
            for item in items:
                await self._messages.put(item)

    async def _lease_some(self, connection: source.Connection) -> list[Leased]:
        """Lease about as many claims as make a batch."""
        settings = self._settings
        return await source.lease(
            connection,
            self._tenant,
            self._owner,
            claims=settings.lease_claims,
            seconds=settings.lease_s,
        )

    def _count_leased(self, claims: int) -> None:
        self._tally.claims_in += claims
        self._progress(ClaimsLeased(claims))

    def _read(self, leased: Sequence[Leased]) -> list[Message | FailedClaim]:
        """Open leased claims and form messages of them; what cannot be read has failed."""
        attempts_max = self._settings.attempts_max
        failed = [_exhausted(item) for item in leased if item.attempts > attempts_max]
        fresh = [item for item in leased if item.attempts <= attempts_max]
        readable = []
        for claim in read(fresh, self._vault, self._tenant):
            if isinstance(claim, FailedClaim):
                failed.append(claim)
            else:
                readable.append(claim)
        settings = self._settings
        formed = form(
            readable, claims_max=settings.message_claims, bytes_max=settings.message_bytes_sent_max
        )
        return [*failed, *formed]

    # Score. ---------------------------------------------------------------------------------------

    async def _score(self) -> None:
        """Stream messages to the service and gather the answers in batches."""
        feed = _Feed(self._messages)
        while not feed.empty:
            await self._score_stream(feed)
            for failed in feed.take_failed():
                await self._set_aside(failed)
        await self._pass_on()
        await self._batches.put(None)

    async def _score_stream(self, feed: _Feed) -> None:
        """Score over one stream; where a claim ends it, find that one, and send the rest again."""
        try:
            async for answer in self._client.score(feed.stream()):
                await self._settle(feed.unanswered.pop(answer.sequence), answer)
        except CallError as error:
            if not _fault_of_a_claim(error):
                raise
            unanswered = deque(feed.take_unanswered())
            # The oldest is the first to be suspected: messages are scored about in their order.
            while unanswered and not await self._score_apart(unanswered.popleft()):
                pass
            feed.send_again(unanswered)
        if feed.unanswered:
            raise IncompleteAnswerError(len(feed.unanswered))

    async def _score_apart(self, message: Message) -> bool:
        """Score a message by a call of its own, in halves where that fails, down to the cause.

        Returns whether it failed.
        """
        try:
            response = await self._ask(message)
        except CallError as error:
            if not _fault_of_a_claim(error):
                raise
            if len(message.claims) == 1:
                await self._blame(message.claims[0], error)
                return True
            for half in message.halves():
                await self._score_apart(half)
            return True
        await self._settle(message, response)
        return False

    async def _ask(self, message: Message) -> scoring_service_pb2.ScoreBatchResponse:
        """Score a message by one call, repeated while the service is too full for it."""
        for _ in range(_OVERLOADED_MAX):
            try:
                return await self._client.score_batch(message.batch())
            except CallError as error:
                if error.retry_after_s is None:
                    raise
                await asyncio.sleep(error.retry_after_s)
        return await self._client.score_batch(message.batch())

    async def _blame(self, opened: Opened, error: CallError) -> None:
        """Set a claim aside that every call fails on which it is in."""
        self._count_blamed(error)
        await self._set_aside(_refused_by_service(opened, error))

    def _count_blamed(self, error: Exception) -> None:
        """Count a claim that the service failed on; of too many, the service is the cause."""
        self._blamed += 1
        if self._blamed > self._settings.service_faults_max:
            raise error

    async def _settle(
        self,
        message: Message,
        answer: scoring_service_pb2.MessageResult | scoring_service_pb2.ScoreBatchResponse,
    ) -> None:
        """Turn the answers to a message into rows of the current batch."""
        failpoint("answer")
        if len(answer.results) != len(message.claims):
            raise IncompleteAnswerError(len(message.claims) - len(answer.results))
        self._add(message, answer.results, answer.provenance)
        self._count_scored(message, answer.results)
        if len(self._answered) >= self._settings.batch_claims:
            await self._pass_on()

    def _add(
        self,
        message: Message,
        results: Sequence[score_pb2.ClaimResult],
        provenance: score_pb2.Provenance,
    ) -> None:
        """Add answered claims to the current batch: to load, failed, or a test that is not kept."""
        releases = provenance_row(provenance)
        rests_on = cast("int", releases[0]), provenance.history_watermark
        batch = self._answered.batch
        batch.provenances[rests_on[0]] = releases
        for opened, result in zip(message.claims, results, strict=True):
            if result.decision == score_pb2.DECISION_REJECT:
                failed = rejected(opened, result)
                if failed.category is Category.SERVICE_FAULT:
                    self._count_blamed(ServiceAtFaultError(self._blamed + 1))
                batch.failed.append(failed)
            elif opened.facts.is_test:
                self._answered.tests.append(opened.leased.staging_id)
            else:
                batch.claims.append(load_claim(opened, result, rests_on, self._vault, self._tenant))

    def _count_scored(self, message: Message, results: Sequence[score_pb2.ClaimResult]) -> None:
        """Count answers, findings and money."""
        decisions = Counter(DECISION[result.decision] for result in results)
        charged = sum(opened.facts.total_charge_cents for opened in message.claims)
        exposure = sum(result.exposure_cents for result in results)
        tally = self._tally
        tally.scored += len(results)
        tally.decisions.update(decisions)
        tally.charged_cents += charged
        tally.exposure_cents += exposure
        tally.rules.update([hit.rule_id for result in results for hit in result.hits[:]])
        self._progress(ClaimsScored(len(results), decisions, charged, exposure))

    async def _set_aside(self, failed: FailedClaim) -> None:
        """Add a failed claim to the current batch."""
        self._answered.batch.failed.append(failed)
        if len(self._answered) >= self._settings.batch_claims:
            await self._pass_on()

    async def _pass_on(self) -> None:
        """Hand the current batch over to loading, and start the next."""
        if len(self._answered):
            failpoint("pass_on")
            answered, self._answered = self._answered, _Answered()
            await self._batches.put(answered)

    # Load, finish. --------------------------------------------------------------------------------

    async def _load(self) -> None:
        """Load batches into production, each over the next free connection, until there is none.

        While the database merges one batch, the rows of the next are on their way.
        """
        async with asyncio.TaskGroup() as tasks:
            for sink in self._sinks:
                tasks.create_task(self._load_over(sink))
        await self._finished.put(None)

    async def _load_over(self, sink: Loads) -> None:
        """Load batch after batch over one connection."""
        while answered := await self._batches.get():
            tests: list[tuple[int, Status]] = [
                (staging_id, "completed") for staging_id in answered.tests
            ]
            loaded = Loaded()
            if len(answered.batch):
                loaded = await sink.load(answered.batch)
            self._count_loaded(loaded, len(tests))
            await self._finished.put(loaded.outcomes + tests)
        await self._batches.put(None)  # for the others

    def _count_loaded(self, loaded: Loaded, tests: int) -> None:
        """Count what was committed and what failed."""
        tally = self._tally
        tally.tests += tests
        tally.failed += len(loaded.failed)
        tally.ended_s = time.monotonic()
        tally.loaded += loaded.loaded
        tally.already_loaded += loaded.already_loaded
        tally.rows += loaded.rows
        if loaded.receipts:
            commit_seq = loaded.receipts[-1].commit_seq
            self._progress(BatchLoaded(loaded.loaded, loaded.rows, commit_seq))
        if loaded.failed:
            reasons = Counter(
                reason["code"] for failed in loaded.failed for reason in failed.reasons
            )
            tally.failures.update(reasons)
            self._progress(ClaimsFailed(len(loaded.failed), reasons))

    async def _finish(self) -> None:
        """Tell staging what became of each claim."""
        while outcomes := await self._finished.get():
            failpoint("finish.begin")
            await self._finishing.run(partial(self._finish_some, outcomes))
            failpoint("finish.done")
            self._tally.ended_s = time.monotonic()

    async def _finish_some(
        self, outcomes: Sequence[tuple[int, Status]], connection: source.Connection
    ) -> int:
        """Tell staging what became of some claims."""
        return await source.finish(connection, self._tenant, self._owner, outcomes)


def _fault_of_a_claim(error: CallError) -> bool:
    """Tell whether a claim may be the cause; an overloaded service says when to come again."""
    return error.code in _FAULT_OF_A_CLAIM and error.retry_after_s is None


def _exhausted(leased: Leased) -> FailedClaim:
    """Return the failure of a claim that has taken too many loaders down."""
    reason = {
        "field": "claim",
        "code": "ATTEMPTS_EXHAUSTED",
        "message": f"leased {leased.attempts - 1} times without an end; "
        "look at the loader's log, then submit it again",
    }
    return FailedClaim(leased, Category.ATTEMPTS_EXHAUSTED, "score", [reason])


def _refused_by_service(opened: Opened, error: CallError) -> FailedClaim:
    """Return the failure of a claim that ends every call it is in."""
    reason = {
        "field": "claim",
        "code": error.reason or error.code.name,
        "message": "the service fails on this claim alone; its log has the cause",
    }
    return FailedClaim(opened.leased, Category.SERVICE_FAULT, "score", [reason], opened.claim())


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that ended a group of tasks: the first that is no group itself."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
