"""The service's database: one tenant's rows in a transaction, and a server that is out is said."""

import asyncio

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from loader import embedded
from loader.shards.fence import Fence, set_fence
from server import database as database_module
from server.database import Database, open_database
from server.database_metrics import DatabaseMetrics
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


async def test_write_to_a_shard_that_is_moved_may_be_repeated_and_reads_go_on(
    database, postgres, tenant
):
    owner = await asyncpg.connect(postgres.migrating_url(embedded.PRODUCTION))
    await set_fence(owner, tenant, Fence("closed", "north", "north_2"))
    await owner.close()

    with pytest.raises(DatabaseUnavailableError, match="ShardIsMoved"):
        async with database.transaction(tenant) as connection:
            await connection.execute(
                "INSERT INTO member_tables (tenant_id, name, first_seq) VALUES ($1, 'a', 1)", tenant
            )

    assert await tenant_of(database, tenant) == tenant


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


async def test_use_of_connections_is_counted(postgres, tenant):
    registry = CollectorRegistry()
    metrics = DatabaseMetrics(registry).of("production", 1)
    url = postgres.loading_url(embedded.PRODUCTION)

    def value(name):
        return registry.get_sample_value(f"claimgate_database_{name}", {"database": "production"})

    async with open_database(url, connections_max=1, query_s=5, metrics=metrics) as database:
        async with database.transaction(tenant):
            assert value("connections_busy") == 1
            waiting = asyncio.create_task(tenant_of(database, tenant))
            await asyncio.sleep(0.05)
        await waiting

    assert value("connections_busy") == 0
    assert value("connections_max") == 1
    assert value("wait_seconds_count") == value("held_seconds_count") == 2
    assert value("wait_seconds_sum") >= 0.04


async def test_question_without_a_connection_in_time_is_counted(postgres, tenant, monkeypatch):
    registry = CollectorRegistry()
    metrics = DatabaseMetrics(registry).of("history", 1)
    url = postgres.loading_url(embedded.PRODUCTION)
    monkeypatch.setattr(database_module, "_CONNECT_S", 0.5)

    async with (
        open_database(url, connections_max=1, query_s=5, metrics=metrics) as database,
        database.transaction(tenant),
    ):
        with pytest.raises(DatabaseUnavailableError, match="TimeoutError"):
            await tenant_of(database, tenant)

    timeouts = "claimgate_database_wait_timeouts_total"
    assert registry.get_sample_value(timeouts, {"database": "history"}) == 1
