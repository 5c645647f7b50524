"""The answer to a COMMIT is lost on the way: what was committed is neither lost nor done twice."""

import pytest

from loader import source
from loader.batch import Batch
from loader.run import run
from loader.sink import Sink
from loader.source import Submitted
from tests.crash.proxy import proxied

TABLES = ("claim_keys", "claims", "claim_results", "claim_history", "batches", "outbox")


class CutOnce:
    """Cuts at one COMMIT, counted from 1."""

    def __init__(self, at, cut):
        self.at, self.cut = at, cut

    def __call__(self):
        self.at -= 1
        return self.cut if self.at == 0 else None


async def count(production, tenant, table):
    query = f"SELECT count(*) FROM {table} WHERE tenant_id = $1"  # noqa: S608  our own table names
    return await production.fetchval(query, tenant)


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_batch_whose_commit_was_cut_is_loaded_once_with_one_receipt(
    postgres, settings, make_claim, vault, staging, tenant, production, cut
):
    claims = [make_claim(f"ok-{n}") for n in range(5)]
    await source.stage_claims(staging, vault, tenant, map(Submitted, claims))
    receipts = []

    class Noting(Sink):
        async def load(self, batch: Batch, batch_id=None):
            loaded = await super().load(batch, batch_id)
            receipts.extend(loaded.receipts)
            return loaded

    async with proxied(postgres, CutOnce(1, cut)) as proxy:
        url = proxy.url(settings.production_url)
        summary = await run(settings.model_copy(update={"production_url": url}), open_sink=Noting)

    assert proxy.cuts == [cut]
    assert await source.count_by_status(staging, tenant) == {"completed": 5}
    assert [await count(production, tenant, table) for table in TABLES] == [5, 5, 5, 5, 1, 1]
    assert [(receipt.commit_seq, receipt.loaded) for receipt in receipts] == [(1, 5)]
    assert summary.loaded + summary.already_loaded == 5
    stored = await production.fetchval("SELECT batch_id FROM batches WHERE tenant_id = $1", tenant)
    assert receipts[0].batch_id == stored


@pytest.mark.parametrize("commit", [1, 3, 4, 6, 9, 11])
@pytest.mark.parametrize("cut", ["before", "after"])
async def test_any_commit_to_staging_may_be_cut(
    postgres, settings, make_claim, vault, staging, tenant, production, cut, commit
):
    claims = [make_claim(f"ok-{n}") for n in range(40)]
    await source.stage_claims(staging, vault, tenant, map(Submitted, claims))

    async with proxied(postgres, CutOnce(commit, cut)) as proxy:
        url = proxy.url(settings.staging_url)
        await run(settings.model_copy(update={"staging_url": url}))

    assert proxy.cuts == [cut]
    assert await source.count_by_status(staging, tenant) == {"completed": 40}
    assert [await count(production, tenant, table) for table in TABLES[:4]] == [40] * 4
