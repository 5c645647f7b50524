"""A session of the owner of the tables, which says that it acts for all tenants."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import asyncpg
import stamina
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from loader.link import connect

T = TypeVar("T")

SETTING: Final = "CLAIMGATE_OWNER_URL"
BACKUP_SETTING: Final = "CLAIMGATE_BACKUP_URL"
STAGING_SETTING: Final = "CLAIMGATE_STAGING_OWNER_URL"


class StorageError(Exception):
    """Something that storage was asked for cannot be done as things are."""


class StorageSettings(BaseSettings):
    """What `claimgate storage` needs, from the environment (`CLAIMGATE_…`)."""

    model_config = SettingsConfigDict(env_prefix="CLAIMGATE_", frozen=True, extra="forbid")

    owner_url: str | None = Field(default=None, min_length=1, repr=False)
    """URL of the production database, as the role that owns the tables."""

    backup_url: str | None = Field(default=None, min_length=1, repr=False)
    """URL of the production database, as a role that reads every row (BYPASSRLS)."""

    staging_owner_url: str | None = Field(default=None, min_length=1, repr=False)
    """URL of the staging database, as the role that owns the tables, for retention of staging."""


def owner_url(url: str | None) -> str:
    """Return the URL that was given, or that of the environment.

    Raises:
        ValueError: Neither is there.
    """
    return _named(url or _settings().owner_url, SETTING, "the role that owns the tables")


def backup_url(url: str | None) -> str:
    """Return the URL that was given, or that of the environment.

    Raises:
        ValueError: Neither is there.
    """
    return _named(url or _settings().backup_url, BACKUP_SETTING, "a role with BYPASSRLS")


def staging_owner_url(url: str | None) -> str | None:
    """Return the URL that was given, or that of the environment, or None."""
    return url or _settings().staging_owner_url


def _settings() -> StorageSettings:
    try:
        return StorageSettings()
    except ValidationError as error:
        names = ", ".join(f"CLAIMGATE_{str(each['loc'][0]).upper()}" for each in error.errors())
        raise ValueError(f"{names}: expected the URL of a database") from None


def _named(url: str | None, setting: str, role: str) -> str:
    if url is None:
        raise ValueError(f"no database is named; set {setting} to its URL, as {role}")
    return url


@asynccontextmanager
async def owner_session(url: str, *, alone: bool = True) -> AsyncIterator[asyncpg.Connection]:
    """Connect as the owner; `alone` keeps out others that change storage for as long.

    Raises:
        StorageError: The role does not own the tables, the schema is older, or another is at work.
    """
    connection = await connect(url, SETTING)
    try:
        await _check(connection)
        if alone and not await connection.fetchval(_TRY_ALONE):
            raise StorageError(
                "another `claimgate storage` is at work on this database; wait for it"
            )
        await connection.execute(_FOR_ALL)
        yield connection
    finally:
        await connection.close()


# A backup holds the same lock, shared.
_TRY_ALONE: Final = "SELECT pg_try_advisory_lock(hashtextextended('claimgate.storage', 0))"
_FOR_ALL: Final = "SELECT set_config('claimgate.all_tenants', 'on', false)"
_OWNER: Final = """
SELECT current_user AS role, r.rolname AS owner, pg_has_role(current_user, r.oid, 'USAGE') AS owns
FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
WHERE c.oid = to_regclass('public.' || $1)
"""
_PREPARED: Final = """
SELECT EXISTS (
    SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = 'storage' AND p.proname = 'delete_failed'
)
"""


async def owns(connection: asyncpg.Connection, table: str) -> bool:
    """Return whether a table is there.

    Raises:
        StorageError: It is another role's.
    """
    found = await connection.fetchrow(_OWNER, table)
    if found and not found["owns"]:
        raise StorageError(
            f"role {found['role']} does not own the tables; connect as {found['owner']}"
        )
    return found is not None


async def _check(connection: asyncpg.Connection) -> None:
    """Refuse a database that is not prepared and a role that does not own its tables."""
    if not await owns(connection, "claims") or not await connection.fetchval(_PREPARED):
        raise StorageError(
            "the database is not at revision 0012 or later; run `claimgate migrate production`"
        )


_IN_USE: Final = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)


async def with_tables_locked(
    connection: asyncpg.Connection, step: Callable[[], Awaitable[T]], *, patience_s: float = 60.0
) -> T:
    """Do a step in a transaction in which nobody else reads or writes the tables of claims.

    Others wait for it for at most some seconds; then it gives way, and is tried again from its
    start, up to `patience_s`.

    Raises:
        StorageError: They were in use all the time.
    """
    try:
        async for attempt in stamina.retry_context(
            on=_IN_USE, attempts=None, timeout=patience_s, wait_initial=0.05, wait_max=2.0
        ):
            with attempt:
                async with connection.transaction():
                    await connection.execute("SELECT storage.lock_parents()")
                    return await step()
    except _IN_USE:
        raise StorageError(
            f"the tables of claims were in use for {patience_s:g} seconds; try again when less is "
            "loaded or read"
        ) from None
    raise AssertionError("the last attempt returns or raises")
