"""Legal holds: what retention must not touch until somebody releases it."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

import asyncpg

from loader.storage.owner import StorageError

Scope = Literal["tenant", "claim", "member", "provider", "facility"]
SCOPES: Final = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Hold:
    """One legal hold."""

    tenant: str
    hold_id: int
    scope: Scope
    value: str
    """Claim id, NPI or facility id; empty for a member and for all of a tenant."""
    reason: str
    placed_by: str
    since: datetime
    released_by: str | None
    released_at: datetime | None

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self) | {
            "since": self.since.isoformat(),
            "released_at": self.released_at.isoformat() if self.released_at else None,
        }


_COLUMNS: Final = """tenant_id AS tenant, hold_id, scope, value, reason, placed_by, since,
    released_by, released_at"""
# A step of retention that is under way ends first, and the next one sees the hold.
_LOCK: Final = "SELECT storage.lock_holds($1)"
_PLACE: Final = f"""
INSERT INTO legal_holds (tenant_id, scope, value, member_key, reason, placed_by)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING {_COLUMNS}
"""  # noqa: S608 - the columns stand above
_RELEASE: Final = f"""
UPDATE legal_holds SET released_by = $3, released_at = clock_timestamp()
WHERE tenant_id = $1 AND hold_id = $2 AND released_at IS NULL RETURNING {_COLUMNS}
"""  # noqa: S608 - the columns stand above
_LIST: Final = f"""
SELECT {_COLUMNS} FROM legal_holds WHERE ($1::text IS NULL OR tenant_id = $1)
    AND ($2 OR released_at IS NULL) ORDER BY tenant_id, hold_id
"""  # noqa: S608 - the columns stand above


async def place(
    connection: asyncpg.Connection,
    tenant: str,
    scope: Scope,
    value: str | bytes,
    *,
    reason: str,
    by: str,
) -> Hold:
    """Hold what a claim id, an NPI, a facility or a member's key names, or the whole tenant."""
    text, key = ("", value) if isinstance(value, bytes) else (value, None)
    async with connection.transaction():
        await connection.execute(_LOCK, tenant)
        [row] = await connection.fetch(_PLACE, tenant, scope, text, key, reason, by)
    return Hold(**row)


async def release(connection: asyncpg.Connection, tenant: str, hold_id: int, *, by: str) -> Hold:
    """Release a hold; it stays on the list.

    Raises:
        StorageError: The tenant has no such hold, or it was released before.
    """
    row = await connection.fetchrow(_RELEASE, tenant, hold_id, by)
    if row is None:
        raise StorageError(
            f"{tenant} has no hold {hold_id} in force; see `claimgate storage holds list`"
        )
    return Hold(**row)


async def holds(
    connection: asyncpg.Connection, tenant: str | None = None, *, released: bool = False
) -> list[Hold]:
    """Return the holds in force, of one tenant or of all; with `released` all there ever were."""
    return [Hold(**row) for row in await connection.fetch(_LIST, tenant, released)]
