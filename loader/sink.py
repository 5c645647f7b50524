"""The production database: a batch of scored claims is loaded once, whole and durably, or not."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from operator import attrgetter
from typing import Final, NamedTuple, cast
from uuid import UUID, uuid4

import asyncpg

from loader.batch import (
    Batch,
    BatchConflictError,
    CountMismatchError,
    Loaded,
    Receipt,
    SinkError,
    id_of,
    joined,
)
from loader.copy_format import HEADER, TRAILER
from loader.failed.backoff import Backoff
from loader.failed.ledger import kept_as_failed, resolve_loaded, write_failed
from loader.failpoints import failpoint
from loader.history_rows import HISTORY_COLUMNS, history_rows
from loader.link import Link
from loader.refused import (
    DATA_REFUSED,
    SetAside,
    TryAgain,
    cut,
    find_refused,
    find_unfit,
    set_aside,
    without,
    without_nul,
    without_unfit,
)
from loader.rows import (
    CLAIM_COLUMNS,
    HIT_COLUMNS,
    LINE_COLUMNS,
    RESULT_COLUMNS,
    FailedClaim,
    LoadClaim,
    Owner,
)
from loader.rows_native import claim_rows, hit_rows, line_rows, result_rows
from loader.settled import Key, Settled, Stored, each_key_once, held_of, key_of, outcomes_of, settle
from loader.source import days, rows_of, tenant_transaction

Connection = asyncpg.Connection


class Sink:
    """Loads batches for one tenant."""

    def __init__(
        self,
        link: Link,
        tenant: str,
        backoff: Backoff | None = None,
        *,
        stream: "Stream | None" = None,
    ) -> None:
        """Name the database and the tenant.

        Args:
            link: The production database.
            tenant: Whose claims.
            backoff: When failed claims are tried again.
            stream: Gives the rows; left out, `stream_rows`.
        """
        self._link = link
        self._how = _How(tenant, backoff or Backoff(), stream or stream_rows)
        self._months: set[tuple[int, int]] = set()

    async def load(self, batch: Batch, batch_id: UUID | None = None) -> Loaded:
        """Load a batch; claims that the database refuses are set aside as failed, with reasons."""
        await self._make_months({item.opened.facts.service_from for item in batch.claims})
        batch = without_nul(batch)
        try:
            return await self._link.run(lambda c: _load(c, self._how, batch, batch_id))
        except SetAside as found:
            return await self._load_parts([set_aside(batch, found.failed)])
        except TryAgain as found:
            again = replace(batch, claims=found.claims, failed=[])
            others = replace(batch, claims=without(batch.claims, found.claims))
            # Their content is in the ledger as another batch: this one has a name of its own.
            loaded = [await self.load(again, uuid4())]
            return joined(loaded + [await self.load(each) for each in [others] if len(each)])
        except DATA_REFUSED as error:  # not by a merge, which sets such claims aside itself
            return await self._load_parts(without_unfit(batch) or cut(batch, error))

    async def _load_parts(self, parts: Sequence[Batch]) -> Loaded:
        """Load the parts of a batch one after the other."""
        return joined([await self.load(part) for part in parts])

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


@dataclass(frozen=True, slots=True)
class _How:
    """How batches are loaded."""

    tenant: str
    backoff: Backoff
    stream: "Stream"


# One transaction. ---------------------------------------------------------------------------------


async def _load(connection: Connection, how: _How, batch: Batch, batch_id: UUID | None) -> Loaded:
    """Load a batch in one transaction; one that is in the ledger answers with its receipt."""
    tenant, stream = how.tenant, how.stream
    digest = batch.sha256()
    batch_id = batch_id or id_of(digest)
    await _prepare(connection)
    failpoint("load.begin")
    async with tenant_transaction(connection, tenant):
        await connection.execute(_BEGIN)
        await connection.execute(_LOCK_BATCH, f"{tenant}|{batch_id}")
        if not await connection.fetchval(
            _ENTER, tenant, batch_id, digest, len(batch), batch.started_at
        ):
            return await _replay(connection, how, batch, batch_id)
        failpoint("load.ledger")
        once, twice = each_key_once(batch.claims)
        claims = by_key(once)
        owner = Owner.of(tenant, batch_id)
        await _copy(connection, stream, "load_claims", claims, owner)
        failpoint("load.claims_copied")
        await _copy(connection, stream, "load_lines", claims, owner)
        await _copy(connection, stream, "load_results", claims, owner)
        await _copy(connection, stream, "load_hits", claims, owner)
        await _copy(connection, stream, "load_history", claims, owner)
        failpoint("load.copied")
        stored, fresh, refused = await _take_in(connection, tenant, batch_id, claims)
        if refused and twice:  # what stands twice may be loaded in the place of what is refused
            raise SetAside(refused)
        claims = without(claims, refused)
        failpoint("load.merged")
        if batch.provenances:
            await connection.executemany(
                _PROVENANCE, [(tenant, *row) for row in batch.provenances.values()]
            )
        old = [item for item in claims if key_of(item) in stored] if stored else []
        settled = settle(old + twice, stored, fresh)
        failed = batch.failed + refused + settled.failed
        await write_failed(connection, tenant, batch_id, failed, how.backoff)
        await resolve_loaded(connection, tenant, batch_id, held_of(old, settled))
        failpoint("load.failed")
        failed_before = len(batch.failed) + len(refused)
        receipt = await _close(connection, tenant, batch_id, fresh, settled, failed_before)
        failpoint("load.commit")
    failpoint("load.done")
    return Loaded(
        receipts=[receipt],
        outcomes=outcomes_of(fresh, settled.already, failed),
        failed=failed,
        loaded=receipt.loaded,
        already_loaded=receipt.already_loaded,
        rows=receipt.rows,
    )


async def _replay(connection: Connection, how: _How, batch: Batch, batch_id: UUID) -> Loaded:
    """Answer for a batch that was loaded before."""
    tenant = how.tenant
    ledger = await connection.fetchrow(_LEDGER, tenant, batch_id)
    if ledger is None:
        raise SinkError(f"batch {batch_id} is in the ledger of another tenant; use a new id")
    if ledger["sha256"] != batch.sha256():
        raise BatchConflictError(batch_id)
    stored = {row.key: row for row in await _stored(connection, tenant, batch.claims)}
    held = [item for item in batch.claims if key_of(item) in stored]
    refused = [item for item in batch.claims if key_of(item) not in stored]
    kept = await kept_as_failed(connection, tenant, refused)
    if again := without(refused, kept):
        raise TryAgain(again)
    settled = settle(held, stored, [])
    failed = batch.failed + settled.failed + kept
    # The same claims may have been resubmitted since: a claim that fails alone is the same batch.
    await write_failed(connection, tenant, batch_id, failed, how.backoff)
    await resolve_loaded(connection, tenant, batch_id, held_of(held, settled))
    return Loaded(
        receipts=[_receipt(batch_id, ledger)],
        outcomes=outcomes_of([], settled.already, failed),
        failed=failed,
        already_loaded=len(settled.already),
    )


# Steps of the transaction. ------------------------------------------------------------------------

# What is found by key is found by its index, whatever the planner believes of a table's size: of
# one that was empty when it was last looked at, it would read all rows for each key.
_BEGIN: Final = "SET LOCAL synchronous_commit = on; SET LOCAL enable_seqscan = off"
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
-- A day that is missing is refused by the merge, which names its row.
ALTER TABLE load_claims ALTER service_from_date DROP NOT NULL, ALTER service_to_date DROP NOT NULL,
    ALTER received_date DROP NOT NULL;
ALTER TABLE load_lines ALTER service_from_date DROP NOT NULL, ALTER service_date DROP NOT NULL,
    ALTER service_to_date DROP NOT NULL;
ALTER TABLE load_results ALTER service_from_date DROP NOT NULL;
ALTER TABLE load_hits ALTER service_from_date DROP NOT NULL;
ALTER TABLE load_history ALTER service_from_date DROP NOT NULL,
    ALTER service_to_date DROP NOT NULL;
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
    at_once: int = 500
    """Claims that are encoded without a turn for the other tasks."""
    order: Callable[[LoadClaim], bytes] | None = None
    """The order of the rows, where it is not that of the claims."""


def by_key(claims: Iterable[LoadClaim]) -> list[LoadClaim]:
    """Return claims in the order of the tables' keys: each row's place is near that of the last."""
    return sorted(claims, key=attrgetter("key"))


def _member(item: LoadClaim) -> bytes:
    return item.leased.member_key


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
    # Read by member: a member's claims lie side by side.
    "load_history": _Rows(HISTORY_COLUMNS, history_rows, len, at_once=1_000, order=_member),
}


LOAD_TABLES: Final = tuple(_ROWS)
"""The temporary tables that a batch goes into."""

Stream = Callable[[str, Sequence[LoadClaim], Owner], AsyncIterator[bytes]]
"""Gives the rows of some claims for a temporary table, as COPY takes them."""


async def _copy(
    connection: Connection, stream: Stream, table: str, claims: Sequence[LoadClaim], owner: Owner
) -> None:
    """Send the rows of claims to one temporary table, and count them."""
    rows = _ROWS[table]
    done = await connection.copy_to_table(
        table, source=stream(table, claims, owner), columns=rows.columns, format="binary"
    )
    expected = rows.count(claims)
    if rows_of(done) != expected:
        raise CountMismatchError(table, expected, rows_of(done))


async def stream_rows(
    table: str, claims: Sequence[LoadClaim], owner: Owner
) -> AsyncIterator[bytes]:
    """Yield the rows of some claims at a time; between them the other tasks have their turn."""
    rows = _ROWS[table]
    if rows.order:
        claims = sorted(claims, key=rows.order)
    yield HEADER
    for first in range(0, len(claims), rows.at_once):
        yield rows.encode(claims[first : first + rows.at_once], owner)
        await asyncio.sleep(0)
    yield TRAILER


# In one order, so that two loaders with the same claims wait for each other in turn. A plain INSERT
# and a look at what it refuses would cost half, and write refused keys into the server's log.
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
_DROP: Final = """
DELETE FROM {table} WHERE (claim_id, claim_version) IN (
    SELECT * FROM unnest($1::text[], $2::integer[]))
"""


async def _take_keys(
    connection: Connection, tenant: str, batch_id: UUID, claims: Sequence[LoadClaim]
) -> dict[Key, Stored]:
    """Take the keys of new claims; return what holds the keys of the others."""
    if rows_of(await connection.execute(_TAKE_KEYS)) == len(claims):
        return {}
    rows = await _stored(connection, tenant, claims)
    return {row.key: row for row in rows if row.batch_id != batch_id}


async def _stored(connection: Connection, tenant: str, claims: Sequence[LoadClaim]) -> list[Stored]:
    """Return what production holds under the keys of these claims."""
    ids = [item.leased.claim_id for item in claims]
    versions = [item.leased.claim_version for item in claims]
    return [
        Stored(
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
    stand_ins, partial_rule_ids, not_evaluated, fee_schedule_version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10) ON CONFLICT DO NOTHING
"""


_Find = Callable[[Connection, Sequence[LoadClaim]], Awaitable[list[FailedClaim]]]


class _Taken(NamedTuple):
    """What became of a batch's claims in the tables."""

    stored: dict[Key, Stored]
    """What holds the keys of those that were not new."""
    fresh: list[LoadClaim]
    refused: list[FailedClaim]


async def _take_in(
    connection: Connection, tenant: str, batch_id: UUID, claims: list[LoadClaim]
) -> _Taken:
    """Take the keys of new claims and their rows over; what the database refuses is set aside.

    First what is known to be unfit, then what a probe finds, a table at a time. The copied rows
    stay where they are: a batch is sent once, however many of its claims are refused.
    """
    refused: list[FailedClaim] = []
    probe: _Find = partial(find_refused, merges=_MERGES)
    for find in (find_unfit, *[probe] * len(_MERGES)):
        try:
            stored, fresh = await _take_all(connection, tenant, batch_id, claims)
        except DATA_REFUSED:
            found = await find(connection, claims)
            await _drop(connection, found)
            refused += found
            claims = without(claims, found)
        else:
            return _Taken(stored, fresh, refused)
    return _Taken(*await _take_all(connection, tenant, batch_id, claims), refused)


async def _take_all(
    connection: Connection, tenant: str, batch_id: UUID, claims: list[LoadClaim]
) -> tuple[dict[Key, Stored], list[LoadClaim]]:
    """Take keys and rows over, all or none; return what holds the other keys, and what is new."""
    async with connection.transaction():  # within the one under way: a savepoint
        stored = await _take_keys(connection, tenant, batch_id, claims)
        failpoint("load.keys")
        old = [item for item in claims if key_of(item) in stored] if stored else []
        await _drop(connection, old)
        fresh = [item for item in claims if key_of(item) not in stored] if stored else claims
        await _merge(connection, fresh)
    return stored, fresh


async def _drop(connection: Connection, claims: Sequence[LoadClaim | FailedClaim]) -> None:
    """Take claims out of the temporary tables."""
    if claims:
        ids = [item.leased.claim_id for item in claims]
        versions = [item.leased.claim_version for item in claims]
        for table in _MERGES:
            await connection.execute(_DROP.format(table=table), ids, versions)


async def _merge(connection: Connection, fresh: Sequence[LoadClaim]) -> None:
    """Take the rows over into the tables that are read, and count them."""
    for table, statement in _MERGES.items():
        expected = _ROWS[table].count(fresh)
        merged = rows_of(await connection.execute(statement)) if expected else 0
        if merged != expected:
            raise CountMismatchError(statement.split()[2], expected, merged)


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
    fresh: Sequence[LoadClaim],
    settled: Settled,
    failed: int,
) -> Receipt:
    """Write outbox and receipt, and last, one loader after another, the order of commits."""
    rows = 3 * len(fresh) + _lines(fresh) + _hits(fresh)
    failpoint("load.outbox")
    await connection.execute(_OUTBOX, tenant, batch_id, len(fresh), failed + len(settled.failed))
    failpoint("load.number")
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
