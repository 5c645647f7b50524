"""Which loader works on what: a living one keeps its claims, those of a dead one go back.

A claim carries its holder and a time; a loader says in one row of its own that it lives. A lease
has run out when its time is over and its holder is not alive. So a loader with 100,000 claims on
loan says so by one row, and a lease can be short.
"""

import os
import socket
from collections.abc import Sequence
from typing import Final, NamedTuple, cast
from uuid import uuid4

from loader.failpoints import failpoint
from loader.source import LOCK_QUEUE, Connection, rows_of, tenant_transaction

_SAY_ALIVE: Final = """
INSERT INTO loaders (tenant_id, owner, alive_until)
VALUES ($1, $2, clock_timestamp() + $3 * interval '1 second')
ON CONFLICT (tenant_id, owner) DO UPDATE SET alive_until = excluded.alive_until
"""
# A row that somebody holds a lock on is being finished or given back: its loader lives after all.
_TAKE_OVER: Final = """
UPDATE claim_states AS s
SET status = 'pending', lease_owner = NULL, lease_until = NULL, updated_at = now()
FROM (
    SELECT ctid AS place FROM claim_states AS lent
    WHERE tenant_id = $1 AND status = 'processing' AND lease_until < now() AND NOT EXISTS (
        SELECT FROM loaders AS holder
        WHERE holder.tenant_id = $1 AND holder.owner = lent.lease_owner
            AND holder.alive_until >= now()
    )
    FOR UPDATE SKIP LOCKED
) AS left_over
WHERE s.ctid = left_over.place
"""
_DEAD: Final = "SELECT owner FROM loaders WHERE tenant_id = $1 AND alive_until < now()"
# Of one's own role alone: that needs no right.
_FENCE: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = ANY ($1::text[]) AND usename = current_user AND pid <> pg_backend_pid()
"""
_FORGET_DEAD: Final = "DELETE FROM loaders WHERE tenant_id = $1 AND alive_until < now()"
_LEAVE: Final = "DELETE FROM loaders WHERE tenant_id = $1 AND owner = $2"
_STANDING: Final = """
SELECT EXISTS (SELECT FROM claim_states WHERE tenant_id = $1 AND status = 'pending'),
    EXISTS (SELECT FROM claim_states WHERE tenant_id = $1 AND status = 'processing')
"""


def new_owner() -> str:
    """Return a name for a loader of this process: machine, process, and a part by chance."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


_OWNER_KEPT: Final = 40
"""The end of it holds the process and a random part."""


class Standing(NamedTuple):
    """What is left of a tenant's queue."""

    pending: bool
    """Claims wait to be leased."""

    lent: bool
    """Claims are on loan."""


async def say_alive(connection: Connection, tenant: str, owner: str, *, seconds: float) -> None:
    """Keep what `owner` holds for so long; it has to say so again before that is over."""
    failpoint("beat")
    async with tenant_transaction(connection, tenant):
        await connection.execute(_SAY_ALIVE, tenant, owner, seconds)


async def leave(connection: Connection, tenant: str, owner: str) -> None:
    """Say that `owner` is gone."""
    async with tenant_transaction(connection, tenant):
        await connection.execute(_LEAVE, tenant, owner)


def session_of(owner: str) -> str:
    """Return what a loader's sessions are called, within what Postgres keeps of such a name."""
    return f"claimgate-loader {owner[-_OWNER_KEPT:]}"


async def dead(connection: Connection, tenant: str) -> list[str]:
    """Return the loaders that said too long ago that they live."""
    async with tenant_transaction(connection, tenant):
        return [row["owner"] for row in await connection.fetch(_DEAD, tenant)]


async def fence(connection: Connection, owners: Sequence[str]) -> int:
    """End the sessions of dead loaders in production; return how many.

    A process that is halted in the middle of a COPY keeps its transaction open, and no time-out of
    the server ends it: whoever takes its claims over would wait for the locks on their keys.
    """
    return cast("int", await connection.fetchval(_FENCE, [session_of(owner) for owner in owners]))


async def take_over(connection: Connection, tenant: str) -> int:
    """Put claims whose lease has run out back into the queue; return how many."""
    async with tenant_transaction(connection, tenant):
        await connection.execute(LOCK_QUEUE, tenant)
        taken = rows_of(await connection.execute(_TAKE_OVER, tenant))
        await connection.execute(_FORGET_DEAD, tenant)
        failpoint("take_over.commit")
    return taken


async def look(connection: Connection, tenant: str) -> Standing:
    """Tell whether claims are pending, and whether any are on loan."""
    async with tenant_transaction(connection, tenant):
        [row] = await connection.fetch(_STANDING, tenant)
    return Standing(*row)
