"""A production database for each test, since months belong to all tenants, and claims to load."""

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import asyncpg
import pytest
from claimgate.v1 import score_pb2

from loader import migrate, rows
from loader.batch import Batch
from loader.link import Link
from loader.opened import Opened, facts_of
from loader.sink import Sink
from loader.source import Leased
from loader.storage.owner import owner_session
from loader.storage.retention_policies import RetentionPolicy, set_policy
from loader.vault import Vault

_NUMBERS = count(1)
TABLES = ("claims", "claim_lines", "claim_results", "rule_hits")


@pytest.fixture(scope="session")
def template(postgres) -> str:
    """A database at the head that others are copied from."""
    asyncio.run(_make_template(postgres, "storage_template"))
    return "storage_template"


async def _make_template(postgres, name):
    connection = await asyncpg.connect(postgres.superuser_url())
    await connection.execute(f"CREATE DATABASE {name} OWNER claimgate_migrator")
    await connection.close()
    await migrate.upgrade(postgres.migrating_url(name), "production")


@dataclass(frozen=True)
class Production:
    """A production database of a test's own."""

    name: str
    owner: str
    loading: str
    superuser: str


@pytest.fixture
async def database(postgres, template) -> Production:
    name = f"storage_{next(_NUMBERS)}"
    connection = await asyncpg.connect(postgres.superuser_url())
    await connection.execute(f"CREATE DATABASE {name} OWNER claimgate_migrator TEMPLATE {template}")
    yield Production(
        name,
        postgres.migrating_url(name),
        postgres.loading_url(name),
        postgres.superuser_url(name),
    )
    await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await connection.close()


@pytest.fixture
async def owner(database):
    """The session in which storage is changed."""
    async with owner_session(database.owner) as connection:
        yield connection


@pytest.fixture
async def everything(database):
    """A connection that sees every row."""
    connection = await asyncpg.connect(database.superuser)
    yield connection
    await connection.close()


@dataclass
class Loads:
    """Loads scored claims for tenants, as the loader does."""

    url: str
    links: AsyncExitStack
    vault: Vault
    make_claim: Callable[..., Any]
    numbers: Any = field(default_factory=lambda: count(1))
    sinks: dict[str, Sink] = field(default_factory=dict)

    def scored(
        self,
        tenant: str,
        claim_id: str,
        *,
        month: str = "2025-10",
        hits: int = 1,
        line_npi: str = "",
        **fields: Any,
    ) -> rows.LoadClaim:
        """A scored claim of a month, some numbers by lot."""
        lot = random.Random(claim_id)
        day = f"{month}-{lot.randint(1, 28):02}"
        dates = {"service_from_date": day, "service_to_date": day}
        claim = self.make_claim(claim_id, **(dates | fields))
        if line_npi:
            claim.lines[0].rendering_provider.npi = line_npi
        member = claim.person_id.encode().ljust(16, b".")[:16]
        leased = Leased(
            next(self.numbers), claim_id, claim.claim_version or 1,
            claim_id.encode().ljust(32)[:32], member, 1, b"sealed" + claim_id.encode(),
        )  # fmt: skip
        decision = score_pb2.DECISION_REVIEW if hits else score_pb2.DECISION_APPROVE
        result = score_pb2.ClaimResult(
            decision=decision, fraud_score=lot.random(), exposure_cents=lot.randint(0, 9_999)
        )
        if lot.random() < 0.8:
            result.allowed_cents = lot.randint(1, 99_999)
        for number in range(hits):
            result.hits.add(
                rule_id=f"RULE_{lot.randint(1, 3)}", line_numbers=[1], evidence={"limit": "1"},
                action=score_pb2.ACTION_PEND, exposure_cents=number, suppressed=number == 2,
            )  # fmt: skip
        for line in claim.lines:
            result.lines.add(line_number=line.line_number, allowed_cents=99, rvu_total_e4=26_811)
        opened = Opened(leased, claim.SerializeToString(), facts_of(claim))
        return rows.load_claim(opened, result, (5, 9), self.vault, tenant)

    async def __call__(self, tenant: str, *claims: rows.LoadClaim) -> None:
        """Load claims as one batch."""
        if tenant not in self.sinks:
            link = await self.links.enter_async_context(Link(self.url, attempts=3))
            self.sinks[tenant] = Sink(link, tenant)
        await self.sinks[tenant].load(Batch(list(claims)))


@pytest.fixture
async def load(database, vault, make_claim):
    async with AsyncExitStack() as links:
        yield Loads(database.loading, links, vault, make_claim)


async def contents(connection: asyncpg.Connection) -> dict[str, list[str]]:
    """Every row of the tables of claims, as text and in order."""
    found = {}
    for table in TABLES:
        query = f"SELECT t::text AS row FROM {table} AS t ORDER BY 1"  # noqa: S608  our own names
        found[table] = [row["row"] for row in await connection.fetch(query)]
    return found


@pytest.fixture(name="contents")
def contents_fixture():
    return contents


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "archives"


@pytest.fixture
def delete(owner):
    """Have a tenant's data deleted after six years."""

    async def delete(tenant, kind="claims"):
        await set_policy(owner, RetentionPolicy(tenant, kind, "delete", 72, "law", "clerk"))

    return delete
