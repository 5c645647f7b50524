"""The service's database: one tenant's rows in a transaction, and a server that is out is said."""

import asyncpg
import pytest

from loader import embedded
from server.database import Database, open_database
from server.errors import DatabaseUnavailableError
from server.settings import SettingsError


@pytest.fixture
async def database(postgres):
    url = postgres.loading_url(embedded.PRODUCTION)
    async with open_database(url, connections_max=1, query_s=5) as opened:
        yield opened


async def tenant_of(database: Database, tenant: str) -> str | None:
    async with database.transaction(tenant) as connection:
        return await connection.fetchval("SELECT current_tenant()")


async def test_transaction_sees_its_tenant_and_the_next_one_its_own(database):
    seen = [await tenant_of(database, tenant) for tenant in ("a", "b")]

    assert seen == ["a", "b"]


async def test_connection_goes_back_without_a_tenant(database):
    await tenant_of(database, "a")

    async with database._pool.acquire() as connection:
        assert await connection.fetchval("SELECT current_tenant()") is None


async def test_read_only_transaction_writes_nothing(database, tenant):
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with database.transaction(tenant, readonly=True) as connection:
            await connection.execute(
                "INSERT INTO provenances VALUES ($1, 1, '', '', '', '', '{}', '{}')", tenant
            )


async def test_connection_that_dies_is_said_and_replaced(database, postgres, tenant):
    admin = await asyncpg.connect(postgres.superuser_url(embedded.PRODUCTION))

    async def lose_the_connection() -> None:
        async with database.transaction(tenant) as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            await admin.execute("SELECT pg_terminate_backend($1)", pid)
            await connection.fetchval("SELECT 1")

    with pytest.raises(DatabaseUnavailableError):
        await lose_the_connection()
    await admin.close()

    assert await tenant_of(database, tenant) == tenant


async def test_server_that_is_out_ends_the_start(tmp_path):
    with pytest.raises(DatabaseUnavailableError, match="CLAIMGATE_PRODUCTION_URL"):
        async with open_database(f"postgresql:///x?host={tmp_path}", connections_max=1, query_s=5):
            pass


async def test_role_that_row_level_security_does_not_bind_is_refused(postgres):
    url = postgres.superuser_url(embedded.PRODUCTION)

    with pytest.raises(SettingsError, match="BYPASSRLS"):
        async with open_database(url, connections_max=1, query_s=5):
            pass
