"""Three pairs of databases on one server, and a directory of them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from claimgate.v1 import claim_pb2

from loader import embedded, migrate
from loader.shards.directory import Directory, read_directory
from loader.shards.settings import ShardSettings
from loader.source import tenant_transaction

NAMES = ("north", "south", "north_2")
BUCKETS = {"north": '["0-2047"]', "south": '["2048-4095"]', "north_2": "[]"}
FIELDS = ("staging_url", "production_url", "owner_staging_url", "owner_production_url")


def database_of(shard: str, kind: str) -> str:
    return f"shard_{shard}_{kind}"


@pytest.fixture(scope="session")
def cells(postgres: embedded.EmbeddedPostgres) -> embedded.EmbeddedPostgres:
    """The server with a migrated pair of databases for each shard."""

    async def make() -> None:
        admin = await asyncpg.connect(postgres.superuser_url())
        for name in NAMES:
            for kind in ("staging", "production"):
                database = database_of(name, kind)
                await admin.execute(f'CREATE DATABASE "{database}" OWNER claimgate_migrator')
                await migrate.upgrade(postgres.migrating_url(database), kind)
        await admin.close()

    asyncio.run(make())
    return postgres


@dataclass
class Shards:
    """What a test asks of its tenant's shards."""

    server: embedded.EmbeddedPostgres
    tenant: str
    file: Path
    settings: ShardSettings

    @property
    def directory(self) -> Directory:
        return read_directory(self.file)

    def facility_of(self, shard: str, number: int = 0) -> str:
        """A facility whose bucket belongs to a shard; another one for each number."""
        found = (
            f"F{n}" for n in range(10_000)
            if self.directory.shard_of(self.tenant, f"F{n}").name == shard
        )  # fmt: skip
        for _ in range(number):
            next(found)
        return next(found)

    async def fetch(self, shard: str, kind: str, query: str) -> list[asyncpg.Record]:
        """Ask a database of a shard about the tenant's rows."""
        url = self.server.loading_url(database_of(shard, kind))
        connection = await asyncpg.connect(url)
        try:
            async with tenant_transaction(connection, self.tenant):
                return await connection.fetch(query)
        finally:
            await connection.close()

    async def ids(self, shard: str, kind: str) -> list[str]:
        """The claims that a database of a shard holds."""
        rows = await self.fetch(shard, kind, "SELECT claim_id FROM claims ORDER BY 1")
        return [row[0] for row in rows]


@pytest.fixture
def shards(cells, tenant, tmp_path, monkeypatch, scorer) -> Shards:
    """The shards of this test's tenant: north and south, and north_2, to which north may move."""
    lines = ["version = 1", f'tenants = ["{tenant}"]']
    for name in NAMES:
        lines += [f"[shards.{name}]", f"buckets = {BUCKETS[name]}"]
        lines += [f'service_address = "{scorer.address}"']
        for field in FIELDS:
            variable = f"{name}_{field}".upper()
            lines.append(f'{field} = "env:{variable}"')
            kind = field.split("_")[-2]
            url = cells.migrating_url if field.startswith("owner") else cells.loading_url
            monkeypatch.setenv(variable, url(database_of(name, kind)))
    file = tmp_path / "shards.toml"
    file.write_text("\n".join(lines))
    monkeypatch.setenv("CLAIMGATE_SHARDS", str(file))
    monkeypatch.setenv("CLAIMGATE_TENANT", tenant)
    monkeypatch.setenv("CLAIMGATE_KEY_HEX", bytes(range(32)).hex())
    monkeypatch.setenv("CLAIMGATE_BATCH_CLAIMS", "20")
    monkeypatch.setenv("CLAIMGATE_LEASE_CLAIMS", "25")
    monkeypatch.setenv("CLAIMGATE_MESSAGE_CLAIMS", "10")
    return Shards(cells, tenant, file, ShardSettings.from_environment())


@pytest.fixture
def claims_file(tmp_path) -> Callable[..., Path]:
    """Return a writer of claims as JSON lines."""
    from google.protobuf.json_format import MessageToJson

    def write(*claims: claim_pb2.Claim, name: str = "claims.jsonl") -> Path:
        path = tmp_path / name
        lines = [MessageToJson(claim, indent=None) for claim in claims]
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write
