"""The production database: a batch of scored claims is loaded once, whole and durably, or not."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Final, cast
from uuid import UUID, uuid4

import asyncpg

from loader.batch import (
    Batch,
    BatchConflictError,
    Loaded,
    Receipt,
    SinkError,
    id_of,
    joined,
)
from loader.failed.backoff import Backoff
from loader.failed.ledger import kept_as_failed, resolve_loaded, write_failed
from loader.failpoints import failpoint
from loader.link import Link
from loader.load_tables import Stream, by_key, copy, hits_of, lines_of, prepare, stream_rows
from loader.refused import (
    DATA_REFUSED,
    SetAside,
    TryAgain,
    cut,
    set_aside,
    without,
    without_nul,
    without_unfit,
)
from loader.rows import LoadClaim, Owner
from loader.settled import Settled, each_key_once, held_of, key_of, outcomes_of, settle
from loader.source import Connection, days, tenant_transaction
from loader.taking import stored_keys, take_in


class Sink:
    """Loads batches for one tenant."""

    def __init__(
        self,
        link: Link,
        tenant: str,
        backoff: Backoff | None = None,
        *,
        stream: Stream | None = None,
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
    stream: Stream


# One transaction. ---------------------------------------------------------------------------------


async def _load(connection: Connection, how: _How, batch: Batch, batch_id: UUID | None) -> Loaded:
    """Load a batch in one transaction; one that is in the ledger answers with its receipt."""
    tenant, stream = how.tenant, how.stream
    digest = batch.sha256()
    batch_id = batch_id or id_of(digest)
    await prepare(connection)
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
        await copy(connection, stream, "load_claims", claims, owner)
        failpoint("load.claims_copied")
        await copy(connection, stream, "load_lines", claims, owner)
        await copy(connection, stream, "load_results", claims, owner)
        await copy(connection, stream, "load_hits", claims, owner)
        await copy(connection, stream, "load_history", claims, owner)
        failpoint("load.copied")
        stored, fresh, refused = await take_in(connection, tenant, batch_id, claims)
        if len(without(twice, refused)) < len(twice):  # the next may be loaded in a refused place
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
    stored = {row.key: row for row in await stored_keys(connection, tenant, batch.claims)}
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

_PROVENANCE: Final = """
INSERT INTO provenances (tenant_id, provenance_id, reference_release, policy_version,
    model_version, engine_version,
    stand_ins, partial_rule_ids, not_evaluated, fee_schedule_version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10) ON CONFLICT DO NOTHING
"""


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
    rows = 3 * len(fresh) + lines_of(fresh) + hits_of(fresh)
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
