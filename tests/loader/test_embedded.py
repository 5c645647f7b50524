"""The embedded Postgres starts where it may, keeps what it held, and opens no port."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import asyncpg
import pytest

from loader import embedded


@pytest.fixture
def folder(postgres):
    """A folder that the database's own user can reach."""
    path = Path(tempfile.mkdtemp(prefix="claimgate-embedded-"))
    yield path / "data"
    shutil.rmtree(path, ignore_errors=True)


async def ask(url, query):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def test_data_outlives_a_restart(folder):
    with embedded.embedded_postgres(folder) as server:
        asyncio.run(embedded.create_databases(server))
        url = server.migrating_url(embedded.STAGING)
        asyncio.run(ask(url, "CREATE TABLE kept AS SELECT 7 AS seven"))

    with embedded.embedded_postgres(folder) as server:
        asyncio.run(embedded.create_databases(server))
        kept = asyncio.run(ask(server.migrating_url(embedded.STAGING), "SELECT seven FROM kept"))

    assert kept == 7


def test_it_stops_with_its_block(folder):
    with embedded.embedded_postgres(folder) as server:
        url = server.superuser_url()
        asyncio.run(ask(url, "SELECT 1"))

    with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
        asyncio.run(ask(url, "SELECT 1"))


async def test_no_port_is_open_and_commits_are_durable(postgres):
    url = postgres.superuser_url()

    assert await ask(url, "SHOW listen_addresses") == ""
    assert await ask(url, "SHOW fsync") == "on"
    assert await ask(url, "SHOW synchronous_commit") == "on"


def test_root_may_not_put_it_below_a_home(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)

    below_home = embedded.embedded_postgres(Path.home() / "claimgate" / "data")

    with pytest.raises(embedded.EmbeddedPostgresError, match="choose a folder"), below_home:
        pass
