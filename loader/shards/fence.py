"""The fence that a move puts round a shard's rows: the databases refuse what is written."""

from typing import Final, Literal, NamedTuple

import asyncpg

from loader.source import Connection, tenant_transaction

State = Literal["receiving", "draining", "closed", "verified", "moved", "open"]
"""Where a move stands in one database: at the source `draining`, `closed`, `verified`, `moved`; at
the target `receiving`, `open`. A shard that was never moved is open too."""

_READ: Final = "SELECT state, source, target FROM shard_fences WHERE tenant_id = $1"
# A loader that is halted in the middle of a load lets nobody else go on for as long.
_PATIENCE: Final = "SET LOCAL lock_timeout = '60s'"
# Alone under the lock that every writer shares: what was let through has ended by then.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('claimgate.shard|' || $1, 0))"
_SET: Final = """
INSERT INTO shard_fences (tenant_id, state, source, target) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id) DO UPDATE SET state = excluded.state, source = excluded.source,
    target = excluded.target, changed_at = now()
"""


class Fence(NamedTuple):
    """Where a move stands for one tenant in one database."""

    state: State = "open"
    source: str = ""
    target: str = ""


async def read_fence(connection: Connection, tenant: str) -> Fence:
    """Return where a move stands in a database."""
    async with tenant_transaction(connection, tenant):
        row = await connection.fetchrow(_READ, tenant)
    return Fence(*row) if row else Fence()


async def set_fence(connection: Connection, tenant: str, fence: Fence) -> None:
    """Set a fence, as the owner of the tables; whoever was let through before has ended by then.

    Raises:
        OSError: A writer did not end.
    """
    try:
        await _set_fence(connection, tenant, fence)
    except asyncpg.LockNotAvailableError:
        raise OSError(
            "a session has been writing for a minute and does not end; end the loader that is "
            "halted, and move again"
        ) from None


async def _set_fence(connection: Connection, tenant: str, fence: Fence) -> None:
    async with tenant_transaction(connection, tenant):
        await connection.execute(_PATIENCE)
        await connection.execute(_LOCK, tenant)
        await connection.execute(_SET, tenant, *fence)
