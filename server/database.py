"""Production Postgres as the service uses it: one pool, and transactions that see one tenant."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final

import asyncpg

from loader.shards.fenced import is_fenced
from server.database_metrics import PoolMetrics
from server.errors import DatabaseUnavailableError
from server.settings import SettingsError

if TYPE_CHECKING:
    # asyncpg's own classes take type parameters in their stubs only.
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]

PRODUCTION_URL: Final = "CLAIMGATE_PRODUCTION_URL"
STAGING_URL: Final = "CLAIMGATE_STAGING_URL"
_CONNECT_S: Final = 10.0

OUT: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
"""What asyncpg raises when the server cannot be reached, is too slow or goes away in between."""


@dataclass(frozen=True, slots=True, eq=False)
class Database:
    """A Postgres, as a rule that of production, reached as a role that row-level security binds."""

    _pool: "Pool"
    _metrics: PoolMetrics | None = None
    _setting: str = PRODUCTION_URL

    async def require(self, table: str, what: str) -> None:
        """Refuse to start on a database that has no place for something yet.

        Raises:
            SettingsError: says which migration is missing.
        """
        async with self.transaction("", readonly=True) as connection:
            found = await connection.fetchval("SELECT to_regclass($1)::text", table)
        if found is None:
            raise SettingsError(
                f"{self._setting}: the database has no table of {what}; bring it forward "
                f"with `claimgate migrate {self._name}`, then start the service"
            )

    @asynccontextmanager
    async def transaction(
        self, tenant: str, *, readonly: bool = False, one_moment: bool = False
    ) -> AsyncIterator["Connection"]:
        """Run a transaction that sees and writes the rows of one tenant only.

        Args:
            tenant: Whose rows.
            readonly: Refuse to write.
            one_moment: Every question is answered as of the first.

        Raises:
            DatabaseUnavailableError: the server is out, and whether a commit that was under way
                took place is not known; or the shard is being moved, and nothing was written.
        """
        try:
            async with (
                self._acquired() as connection,
                connection.transaction(
                    isolation="repeatable_read" if one_moment else None, readonly=readonly
                ),
            ):
                # For this transaction alone: the connection's next user starts without a tenant.
                await connection.execute("SELECT set_config('claimgate.tenant', $1, true)", tenant)
                yield connection
        except OUT as error:
            raise DatabaseUnavailableError(type(error).__name__, self._setting) from error
        except asyncpg.PostgresError as error:
            if is_fenced(error):
                raise DatabaseUnavailableError("ShardIsMoved", self._setting) from error
            raise

    @property
    def _name(self) -> str:
        return "staging" if self._setting == STAGING_URL else "production"

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator["Connection"]:
        """Hold a connection of the pool."""
        asked_at = perf_counter()
        try:
            connection = await self._pool.acquire(timeout=_CONNECT_S)
        except TimeoutError:
            if self._metrics:
                self._metrics.count_timeout()
            raise
        try:
            with self._metrics.held(asked_at) if self._metrics else nullcontext():
                yield connection
        finally:
            await self._pool.release(connection)


@asynccontextmanager
async def open_database(
    url: str,
    *,
    connections_max: int,
    query_s: float,
    setting: str = PRODUCTION_URL,
    metrics: PoolMetrics | None = None,
) -> AsyncIterator[Database]:
    """Yield the database at `url`, connected.

    Args:
        url: The database, as a role that is neither owner nor superuser.
        connections_max: Most connections to it.
        query_s: Longest that a question may take.
        setting: Where the URL is from, for what is said of it.
        metrics: Where the use of its connections is counted.

    Raises:
        DatabaseUnavailableError: the server cannot be reached.
        SettingsError: the role sees every tenant's rows, whatever the transaction says.
    """
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=connections_max,
            timeout=_CONNECT_S,
            command_timeout=query_s,
            server_settings={"application_name": "claimgate-service"},
        )
    except OUT as error:
        raise DatabaseUnavailableError(type(error).__name__, setting) from error
    try:
        await _refuse_unbound_role(pool, setting)
        yield Database(pool, metrics, setting)
    finally:
        await pool.close()


async def _refuse_unbound_role(pool: "Pool", setting: str) -> None:
    if await pool.fetchval(
        "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
    ):
        raise SettingsError(
            f"{setting}: the role is a superuser or has BYPASSRLS, so it would see "
            "the rows of every tenant; name a member of claimgate_app that is neither"
        )
