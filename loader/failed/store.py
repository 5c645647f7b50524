"""Failed claims read: pages of them, and one with its history, notes and repairs.

Every function is called in a transaction of the tenant, by the commands and by the service.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from loader.failed.filter import PARAMETERS, WHERE, Cursor, FailedFilter, Order
from loader.failed.words import LAST_REPAIR, Category, FailedStatus, Resolution
from loader.rows import Reason

if TYPE_CHECKING:
    from loader.source import AnyConnection as Connection


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A failed claim, without its payload."""

    failed_id: int
    claim_id: str
    claim_version: int
    content_sha256: bytes
    category: Category
    stage: str
    reasons: list[Reason]
    facility_id: str
    charge_cents: int
    status: FailedStatus
    assignee: str
    attempts: int
    retries: int
    next_attempt_at: datetime | None
    failed_at: datetime
    updated_at: datetime
    age_s: float
    urgency: float
    """Doublings of a cent in money, and one more for each week of age."""
    resolution: Resolution | None
    resolved_at: datetime | None
    resolved_by: str
    repairs: int
    """Repairs that were not undone."""
    key: float
    """What it is ordered by where urgency decides; does not change with time."""

    def cursor(self, order: Order) -> Cursor:
        """Return where a page ends whose last claim this is."""
        values: dict[Order, float | int | datetime] = {
            Order.URGENCY: self.key,
            Order.AGE: self.failed_at,
            Order.CHARGE: self.charge_cents,
        }
        return Cursor(order, values[order], self.failed_id)


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One transition."""

    from_status: str
    """Empty for the first."""
    to_status: str
    changed_at: datetime
    changed_by: str
    assignee: str
    resolution: str


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody wrote about a failed claim."""

    text: str
    written_by: str
    written_at: datetime


@dataclass(frozen=True, slots=True)
class RepairRecord:
    """A repair, without the values that it changed."""

    step: str
    fields: list[str]
    automatic: bool
    repaired_by: str
    repaired_at: datetime
    undone_by: str
    undone_at: datetime | None


@dataclass(frozen=True, slots=True)
class FailedDetail:
    """A failed claim with all that happened to it."""

    row: FailedRow
    changes: list[StatusChange]
    notes: list[Note]
    repairs: list[RepairRecord]


async def list_failed(
    connection: "Connection",
    tenant: str,
    chosen: FailedFilter,
    *,
    order: Order = Order.URGENCY,
    count: int = 50,
    after: Cursor | None = None,
) -> Sequence[FailedRow]:
    """Return so many claims in an order, those after a cursor where one is given."""
    values = (tenant, *chosen.values())
    if after is None:
        rows = await connection.fetch(_FIRST[order], *values, count)
    else:
        rows = await connection.fetch(_AFTER[order], *values, after.value, after.failed_id, count)
    return [_row(row) for row in rows]


async def get_failed(connection: "Connection", tenant: str, failed_id: int) -> FailedDetail | None:
    """Return one claim with its history, oldest first; None where there is none of that id."""
    found = await connection.fetchrow(_ONE, tenant, failed_id)
    if found is None:
        return None
    row = _row(found)
    key = (row.claim_id, row.claim_version, row.content_sha256)
    return FailedDetail(
        row,
        [_of(StatusChange, each) for each in await connection.fetch(_CHANGES, tenant, *key)],
        [_of(Note, each) for each in await connection.fetch(_NOTES, tenant, failed_id)],
        [_of(RepairRecord, each) for each in await connection.fetch(_REPAIRS, tenant, failed_id)],
    )


async def sealed_payload(
    connection: "Connection", tenant: str, failed_id: int
) -> tuple[bytes, bytes] | None:
    """Return content hash and sealed payload of a claim, as its next retry would send it."""
    row = await connection.fetchrow(_PAYLOAD, tenant, failed_id)
    return (row["content"], row["payload"]) if row else None


def _row(row: asyncpg.Record) -> FailedRow:
    values = dict(row)
    values["category"] = Category(values["category"])
    values["status"] = FailedStatus(values["status"])
    values["reasons"] = json.loads(values["reasons"])
    resolution = values["resolution"]
    values["resolution"] = Resolution(resolution) if resolution else None
    return FailedRow(**values)


def _of(kind: Any, row: asyncpg.Record) -> Any:
    """Return a record as the dataclass that has its columns."""
    return kind(**{field.name: row[field.name] for field in fields(kind)})


_COLUMNS: Final = """
failed_id, claim_id, claim_version, content_sha256, failure_category AS category,
processing_stage AS stage, reasons, facility_id, charge_cents, status, assignee, attempts, retries,
next_attempt_at, failed_at, updated_at, extract(epoch FROM now() - failed_at)::float8 AS age_s,
urgency + extract(epoch FROM now())::float8 / 604800 AS urgency, urgency AS key, resolution,
resolved_at, coalesce(resolved_by, '') AS resolved_by,
(SELECT count(*) FROM claim_repairs AS r WHERE r.tenant_id = f.tenant_id
    AND r.failed_id = f.failed_id AND r.undone_at IS NULL) AS repairs
"""


_ID: Final = f"${PARAMETERS + 2}"
_KEYS: Final = {
    Order.URGENCY: ("f.urgency", "float8", "DESC"),
    Order.AGE: ("f.failed_at", "timestamptz", "ASC"),
    Order.CHARGE: ("f.charge_cents", "bigint", "DESC"),
}


def _page(order: Order, *, first: bool) -> str:
    """Return the question for a page; all of its text stands in this file.

    The bound on the key stands apart, so that an index is entered where the page begins.
    """
    key, kind, direction = _KEYS[order]
    value = f"${PARAMETERS + 1}::{kind}"
    beyond = "<" if direction == "DESC" else ">"
    after = f"{key} {beyond}= {value} AND ({key} {beyond} {value} OR f.failed_id > {_ID}::bigint)"
    limit = PARAMETERS + (1 if first else 3)
    return f"""
SELECT {_COLUMNS} FROM failed_claims AS f
WHERE {WHERE} {"" if first else f"AND {after}"}
ORDER BY {key} {direction}, failed_id LIMIT ${limit}
"""  # noqa: S608


_FIRST: Final = {order: _page(order, first=True) for order in Order}
_AFTER: Final = {order: _page(order, first=False) for order in Order}
_ONE: Final = f"""
SELECT {_COLUMNS} FROM failed_claims AS f WHERE tenant_id = $1 AND failed_id = $2
"""  # noqa: S608
_CHANGES: Final = """
SELECT coalesce(from_status, '') AS from_status, to_status, changed_at, changed_by, assignee,
    coalesce(resolution, '') AS resolution
FROM failed_claim_status_changes
WHERE tenant_id = $1 AND claim_id = $2 AND claim_version = $3 AND content_sha256 = $4
ORDER BY change_id
"""
_NOTES: Final = """
SELECT text, written_by, written_at FROM failed_claim_notes
WHERE tenant_id = $1 AND failed_id = $2 ORDER BY note_id
"""
_REPAIRS: Final = """
SELECT step, fields, automatic, repaired_by, repaired_at, coalesce(undone_by, '') AS undone_by,
    undone_at
FROM claim_repairs WHERE tenant_id = $1 AND failed_id = $2 ORDER BY repair_id
"""
_PAYLOAD: Final = f"""
SELECT coalesce(r.after_sha256, f.content_sha256) AS content,
    coalesce(r.payload_encrypted, f.payload_encrypted) AS payload
FROM failed_claims AS f
{LAST_REPAIR}
WHERE f.tenant_id = $1 AND f.failed_id = $2
"""  # noqa: S608 - our own words
