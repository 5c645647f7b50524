"""Postgres is killed under load, again and again, and started again on the same data."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from loader.batch import Batch, Loaded
from loader.link import CONNECTION_LOST, Link
from loader.run import run
from loader.settled import key_of
from loader.sink import Sink
from tests.crash.claims import Key
from tests.crash.world import World
from tests.killable import OwnPostgres

SIZES: Final[dict[str, Any]] = {
    "lease_s": 2.0,
    "attempts_max": 1_000_000,
    "batch_claims": 50,
    "lease_claims": 200,
    "message_claims": 10,
    "database_attempts": 8,
}
_LONGER_S_MAX: Final = 0.1
"""Longest between an acknowledged batch and the kill that follows it."""
_PROGRESS_S_MAX: Final = 60
_STAGED_AT_ONCE: Final = 2_000


@dataclass
class Acknowledged:
    """Which claims a loader was told are stored, in production or as failed."""

    keys: set[Key] = field(default_factory=set)
    batches: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def sink(self, link: Link, tenant: str) -> "_Noting":
        return _Noting(Sink(link, tenant), self)


@dataclass(frozen=True)
class _Noting:
    """A sink that notes what was acknowledged."""

    sink: Sink
    acknowledged: Acknowledged

    async def load(self, batch: Batch) -> Loaded:
        loaded = await self.sink.load(batch)
        self.acknowledged.keys.update(map(key_of, batch.claims))
        self.acknowledged.keys.update(map(key_of, batch.failed))
        self.acknowledged.batches += 1
        self.acknowledged.more.set()
        return loaded


@dataclass
class Outcome:
    """What a run of kills came to."""

    kills: int = 0
    restarts_of_the_loader: int = 0
    acknowledged: int = 0
    lost_acknowledged: int = 0


async def kill_postgres(
    world: World, postgres: OwnPostgres, kills: int, claims: int, seed: int
) -> Outcome:
    """Kill the server so often while at least so many claims are loaded and acknowledged.

    Each kill comes at a random moment after a batch was acknowledged: none hits an idle server.
    """
    chance = random.Random(seed)
    acknowledged = Acknowledged()
    outcome = Outcome()
    await world.stage(_STAGED_AT_ONCE)
    over = False
    loading = asyncio.create_task(_load_until(world, acknowledged, outcome, lambda: over))
    try:
        while outcome.kills < kills:
            if len(world.claims) - len(acknowledged.keys) < _STAGED_AT_ONCE // 2:
                await world.stage(_STAGED_AT_ONCE)
            await _more(acknowledged, loading)
            await asyncio.sleep(chance.uniform(0, _LONGER_S_MAX))
            postgres.kill()
            outcome.kills += 1
            await postgres.start()
        await world.stage(max(0, claims - len(world.claims)))
    except BaseException:
        loading.cancel()
        raise
    over = True
    await loading
    outcome.acknowledged = len(acknowledged.keys)
    found = await world.audit()
    outcome.lost_acknowledged = len(acknowledged.keys & found.lost)
    return outcome


async def _more(acknowledged: Acknowledged, loading: asyncio.Task[None]) -> None:
    """Wait until another batch is acknowledged."""
    acknowledged.more.clear()
    waiting = asyncio.ensure_future(acknowledged.more.wait())
    done, _ = await asyncio.wait(
        {waiting, loading}, timeout=_PROGRESS_S_MAX, return_when=asyncio.FIRST_COMPLETED
    )
    waiting.cancel()
    if loading.done():
        await loading
    if not done or loading.done():
        raise AssertionError("the loader makes no progress")


async def _load_until(
    world: World, acknowledged: Acknowledged, outcome: Outcome, over: Callable[[], bool]
) -> None:
    """Run loaders, a new one where the last could not go on, until all is loaded."""
    task = asyncio.current_task()
    # Asked, not only caught: a connection that is lost meanwhile takes the cancellation's place.
    while task is not None and not task.cancelling():
        last = over()
        try:
            await run(world.settings(), open_sink=acknowledged.sink)
        except CONNECTION_LOST:
            outcome.restarts_of_the_loader += 1
            continue
        if last:
            return
