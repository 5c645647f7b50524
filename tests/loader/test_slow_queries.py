"""A database that counts its statements names the dearest; one that does not says what it needs."""

import asyncio
import json

import asyncpg
import pytest

from loader import embedded, slow_commands
from loader.embedded import EmbeddedPostgres, create_databases
from loader.migrate import current, upgrade
from loader.slow_queries import NotCountedError, costliest
from tests.loader.debian_postgres import binaries, debian_postgres


async def test_database_that_does_not_count_says_what_to_do(production):
    with pytest.raises(NotCountedError, match="shared_preload_libraries"):
        await costliest(production, limit=5)


@pytest.fixture(scope="module")
def debian(skip_or_fail):
    programs = binaries()
    if programs is None:
        skip_or_fail("no Postgres of Debian's: apt-get install postgresql")
    with debian_postgres(programs) as url:
        yield url


@pytest.mark.full
async def test_dearest_statements_are_named_without_their_values(debian, capsys):
    url = debian.format(database="postgres")
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE EXTENSION pg_stat_statements")
    for _ in range(3):
        await connection.execute("SELECT pg_sleep(0.02), 'a secret'")

    found = await costliest(connection, limit=100, mean_ms_min=15)

    [sleeping] = [each for each in found if "pg_sleep" in each.query]
    assert (sleeping.calls, sleeping.rows) == (3, 3)
    assert 60 <= sleeping.total_ms < 60_000
    assert "secret" not in sleeping.query
    await connection.close()
    status = await asyncio.to_thread(slow_commands.slow, url=url, mean_ms=15, as_json=True)
    assert status == 0
    assert any("pg_sleep" in each["query"] for each in json.loads(capsys.readouterr().out))


@pytest.mark.full
async def test_schemas_go_onto_the_postgres_of_debian(debian, tmp_path):
    class Server(EmbeddedPostgres):
        def _url(self, role, database):
            return debian.format(database=database).replace("postgres@", f"{role}@")

    server = Server(tmp_path)
    await create_databases(server)

    for database, name in ((embedded.STAGING, "staging"), (embedded.PRODUCTION, "production")):
        await upgrade(server.migrating_url(database), name)
        assert await current(server.migrating_url(database))
