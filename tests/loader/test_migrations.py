"""Both schemas go forward and back, and keep tenants apart whoever asks."""

import asyncpg
import pytest

from loader import embedded, migrate

DATABASES = [(embedded.STAGING, "staging"), (embedded.PRODUCTION, "production")]

HEADS = {"staging": "0004", "production": "0012"}

_TENANT_TABLES = """
SELECT c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
    EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid) AS policy,
    pg_get_userbyid(c.relowner) AS owner
FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    AND c.relname <> 'alembic_version'
"""
_KEYS = """
SELECT i.indexrelid::regclass::text AS name, a.attname AS first_column
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indrelid
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'
"""


@pytest.fixture
async def connect(postgres):
    opened = []

    async def open_one(url):
        opened.append(await asyncpg.connect(url))
        return opened[-1]

    yield open_one
    for connection in opened:
        await connection.close()


@pytest.mark.parametrize(("database", "name"), DATABASES)
async def test_each_schema_goes_forward_and_back_and_forward(postgres, connect, database, name):
    admin = await connect(postgres.superuser_url())
    await admin.execute(f"CREATE DATABASE scratch_{name} OWNER claimgate_migrator")
    url = postgres.migrating_url(f"scratch_{name}")

    await migrate.upgrade(url, name)
    forward = await migrate.current(url)
    await migrate.downgrade(url, name)
    back = await migrate.current(url)
    left = await (await connect(url)).fetch(_TENANT_TABLES)
    await migrate.upgrade(url, name)

    assert (forward, back, left) == (HEADS[name], None, [])


@pytest.mark.parametrize(("database", "name"), DATABASES)
async def test_every_tenant_table_has_row_security_forced_and_a_policy(
    postgres, connect, database, name
):
    connection = await connect(postgres.superuser_url(database))

    tables = await connection.fetch(_TENANT_TABLES)

    assert len(tables) >= 3
    assert [t["name"] for t in tables if not (t["enabled"] and t["forced"] and t["policy"])] == []
    assert {t["owner"] for t in tables} == {"claimgate_migrator"}


@pytest.mark.parametrize(("database", "name"), DATABASES)
async def test_every_key_and_index_starts_with_the_tenant(postgres, connect, database, name):
    connection = await connect(postgres.superuser_url(database))

    keys = await connection.fetch(_KEYS)

    assert [key["name"] for key in keys if key["first_column"] != "tenant_id"] == []


@pytest.mark.parametrize(("database", "name"), DATABASES)
async def test_no_view_can_bypass_row_security(postgres, connect, database, name):
    connection = await connect(postgres.superuser_url(database))

    views = await connection.fetch(
        "SELECT relname FROM pg_class "
        "WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace"
    )

    assert views == []


async def test_the_loading_role_is_neither_owner_nor_superuser(postgres, connect):
    connection = await connect(postgres.loading_url(embedded.PRODUCTION))

    role = await connection.fetchrow(
        "SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user"
    )

    assert list(role.values()) == [False, False, False]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("DELETE FROM claims")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("ALTER TABLE claims DISABLE ROW LEVEL SECURITY")


@pytest.mark.parametrize("role", ["loading_url", "migrating_url"])
async def test_a_tenant_sees_its_own_rows_and_without_a_tenant_nobody_sees_any(
    postgres, connect, tenant, role
):
    connection = await connect(getattr(postgres, role)(embedded.STAGING))
    insert = (
        "INSERT INTO intake_problems (tenant_id, source_file, segment, level, code, message) "
        "VALUES ($1, 'f', 1, 'error', 'c', 'm')"
    )
    count = "SELECT count(*) FROM intake_problems"
    set_tenant = "SELECT set_config('claimgate.tenant', $1, true)"

    async with connection.transaction():
        await connection.execute(set_tenant, tenant)
        await connection.execute(insert, tenant)
        own = await connection.fetchval(count)
    outside = await connection.fetchval(count)
    async with connection.transaction():
        await connection.execute(set_tenant, f"{tenant}-other")
        other = await connection.fetchval(count)

    assert (own, outside, other) == (1, 0, 0)


async def test_a_row_for_another_tenant_cannot_be_written(postgres, connect, tenant):
    connection = await connect(postgres.loading_url(embedded.STAGING))

    foreign = (
        "INSERT INTO intake_problems (tenant_id, source_file, segment, level, code, message) "
        "VALUES ('somebody else', 'f', 1, 'error', 'c', 'm')"
    )

    async with connection.transaction():
        await connection.execute("SELECT set_config('claimgate.tenant', $1, true)", tenant)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await connection.execute(foreign)


async def test_the_loader_makes_months_ahead_once_and_cannot_read_them_directly(postgres, connect):
    connection = await connect(postgres.loading_url(embedded.PRODUCTION))
    make = "SELECT make_partitions('2031-01-15', '2031-02-01')"

    made = [row[0] for row in await connection.fetch(make)]
    again = await connection.fetch(make)

    assert sorted(made) == sorted(
        f"{table}_2031_{month}"
        for table in ("claims", "claim_lines", "claim_results", "rule_hits")
        for month in ("01", "02")
    )
    assert again == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch("SELECT FROM claims_2031_01")


async def test_partitions_are_asked_for_by_a_sensible_range_only(postgres, connect):
    connection = await connect(postgres.loading_url(embedded.PRODUCTION))

    with pytest.raises(asyncpg.RaiseError, match="at most ten years"):
        await connection.fetch("SELECT make_partitions('1900-01-01', '2100-01-01')")


async def test_cancelled_claims_survive_the_way_back(postgres, connect):
    admin = await connect(postgres.superuser_url())
    await admin.execute("CREATE DATABASE scratch_cancelled OWNER claimgate_migrator")
    url = postgres.migrating_url("scratch_cancelled")
    await migrate.upgrade(url, "staging")
    rows = await connect(postgres.superuser_url("scratch_cancelled"))
    await rows.execute(
        "INSERT INTO claim_states (tenant_id, staging_id, status, priority, member_key) "
        "VALUES ('t', 1, 'cancelled', 1, '')"
    )

    await migrate.downgrade(url, "staging", "0001")
    back = await rows.fetchval("SELECT status FROM claim_states")
    with pytest.raises(asyncpg.CheckViolationError):
        await rows.execute("UPDATE claim_states SET status = 'cancelled'")
    await migrate.upgrade(url, "staging")

    assert (back, await migrate.current(url)) == ("cancelled", HEADS["staging"])
