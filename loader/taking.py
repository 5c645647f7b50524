"""From the temporary tables into those that are read: keys are taken, rows merged, and counted.

What the database refuses is set aside here, claim by claim; the rest goes on.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, NamedTuple
from uuid import UUID

from loader.batch import CountMismatchError
from loader.failpoints import failpoint
from loader.load_tables import ROWS, drop
from loader.refused import DATA_REFUSED, find_refused, find_unfit, without
from loader.rows import FailedClaim, LoadClaim
from loader.settled import Key, Stored, key_of
from loader.source import Connection, rows_of

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


async def _take_keys(
    connection: Connection, tenant: str, batch_id: UUID, claims: Sequence[LoadClaim]
) -> dict[Key, Stored]:
    """Take the keys of new claims; return what holds the keys of the others."""
    if rows_of(await connection.execute(_TAKE_KEYS)) == len(claims):
        return {}
    rows = await stored_keys(connection, tenant, claims)
    return {row.key: row for row in rows if row.batch_id != batch_id}


async def stored_keys(
    connection: Connection, tenant: str, claims: Sequence[LoadClaim]
) -> list[Stored]:
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
MERGES: Final = {
    "load_claims": "INSERT INTO claims SELECT * FROM load_claims",
    "load_lines": "INSERT INTO claim_lines SELECT * FROM load_lines",
    "load_results": "INSERT INTO claim_results SELECT * FROM load_results",
    "load_hits": "INSERT INTO rule_hits SELECT * FROM load_hits",
    "load_history": "INSERT INTO claim_history SELECT * FROM load_history",
}


_Find = Callable[[Connection, Sequence[LoadClaim]], Awaitable[list[FailedClaim]]]


class Taken(NamedTuple):
    """What became of a batch's claims in the tables."""

    stored: dict[Key, Stored]
    """What holds the keys of those that were not new."""
    fresh: list[LoadClaim]
    refused: list[FailedClaim]


async def take_in(
    connection: Connection, tenant: str, batch_id: UUID, claims: list[LoadClaim]
) -> Taken:
    """Take the keys of new claims and their rows over; what the database refuses is set aside.

    First what is known to be unfit, then what a probe finds, a table at a time. The copied rows
    stay where they are: a batch is sent once, however many of its claims are refused.
    """
    refused: list[FailedClaim] = []
    probe: _Find = partial(find_refused, merges=MERGES)
    for find in (find_unfit, *[probe] * len(MERGES)):
        try:
            stored, fresh = await _take_all(connection, tenant, batch_id, claims)
        except DATA_REFUSED:
            found = await find(connection, claims)
            await drop(connection, found)
            refused += found
            claims = without(claims, found)
        else:
            return Taken(stored, fresh, refused)
    return Taken(*await _take_all(connection, tenant, batch_id, claims), refused)


async def _take_all(
    connection: Connection, tenant: str, batch_id: UUID, claims: list[LoadClaim]
) -> tuple[dict[Key, Stored], list[LoadClaim]]:
    """Take keys and rows over, all or none; return what holds the other keys, and what is new."""
    async with connection.transaction():  # within the one under way: a savepoint
        stored = await _take_keys(connection, tenant, batch_id, claims)
        failpoint("load.keys")
        old = [item for item in claims if key_of(item) in stored] if stored else []
        await drop(connection, old)
        fresh = [item for item in claims if key_of(item) not in stored] if stored else claims
        await _merge(connection, fresh)
    return stored, fresh


async def _merge(connection: Connection, fresh: Sequence[LoadClaim]) -> None:
    """Take the rows over into the tables that are read, and count them."""
    for table, statement in MERGES.items():
        expected = ROWS[table].count(fresh)
        merged = rows_of(await connection.execute(statement)) if expected else 0
        if merged != expected:
            raise CountMismatchError(statement.split()[2], expected, merged)
