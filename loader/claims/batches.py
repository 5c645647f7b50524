"""Batches of submitters in staging: how far they are, and an end for what waits of them.

Every function is called in a transaction of the tenant, by the commands and by the service.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import asyncpg

from loader.failed.filter import FieldError
from loader.failed.words import AS_PRINCIPAL
from loader.source import LOCK_QUEUE

if TYPE_CHECKING:
    from loader.source import AnyConnection as Connection

REASON_MAX: Final = 500
"""Most characters of why a batch is cancelled."""
_OPEN: Final = ("pending", "processing")
_KEYS_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class BatchState:
    """A batch as staging has it."""

    batch_id: str
    statuses: dict[str, int]
    """Claims by status."""
    first_at: datetime
    """When the first claim was taken in."""
    last_at: datetime | None
    """When a claim came to its end last."""

    @property
    def claims(self) -> int:
        """All claims."""
        return sum(self.statuses.values())

    @property
    def left(self) -> int:
        """Claims that have not come to their end."""
        return sum(self.statuses.get(status, 0) for status in _OPEN)

    @property
    def ended(self) -> bool:
        """Whether nothing of it waits or is under way."""
        return self.left == 0


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Who ended how many waiting claims of a batch, when and why."""

    claims: int
    reason: str
    cancelled_by: str
    cancelled_at: datetime


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What became of a batch that was cancelled."""

    cancelled: int
    """Claims that this call cancelled."""
    state: BatchState


class NoSuchBatchError(LookupError):
    """The tenant has no claim of this batch in staging."""

    def __init__(self) -> None:
        super().__init__("staging has no claim of this batch; `claimgate batches list` shows them")


async def batch_state(connection: "Connection", tenant: str, batch_id: str) -> BatchState:
    """Return how a batch stands.

    Raises:
        NoSuchBatchError: there is none.
    """
    found = _states(await connection.fetch(_STATE, tenant, batch_id))
    if not found:
        raise NoSuchBatchError
    return found[0]


async def list_batches(
    connection: "Connection", tenant: str, *, running: bool = False, limit: int = 50
) -> list[BatchState]:
    """Return batches, the latest first; `running`: those that have not ended."""
    return _states(await connection.fetch(_LIST, tenant, running, limit))


async def cancellations(connection: "Connection", tenant: str, batch_id: str) -> list[Cancellation]:
    """Return the cancellations of a batch, the first first."""
    rows = await connection.fetch(_CANCELLATIONS, tenant, batch_id)
    return [Cancellation(*row) for row in rows]


async def cancel_batch(
    connection: "Connection", tenant: str, batch_id: str, *, by: str, reason: str
) -> Cancelled:
    """End what waits of a batch; what a loader holds ends as it ends. May be repeated.

    The lock is that of leasing: a claim is either leased or cancelled, and nobody waits for both.

    Raises:
        NoSuchBatchError: there is none.
        FieldError: there is no reason, or a longer one.
    """
    reason = reason.strip()
    if not 1 <= len(reason) <= REASON_MAX:
        raise FieldError("reason", f"1 to {REASON_MAX} characters, without patient data")
    await connection.execute(AS_PRINCIPAL, by)
    await connection.execute(LOCK_QUEUE, tenant)
    cancelled: int = await connection.fetchval(_CANCEL, tenant, batch_id)
    if cancelled:
        await connection.execute(_RECORD, tenant, batch_id, cancelled, reason, by)
    return Cancelled(cancelled, await batch_state(connection, tenant, batch_id))


async def decisions(
    staging: "Connection", production: "Connection", tenant: str, batch_id: str
) -> dict[str, int]:
    """Return the decisions on the claims of a batch that production has, the last of each claim.

    Both connections are in a transaction of the tenant.
    """
    rows = await staging.fetch(_LOADED, tenant, batch_id)
    counts: dict[str, int] = {}
    for first in range(0, len(rows), _KEYS_AT_ONCE):
        for decision, claims in await _decided(production, tenant, rows[first:][:_KEYS_AT_ONCE]):
            counts[decision] = counts.get(decision, 0) + claims
    return counts


async def _decided(
    production: "Connection", tenant: str, keys: Sequence[asyncpg.Record]
) -> list[asyncpg.Record]:
    return await production.fetch(
        _DECISIONS,
        tenant,
        [key["claim_id"] for key in keys],
        [key["claim_version"] for key in keys],
        [key["content_sha256"] for key in keys],
    )


def _states(rows: Sequence[asyncpg.Record]) -> list[BatchState]:
    """Gather the rows of each batch: one for each status."""
    gathered: dict[str, list[asyncpg.Record]] = {}
    for row in rows:
        gathered.setdefault(row["batch_id"], []).append(row)
    return [
        BatchState(
            batch_id,
            {row["status"]: row["claims"] for row in mine},
            min(row["first_at"] for row in mine),
            max((row["last_at"] for row in mine if row["last_at"]), default=None),
        )
        for batch_id, mine in gathered.items()
    ]


# States are found one by one (LATERAL ... OFFSET 0), whatever the planner believes of a batch.
_STATE: Final = """
SELECT c.batch_id, s.status, count(*) AS claims, min(c.created_at) AS first_at,
    max(s.processed_at) AS last_at
FROM claims AS c CROSS JOIN LATERAL (
    SELECT status, processed_at FROM claim_states
    WHERE tenant_id = $1 AND staging_id = c.staging_id
    OFFSET 0
) AS s
WHERE c.tenant_id = $1 AND c.batch_id = $2 AND c.batch_id <> ''
GROUP BY c.batch_id, s.status
ORDER BY s.status
"""
_LIST: Final = """
WITH counted AS MATERIALIZED (
    SELECT c.batch_id, s.status, count(*) AS claims, min(c.created_at) AS first_at,
        max(s.processed_at) AS last_at, max(c.staging_id) AS last_staged
    FROM claims AS c
    JOIN claim_states AS s ON s.tenant_id = c.tenant_id AND s.staging_id = c.staging_id
    WHERE c.tenant_id = $1 AND c.batch_id <> ''
    GROUP BY c.batch_id, s.status
), shown AS (
    SELECT batch_id, max(last_staged) AS place FROM counted
    GROUP BY batch_id
    HAVING NOT $2 OR bool_or(status IN ('pending', 'processing'))
    ORDER BY place DESC LIMIT $3
)
SELECT counted.* FROM shown JOIN counted USING (batch_id) ORDER BY shown.place DESC, status
"""
_CANCELLATIONS: Final = """
SELECT claims, reason, cancelled_by, cancelled_at FROM batch_cancellations
WHERE tenant_id = $1 AND batch_id = $2 ORDER BY cancellation_id
"""
_CANCEL: Final = """
WITH cancelled AS (
    UPDATE claim_states AS s
    SET status = 'cancelled', updated_at = now(), processed_at = now()
    FROM (
        SELECT theirs.place FROM claims AS c CROSS JOIN LATERAL (
            SELECT s.ctid AS place FROM claim_states AS s
            WHERE s.tenant_id = $1 AND s.staging_id = c.staging_id AND s.status = 'pending'
            OFFSET 0
        ) AS theirs
        WHERE c.tenant_id = $1 AND c.batch_id = $2 AND c.batch_id <> ''
    ) AS waiting
    WHERE s.ctid = waiting.place AND s.status = 'pending'
    RETURNING true
)
SELECT count(*)::integer FROM cancelled
"""
_RECORD: Final = """
INSERT INTO batch_cancellations (tenant_id, batch_id, claims, reason, cancelled_by)
VALUES ($1, $2, $3, $4, $5)
"""
_LOADED: Final = """
SELECT c.claim_id, c.claim_version, c.content_sha256
FROM claims AS c CROSS JOIN LATERAL (
    SELECT status FROM claim_states WHERE tenant_id = $1 AND staging_id = c.staging_id OFFSET 0
) AS s
WHERE c.tenant_id = $1 AND c.batch_id = $2 AND c.batch_id <> ''
    AND s.status IN ('completed', 'needs_review')
"""
_DECISIONS: Final = """
SELECT r.decision, count(*)::integer AS claims
FROM unnest($2::text[], $3::integer[], $4::bytea[]) AS wanted (claim_id, claim_version, content)
CROSS JOIN LATERAL (
    SELECT service_from_date FROM claim_keys
    WHERE tenant_id = $1 AND claim_id = wanted.claim_id AND claim_version = wanted.claim_version
        AND content_sha256 = wanted.content
    OFFSET 0
) AS k
CROSS JOIN LATERAL (
    SELECT decision FROM claim_results AS r
    WHERE r.tenant_id = $1 AND r.service_from_date = k.service_from_date
        AND r.claim_id = wanted.claim_id AND r.claim_version = wanted.claim_version
    ORDER BY result_no DESC LIMIT 1
) AS r
GROUP BY r.decision
"""
