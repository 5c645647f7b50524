"""Failed claims as the load transaction sees them: what failed is written, what loads is resolved.

Everything here happens in the transaction that loads a batch, so that a claim is never both loaded
and open, nor neither. A failure counts as a retry only while its row says `resubmitted`: whoever
says the same again, after a kill or a lost reply, finds it `open` and changes no count.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg
from claimgate.v1 import claim_pb2

from loader.failed.backoff import Backoff
from loader.failed.words import LOADER, RETRIED_BY_ITSELF, Category, FailedStatus
from loader.rows import FailedClaim, LoadClaim
from loader.source import Connection, storable

_CENTS_MAX: Final = 10**15 - 1
_FACILITY_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Open:
    """A row that is there, as far as the next one depends on it."""

    content_sha256: bytes
    resubmitted_sha256: bytes | None
    status: FailedStatus
    retries: int
    attempts: int
    assigned: bool

    @classmethod
    def of(cls, row: asyncpg.Record) -> "Open":
        """Return a row of the database."""
        return cls(
            row["content_sha256"],
            row["resubmitted_sha256"],
            FailedStatus(row["status"]),
            row["retries"],
            row["attempts"],
            bool(row["assignee"]),
        )


async def write_failed(
    connection: Connection,
    tenant: str,
    batch_id: UUID,
    failed: Sequence[FailedClaim],
    backoff: Backoff,
) -> None:
    """Keep the claims that failed, each with all its reasons, and when each is tried again.

    A repaired claim that fails again goes to the row of the claim that was repaired.
    """
    if not failed:
        return
    there = await _there(connection, tenant, failed)
    rows = [_row(item, there, backoff) for item in failed]
    await connection.executemany(_WRITE, [(tenant, batch_id, *row) for row in rows])


async def resolve_loaded(
    connection: Connection, tenant: str, batch_id: UUID, held: Sequence[LoadClaim]
) -> None:
    """Resolve the failed claims whose id and version production holds from now on.

    Args:
        connection: Its temporary table `load_claims` has the claims that were new.
        tenant: Whose claims.
        batch_id: The load.
        held: Claims that production had before, with this very content.
    """
    if not await connection.fetchval(_ANY_UNSETTLED, tenant):
        return
    await connection.execute(_RESOLVE_NEW, tenant, batch_id, LOADER)
    if held:
        leased = [item.leased for item in held]
        await connection.execute(
            _RESOLVE_HELD,
            tenant,
            batch_id,
            LOADER,
            [item.claim_id for item in leased],
            [item.claim_version for item in leased],
            [item.content_sha256 for item in leased],
        )


_Rows = dict[tuple[str, int], list[Open]]


async def _there(connection: Connection, tenant: str, failed: Iterable[FailedClaim]) -> _Rows:
    """Lock and return the rows that there are under the ids and versions of these claims."""
    keys = sorted({(item.leased.claim_id, item.leased.claim_version) for item in failed})
    ids, versions = [key[0] for key in keys], [key[1] for key in keys]
    found: _Rows = {}
    for row in await connection.fetch(_THERE, tenant, ids, versions):
        found.setdefault((row["claim_id"], row["claim_version"]), []).append(Open.of(row))
    return found


def _row(failed: FailedClaim, there: _Rows, backoff: Backoff) -> tuple[object, ...]:
    """Return the row of a claim that failed, given the rows that are there."""
    leased = failed.leased
    before = _before(leased.content_sha256, there.get((leased.claim_id, leased.claim_version), []))
    status, retries, wait = next_step(failed, before, backoff)
    again = before is not None and before.status is FailedStatus.RESUBMITTED
    return (
        leased.claim_id,
        leased.claim_version,
        before.content_sha256 if before else leased.content_sha256,
        failed.category,
        failed.stage,
        storable(json.dumps(failed.reasons, ensure_ascii=False)),
        leased.payload_encrypted,
        leased.attempts + (before.attempts if before and again else 0),
        facility_of(failed.claim),
        charge_of(failed),
        status,
        retries,
        wait,
    )


def _before(content: bytes, rows: Sequence[Open]) -> Open | None:
    """Return the row that a content belongs to: the one that resubmitted it, or its own.

    A claim may be repaired to what its submitter has sent too, and what failed as well.
    """
    repaired = [row for row in rows if row.resubmitted_sha256 == content]
    waiting = [row for row in repaired if row.status is FailedStatus.RESUBMITTED]
    own = [row for row in rows if row.content_sha256 == content]
    return next(iter([*waiting, *own, *repaired]), None)


def next_step(
    failed: FailedClaim, before: Open | None, backoff: Backoff
) -> tuple[FailedStatus | None, int, object]:
    """Return status, retries and wait of a claim that failed; no status: all three stay."""
    by_itself = failed.category in RETRIED_BY_ITSELF
    if before is None:
        return FailedStatus.OPEN, 0, backoff.wait(0) if by_itself else None
    if before.status is not FailedStatus.RESUBMITTED:
        return None, before.retries, None
    retries = before.retries + 1
    if backoff.dead(retries):
        return FailedStatus.DEAD, retries, None
    status = FailedStatus.ASSIGNED if before.assigned else FailedStatus.OPEN
    return status, retries, backoff.wait(retries) if by_itself else None


def facility_of(claim: claim_pb2.Claim | None) -> str:
    """Return the facility of a claim that could be read."""
    return storable(claim.facility_id)[:_FACILITY_MAX] if claim else ""


def charge_of(failed: FailedClaim) -> int:
    """Return the money at risk: the total charge, or the lines' sum where the total is none."""
    claim, total = failed.claim, failed.leased.total_charge_cents
    if claim is not None:
        total = claim.total_charge_cents
        if total <= 0:
            total = sum(max(line.charge_cents, 0) for line in claim.lines)
    return min(max(total, 0), _CENTS_MAX)


async def kept_as_failed(
    connection: Connection, tenant: str, claims: Sequence[LoadClaim]
) -> list[FailedClaim]:
    """Return claims as the failures that they are kept as, in their order.

    One that was resubmitted since is kept as no failure: it is to be tried again.
    """
    if not claims:
        return []
    leased = [item.leased for item in claims]
    rows = await connection.fetch(
        _KEPT,
        tenant,
        [item.claim_id for item in leased],
        [item.claim_version for item in leased],
        [item.content_sha256 for item in leased],
    )
    return [
        FailedClaim(
            claims[row["place"] - 1].leased,
            Category(row["failure_category"]),
            row["processing_stage"],
            json.loads(row["reasons"]),
            claims[row["place"] - 1].opened.claim(),
        )
        for row in rows
    ]


_KEPT: Final = """
SELECT given.place, f.failure_category, f.processing_stage, f.reasons
FROM unnest($2::text[], $3::integer[], $4::bytea[])
    WITH ORDINALITY AS given (claim_id, claim_version, content, place)
JOIN failed_claims AS f ON f.tenant_id = $1 AND f.claim_id = given.claim_id
    AND f.claim_version = given.claim_version
    AND given.content IN (f.content_sha256, f.resubmitted_sha256) AND f.status <> 'resubmitted'
ORDER BY given.place
"""
_THERE: Final = """
SELECT f.claim_id, f.claim_version, f.content_sha256, f.resubmitted_sha256, f.status, f.retries,
    f.attempts, f.assignee
FROM failed_claims AS f
JOIN unnest($2::text[], $3::integer[]) AS wanted (claim_id, claim_version)
    ON f.claim_id = wanted.claim_id AND f.claim_version = wanted.claim_version
WHERE f.tenant_id = $1
ORDER BY f.claim_id, f.claim_version, f.content_sha256
FOR UPDATE OF f
"""
_WRITE: Final = """
INSERT INTO failed_claims AS f (tenant_id, batch_id, claim_id, claim_version, content_sha256,
    failure_category, processing_stage, reasons, payload_encrypted, attempts, facility_id,
    charge_cents, status, retries, next_attempt_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10, $11, $12, coalesce($13, 'open'), $14,
    now() + $15::interval)
ON CONFLICT (tenant_id, claim_id, claim_version, content_sha256) DO UPDATE
SET batch_id = excluded.batch_id, failure_category = excluded.failure_category,
    processing_stage = excluded.processing_stage, reasons = excluded.reasons,
    attempts = excluded.attempts, updated_at = now(), retries = excluded.retries,
    status = coalesce($13, f.status),
    next_attempt_at = CASE WHEN $13::text IS NULL THEN f.next_attempt_at
        ELSE excluded.next_attempt_at END,
    lease_owner = CASE WHEN $13::text IS NULL THEN f.lease_owner END,
    lease_until = CASE WHEN $13::text IS NULL THEN f.lease_until END,
    -- What a repair has made readable says more than a payload that could not be read.
    facility_id = coalesce(nullif(excluded.facility_id, ''), f.facility_id),
    charge_cents = greatest(excluded.charge_cents, f.charge_cents)
"""
# Found one by one (LATERAL ... OFFSET 0), whatever the planner believes of a tenant's size. Where
# other content was there first, what is loaded under the key resolves nothing.
_ANY_UNSETTLED: Final = """
SELECT EXISTS (SELECT FROM failed_claims WHERE tenant_id = $1 AND status <> 'resolved')
"""
_RESOLVE: Final = """
WITH loaded AS MATERIALIZED (
    SELECT theirs.failed_id, CASE WHEN theirs.content_sha256 = given.content THEN 'reloaded'
        WHEN theirs.resubmitted_sha256 = given.content THEN 'corrected'
        ELSE 'superseded' END AS resolution
    FROM {given} AS given (claim_id, claim_version, content)
    CROSS JOIN LATERAL (
        SELECT failed_id, content_sha256, resubmitted_sha256, failure_category
        FROM failed_claims
        WHERE tenant_id = $1 AND claim_id = given.claim_id AND claim_version = given.claim_version
            AND status <> 'resolved'
        OFFSET 0
    ) AS theirs
    WHERE theirs.failure_category <> 'conflict'
        OR given.content IN (theirs.content_sha256, theirs.resubmitted_sha256)
)
UPDATE failed_claims AS f
SET status = 'resolved', resolution = loaded.resolution, resolved_at = now(), resolved_by = $3,
    resolved_batch_id = $2, next_attempt_at = NULL, lease_owner = NULL, lease_until = NULL,
    updated_at = now()
FROM loaded
WHERE f.tenant_id = $1 AND f.failed_id = loaded.failed_id AND f.status <> 'resolved'
"""
_RESOLVE_NEW: Final = _RESOLVE.format(
    given="(SELECT claim_id, claim_version, content_sha256 FROM load_claims)"
)
_RESOLVE_HELD: Final = _RESOLVE.format(given="unnest($4::text[], $5::integer[], $6::bytea[])")
