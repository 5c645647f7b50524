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
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from typing import Final, Protocol

import asyncpg
from claimgate.client import Client

from loader import leases, source
from loader.batch import Batch, Loaded
from loader.failed.retry import retrier
from loader.failed.words import Category
from loader.failpoints import failpoint
from loader.feed import Messages
from loader.heartbeat import BEATS, Heartbeat
from loader.link import CONNECTION_LOST, Link
from loader.messages import Message, form, read
from loader.progress import (
    BatchLoaded,
    ClaimsFailed,
    ClaimsLeased,
    LeasingStopped,
    Progress,
    Summary,
    Tally,
    ignore,
)
from loader.rows import FailedClaim
from loader.score_step import Batches, ScoreStep
from loader.settings import LoaderSettings
from loader.shards.fenced import is_fenced
from loader.sink import Sink
from loader.source import Leased, Status
from loader.vault import Vault

_COLLECT_AFTER_OBJECTS: Final = 50_000
_LOOK_S_MAX: Final = 1.0
"""Longest between two looks at what others still hold."""


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
    owner = leases.new_owner()

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
        heartbeat = Heartbeat(
            settings.tenant, owner, lease_s=settings.lease_s, staging=beating, production=fencing
        )
        tally = Tally(started_s=time.monotonic())
        scoring = ScoreStep(settings, client, vault, tally, progress)
        run_once = _Run(
            settings, owner, progress, tally, vault, heartbeat, scoring, leasing, finishing, sinks
        )
        try:
            await retrier(settings, vault, links[0], leasing).retry_due()
            with _rare_collections():
                return await run_once.until_done()
        except asyncpg.PostgresError as error:
            if not is_fenced(error):
                raise
            progress(LeasingStopped(str(error)))
            return tally.summary()


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


_Finished = asyncio.Queue[list[tuple[int, Status]] | None]
"""What became of claims, for staging, and None as the end."""


class _Run:
    """One run: its steps, between which claims wait in queues."""

    def __init__(
        self,
        settings: LoaderSettings,
        owner: str,
        progress: Progress,
        tally: Tally,
        vault: Vault,
        heartbeat: Heartbeat,
        scoring: ScoreStep,
        leasing: Link,
        finishing: Link,
        sinks: Sequence[Loads],
    ) -> None:
        self._settings = settings
        self._tenant = settings.tenant
        self._progress = progress
        self._tally = tally
        self._vault = vault
        self._heartbeat = heartbeat
        self._scoring = scoring
        self._leasing = leasing
        self._finishing = finishing
        self._sinks = sinks
        self._owner = owner
        self._stopped = False

    async def until_done(self) -> Summary:
        """Work until no claim is pending or on loan; give back what is held, however it ends."""
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._heartbeat.say_alive()
                beats = tasks.create_task(self._heartbeat.keep_on())
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
        return self._tally.summary()

    async def _work(self) -> None:
        """Run the claims that are pending through all steps, to their end."""
        settings = self._settings
        messages = Messages(settings.messages_waiting_max)
        batches = Batches(settings.batches_waiting_max)
        finished = _Finished(settings.batches_waiting_max)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._lease(messages))
            tasks.create_task(self._scoring.run(messages, batches))
            tasks.create_task(self._load(batches, finished))
            tasks.create_task(self._finish(finished))

    async def _wait_for_more(self) -> bool:
        """Wait while others hold claims; tell whether there are claims to work on."""
        while True:
            # Nothing is under way here: what this loader still holds was leased by a step whose
            # commit was not heard of, and which was repeated.
            await self._give_back()
            await self._heartbeat.take_over()
            standing = await self._leasing.run(lambda c: leases.look(c, self._tenant))
            if standing.pending or not standing.lent:
                return standing.pending
            await asyncio.sleep(min(self._settings.lease_s / BEATS, _LOOK_S_MAX))

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

    # Lease. ---------------------------------------------------------------------------------------

    async def _lease(self, messages: Messages) -> None:
        """Lease claims and queue them as messages, until none is pending or the shard is moved."""
        try:
            await self._lease_all(messages)
        except asyncpg.PostgresError as error:
            if not is_fenced(error):
                raise
            self._stopped = True
            self._progress(LeasingStopped(str(error)))
        await messages.put(None)

    async def _lease_all(self, messages: Messages) -> None:
        """Lease claims and queue them as messages, until none is pending."""
        while leased := await self._leasing.run(self._lease_some):
            failpoint("lease.done")
            self._count_leased(len(leased))
            items = self._read(leased)
            failpoint("read.done")
            for item in items:
                await messages.put(item)

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

    # Load, finish. --------------------------------------------------------------------------------

    async def _load(self, batches: Batches, finished: _Finished) -> None:
        """Load batches into production, each over the next free connection, until there is none.

        While the database merges one batch, the rows of the next are on their way.
        """
        async with asyncio.TaskGroup() as tasks:
            for sink in self._sinks:
                tasks.create_task(self._load_over(sink, batches, finished))
        await finished.put(None)

    async def _load_over(self, sink: Loads, batches: Batches, finished: _Finished) -> None:
        """Load batch after batch over one connection."""
        while (answered := await batches.get()) is not None:
            tests: list[tuple[int, Status]] = [
                (staging_id, "completed") for staging_id in answered.tests
            ]
            loaded = Loaded()
            if len(answered.batch):
                loaded = await sink.load(answered.batch)
            self._count_loaded(loaded, len(tests))
            await finished.put(loaded.outcomes + tests)
        await batches.put(None)  # for the others

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

    async def _finish(self, finished: _Finished) -> None:
        """Tell staging what became of each claim."""
        while (outcomes := await finished.get()) is not None:
            failpoint("finish.begin")
            await self._finishing.run(partial(self._finish_some, outcomes))
            failpoint("finish.done")
            self._tally.ended_s = time.monotonic()

    async def _finish_some(
        self, outcomes: Sequence[tuple[int, Status]], connection: source.Connection
    ) -> int:
        """Tell staging what became of some claims."""
        return await source.finish(connection, self._tenant, self._owner, outcomes)


def _exhausted(leased: Leased) -> FailedClaim:
    """Return the failure of a claim that has taken too many loaders down."""
    reason = {
        "field": "claim",
        "code": "ATTEMPTS_EXHAUSTED",
        "message": f"leased {leased.attempts - 1} times without an end; "
        "look at the loader's log, then submit it again",
    }
    return FailedClaim(leased, Category.ATTEMPTS_EXHAUSTED, "score", [reason])


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that ended a group of tasks: the first that is no group itself."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
