"""Claims of staging that came to an end, which retention deletes where production has them.

Staging keeps each claim as it was submitted, and is read again only for what waits or failed. What
production never had, because it was cancelled or only a test, is never deleted: it is nowhere else,
and a legal hold may name it. What production has given up since, to an archive or for good, stays
while the tenant has a hold in force.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Final

import asyncpg

from loader.link import connect
from loader.shards.fenced import is_fenced
from loader.source import tenant_transaction
from loader.storage.month import Month
from loader.storage.owner import STAGING_SETTING, StorageError, owns

_ENDED: Final = "('completed', 'needs_review', 'failed', 'cancelled')"


@asynccontextmanager
async def staging_session(url: str | None) -> AsyncIterator[asyncpg.Connection | None]:
    """Connect to staging as the owner of its tables, or yield None where no URL is given.

    Raises:
        StorageError: It is no staging database, or the role does not own the tables.
    """
    if url is None:
        yield None
        return
    connection = await connect(url, STAGING_SETTING)
    try:
        if not await owns(connection, "claim_states"):
            raise StorageError(
                f"the database of {STAGING_SETTING} has no tables of staging; name that one, or "
                "run `claimgate migrate staging`"
            )
        yield connection
    finally:
        await connection.close()


_MONTHS: Final = f"""
SELECT date_trunc('month', processed_at AT TIME ZONE 'UTC')::date AS month, count(*) AS claims
FROM claim_states
WHERE tenant_id = $1 AND status IN {_ENDED}
    AND processed_at < $2::date::timestamp AT TIME ZONE 'UTC'
GROUP BY 1 ORDER BY 1
"""  # noqa: S608 - the statuses stand above


async def ended(staging: asyncpg.Connection, tenant: str, until: date) -> list[tuple[Month, int]]:
    """Return how many claims of a tenant ended in each month (UTC) before a day."""
    async with tenant_transaction(staging, tenant):
        rows = await staging.fetch(_MONTHS, tenant, until)
    return [(Month.of(row["month"]), row["claims"]) for row in rows]


@dataclass(frozen=True, slots=True)
class Taken:
    """What one step looked at."""

    last: int
    """The claim of staging that the next step goes on after."""
    deleted: int
    kept: int
    """Claims that production does not have, or not any longer while there is a hold."""


# One that is resubmitted meanwhile is locked, or waits again: it stays.
_CHOSEN: Final = f"""
SELECT s.staging_id, c.claim_id, c.claim_version, c.content_sha256
FROM claim_states AS s
JOIN claims AS c ON c.tenant_id = s.tenant_id AND c.staging_id = s.staging_id
WHERE s.tenant_id = $1 AND s.staging_id > $4 AND s.status IN {_ENDED}
    AND s.processed_at >= $2::date::timestamp AT TIME ZONE 'UTC'
    AND s.processed_at < ($2::date + interval '1 month') AT TIME ZONE 'UTC'
ORDER BY s.staging_id LIMIT $3 FOR UPDATE OF s SKIP LOCKED
"""  # noqa: S608 - the statuses stand above
_IN_PRODUCTION: Final = """
SELECT asked.staging_id
FROM unnest($2::bigint[], $3::text[], $4::integer[], $5::bytea[])
    AS asked (staging_id, claim_id, claim_version, content)
CROSS JOIN (
    SELECT EXISTS (SELECT FROM legal_holds WHERE tenant_id = $1 AND released_at IS NULL) AS any
) AS held
WHERE EXISTS (
    SELECT FROM claim_keys AS k WHERE k.tenant_id = $1 AND k.claim_id = asked.claim_id
        AND k.claim_version = asked.claim_version AND k.content_sha256 = asked.content
        AND (NOT held.any OR EXISTS (
            SELECT FROM claims AS c WHERE c.tenant_id = $1 AND c.claim_id = k.claim_id
                AND c.claim_version = k.claim_version AND c.service_from_date = k.service_from_date
        ))
) OR EXISTS (
    SELECT FROM failed_claims AS f WHERE f.tenant_id = $1 AND f.claim_id = asked.claim_id
        AND f.claim_version = asked.claim_version
        AND asked.content IN (f.content_sha256, f.resubmitted_sha256)
)
"""
_DELETE: Final = (
    "DELETE FROM claim_states WHERE tenant_id = $1 AND staging_id = ANY ($2)",
    "DELETE FROM claims WHERE tenant_id = $1 AND staging_id = ANY ($2)",
)


# The lock that placing a hold takes, for longer than a transaction: a hold that is being placed
# waits for the step, and the next one sees it.
_HOLDS: Final = "hashtextextended('claimgate.legal_holds|' || $1, 0)"


@asynccontextmanager
async def _holds_wait(production: asyncpg.Connection, tenant: str) -> AsyncIterator[None]:
    await production.execute(f"SELECT pg_advisory_lock({_HOLDS})", tenant)
    try:
        yield
    finally:
        await production.execute(f"SELECT pg_advisory_unlock({_HOLDS})", tenant)


async def take(
    staging: asyncpg.Connection,
    production: asyncpg.Connection,
    tenant: str,
    month: Month,
    *,
    after: int,
    most: int,
    record: Callable[[int, int], Awaitable[None]],
) -> Taken | None:
    """Delete what production has of a tenant's next claims that ended in a month.

    `record` writes how many are deleted and kept, before they are: what is deleted is always
    written, and a step that was interrupted may be written twice.

    Returns:
        What was done; None where no claim is left after `after`.

    Raises:
        StorageError: The shard is being moved.
    """
    try:
        async with _holds_wait(production, tenant), tenant_transaction(staging, tenant):
            rows = await staging.fetch(_CHOSEN, tenant, month.first, most, after)
            if not rows:
                return None
            columns = zip(*(tuple(row) for row in rows), strict=True)
            found = await production.fetch(
                _IN_PRODUCTION, tenant, *(list(each) for each in columns)
            )
            there = [row["staging_id"] for row in found]
            taken = Taken(rows[-1]["staging_id"], len(there), len(rows) - len(there))
            await record(taken.deleted, taken.kept)
            for statement in _DELETE:
                await staging.execute(statement, tenant, there)
    except asyncpg.PostgresError as error:
        if is_fenced(error):
            raise StorageError(f"claims of {tenant} stay: {error}") from error
        raise
    return taken
