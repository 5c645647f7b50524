"""Data that a tenant need not keep at hand any longer is archived or deleted, month by month.

A month is due when it ended so many months ago as the tenant's policy says. What a legal hold names
stays where it is. Steps are short transactions, each with a row of `retention_actions` that says
what it did; what is interrupted goes on when it is run again.

A month goes as a whole where all of its claims are due to be archived. Otherwise the claims of each
tenant are moved, some at a time, into tables of the schema `storage`, and archived from there as a
part of their own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg

from loader.storage.archive import (
    UNDER_WAY,
    Part,
    Step,
    absolute,
    archive,
    need_place,
    need_room,
    parts,
    plan,
    quietly,
    write_part,
)
from loader.storage.month import Month
from loader.storage.owner import STAGING_SETTING, StorageError
from loader.storage.retention_policies import Action, Kind, RetentionPolicy, policies
from loader.storage.staging import Taken, ended, take
from loader.storage.summaries import refresh

CLAIMS_AT_ONCE: Final = 1_000
"""Claims that are moved or deleted in one transaction."""


@dataclass(frozen=True, slots=True)
class Due:
    """A month of a tenant's data that need not be kept."""

    tenant: str
    kind: Kind
    month: Month
    action: Action
    keep_months: int
    claims: int
    """Claims, rows of history or failed claims that no hold names; of staging all that ended."""
    held: int
    """Those that a legal hold keeps back. Of staging none: what is not in production is found, and
    kept, when claims are taken."""

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self) | {"month": str(self.month)}


_DUE_CLAIMS: Final = """
SELECT date_trunc('month', service_from_date)::date AS month, count(*) AS claims,
    count(*) FILTER (WHERE is_held(c)) AS held
FROM claims AS c WHERE tenant_id = $1 AND service_from_date < $2 GROUP BY 1 ORDER BY 1
"""
_DUE_HISTORY: Final = """
SELECT date_trunc('month', service_to_date)::date AS month, count(*) AS claims,
    count(*) FILTER (WHERE storage.is_held(h)) AS held
FROM claim_history AS h WHERE tenant_id = $1 AND service_to_date < $2 GROUP BY 1 ORDER BY 1
"""
_DUE_FAILED: Final = """
SELECT date_trunc('month', resolved_at AT TIME ZONE 'UTC')::date AS month, count(*) AS claims,
    count(*) FILTER (WHERE storage.is_held(f)) AS held
FROM failed_claims AS f
WHERE tenant_id = $1 AND status = 'resolved'
    AND resolved_at < $2::date::timestamp AT TIME ZONE 'UTC'
GROUP BY 1 ORDER BY 1
"""
_DUE: Final[dict[Kind, str]] = {
    "claims": _DUE_CLAIMS,
    "history": _DUE_HISTORY,
    "failed": _DUE_FAILED,
}


async def due(
    connection: asyncpg.Connection, today: date, staging: asyncpg.Connection | None = None
) -> list[Due]:
    """Return what is due on a day, by month.

    Raises:
        StorageError: A tenant has a retention of staging, and no session of staging is there.
    """
    found = []
    for policy in await policies(connection):
        if policy.action != "keep":
            until = Month.of(today).after(-policy.keep_months).first
            found += [
                Due(policy.tenant, policy.kind, month, policy.action, policy.keep_months, *counted)
                for month, *counted in await _months(connection, staging, policy, until)
            ]
    return sorted(found, key=lambda each: (each.month, each.kind, each.tenant))


async def _months(
    connection: asyncpg.Connection,
    staging: asyncpg.Connection | None,
    policy: RetentionPolicy,
    until: date,
) -> list[tuple[Month, int, int]]:
    """Return months before a day with how much of a kind is due in them, and how much is held."""
    if policy.kind != "staging":
        rows = await connection.fetch(_DUE[policy.kind], policy.tenant, until)
        return [(Month.of(row["month"]), row["claims"] - row["held"], row["held"]) for row in rows]
    if staging is None:
        raise StorageError(
            f"{policy.tenant} has a retention of staging; set {STAGING_SETTING} to the URL of the "
            "staging database, as the role that owns its tables"
        )
    return [(month, claims, 0) for month, claims in await ended(staging, policy.tenant, until)]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of retention."""

    connection: asyncpg.Connection
    staging: asyncpg.Connection | None
    folder: Path
    today: date
    step: Step
    at_once: int
    run_id: UUID

    async def record(
        self, each: Due, *, claims: int, rows: int, held: int, part: int | None
    ) -> None:
        """Write what was done, in the transaction that did it."""
        await self.connection.execute(
            _RECORD, each.tenant, self.run_id, each.kind, each.month.first, each.action,
            each.keep_months, claims, rows, held, part,
        )  # fmt: skip


_RECORD: Final = """
INSERT INTO retention_actions (tenant_id, run_id, kind, month, action, keep_months, claims, rows,
    held, archive_part)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""


async def apply(
    connection: asyncpg.Connection,
    folder: Path,
    today: date,
    *,
    staging: asyncpg.Connection | None = None,
    step: Step = quietly,
    at_once: int = CLAIMS_AT_ONCE,
) -> list[Due]:
    """Archive and delete what is due on a day and not held; return what was due.

    Raises:
        StorageError: A month is on another way, its rows are in default partitions, or `due`'s.
    """
    run = Run(connection, staging, folder, today, step, at_once, uuid4())
    await _finish(run)
    found = await due(connection, today, staging)
    for (month, kind), of_month in groupby(found, key=lambda each: (each.month, each.kind)):
        step(f"{kind} {month}")
        await _apply_month(run, month, kind, list(of_month))
    return found


async def _finish(run: Run) -> None:
    """Bring what an earlier run left half way to its end."""
    for part in await parts(run.connection):
        if part.state == "loading":
            raise StorageError(
                f"{part.month} is being restored; run `claimgate storage restore {part.month}`"
            )
        if part.state == "moving":
            await _stop_moving(run.connection, part)
        if part.state in UNDER_WAY:
            run.step(f"{part.month} part {part.part}")
            await write_part(run.connection, part, run.folder, run.step)


async def _apply_month(run: Run, month: Month, kind: Kind, found: Sequence[Due]) -> None:
    if kind != "claims":
        for each in found:
            await (_take_staged if kind == "staging" else _take)(run, each)
        return
    if await _whole(run.connection, month, found):
        await _archive_whole(run, month, found)
        return
    for each in found:
        if each.action == "archive":
            await _archive_tenant(run, each)
        else:
            await _take(run, each)


async def _whole(connection: asyncpg.Connection, month: Month, found: Iterable[Due]) -> bool:
    """Tell whether all claims of a month are due to be archived, and none is held."""
    everything = await plan(connection, month)
    archived = sum(each.claims for each in found if each.action == "archive")
    return everything.claims == archived and not everything.in_default


async def _archive_whole(run: Run, month: Month, found: Sequence[Due]) -> None:
    async def detached(part: int) -> None:
        for each in found:
            [counted] = await run.connection.fetch(_ROWS_OF_PART, each.tenant, month.first, part)
            await run.record(each, claims=counted[0], rows=counted[1], held=0, part=part)

    await archive(run.connection, month, run.folder, run.today, run.step, detached)


_ROWS_OF_PART: Final = "SELECT claims, rows FROM storage.count_part($1, $2, $3)"


_MOVING: Final = """
INSERT INTO storage.archives (month, part, tenant_id, state, folder)
SELECT $1, 1 + coalesce(max(part), 0), $2, 'moving', $3 FROM storage.archives WHERE month = $1
RETURNING part
"""
_MOVED: Final = "UPDATE storage.archives SET state = 'detached' WHERE month = $1 AND part = $2"


async def _archive_tenant(run: Run, each: Due) -> None:
    """Move a tenant's claims out of a month, and archive them as a part of their own."""
    if not each.claims:
        await _kept_back(run, each)
        return
    need_room(run.folder, (await plan(run.connection, each.month)).size_bytes)
    month = each.month.first
    async with run.connection.transaction():
        number = await run.connection.fetchval(_MOVING, month, each.tenant, absolute(run.folder))
        need_place(run.folder, each.month, number)
        await run.connection.execute("SELECT storage.make_staged($1, $2)", month, number)
    await _take(run, each, number)
    [part] = [p for p in await parts(run.connection, each.month) if p.part == number]
    await _stop_moving(run.connection, part)
    await write_part(run.connection, part, run.folder, run.step)


async def _stop_moving(connection: asyncpg.Connection, part: Part) -> None:
    await connection.execute(_MOVED, part.month.first, part.part)


# Only claims go into a part.
_TAKE: Final[dict[Kind, str]] = {
    "claims": "SELECT claims, rows FROM storage.take_claims($1, $2, $4, $3)",
    "history": """
        SELECT deleted AS claims, deleted AS rows
        FROM storage.delete_history($1, $2, $3) AS deleted WHERE $4::integer IS NULL
    """,
    "failed": """
        SELECT claims, rows FROM storage.delete_failed($1, $2, $3) WHERE $4::integer IS NULL
    """,
}


async def _take(run: Run, each: Due, part: int | None = None) -> None:
    """Take what is due of a month into a part or away, some in each transaction."""
    if each.kind == "claims":
        await refresh(run.connection, each.tenant)
    held = each.held
    claims = run.at_once
    while claims == run.at_once:
        async with run.connection.transaction():
            [taken] = await run.connection.fetch(
                _TAKE[each.kind], each.tenant, each.month.first, run.at_once, part
            )
            claims = taken["claims"]
            if claims or held:
                await run.record(each, claims=claims, rows=taken["rows"], held=held, part=part)
        held = 0
        run.step(f"{each.month} {each.tenant} {claims}")


async def _take_staged(run: Run, each: Due) -> None:
    """Delete claims of staging that ended in a month, where production has them."""

    async def record(deleted: int, kept: int) -> None:
        await run.record(each, claims=deleted, rows=2 * deleted, held=kept, part=None)

    assert run.staging is not None  # `due` has refused  # noqa: S101
    taken: Taken | None = Taken(0, 0, 0)
    while taken:
        taken = await take(
            run.staging, run.connection, each.tenant, each.month,
            after=taken.last, most=run.at_once, record=record,
        )  # fmt: skip
        if taken:
            run.step(f"{each.month} {each.tenant} {taken.deleted}")


async def _kept_back(run: Run, each: Due) -> None:
    """Write that holds kept all of a month back."""
    async with run.connection.transaction():
        await run.record(each, claims=0, rows=0, held=each.held, part=None)


_ACTIONS: Final = """
SELECT tenant_id AS tenant, run_id::text, kind, to_char(month, 'YYYY-MM') AS month, action,
    keep_months, claims, rows, held, archive_part AS part, done_at::text, done_by
FROM retention_actions WHERE $1::text IS NULL OR tenant_id = $1 ORDER BY action_id
"""


async def actions(
    connection: asyncpg.Connection, tenant: str | None = None
) -> list[dict[str, Any]]:
    """Return what retention did, oldest first."""
    return [dict(row) for row in await connection.fetch(_ACTIONS, tenant)]
