"""A submitter's batch: how far it is, and each claim either loaded or cancelled."""

import asyncio
from itertools import pairwise

import asyncpg
import pytest

from loader import embedded, source
from loader.claims import batches
from loader.claims.watch import watch
from loader.failed.filter import FieldError
from loader.run import run
from loader.source import Submitted, tenant_transaction


@pytest.fixture
def stage(staging, vault, tenant):
    async def put(*claims):
        return await source.stage_claims(staging, vault, tenant, map(Submitted, claims))

    return put


@pytest.fixture
async def desk(postgres):
    """A second connection to staging, beside the loader's."""
    connection = await asyncpg.connect(postgres.loading_url(embedded.STAGING))
    yield connection
    await connection.close()


@pytest.fixture
def cancel(desk, tenant):
    async def end(batch="B", *, of=tenant, reason="sent twice"):
        async with tenant_transaction(desk, of):
            return await batches.cancel_batch(desk, of, batch, by="ann", reason=reason)

    return end


@pytest.fixture
def state(desk, tenant):
    async def read(batch="B", *, of=tenant):
        async with tenant_transaction(desk, of):
            return await batches.batch_state(desk, of, batch)

    return read


@pytest.fixture
def decisions(desk, loading, tenant):
    async def read(batch="B"):
        async with tenant_transaction(desk, tenant), tenant_transaction(loading, tenant):
            return await batches.decisions(desk, loading, tenant, batch)

    return read


async def test_a_batch_is_counted_by_status_and_decision(
    stage, settings, state, decisions, make_claim
):
    names = ["ok-1", "ok-2", "review-1", "deny-1", "reject-1"]
    await stage(*(make_claim(name, batch_id="B") for name in names), make_claim("ok-9"))

    before = await state()
    await run(settings)
    after = await state()

    assert (before.statuses, before.ended) == ({"pending": 5}, False)
    assert after.statuses == {"completed": 3, "failed": 1, "needs_review": 1}
    assert (after.claims, after.left, after.ended) == (5, 0, True)
    assert await decisions() == {"approve": 2, "deny": 1, "review": 1}


async def test_what_waits_is_cancelled_and_what_is_leased_is_not(
    stage, staging, cancel, state, tenant, make_claim
):
    await stage(*(make_claim(f"ok-{n}", batch_id="B") for n in range(6)), make_claim("ok-9"))
    await source.lease(staging, tenant, "me", claims=2, seconds=60)

    done = await cancel()
    again = await cancel()

    assert (done.cancelled, again.cancelled) == (4, 0)
    assert (await state()).statuses == {"cancelled": 4, "processing": 2}
    counts = await source.count_by_status(staging, tenant)
    assert counts == {"cancelled": 4, "pending": 1, "processing": 2}


async def test_a_cancellation_names_who_when_and_why(stage, staging, cancel, tenant, make_claim):
    await stage(make_claim("ok-1", batch_id="B"))

    await cancel(reason="  sent twice ")
    await cancel()

    async with tenant_transaction(staging, tenant):
        [kept] = await batches.cancellations(staging, tenant, "B")
        change = await staging.fetchrow(
            "SELECT from_status, changed_by FROM claim_status_changes "
            "WHERE tenant_id = $1 AND to_status = 'cancelled'",
            tenant,
        )
    assert (kept.claims, kept.reason, kept.cancelled_by) == (1, "sent twice", "ann")
    assert kept.cancelled_at.tzinfo is not None
    assert tuple(change) == ("pending", "ann")


async def test_a_batch_of_another_tenant_is_not_there(stage, cancel, state, tenant, make_claim):
    await stage(make_claim("ok-1", batch_id="B"))

    with pytest.raises(batches.NoSuchBatchError):
        await cancel(of=f"{tenant}-other")
    with pytest.raises(batches.NoSuchBatchError):
        await state(of=f"{tenant}-other")

    assert (await state()).statuses == {"pending": 1}


async def test_claims_without_a_batch_are_no_batch(stage, cancel, make_claim):
    await stage(make_claim("ok-1"))

    with pytest.raises(batches.NoSuchBatchError):
        await cancel("")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
async def test_a_cancellation_needs_a_reason(stage, cancel, state, make_claim, reason):
    await stage(make_claim("ok-1", batch_id="B"))

    with pytest.raises(FieldError, match="reason: expected 1 to 500"):
        await cancel(reason=reason)

    assert (await state()).statuses == {"pending": 1}


async def test_a_claim_beside_a_running_loader_is_loaded_or_cancelled_never_both(
    stage, settings, cancel, production, staging, tenant, make_claim
):
    await stage(*(make_claim(f"ok-{n}", batch_id="B") for n in range(200)))
    leased = asyncio.Event()
    running = asyncio.create_task(
        run(
            settings.model_copy(update={"messages_waiting_max": 1, "batches_waiting_max": 1}),
            lambda _event: leased.set(),
        )
    )
    await leased.wait()

    done = await cancel()
    summary = await running

    loaded = await production.fetchval(
        "SELECT count(*) FROM claim_results WHERE tenant_id = $1", tenant
    )
    counts = await source.count_by_status(staging, tenant)
    assert 0 < done.cancelled < 200
    assert counts == {"cancelled": done.cancelled, "completed": 200 - done.cancelled}
    assert (loaded, summary.loaded) == (200 - done.cancelled, 200 - done.cancelled)


async def test_a_cancelled_claim_that_is_submitted_again_waits_again(
    stage, settings, cancel, state, make_claim
):
    await stage(make_claim("ok-1", batch_id="B"), make_claim("ok-2", batch_id="B"))
    await cancel()

    staged = await stage(make_claim("ok-1", batch_id="B"))
    between = await state()
    await run(settings)

    assert staged == source.Staged(staged=1, already_staged=0)
    assert between.statuses == {"cancelled": 1, "pending": 1}
    assert (await state()).statuses == {"cancelled": 1, "completed": 1}


async def test_batches_are_listed_latest_first(stage, settings, staging, tenant, make_claim):
    await stage(make_claim("ok-1", batch_id="B1"), make_claim("ok-2", batch_id="B2"))
    await run(settings)
    await stage(make_claim("ok-3", batch_id="B1"), make_claim("ok-4"))

    async with tenant_transaction(staging, tenant):
        every = await batches.list_batches(staging, tenant)
        running = await batches.list_batches(staging, tenant, running=True)
        one = await batches.list_batches(staging, tenant, limit=1)

    assert [each.batch_id for each in every] == ["B1", "B2"]
    assert every[0].statuses == {"completed": 1, "pending": 1}
    assert [each.batch_id for each in running] == ["B1"]
    assert [each.batch_id for each in one] == ["B1"]


async def test_a_watch_reports_changes_and_ends_with_the_batch(
    stage, settings, state, decisions, make_claim
):
    await stage(*(make_claim(f"ok-{n}", batch_id="B") for n in range(60)))
    reports = []

    async def follow():
        async for report in watch(state, decisions, every_s=0.01):
            reports.append(report)  # noqa: PERF401 - what came before a failure counts too

    watching = asyncio.create_task(follow())
    await run(settings)
    await asyncio.wait_for(watching, 30)

    left = [report.state.left for report in reports]
    assert reports[0].state.statuses == {"pending": 60}
    assert left == sorted(left, reverse=True)
    assert reports[-1].state.ended
    assert reports[-1].decisions == {"approve": 60}
    shown = [(r.state.statuses, r.decisions) for r in reports]
    assert all(one != following for one, following in pairwise(shown[:-1]))


async def test_a_failed_claim_whose_retry_is_cancelled_is_open_again(
    stage, settings, staging, production, loading, cancel, tenant, vault, make_claim
):
    from loader.failed import review
    from loader.failed.retry import retrier
    from loader.link import Link

    await stage(make_claim("reject-1", batch_id="B"))
    await run(settings)
    async with tenant_transaction(loading, tenant):
        failed_id = await loading.fetchval("SELECT failed_id FROM failed_claims")
        await review.retry(loading, tenant, "ann", review.Chosen.by_id([failed_id]))
    async with (
        Link(settings.production_url, attempts=1) as there,
        Link(settings.staging_url, attempts=1) as here,
    ):
        again = retrier(settings, vault, there, here)
        await again.retry_due()
        await cancel()
        await again.settle_unheard()

    status = await production.fetchval(
        "SELECT status FROM failed_claims WHERE tenant_id = $1", tenant
    )
    assert status == "open"


async def test_an_endless_batch_id_is_staged(stage, make_claim):
    staged = await stage(make_claim("ok-1", batch_id="B" * 10_000))

    assert staged.staged == 1
