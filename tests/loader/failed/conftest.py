"""Claims that fail, and what puts them right."""

import pytest

from loader import embedded, source
from loader.failed.backoff import Backoff
from loader.failed.retry import Retrier
from loader.link import Link
from loader.run import run
from loader.source import Submitted

DUE = "UPDATE failed_claims SET next_attempt_at = now() WHERE tenant_id = $1"


@pytest.fixture
async def links(postgres):
    async with (
        Link(postgres.loading_url(embedded.PRODUCTION), attempts=3) as production,
        Link(postgres.loading_url(embedded.STAGING), attempts=3) as staging,
    ):
        yield production, staging


@pytest.fixture
def retrier(links, tenant, vault):
    def make(*, lease_s=300.0, steps=()):
        return Retrier(*links, tenant, vault, Backoff(), lease_s=lease_s, steps=steps)

    return make


@pytest.fixture
def failing(staging, vault, tenant, make_claim, settings):
    """Stage claims and run the loader once."""

    async def put(*claims):
        claims = [make_claim(each) if isinstance(each, str) else each for each in claims]
        await source.stage_claims(staging, vault, tenant, map(Submitted, claims))
        await run(settings)

    return put


@pytest.fixture
def failed(production, tenant):
    async def read():
        rows = await production.fetch(
            "SELECT * FROM failed_claims WHERE tenant_id = $1 ORDER BY failed_id", tenant
        )
        return [dict(row) for row in rows]

    return read


@pytest.fixture
def due(production, tenant):
    async def make():
        await production.execute(DUE + " AND status IN ('open', 'assigned')", tenant)

    return make


@pytest.fixture
def heal(scorer, monkeypatch):
    """Let the service accept what it refused: claims are judged by their id no more."""

    def make(patch=monkeypatch):
        from claimgate.v1 import score_pb2

        async def judge(batch, context):
            scorer.calls.update(claim.claim_id for claim in batch.claims)
            return [
                score_pb2.ClaimResult(
                    claim_id=claim.claim_id,
                    claim_version=claim.claim_version or 1,
                    decision=score_pb2.DECISION_APPROVE,
                )
                for claim in batch.claims
            ]

        patch.setattr(scorer, "_judge_all", judge)

    return make


async def count(production, tenant, table):
    """Count a tenant's rows in a table."""
    return await production.fetchval(
        f"SELECT count(*) FROM {table} WHERE tenant_id = $1",  # noqa: S608 - our own table names
        tenant,
    )
