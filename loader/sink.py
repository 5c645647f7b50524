"""The production database: a batch of scored claims is loaded once, whole and durably, or not."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import Final, cast
from uuid import UUID

import asyncpg

from loader.fitness import faults
from loader.link import Link
from loader.rows import (
    CLAIM_COLUMNS,
    HEADER,
    HISTORY_COLUMNS,
    HIT_COLUMNS,
    LINE_COLUMNS,
    RESULT_COLUMNS,
    TRAILER,
    FailedClaim,
    LoadClaim,
    Owner,
    Row,
    claim_rows,
    failed_row,
    history_rows,
    hit_rows,
    line_rows,
    result_rows,
)
from loader.source import Status, days, rows_of, tenant_transaction

Connection = asyncpg.Connection
Key = tuple[str, int]

DATA_REFUSED: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    struct.error,  # an integer that its column cannot hold
)
"""What one bad row can raise; the batch is then cut until that row stands alone."""


class SinkError(Exception):
    """A batch cannot be loaded."""


class BatchConflictError(SinkError):
    """The batch id was used before, for other content."""

    def __init__(self, batch_id: UUID) -> None:
        """Name the batch."""
        super().__init__(
            f"batch {batch_id} was loaded before with other content; use a new id for new content"
        )


class CountMismatchError(SinkError):
    """The database took another number of rows than it was given."""

    def __init__(self, table: str, expected: int, found: int) -> None:
        """Name the table and both counts."""
        super().__init__(
            f"{table}: {expected} rows were sent, {found} arrived; "
            "nothing was committed, load again"
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Claims that are loaded in one transaction, and those that failed on the way."""

    claims: list[LoadClaim] = field(default_factory=list)
    failed: list[FailedClaim] = field(default_factory=list)
    provenances: dict[int, Row] = field(default_factory=dict)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __len__(self) -> int:
        """Count all claims."""
        return len(self.claims) + len(self.failed)

    def sha256(self) -> bytes:
        """Return the hash of which claims these are, in their order."""
        digest = sha256()
        for kind, leased in chain(
            ((b"L", item.leased) for item in self.claims),
            ((b"F", item.leased) for item in self.failed),
        ):
            key = f"{len(leased.claim_id)}:{leased.claim_id}:{leased.claim_version}:"
            digest.update(kind + key.encode() + leased.content_sha256)
        return digest.digest()

    def batch_id(self) -> UUID:
        """Return the id that follows from the content: the same claims are the same batch."""
        return _id_of(self.sha256())


def _id_of(digest: bytes) -> UUID:
    """Return the batch id that a hash gives."""
    return UUID(bytes=digest[:16])


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the ledger says of a batch."""

    batch_id: UUID
    commit_seq: int
    loaded: int
    already_loaded: int
    refused: int
    failed: int
    rows: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What this load did: receipts (several where the batch was cut), and each claim's status."""

    receipts: list[Receipt] = field(default_factory=list)
    outcomes: list[tuple[int, Status]] = field(default_factory=list)
    failed: list[FailedClaim] = field(default_factory=list)
    loaded: int = 0
    already_loaded: int = 0
    rows: int = 0


class Sink:
    """Loads batches for one tenant."""

    def __init__(self, link: Link, tenant: str) -> None:
        """Name the database and the tenant."""
        self._link = link
        self._tenant = tenant
        self._months: set[tuple[int, int]] = set()

    async def load(self, batch: Batch, batch_id: UUID | None = None) -> Loaded:
        """Load a batch; claims that the database refuses are set aside as failed, with reasons."""
        await self._make_months({item.claim.service_from_date for item in batch.claims})
        try:
            return await self._link.run(
                lambda connection: _load(connection, self._tenant, batch, batch_id)
            )
        except DATA_REFUSED as error:
            return await self._load_parts(_without_unfit(batch) or _cut(batch, error))

    async def _load_parts(self, parts: Sequence[Batch]) -> Loaded:
        """Load the parts of a batch one after the other."""
        done = [await self.load(part) for part in parts]
        return Loaded(
            receipts=[receipt for part in done for receipt in part.receipts],
            outcomes=[outcome for part in done for outcome in part.outcomes],
            failed=[failed for part in done for failed in part.failed],
            loaded=sum(part.loaded for part in done),
            already_loaded=sum(part.already_loaded for part in done),
            rows=sum(part.rows for part in done),
        )

    async def _make_months(self, texts: Iterable[str]) -> None:
        """Make the partitions of new months; what is out of reach goes to the default one."""
        found = [day for text in texts if (day := days[text])]
        months = {(day.year, day.month) for day in found} - self._months
        for year, month in sorted(months):
            first = date(year, month, 1)
            if abs(first.year - datetime.now(UTC).year) <= _PARTITION_YEARS:
                await self._link.run(partial(_make_month, first))
        self._months |= months


async def _make_month(first: date, connection: Connection) -> None:
    """Make the partitions of one month, where they are missing."""
    await connection.execute(_MAKE_PARTITIONS, first)


_PARTITION_YEARS: Final = 10
_MAKE_PARTITIONS: Final = "SELECT make_partitions($1, $1)"


def _without_unfit(batch: Batch) -> list[Batch]:
    """Return the batch with its unfit claims set aside; nothing where none is known to be unfit."""
    found = [(item, faults(item)) for item in batch.claims]
    unfit = [
        FailedClaim(item.leased, "database", "load", reasons) for item, reasons in found if reasons
    ]
    if not unfit:
        return []
    fit = [item for item, reasons in found if not reasons]
    return [replace(batch, claims=fit, failed=[*batch.failed, *unfit])]


def _cut(batch: Batch, error: Exception) -> list[Batch]:
    """Return two halves of a refused batch, or a single refused claim as a failed one."""
    if len(batch.claims) > 1:
        half = len(batch.claims) // 2
        return [
            replace(batch, claims=batch.claims[:half]),
            replace(batch, claims=batch.claims[half:], failed=[]),
        ]
    if not batch.claims:
        raise SinkError(
            "the database refuses the failed claims themselves; see the cause"
        ) from error
    alone = batch.claims[0].leased
    reason = {
        "field": _column(error),
        "code": type(error).__name__,
        "message": "the database refuses a value of this claim",
    }
    return [
        replace(
            batch,
            claims=[],
            failed=[*batch.failed, FailedClaim(alone, "database", "load", [reason])],
        )
    ]


def _column(error: Exception) -> str:
    """Return the column or constraint that an error names; its text may quote the value."""
    if isinstance(error, asyncpg.PostgresError):
        return error.column_name or error.constraint_name or ""
    return ""


# One transaction. ---------------------------------------------------------------------------------


async def _load(connection: Connection, tenant: str, batch: Batch, batch_id: UUID | None) -> Loaded:
    """Load a batch in one transaction; one that is in the ledger answers with its receipt."""
    digest = batch.sha256()
    batch_id = batch_id or _id_of(digest)
    await _prepare(connection)
    async with tenant_transaction(connection, tenant):
        await connection.execute(_DURABLE)
        await connection.execute(_LOCK_BATCH, f"{tenant}|{batch_id}")
        if not await connection.fetchval(
            _ENTER, tenant, batch_id, digest, len(batch), batch.started_at
        ):
            return await _replay(connection, tenant, batch, batch_id)
        claims, twice = _each_key_once(batch.claims)
        owner = Owner.of(tenant, batch_id)
        await _copy(connection, "load_claims", claims, owner)
        stored = await _take_keys(connection, tenant, batch_id, claims)
        fresh = [item for item in claims if _key(item) not in stored] if stored else claims
        if stored:
            await connection.execute(_EMPTY)
            await _copy(connection, "load_claims", fresh, owner)
        await _copy(connection, "load_lines", fresh, owner)
        await _copy(connection, "load_results", fresh, owner)
        await _copy(connection, "load_hits", fresh, owner)
        await _copy(connection, "load_history", fresh, owner)
        await _merge(connection, fresh)
        if batch.provenances:
            await connection.executemany(
                _PROVENANCE, [(tenant, *row) for row in batch.provenances.values()]
            )
        settled = _settle([item for item in claims if _key(item) in stored] + twice, stored, fresh)
        failed = batch.failed + settled.failed
        await _write_failed(connection, tenant, batch_id, failed)
        receipt = await _close(connection, tenant, batch_id, batch, fresh, settled)
    return Loaded(
        receipts=[receipt],
        outcomes=_outcomes(fresh, settled.already, failed),
        failed=failed,
        loaded=receipt.loaded,
        already_loaded=receipt.already_loaded,
        rows=receipt.rows,
    )


async def _replay(connection: Connection, tenant: str, batch: Batch, batch_id: UUID) -> Loaded:
    """Answer for a batch that was loaded before."""
    ledger = await connection.fetchrow(_LEDGER, tenant, batch_id)
    if ledger is None:
        raise SinkError(f"batch {batch_id} is in the ledger of another tenant; use a new id")
    if ledger["sha256"] != batch.sha256():
        raise BatchConflictError(batch_id)
    stored = {row.key: row for row in await _stored(connection, tenant, batch.claims)}
    settled = _settle(batch.claims, stored, [])
    failed = batch.failed + settled.failed
    return Loaded(
        receipts=[_receipt(batch_id, ledger)],
        outcomes=_outcomes([], settled.already, failed),
        failed=failed,
        already_loaded=len(settled.already),
    )


@dataclass(frozen=True, slots=True)
class _Stored:
    """What production holds under a key."""

    key: Key
    content_sha256: bytes
    batch_id: UUID
    status: Status


@dataclass(frozen=True, slots=True)
class _Settled:
    """Claims that need no load: the same content is there, or other content is."""

    already: list[tuple[int, Status]]
    failed: list[FailedClaim]


def _settle(
    claims: Sequence[LoadClaim], stored: dict[Key, _Stored], fresh: Sequence[LoadClaim]
) -> _Settled:
    """Tell apart claims that are there already and claims whose key holds other content."""
    held = {key: (row.content_sha256, row.status) for key, row in stored.items()}
    if claims:
        held |= {_key(item): (item.leased.content_sha256, item.status) for item in fresh}
    settled = _Settled([], [])
    for item in claims:
        content, status = held[_key(item)]
        if content == item.leased.content_sha256:
            settled.already.append((item.leased.staging_id, status))
        else:
            settled.failed.append(FailedClaim(item.leased, "content_conflict", "load", [_CONFLICT]))
    return settled


_CONFLICT: Final = {
    "field": "claim_id",
    "code": "CONTENT_CONFLICT",
    "message": "another claim was loaded under this id and version; "
    "a correction takes the next claim_version",
}


def _each_key_once(claims: list[LoadClaim]) -> tuple[list[LoadClaim], list[LoadClaim]]:
    """Return the first claim of each key, and the others."""
    first: dict[Key, LoadClaim] = {}
    twice = [item for item in claims if first.setdefault(_key(item), item) is not item]
    return (list(first.values()), twice) if twice else (claims, twice)


def _key(item: LoadClaim) -> Key:
    """Return the key of a claim within its tenant."""
    return item.leased.claim_id, item.leased.claim_version


def _outcomes(
    fresh: Sequence[LoadClaim], already: list[tuple[int, Status]], failed: Sequence[FailedClaim]
) -> list[tuple[int, Status]]:
    """Return the status of each claim for staging."""
    loaded: list[tuple[int, Status]] = [(item.leased.staging_id, item.status) for item in fresh]
    return loaded + already + [(item.leased.staging_id, "failed") for item in failed]


# Steps of the transaction. ------------------------------------------------------------------------

_DURABLE: Final = "SET LOCAL synchronous_commit = on"
_LOCK_BATCH: Final = "SELECT pg_advisory_xact_lock(hashtextextended('claimgate.batch|' || $1, 0))"
LOCK_SEQUENCE: Final = (
    "SELECT pg_advisory_xact_lock(hashtextextended('claimgate.commit_seq|' || $1, 0))"
)

_ENTER: Final = """
INSERT INTO batches (tenant_id, batch_id, sha256, claim_count, started_at) VALUES ($1, $2, $3, $4,
    $5)
ON CONFLICT DO NOTHING RETURNING true
"""
_LEDGER: Final = (
    "SELECT sha256, commit_seq, receipt FROM batches WHERE tenant_id = $1 AND batch_id = $2"
)

# COPY does not go into tables with row-level security: it goes into tables of the same columns, and
# merges take the rows over.
_PREPARE: Final = """
CREATE TEMPORARY TABLE load_claims (LIKE claims INCLUDING DEFAULTS INCLUDING STORAGE)
    ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE load_lines (LIKE claim_lines) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE load_results (LIKE claim_results INCLUDING DEFAULTS) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE load_history (LIKE claim_history INCLUDING STORAGE) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE load_hits (LIKE rule_hits) ON COMMIT DELETE ROWS;
"""


async def _prepare(connection: Connection) -> None:
    """Make the temporary tables of this connection, once."""
    if await connection.fetchval("SELECT to_regclass('pg_temp.load_hits')") is None:
        await connection.execute(_PREPARE)


@dataclass(frozen=True, slots=True)
class _Rows:
    """What goes into a temporary table: its columns, the rows of some claims, and their number."""

    columns: tuple[str, ...]
    encode: Callable[[Sequence[LoadClaim], Owner], bytes]
    count: Callable[[Sequence[LoadClaim]], int]
    at_once: int = 200
    """Claims that are encoded without a turn for the other tasks."""


def _lines(claims: Sequence[LoadClaim]) -> int:
    return sum([item.lines for item in claims])


def _hits(claims: Sequence[LoadClaim]) -> int:
    return sum([item.hits for item in claims])


_ROWS: Final = {
    "load_claims": _Rows(CLAIM_COLUMNS, claim_rows, len),
    "load_lines": _Rows(LINE_COLUMNS, line_rows, _lines),
    "load_results": _Rows(RESULT_COLUMNS, result_rows, len),
    "load_hits": _Rows(HIT_COLUMNS, hit_rows, _hits),
    # Read into columns first, and the more at once the cheaper.
    "load_history": _Rows(HISTORY_COLUMNS, history_rows, len, at_once=1_000),
}


async def _copy(
    connection: Connection, table: str, claims: Sequence[LoadClaim], owner: Owner
) -> None:
    """Send the rows of claims to one temporary table, and count them."""
    rows = _ROWS[table]
    done = await connection.copy_to_table(
        table, source=_stream(rows, claims, owner), columns=rows.columns, format="binary"
    )
    expected = rows.count(claims)
    if rows_of(done) != expected:
        raise CountMismatchError(table, expected, rows_of(done))


async def _stream(rows: _Rows, claims: Sequence[LoadClaim], owner: Owner) -> AsyncIterator[bytes]:
    """Yield the rows of some claims at a time; between them the other tasks have their turn."""
    yield HEADER
    for first in range(0, len(claims), rows.at_once):
        yield rows.encode(claims[first : first + rows.at_once], owner)
        await asyncio.sleep(0)
    yield TRAILER


# In one order, so that two loaders with the same claims wait for each other in turn.
_TAKE_KEYS: Final = """
INSERT INTO claim_keys (tenant_id, claim_id, claim_version, service_from_date, content_sha256,
    batch_id)
SELECT tenant_id, claim_id, claim_version, service_from_date, content_sha256, batch_id
FROM load_claims
ORDER BY claim_id, claim_version
ON CONFLICT (tenant_id, claim_id, claim_version) DO NOTHING
"""
# Found one by one (LATERAL ... OFFSET 0), whatever the planner believes of a tenant's size.
_STORED: Final = """
SELECT k.claim_id, k.claim_version, k.content_sha256, k.batch_id, r.decision
FROM unnest($2::text[], $3::integer[]) AS wanted (claim_id, claim_version)
CROSS JOIN LATERAL (
    SELECT claim_id, claim_version, content_sha256, batch_id, service_from_date FROM claim_keys
    WHERE tenant_id = $1 AND claim_id = wanted.claim_id AND claim_version = wanted.claim_version
    OFFSET 0
) AS k
LEFT JOIN LATERAL (
    SELECT decision FROM claim_results AS r
    WHERE r.tenant_id = $1 AND r.service_from_date = k.service_from_date AND r.claim_id = k.claim_id
        AND r.claim_version = k.claim_version
    ORDER BY result_no DESC LIMIT 1
) AS r ON true
"""
_EMPTY: Final = "DELETE FROM load_claims"


async def _take_keys(
    connection: Connection, tenant: str, batch_id: UUID, claims: Sequence[LoadClaim]
) -> dict[Key, _Stored]:
    """Take the keys of new claims; return what holds the keys of the others."""
    if rows_of(await connection.execute(_TAKE_KEYS)) == len(claims):
        return {}
    rows = await _stored(connection, tenant, claims)
    return {row.key: row for row in rows if row.batch_id != batch_id}


async def _stored(
    connection: Connection, tenant: str, claims: Sequence[LoadClaim]
) -> list[_Stored]:
    """Return what production holds under the keys of these claims."""
    ids = [item.leased.claim_id for item in claims]
    versions = [item.leased.claim_version for item in claims]
    return [
        _Stored(
            key=(row["claim_id"], row["claim_version"]),
            content_sha256=row["content_sha256"],
            batch_id=row["batch_id"],
            status="needs_review" if row["decision"] == "review" else "completed",
        )
        for row in await connection.fetch(_STORED, tenant, ids, versions)
    ]


# The keys are taken in this transaction: no conflict is possible.
_MERGES: Final = {
    "load_claims": "INSERT INTO claims SELECT * FROM load_claims",
    "load_lines": "INSERT INTO claim_lines SELECT * FROM load_lines",
    "load_results": "INSERT INTO claim_results SELECT * FROM load_results",
    "load_hits": "INSERT INTO rule_hits SELECT * FROM load_hits",
    "load_history": "INSERT INTO claim_history SELECT * FROM load_history",
}
_PROVENANCE: Final = """
INSERT INTO provenances (tenant_id, provenance_id, reference_release, policy_version,
    model_version, engine_version,
    stand_ins, partial_rule_ids, not_evaluated)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb) ON CONFLICT DO NOTHING
"""


async def _merge(connection: Connection, fresh: Sequence[LoadClaim]) -> None:
    """Take the rows over into the tables that are read, and count them."""
    for table, statement in _MERGES.items():
        expected = _ROWS[table].count(fresh)
        merged = rows_of(await connection.execute(statement)) if expected else 0
        if merged != expected:
            raise CountMismatchError(statement.split()[2], expected, merged)


_WRITE_FAILED: Final = """
INSERT INTO failed_claims (tenant_id, batch_id, claim_id, claim_version, content_sha256,
    failure_category,
    processing_stage, reasons, payload_encrypted, attempts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10)
ON CONFLICT (tenant_id, claim_id, claim_version, content_sha256) DO UPDATE
SET batch_id = excluded.batch_id, failure_category = excluded.failure_category,
    processing_stage = excluded.processing_stage, reasons = excluded.reasons, attempts =
    excluded.attempts,
    status = 'open', updated_at = now()
"""


async def _write_failed(
    connection: Connection, tenant: str, batch_id: UUID, failed: Sequence[FailedClaim]
) -> None:
    """Keep the claims that failed, each with all its reasons."""
    if failed:
        await connection.executemany(
            _WRITE_FAILED, [(tenant, batch_id, *failed_row(item)) for item in failed]
        )


_OUTBOX: Final = """
INSERT INTO outbox (tenant_id, topic, batch_id, body)
VALUES ($1, 'batch.loaded', $2, jsonb_build_object('loaded', $3::integer, 'failed', $4::integer))
"""
# Under the lock of the sequence: each row adds to what the commit before left. A replacement or a
# void is no new claim.
_PROVIDER_MONTHS: Final = """
INSERT INTO provider_months (tenant_id, billing_npi, month, commit_seq, taxonomy, claims, lines,
    distinct_lines)
SELECT $1, added.billing_npi, added.month,
    1 + coalesce((SELECT max(commit_seq) FROM batches WHERE tenant_id = $1), 0),
    added.taxonomy, added.claims + coalesce(former.claims, 0),
    added.lines + coalesce(former.lines, 0),
    added.distinct_lines + coalesce(former.distinct_lines, 0)
FROM (
    SELECT billing_npi, date_trunc('month', service_from_date)::date AS month,
        max(billing_taxonomy) AS taxonomy, count(*) AS claims, sum(line_count) AS lines,
        sum(distinct_lines) AS distinct_lines
    FROM load_history WHERE billing_npi > 0 AND NOT takes_the_place GROUP BY 1, 2
) AS added
LEFT JOIN LATERAL (
    SELECT claims, lines, distinct_lines FROM provider_months
    WHERE tenant_id = $1 AND billing_npi = added.billing_npi AND month = added.month
    ORDER BY commit_seq DESC LIMIT 1
) AS former ON true
"""
_CLOSE: Final = """
UPDATE batches SET
    commit_seq = 1 + coalesce((SELECT max(commit_seq) FROM batches WHERE tenant_id = $1), 0),
    row_count = $3, loaded_at = clock_timestamp(),
    throughput_achieved = claim_count / greatest(extract(epoch FROM clock_timestamp() -
    started_at), 0.001),
    receipt = jsonb_build_object('loaded', $4::integer, 'already_loaded', $5::integer, 'refused',
    $6::integer,
        'failed', $7::integer, 'rows', $3::integer)
WHERE tenant_id = $1 AND batch_id = $2
RETURNING sha256, commit_seq, receipt
"""


async def _close(
    connection: Connection,
    tenant: str,
    batch_id: UUID,
    batch: Batch,
    fresh: Sequence[LoadClaim],
    settled: _Settled,
) -> Receipt:
    """Write outbox and receipt, and last, one loader after another, the order of commits."""
    rows = 3 * len(fresh) + _lines(fresh) + _hits(fresh)
    failed = len(batch.failed)
    await connection.execute(_OUTBOX, tenant, batch_id, len(fresh), failed + len(settled.failed))
    await connection.execute(LOCK_SEQUENCE, tenant)
    if fresh:
        await connection.execute(_PROVIDER_MONTHS, tenant)
    counts = (rows, len(fresh), len(settled.already), len(settled.failed), failed)
    return _receipt(batch_id, await connection.fetchrow(_CLOSE, tenant, batch_id, *counts))


def _receipt(batch_id: UUID, ledger: asyncpg.Record | None) -> Receipt:
    """Return the receipt that the ledger holds."""
    if ledger is None:
        raise SinkError(f"the ledger lost batch {batch_id} within its own transaction; load again")
    counts = cast("dict[str, int]", json.loads(ledger["receipt"]))
    return Receipt(batch_id=batch_id, commit_seq=ledger["commit_seq"], **counts)
