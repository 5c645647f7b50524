"""A shard is moved to another pair of databases while everything else goes on.

    draining -> closed -> copied -> verified -> handed over -> opened at the target -> moved

The whole shard is moved, and not some of its buckets: so the commit numbers, watermarks and
counts by which its claims were judged stay true. Where a move stands is written in the databases
themselves, in `shard_fences`, before the next step begins. A move that was killed is gone on with
by the same call, from the step that it had reached.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loader.leases import take_over
from loader.link import connect
from loader.migrate import current
from loader.shards.archives import check_archives, copy_archives
from loader.shards.copying import advance_sequences, copy_table, differing, make_months
from loader.shards.directory import Shard, hand_over, read_directory
from loader.shards.fence import Fence, State, read_fence, set_fence
from loader.shards.removal import remove_rows
from loader.shards.tables import MoveError, Pair, is_empty, tables_of
from loader.source import Connection, rows_of, tenant_transaction

_LOOK_AGAIN_S: Final = 0.1
# `claimgate storage` moves months, and a backup reads them, under the second lock.
_LOCK: Final = """
SELECT pg_try_advisory_lock(hashtextextended('claimgate.move', 0))
    AND pg_try_advisory_lock(hashtextextended('claimgate.storage', 0))
"""
_LEASED: Final = "SELECT count(*) FROM claim_states WHERE tenant_id = $1 AND status = 'processing'"
_TAKE_BACK: Final = """
UPDATE claim_states
SET status = 'pending', lease_owner = NULL, lease_until = NULL, updated_at = now()
WHERE tenant_id = $1 AND status = 'processing'
"""


@dataclass(frozen=True, slots=True)
class Moved:
    """Something that a move has done."""

    step: str
    """In this order: receiving, draining, taken_back, drained, closed, copied, verified,
    handed_over, opened, moved; or cancelled."""
    tenant: str = ""
    table: str = ""
    rows: int = 0


Tell = Callable[[Moved], None]


@dataclass(frozen=True, slots=True)
class Move:
    """One move: from where to where, for which tenants."""

    file: Path
    source: Shard
    target: Shard
    tenants: tuple[str, ...]
    giving: Pair
    taking: Pair

    async def run(self, tell: Tell, *, drain_s: float) -> None:
        """Take every tenant from the step that it has reached to the end."""
        for tenant in self.tenants:
            if (await self._reached(tenant)).state == "open":
                await self._begin(tenant, tell)
        for tenant in self.tenants:
            if (await self._reached(tenant)).state == "draining":
                await self._drain(tenant, tell, drain_s)
                await self._close(tenant, tell)
        for tenant in self.tenants:
            if (await self._reached(tenant)).state == "closed":
                await self._copy(tenant, tell)
                await self._verify(tenant, tell)
        hand_over(self.file, self.source.name, self.target.name)
        tell(Moved("handed_over"))
        for tenant in self.tenants:
            if (await self._reached(tenant)).state == "verified":
                await self._open(tenant, tell)

    async def _reached(self, tenant: str) -> Fence:
        """Return where the move stands; the source's staging has the record of it."""
        fence = await read_fence(self.giving.staging, tenant)
        if fence.state == "receiving" or (
            fence.state != "open" and fence[1:] != (self.source.name, self.target.name)
        ):
            raise MoveError(
                f"{self.source.name} is {fence.state} in a move from {fence.source} to "
                f"{fence.target}; end that one first"
            )
        return fence

    def _fence(self, state: State) -> Fence:
        return Fence(state, self.source.name, self.target.name)

    async def _begin(self, tenant: str, tell: Tell) -> None:
        """Shut the target to all others, and stop new claims and leases at the source."""
        for name, database in self.taking._asdict().items():
            fence = await read_fence(database, tenant)
            if fence.state not in {"open", "moved"} and fence != self._fence("receiving"):
                raise MoveError(f"{self.target.name} is {fence.state} in another move")
            if not await is_empty(database, tenant):
                raise MoveError(
                    f"the {name} of {self.target.name} holds rows of tenant {tenant} already; "
                    "expected none"
                )
        for database in self.taking:
            await set_fence(database, tenant, self._fence("receiving"))
        tell(Moved("receiving", tenant))
        await set_fence(self.giving.staging, tenant, self._fence("draining"))
        tell(Moved("draining", tenant))

    async def _drain(self, tenant: str, tell: Tell, drain_s: float) -> None:
        """Let loaders end what they have leased; after a time take the leases back.

        What is taken back is scored again at the target. Was it loaded meanwhile, production knows
        it by its key.
        """
        staging = self.giving.staging
        until = time.monotonic() + drain_s
        while await take_over(staging, tenant) or await _leased(staging, tenant):
            if time.monotonic() >= until:
                async with tenant_transaction(staging, tenant):
                    taken = rows_of(await staging.execute(_TAKE_BACK, tenant))
                tell(Moved("taken_back", tenant, rows=taken))
                break
            await asyncio.sleep(_LOOK_AGAIN_S)
        tell(Moved("drained", tenant))

    async def _close(self, tenant: str, tell: Tell) -> None:
        """Shut the source: production first, so that the record in staging says that both are."""
        await set_fence(self.giving.production, tenant, self._fence("closed"))
        await set_fence(self.giving.staging, tenant, self._fence("closed"))
        tell(Moved("closed", tenant))

    async def _copy(self, tenant: str, tell: Tell) -> None:
        """Copy what the target does not have yet."""
        await make_months(self.giving.production, self.taking.production)
        await copy_archives(self.giving.production, self.taking.production)
        for here, there in zip(self.giving, self.taking, strict=True):
            for table in await tables_of(here):

                def copied(rows: int, name: str = table.name) -> None:
                    tell(Moved("copied", tenant, name, rows))

                await copy_table(here, there, tenant, table, copied)
                await there.execute(f'ANALYZE "{table.name}"')
            await advance_sequences(here, there)

    async def _verify(self, tenant: str, tell: Tell) -> None:
        """Compare every row at both ends."""
        for here, there in zip(self.giving, self.taking, strict=True):
            if found := await differing(here, there, tenant, await tables_of(here)):
                said = ", ".join(f"{name} ({a} and {b} rows)" for name, (a, b) in found.items())
                raise MoveError(
                    f"the copy of tenant {tenant} differs in {said}; the source is shut and whole: "
                    "cancel the move, and move again"
                )
        await set_fence(self.giving.staging, tenant, self._fence("verified"))
        tell(Moved("verified", tenant))

    async def _open(self, tenant: str, tell: Tell) -> None:
        """Open the target, and mark the source as left; from here on nothing is copied again."""
        await set_fence(self.taking.production, tenant, self._fence("open"))
        await set_fence(self.taking.staging, tenant, self._fence("open"))
        tell(Moved("opened", tenant))
        await set_fence(self.giving.production, tenant, self._fence("moved"))
        await set_fence(self.giving.staging, tenant, self._fence("moved"))
        tell(Moved("moved", tenant))

    async def cancel(self, tell: Tell) -> None:
        """Open the source again, and empty the target; a move that was handed over is not undone.

        Raises:
            MoveError: It was handed over, or there is none.
        """
        found = False
        for tenant in self.tenants:
            if (await self._reached(tenant)).state == "moved" or not self.source.buckets:
                raise MoveError(f"{self.source.name} was handed over already; go on with the move")
            if await read_fence(self.taking.staging, tenant) == self._fence("receiving"):
                await self._cancel(tenant, tell)
                found = True
        if not found:
            raise MoveError(f"there is no move from {self.source.name} to {self.target.name}")

    async def _cancel(self, tenant: str, tell: Tell) -> None:
        """Open first the source's staging: with it goes the record that the source was shut."""
        for database in self.giving:
            await set_fence(database, tenant, self._fence("open"))
        for database in reversed(self.taking):
            await remove_rows(database, tenant, _not_told)
            await set_fence(database, tenant, self._fence("open"))
        tell(Moved("cancelled", tenant))


def _not_told(table: str, rows: int) -> None:
    """Let a removed piece pass."""


async def _leased(staging: Connection, tenant: str) -> int:
    async with tenant_transaction(staging, tenant):
        leased: int = await staging.fetchval(_LEASED, tenant)
    return leased


@asynccontextmanager
async def prepared(file: Path, source: str, target: str) -> AsyncIterator[Move]:
    """Open the four databases of a move, as their owner; no other move runs meanwhile.

    Raises:
        MoveError: The two are no pair that can be moved.
        DirectoryError: The directory cannot be used, or has no such shard.
        OSError: A database cannot be reached.
    """
    directory = read_directory(file)
    giving, taking = directory.named(source), directory.named(target)
    if source == target:
        raise MoveError(f"{source} is both source and target")
    if giving.buckets and taking.buckets:
        raise MoveError(f"{target} owns buckets; a shard is moved to one that owns none")
    async with AsyncExitStack() as stack:
        pairs = [await _pair(stack, shard) for shard in (giving, taking)]
        for kind in ("staging", "production"):
            here, there = [
                await current(shard.url(f"owner_{kind}_url")) for shard in (giving, taking)
            ]
            if here != there:
                raise MoveError(
                    f"{kind} is at revision {here} in {source} and at {there} in {target}; "
                    f"claimgate migrate {kind} brings both forward"
                )
        await check_archives(pairs[0].production)
        yield Move(file, giving, taking, directory.tenants, *pairs)


async def _pair(stack: AsyncExitStack, shard: Shard) -> Pair:
    """Open both databases of a shard; each is held against another move, and against itself."""
    opened = []
    for kind in ("staging", "production"):
        field = f"owner_{kind}_url"
        connection = await connect(shard.url(field), f"{field} of shard {shard.name}")
        stack.push_async_callback(connection.close)
        if not await connection.fetchval(_LOCK):
            raise MoveError(
                f"the {kind} of {shard.name} is in use by another move or by `claimgate storage`, "
                "or is the database of another shard too"
            )
        opened.append(connection)
    return Pair(*opened)
