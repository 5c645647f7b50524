"""The staging database: claims are put in, leased for scoring, and told what became of them."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

import asyncpg
from claimgate.v1 import claim_pb2

from loader.failpoints import failpoint
from loader.lookup import MEMBER
from loader.vault import Vault

Connection = asyncpg.Connection
if TYPE_CHECKING:
    # A plain connection, or one of a pool; asyncpg's classes take parameters in their stubs only.
    AnyConnection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )
Status = Literal["pending", "processing", "completed", "failed", "needs_review", "cancelled"]

PAYLOAD_COLUMN: Final = "claims.payload"
_CHUNK_CLAIMS: Final = 5_000
PRIORITY_MAX: Final = 9
HIGH_VALUE_PRIORITY: Final = 7
"""What a claim of high value gets at least; above it is room for what people ask for."""
_KEY_TEXT_MAX: Final = (
    200  # an index entry has a limit; a longer id is refused when the claim is scored
)


class Submitted(NamedTuple):
    """A claim and its place in the file that it came from."""

    claim: claim_pb2.Claim
    segment: int = 0


class Problem(Protocol):
    """What intake could not read."""

    @property
    def segment(self) -> int:
        """Place in the file."""

    @property
    def level(self) -> str:
        """`error` or `warning`."""

    @property
    def code(self) -> str:
        """Stable code of the check."""

    @property
    def message(self) -> str:
        """What was wrong and what was expected; never the value."""

    @property
    def claim_id(self) -> str:
        """The claim concerned, empty where unknown."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What became of submitted claims."""

    staged: int
    already_staged: int


class Sealed(NamedTuple):
    """A claim's key, and its content sealed for staging."""

    claim_id: str
    claim_version: int
    content_sha256: bytes
    payload_encrypted: bytes


class Leased(NamedTuple):
    """One claim on loan from staging."""

    staging_id: int
    claim_id: str
    claim_version: int
    content_sha256: bytes
    member_key: bytes
    attempts: int
    payload_encrypted: bytes
    total_charge_cents: int = 0


@asynccontextmanager
async def tenant_transaction(connection: Connection, tenant: str) -> AsyncIterator[None]:
    """Run a transaction that sees and writes the rows of one tenant only."""
    async with connection.transaction():
        await connection.execute("SELECT set_config('claimgate.tenant', $1, true)", tenant)
        yield


# Putting claims in.
# --------------------------------------------------------------------------------------------------

# COPY does not go into a table with row-level security: it goes into this one, and a merge takes
# it over.
_INCOMING: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_claims (
    ordinal integer, claim_id text, claim_version integer, content_sha256 bytea, priority smallint,
    member_key bytea, payload_encrypted bytea, received_date date, service_from_date date,
    service_to_date date, total_charge_cents bigint, line_count integer, batch_id text,
    source_segment integer
) ON COMMIT DELETE ROWS
"""

_STAGE: Final = """
WITH staged AS (
    INSERT INTO claims (tenant_id, claim_id, claim_version, content_sha256, payload_encrypted,
        received_date, service_from_date, service_to_date, total_charge_cents, line_count,
        batch_id, source_file, source_segment)
    SELECT $1, claim_id, claim_version, content_sha256, payload_encrypted,
        received_date, service_from_date, service_to_date, total_charge_cents, line_count,
        batch_id, $2, source_segment
    FROM incoming_claims
    ORDER BY ordinal
    ON CONFLICT ON CONSTRAINT claims_content DO NOTHING
    RETURNING staging_id, claim_id, claim_version, content_sha256
)
INSERT INTO claim_states (tenant_id, staging_id, priority, member_key)
SELECT DISTINCT ON (s.staging_id) $1, s.staging_id, i.priority, i.member_key
FROM staged AS s
JOIN incoming_claims AS i USING (claim_id, claim_version, content_sha256)
ORDER BY s.staging_id
"""

# A content that was cancelled and is submitted again waits again.
_SUBMIT_AGAIN: Final = """
UPDATE claim_states AS s
SET status = 'pending', attempts = 0, processed_at = NULL, updated_at = now()
FROM incoming_claims AS i CROSS JOIN LATERAL (
    SELECT staging_id FROM claims
    WHERE tenant_id = $1 AND claim_id = i.claim_id AND claim_version = i.claim_version
        AND content_sha256 = i.content_sha256
    OFFSET 0
) AS theirs
WHERE s.tenant_id = $1 AND s.staging_id = theirs.staging_id AND s.status = 'cancelled'
"""


async def stage_claims(
    connection: Connection,
    vault: Vault,
    tenant: str,
    claims: Iterable[Submitted],
    *,
    source_file: str = "",
    high_value_cents: int | None = None,
) -> Staged:
    """Put claims into staging; what is there already, content and all, is not put in again.

    What was cancelled there waits again, and counts as staged. A claim whose total charge is above
    `high_value_cents` has at least the priority of high value.
    """
    await connection.execute("SET client_min_messages = warning")
    await connection.execute(_INCOMING)
    submitted = staged = 0
    for chunk in _chunks(claims):
        rows = [
            _incoming(ordinal, item, vault, tenant, high_value_cents)
            for ordinal, item in enumerate(chunk)
        ]
        async with tenant_transaction(connection, tenant):
            await connection.copy_records_to_table("incoming_claims", records=rows)
            new = rows_of(await connection.execute(_STAGE, tenant, source_file))
            if new < len(rows):
                new += rows_of(await connection.execute(_SUBMIT_AGAIN, tenant))
        submitted += len(rows)
        staged += new
    return Staged(staged=staged, already_staged=submitted - staged)


def _chunks(claims: Iterable[Submitted]) -> Iterator[list[Submitted]]:
    """Cut a stream of claims into lists, so that memory stays bounded."""
    remaining = iter(claims)
    while chunk := list(islice(remaining, _CHUNK_CLAIMS)):
        yield chunk


def priority_of(claim: claim_pb2.Claim, high_value_cents: int | None = None) -> int:
    """Return the place of a claim in the queue, 1 to 9: its own, or a higher one by its value."""
    own = min(max(claim.priority, 1), PRIORITY_MAX)
    valued = high_value_cents is not None and claim.total_charge_cents > high_value_cents
    return max(own, HIGH_VALUE_PRIORITY) if valued else own


def _incoming(
    ordinal: int, item: Submitted, vault: Vault, tenant: str, high_value_cents: int | None
) -> tuple[object, ...]:
    """Return a claim's row; only what the queue needs stands in the open."""
    claim = item.claim
    payload = claim.SerializeToString(deterministic=True)
    content = sha256(payload).digest()
    return (
        ordinal,
        storable(claim.claim_id)[:_KEY_TEXT_MAX],
        claim.claim_version or 1,
        content,
        priority_of(claim, high_value_cents),
        vault.lookup(tenant, MEMBER, claim.person_id),
        vault.seal(payload, tenant, PAYLOAD_COLUMN, content.hex()),
        days[claim.received_date],
        days[claim.service_from_date],
        days[claim.service_to_date],
        claim.total_charge_cents,
        len(claim.lines),
        storable(claim.batch_id)[:_KEY_TEXT_MAX],
        item.segment,
    )


async def stage_sealed(
    connection: "AnyConnection",
    vault: Vault,
    tenant: str,
    claim: claim_pb2.Claim,
    sealed: Sealed,
    *,
    source_file: str,
    batch_id: str = "",
    priority: int = 0,
) -> None:
    """Put one claim into staging that is sealed already; a content that is there stays as it is.

    Args:
        connection: Staging, in a transaction of the tenant.
        vault: Hashes the member.
        tenant: Whose claim.
        claim: The claim in the open.
        sealed: Its key, its content, and the payload.
        source_file: Where it is from.
        batch_id: The submitter's batch.
        priority: The least that it has.
    """
    await connection.execute(
        _STAGE_SEALED,
        tenant,
        *sealed,
        days[claim.received_date],
        days[claim.service_from_date],
        days[claim.service_to_date],
        claim.total_charge_cents,
        len(claim.lines),
        storable(batch_id)[:_KEY_TEXT_MAX],
        source_file,
        max(priority, priority_of(claim)),
        vault.lookup(tenant, MEMBER, claim.person_id),
    )


_STAGE_SEALED: Final = """
WITH staged AS (
    INSERT INTO claims (tenant_id, claim_id, claim_version, content_sha256, payload_encrypted,
        received_date, service_from_date, service_to_date, total_charge_cents, line_count,
        batch_id, source_file)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT ON CONSTRAINT claims_content DO NOTHING
    RETURNING staging_id
)
INSERT INTO claim_states (tenant_id, staging_id, priority, member_key)
SELECT $1, staging_id, $13, $14 FROM staged
"""


async def record_problems(
    connection: Connection, tenant: str, problems: Iterable[Problem], *, source_file: str
) -> int:
    """Keep what intake could not read; return how many."""
    rows = [
        (tenant, source_file, p.segment, p.level, p.code, storable(p.message), storable(p.claim_id))
        for p in problems
    ]
    async with tenant_transaction(connection, tenant):
        await connection.executemany(
            "INSERT INTO intake_problems "
            "(tenant_id, source_file, segment, level, code, message, claim_id) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7)",
            rows,
        )
    return len(rows)


# Taking claims out.
# --------------------------------------------------------------------------------------------------

# One loader of a tenant leases at a time, for some milliseconds: so none is left without because
# another has just locked what it looked at.
#
# Pages cost nothing from here on, rows do: an index of what waits that was large yesterday and is
# nearly empty now looks to the planner as if each look-up read all of it, and it read all rows of
# the tenant for each claim instead.
LOCK_QUEUE: Final = """
SELECT pg_advisory_xact_lock(hashtextextended('claimgate.lease|' || $1, 0)),
    set_config('enable_seqscan', 'off', true), set_config('seq_page_cost', '0', true),
    set_config('random_page_cost', '0', true)
"""

# Urgent claims go first, and with them, so that none waits for ever, those that wait longest: the
# oldest of each priority are few look-ups in the index of the queue, and of these the oldest are
# taken, one for ten others. Where all are of one priority they are the same claims.
#
# The members of the claims picked bring their other pending claims along: a message is seen
# together.
#
# Here and below, rows are found one by one (LATERAL ... OFFSET 0) and changed where they lie
# (ctid). Left to itself the planner goes by what it believes of the tenant: of a new one, that it
# has one row, and then 5,000 times all its rows. Finishing 30,000 claims took 30 s. The migration
# has the other half of this: no statistics on tenants.
_LEND: Final = """
WITH picked AS MATERIALIZED (
    SELECT member_key FROM (
        SELECT member_key FROM claim_states
        WHERE tenant_id = $1 AND status = 'pending'
        ORDER BY priority DESC, staging_id
        LIMIT $2
    ) AS first_in_queue
    UNION
    SELECT member_key FROM (
        SELECT oldest.member_key FROM generate_series(1, 9) AS of (priority) CROSS JOIN LATERAL (
            SELECT staging_id, member_key FROM claim_states AS s
            WHERE s.tenant_id = $1 AND s.status = 'pending' AND s.priority = of.priority::smallint
            ORDER BY s.staging_id
            LIMIT $2 / 10
        ) AS oldest
        ORDER BY oldest.staging_id
        LIMIT $2 / 10
    ) AS waiting_longest
), lent AS (
    UPDATE claim_states AS s
    SET status = 'processing', lease_owner = $3, lease_until = now() + $4 * interval '1 second',
        attempts = s.attempts + 1, updated_at = now()
    FROM (
        SELECT theirs.place FROM picked CROSS JOIN LATERAL (
            SELECT s.ctid AS place FROM claim_states AS s
            WHERE s.tenant_id = $1 AND s.member_key = picked.member_key
                AND s.status IS NOT DISTINCT FROM 'pending'
            OFFSET 0
        ) AS theirs
    ) AS taken
    WHERE s.ctid = taken.place AND s.status = 'pending'
    RETURNING s.staging_id, s.member_key, s.attempts, s.priority
)
SELECT lent.staging_id, c.claim_id, c.claim_version, c.content_sha256, lent.member_key,
    lent.attempts, c.payload_encrypted, c.total_charge_cents
FROM lent CROSS JOIN LATERAL (
    SELECT claim_id, claim_version, content_sha256, payload_encrypted, total_charge_cents
    FROM claims
    WHERE tenant_id = $1 AND staging_id = lent.staging_id
    OFFSET 0
) AS c
ORDER BY lent.priority DESC, lent.staging_id
"""

_FINISH: Final = """
UPDATE claim_states AS s
SET status = done.status, lease_owner = NULL, lease_until = NULL, updated_at = now(),
    processed_at = now()
FROM (
    SELECT done.status, theirs.place
    FROM unnest($2::bigint[], $3::text[]) AS done (staging_id, status) CROSS JOIN LATERAL (
        SELECT s.ctid AS place FROM claim_states AS s
        WHERE s.tenant_id = $1 AND s.staging_id = done.staging_id
        OFFSET 0
    ) AS theirs
) AS done
WHERE s.ctid = done.place AND s.status = 'processing' AND s.lease_owner = $4
"""

_RELEASE: Final = """
UPDATE claim_states
SET status = 'pending', lease_owner = NULL, lease_until = NULL, attempts = attempts - 1,
    updated_at = now()
WHERE tenant_id = $1 AND status = 'processing' AND lease_owner = $2
"""


async def lease(
    connection: Connection, tenant: str, owner: str, *, claims: int, seconds: float
) -> list[Leased]:
    """Lend pending claims to `owner`, urgent and old ones first, each member's claims together.

    For ten claims by priority one goes along that waits longest, whatever its priority.
    """
    async with tenant_transaction(connection, tenant):
        await connection.execute(LOCK_QUEUE, tenant)
        rows = await connection.fetch(_LEND, tenant, claims, owner, seconds)
        failpoint("lease.commit")
    return [Leased(*row) for row in rows]


async def finish(
    connection: Connection, tenant: str, owner: str, outcomes: Sequence[tuple[int, Status]]
) -> int:
    """Write what became of claims that `owner` still holds; return how many."""
    staging_ids = [staging_id for staging_id, _ in outcomes]
    statuses = [status for _, status in outcomes]
    async with tenant_transaction(connection, tenant):
        told = rows_of(await connection.execute(_FINISH, tenant, staging_ids, statuses, owner))
        failpoint("finish.commit")
    return told


async def release(connection: Connection, tenant: str, owner: str) -> int:
    """Give back everything that `owner` holds, as if it had not been leased; return how many."""
    async with tenant_transaction(connection, tenant):
        return rows_of(await connection.execute(_RELEASE, tenant, owner))


async def count_by_status(connection: Connection, tenant: str) -> dict[str, int]:
    """Return how many staged claims stand where."""
    async with tenant_transaction(connection, tenant):
        rows = await connection.fetch(
            "SELECT status, count(*) AS claims FROM claim_states "
            "WHERE tenant_id = $1 GROUP BY status",
            tenant,
        )
    return {row["status"]: row["claims"] for row in rows}


def open_payload(leased: Leased, vault: Vault, tenant: str) -> bytes:
    """Decrypt the serialized claim."""
    return vault.open(leased.payload_encrypted, tenant, PAYLOAD_COLUMN, leased.content_sha256.hex())


# Values as columns take them.
# ----------------------------------------------------------------------------------------


def rows_of(command_tag: str) -> int:
    """Return the row count that a command reported, such as 5 for `INSERT 0 5`."""
    return int(command_tag.rpartition(" ")[2])


def storable(text: str) -> str:
    """Return text that Postgres takes: it has no NUL character."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}")


class _Days(dict[str, date | None]):
    """A memory of dates seen, bounded; None for what is no date."""

    _ENTRIES_MAX: Final = 100_000

    def __missing__(self, text: str) -> date | None:
        try:
            parsed = date.fromisoformat(text)
        except ValueError:
            return None
        if len(self) < self._ENTRIES_MAX:
            self[text] = parsed
        return parsed


days: Final = _Days()
"""The date of an ISO text, None for what is none: `days["2025-10-31"]`."""
