"""Policies in production Postgres: versions that are added and never changed."""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from engine.policy import PolicyError
from engine.policy_document import document_of, policy_of
from engine.rules import all_rules
from server.database import Database
from server.errors import PolicyChangedError
from server.policies import Loaded, PolicyVersion, Refused

if TYPE_CHECKING:
    from server.database import Connection

_IN_FORCE: Final = "valid_from <= now() AND (valid_to IS NULL OR valid_to > now())"
_COLUMNS: Final = (
    "version, policy_version, document, author, approver, reason, valid_from, valid_to, created_at"
)
_INSERT: Final = """
INSERT INTO policies
    (tenant_id, version, policy_version, document, author, approver, reason, valid_from, valid_to)
VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, now()), $9)
RETURNING valid_from, created_at
"""


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A stored version, usable or not."""

    version: int
    policy_version: str
    document: Mapping[str, Any]
    author: str
    approver: str
    reason: str
    valid_from: datetime
    valid_to: datetime | None
    created_at: datetime
    in_force: bool = False

    def parsed(self) -> PolicyVersion:
        """Return the version with its policy.

        Raises:
            PolicyError: this engine cannot use it.
        """
        policy = policy_of(self.document)
        policy.check(all_rules())
        return PolicyVersion(
            policy,
            self.version,
            self.author,
            self.approver,
            self.reason,
            self.valid_from,
            self.valid_to,
            self.created_at,
        )


@dataclass(frozen=True, slots=True)
class PolicyDatabase:
    """Reads and adds versions of policies."""

    database: Database

    async def check(self) -> None:
        """Refuse to start on a database that has no place for policies yet.

        Raises:
            SettingsError: says which migration is missing.
        """
        await self.database.require("policies", "policies")

    async def mark(self, tenant: str) -> Hashable:
        """Return the numbers of the versions that may be in force."""
        async with self.database.transaction(tenant, readonly=True) as connection:
            rows = await connection.fetch(
                f"SELECT version FROM policies WHERE {_IN_FORCE} ORDER BY version"  # noqa: S608
            )
        return tuple(row["version"] for row in rows)

    async def load(self, tenant: str) -> Loaded:
        """Return the newest usable version in force."""
        async with self.database.transaction(tenant, readonly=True) as connection:
            rows = await connection.fetch(
                f"SELECT {_COLUMNS} FROM policies WHERE {_IN_FORCE} ORDER BY version DESC"  # noqa: S608
            )
        refused: list[Refused] = []
        for row in map(_row, rows):
            try:
                return Loaded(row.parsed(), tuple(refused))
            except PolicyError as error:
                refused.append(Refused(row.version, error))
        return Loaded(None, tuple(refused))

    async def newest(self, tenant: str) -> PolicyRow | None:
        """Return the version with the highest number, in force or not; None before the first."""
        async with self.database.transaction(tenant, readonly=True) as connection:
            return await _newest(connection)

    async def version(self, tenant: str, number: int) -> PolicyRow | None:
        """Return one version."""
        rows = await self.versions(tenant, 1, number + 1)
        return rows[0] if rows and rows[0].version == number else None

    async def versions(self, tenant: str, count: int, before: int | None) -> Sequence[PolicyRow]:
        """Return versions below a number, newest first."""
        async with self.database.transaction(tenant, readonly=True) as connection:
            rows = await connection.fetch(
                f"SELECT {_COLUMNS}, {_IN_FORCE} AS valid FROM policies "  # noqa: S608
                "WHERE $2::integer IS NULL OR version < $2 ORDER BY version DESC LIMIT $1",
                count,
                before,
            )
        return [_row(row) for row in rows]

    async def add(self, tenant: str, new: PolicyVersion, expected: int) -> PolicyVersion:
        """Add the version after the expected one; the same once more is that version itself.

        Raises:
            PolicyChangedError: another version is the newest.
        """
        try:
            async with self.database.transaction(tenant) as connection:
                newest = await _newest(connection)
                if (newest.version if newest else 0) == expected:
                    return await _insert(connection, tenant, replace(new, version=expected + 1))
        except asyncpg.UniqueViolationError:
            newest = await self.newest(tenant)
        if newest and newest.version == expected + 1 and _same(newest, new):
            return newest.parsed()
        raise PolicyChangedError(expected, newest.version if newest else 0)


def _same(stored: PolicyRow, new: PolicyVersion) -> bool:
    """Whether a version is what a caller sends again, having missed the answer."""
    return (stored.document, stored.author, stored.approver, stored.reason) == (
        document_of(new.policy),
        new.author,
        new.approver,
        new.reason,
    ) and stored.valid_to == new.valid_to


async def _newest(connection: "Connection") -> PolicyRow | None:
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM policies ORDER BY version DESC LIMIT 1"  # noqa: S608
    )
    return _row(row) if row else None


async def _insert(connection: "Connection", tenant: str, new: PolicyVersion) -> PolicyVersion:
    [row] = await connection.fetch(
        _INSERT,
        tenant,
        new.version,
        new.policy.version,
        json.dumps(document_of(new.policy)),
        new.author,
        new.approver,
        new.reason,
        new.valid_from,
        new.valid_to,
    )
    return replace(new, valid_from=row["valid_from"], created_at=row["created_at"])


def _row(row: asyncpg.Record) -> PolicyRow:
    return PolicyRow(
        version=row["version"],
        policy_version=row["policy_version"],
        document=json.loads(row["document"]),
        author=row["author"],
        approver=row["approver"],
        reason=row["reason"],
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        created_at=row["created_at"],
        in_force=row.get("valid", False),
    )
