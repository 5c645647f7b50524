"""Gauges say how the failed claims of each tenant stand, and keep what they said when it is out."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from loader import embedded
from loader.failed import review
from loader.failed.backoff import Backoff
from loader.failed.ledger import write_failed
from loader.failed.review import Chosen
from loader.failed.words import Category, Resolution
from loader.rows import FailedClaim
from loader.source import Leased, tenant_transaction
from server.database import open_database
from server.failed_metrics import FailedMetrics, FailedWatch


@pytest.fixture
async def connection(postgres):
    opened = await asyncpg.connect(postgres.loading_url(embedded.PRODUCTION))
    yield opened
    await opened.close()


@pytest.fixture
def fail(connection, tenant):
    async def write(claim_id, cents):
        leased = Leased(1, claim_id, 1, claim_id.encode() * 8, b"m", 1, b"sealed", cents)
        failed = FailedClaim(leased, Category.VALIDATION, "score", [])
        async with tenant_transaction(connection, tenant):
            await write_failed(connection, tenant, uuid4(), [failed], Backoff())
            return await connection.fetchval(
                "SELECT failed_id FROM failed_claims WHERE claim_id = $1", claim_id
            )

    return write


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
async def watch(postgres, registry, tenant):
    url = postgres.loading_url(embedded.PRODUCTION)
    async with open_database(url, connections_max=2, query_s=10) as database:
        yield FailedWatch(database, FailedMetrics(registry), lambda: [tenant], 10)


@pytest.fixture
def seen(registry, tenant):
    def read(name, status="open"):
        labels = {"tenant": tenant, "category": "validation", "status": status}
        return registry.get_sample_value(name, labels)

    return read


async def test_gauges_follow_the_failed_claims(fail, watch, seen, connection, tenant, registry):
    one = await fail("C1", 700)
    await fail("C2", 300)
    await watch.look(tenant)
    before = seen("claimgate_failed_claims"), seen("claimgate_failed_claims_charge_cents")

    async with tenant_transaction(connection, tenant):
        await review.retry(connection, tenant, "ann", Chosen.by_id([one]))
    await watch.look(tenant)
    due = registry.get_sample_value("claimgate_failed_claims_due", {"tenant": tenant})

    assert (before, due) == ((2, 1_000), 1)
    assert seen("claimgate_failed_claims_oldest_seconds") >= 0


async def test_what_has_ended_is_zero(fail, watch, seen, connection, tenant):
    one = await fail("C1", 700)
    await watch.look(tenant)

    async with tenant_transaction(connection, tenant):
        chosen = Chosen.by_id([one])
        await review.resolve(connection, tenant, "ann", chosen, Resolution.RETURNED)
    await watch.look(tenant)

    assert [seen("claimgate_failed_claims"), seen("claimgate_failed_claims_charge_cents")] == [0, 0]


async def test_the_watch_goes_on_though_a_look_failed(fail, watch, seen, until, monkeypatch):
    await fail("C1", 700)
    looks = iter(["fails", "works"])
    look = watch.look

    async def sometimes(tenant):
        if next(looks, "works") == "fails":
            raise ValueError("a fault of our own")
        await look(tenant)

    monkeypatch.setattr(watch, "look", sometimes)

    watching = asyncio.create_task(watch.watch())
    await until(lambda: seen("claimgate_failed_claims") == 1)
    watching.cancel()

    with pytest.raises(asyncio.CancelledError):
        await watching
