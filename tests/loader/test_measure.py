"""The measurement compares the load step with a bare COPY of the same rows, and tidies up."""

from itertools import count

import asyncpg
from claimgate.v1 import score_pb2

from loader import embedded, rows
from loader.batch import Batch
from loader.measure import measure_load_step
from loader.opened import Opened, facts_of
from loader.source import Leased


async def test_both_ways_are_timed_and_nothing_of_the_bare_one_stays(
    postgres, production, vault, tenant, make_claim
):
    claims = []
    for number in range(20):
        leased = Leased(number, f"C{number}", 1, b"c" * 32, b"m", 1, b"sealed")
        claim, result = make_claim(f"C{number}"), score_pb2.ClaimResult()
        opened = Opened(leased, claim.SerializeToString(), facts_of(claim))
        claims.append(rows.load_claim(opened, result, (5, 9), vault, tenant))

    measured = await measure_load_step(
        [Batch(claims[:10]), Batch(claims[10:])],
        tenant=tenant,
        loading_url=postgres.loading_url(embedded.PRODUCTION),
        migrating_url=postgres.migrating_url(embedded.PRODUCTION),
        connections=2,
        processor_s=count(1).__next__,
    )

    assert measured.rows == 20 + 20 + 40 + 20 + 20
    assert measured.ratio > 0
    assert measured.processor_ratio == 1
    loaded = "SELECT count(*) FROM claims WHERE tenant_id = $1"
    assert await production.fetchval(loaded, tenant) == 20
    owner = await asyncpg.connect(postgres.migrating_url(embedded.PRODUCTION))
    assert await owner.fetchval("SELECT to_regnamespace('claimgate_bare')") is None
    await owner.close()
