"""Summaries by day and by rule: they grow by the batches that came since, each counted once.

A claim counts under its first answer. Numbers of commits are given in the order of commits, so all
batches up to the newest that is seen are there to be counted. The counts and the commit that they
go up to are written in one transaction, which another refresh waits for.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import asyncpg

from loader.source import tenant_transaction
from loader.storage.month import Month

BATCHES_AT_ONCE: Final = 200
"""Batches that are counted in one transaction."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """Up to where the summaries of a tenant count now."""

    tenant: str
    commit_seq: int
    batches: int
    """Commits that were counted now."""

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Difference:
    """A row of a summary that is not what the tables of claims say."""

    tenant: str
    table: str
    key: tuple[str, ...]
    summary: tuple[int, ...]
    """What stands there; empty for no row."""
    recomputed: tuple[int, ...]
    """What should; empty for no row."""

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


async def tenants(connection: asyncpg.Connection) -> list[str]:
    """Return the tenants that have ever loaded something."""
    rows = await connection.fetch(_TENANTS)
    return [row["tenant_id"] for row in rows]


# One step of the index for each tenant, however many batches they have.
_TENANTS: Final = """
WITH RECURSIVE found AS (
    SELECT min(tenant_id) AS tenant_id FROM batches
    UNION ALL
    SELECT (SELECT min(b.tenant_id) FROM batches AS b WHERE b.tenant_id > f.tenant_id)
    FROM found AS f WHERE f.tenant_id IS NOT NULL
)
SELECT tenant_id FROM found WHERE tenant_id IS NOT NULL ORDER BY 1
"""


async def pending(connection: asyncpg.Connection, tenant: str) -> Refreshed:
    """Return what a refresh would count."""
    async with tenant_transaction(connection, tenant):
        [row] = await connection.fetch(_PENDING, tenant)
    return Refreshed(tenant, row["last"], row["batches"])


_PENDING: Final = """
SELECT w.last,
    (SELECT count(*) FROM batches WHERE tenant_id = $1 AND commit_seq > w.last) AS batches
FROM (SELECT coalesce(max(commit_seq), 0) AS last FROM summary_watermarks WHERE tenant_id = $1) AS w
"""


async def refresh(
    connection: asyncpg.Connection, tenant: str, *, at_once: int = BATCHES_AT_ONCE
) -> Refreshed:
    """Count the batches of a tenant that came since the last refresh, some in each transaction."""
    first, last = 0, 0
    while True:
        async with tenant_transaction(connection, tenant):
            done, last = await count_next(connection, tenant, at_once)
        first += done
        if done < at_once:
            return Refreshed(tenant, last, first)


_WATERMARK: Final = """
INSERT INTO summary_watermarks AS w (tenant_id, commit_seq) VALUES ($1, 0)
ON CONFLICT (tenant_id) DO UPDATE SET refreshed_at = now() RETURNING commit_seq
"""
_NEWEST: Final = """
SELECT least($2::bigint + $3::bigint, coalesce(max(commit_seq), $2::bigint)) FROM batches
WHERE tenant_id = $1 AND commit_seq > $2
"""
_REACHED: Final = "UPDATE summary_watermarks SET commit_seq = $2 WHERE tenant_id = $1"

# The claims of some commits, once; the index by batch finds them. Their results and hits are found
# by the key, which no plan for few claims misses.
_NEW_CLAIMS: Final = """
CREATE TEMPORARY TABLE new_claims ON COMMIT DROP AS
SELECT c.service_from_date, c.claim_id, c.claim_version, c.facility_id, c.line_of_business,
    c.line_count, c.total_charge_cents
FROM claims AS c
WHERE c.tenant_id = $1 AND c.batch_id = ANY ($2::uuid[])
"""
_BATCHES: Final = """
SELECT array_agg(batch_id) FROM batches
WHERE tenant_id = $1 AND commit_seq > $2 AND commit_seq <= $3
"""
_BY_DAY: Final = """
SELECT $1::text, c.service_from_date, c.facility_id, c.line_of_business, r.decision, count(*),
    sum(c.line_count), sum(c.total_charge_cents), coalesce(sum(r.allowed_cents), 0),
    count(*) FILTER (WHERE r.allowed_cents IS NULL), sum(r.exposure_cents)
FROM {claims} AS c
JOIN claim_results AS r ON r.tenant_id = $1 AND r.service_from_date = c.service_from_date
    AND r.claim_id = c.claim_id AND r.claim_version = c.claim_version AND r.result_no = 1
{where} GROUP BY 2, 3, 4, 5
"""
_BY_RULE: Final = """
SELECT $1::text, date_trunc('month', h.service_from_date)::date, h.rule_id, h.action, h.shadow,
    count(*), count(DISTINCT (h.claim_id, h.claim_version)), sum(h.exposure_cents)
FROM {claims} AS c
JOIN rule_hits AS h ON h.tenant_id = $1 AND h.service_from_date = c.service_from_date
    AND h.claim_id = c.claim_id AND h.claim_version = c.claim_version AND h.result_no = 1
    AND NOT h.suppressed
{where} GROUP BY 2, 3, 4, 5
"""
_ADD_BY_DAY: Final = f"""
INSERT INTO daily_claim_summary AS s (tenant_id, service_date, facility_id, line_of_business,
    decision, claims, lines, charged_cents, allowed_cents, unpriced_claims, exposure_cents)
{_BY_DAY.format(claims="new_claims", where="")}
ON CONFLICT (tenant_id, service_date, facility_id, line_of_business, decision) DO UPDATE SET
    claims = s.claims + excluded.claims, lines = s.lines + excluded.lines,
    charged_cents = s.charged_cents + excluded.charged_cents,
    allowed_cents = s.allowed_cents + excluded.allowed_cents,
    unpriced_claims = s.unpriced_claims + excluded.unpriced_claims,
    exposure_cents = s.exposure_cents + excluded.exposure_cents
"""
_ADD_BY_RULE: Final = f"""
INSERT INTO rule_month_summary AS s (tenant_id, month, rule_id, action, shadow, hits, claims,
    exposure_cents)
{_BY_RULE.format(claims="new_claims", where="")}
ON CONFLICT (tenant_id, month, rule_id, action, shadow) DO UPDATE SET hits = s.hits + excluded.hits,
    claims = s.claims + excluded.claims, exposure_cents = s.exposure_cents + excluded.exposure_cents
"""


async def count_rest(connection: asyncpg.Connection) -> None:
    """Count what is left, of all tenants, within a transaction that keeps loads out."""
    for tenant in await tenants(connection):
        done = 1
        while done:
            done, _ = await count_next(connection, tenant, BATCHES_AT_ONCE)


async def count_next(connection: asyncpg.Connection, tenant: str, at_once: int) -> tuple[int, int]:
    """Count the next commits within a transaction of the tenant; return how many, and the last."""
    before = await connection.fetchval(_WATERMARK, tenant)
    last = await connection.fetchval(_NEWEST, tenant, before, at_once)
    if last > before:
        batches = await connection.fetchval(_BATCHES, tenant, before, last)
        await connection.execute(_NEW_CLAIMS, tenant, batches or [])
        await connection.execute("ANALYZE new_claims")
        await connection.execute(_ADD_BY_DAY, tenant)
        await connection.execute(_ADD_BY_RULE, tenant)
        await connection.execute("DROP TABLE new_claims")
        await connection.execute(_REACHED, tenant, last)
    return last - before, last


# Against the tables of claims. --------------------------------------------------------------------

# Months of which something is not in the tables of claims any more cannot be recomputed.
_COMPLETE: Final = """
SELECT NOT EXISTS (
    SELECT FROM storage.archives AS a
    WHERE a.month = $2 AND a.state <> 'restored' AND coalesce(a.tenant_id, $1) = $1
) AND NOT EXISTS (
    SELECT FROM retention_actions AS a
    WHERE a.tenant_id = $1 AND a.month = $2 AND a.kind = 'claims' AND a.action = 'delete'
        AND a.claims > 0
)
"""
_MONTHS: Final = """
SELECT DISTINCT date_trunc('month', service_date)::date AS month FROM daily_claim_summary
WHERE tenant_id = $1
UNION SELECT DISTINCT month FROM rule_month_summary WHERE tenant_id = $1
UNION SELECT DISTINCT date_trunc('month', service_from_date)::date FROM claims
WHERE tenant_id = $1
ORDER BY 1
"""
_OF_MONTH: Final = """
JOIN batches AS b ON b.tenant_id = $1 AND b.batch_id = c.batch_id AND b.commit_seq <= $4
WHERE c.tenant_id = $1 AND c.service_from_date >= $2 AND c.service_from_date < $3
"""
_RECOMPUTED: Final = {
    "daily_claim_summary": _BY_DAY.format(claims="claims", where=_OF_MONTH),
    "rule_month_summary": _BY_RULE.format(claims="claims", where=_OF_MONTH),
}
_STORED: Final = {
    "daily_claim_summary": "SELECT * FROM daily_claim_summary "
    "WHERE tenant_id = $1 AND service_date >= $2 AND service_date < $3",
    "rule_month_summary": "SELECT * FROM rule_month_summary "
    "WHERE tenant_id = $1 AND month >= $2 AND month < $3",
}
_KEY_COLUMNS: Final = 5


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found."""

    tenant: str
    commit_seq: int
    months: int
    left_out: tuple[str, ...]
    """Months that are archived or deleted in part."""
    differences: tuple[Difference, ...]

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


async def check(connection: asyncpg.Connection, tenant: str) -> Checked:
    """Recompute a tenant's summaries from the tables of claims and compare, as of one moment."""
    left_out, differences, months = [], list[Difference](), 0
    async with connection.transaction(isolation="repeatable_read"):
        await connection.execute("SELECT set_config('claimgate.tenant', $1, true)", tenant)
        last = await connection.fetchval(
            "SELECT coalesce(max(commit_seq), 0) FROM summary_watermarks WHERE tenant_id = $1",
            tenant,
        )
        for [month] in await connection.fetch(_MONTHS, tenant):
            if not await connection.fetchval(_COMPLETE, tenant, month):
                left_out.append(f"{month:%Y-%m}")
                continue
            months += 1
            for table, query in _RECOMPUTED.items():
                end = Month.of(month).after(1).first
                stored = _keyed(await connection.fetch(_STORED[table], tenant, month, end))
                should = _keyed(await connection.fetch(query, tenant, month, end, last))
                differences += [
                    Difference(
                        tenant, table, tuple(map(str, key[1:])),
                        stored.get(key, ()), should.get(key, ()),
                    )
                    for key in sorted({*stored, *should}, key=str)
                    if stored.get(key) != should.get(key)
                ]  # fmt: skip
    return Checked(tenant, last, months, tuple(left_out), tuple(differences))


def _keyed(rows: Sequence[asyncpg.Record]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    found = [tuple(row) for row in rows]
    return {row[:_KEY_COLUMNS]: tuple(map(int, row[_KEY_COLUMNS:])) for row in found}
