"""Summaries grow batch by batch and equal what the tables of claims say."""

import asyncio
import json
from datetime import date

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loader.storage import summary_commands
from loader.storage.archive import archive
from loader.storage.month import Month
from loader.storage.owner import owner_session
from loader.storage.restore import restore
from loader.storage.summaries import check, pending, refresh, tenants

TODAY = date(2026, 11, 25)
TABLES = ("daily_claim_summary", "rule_month_summary")


async def summary(everything, table, tenant="acme"):
    query = f"SELECT * FROM {table} WHERE tenant_id = $1 ORDER BY 2, 3, 4, 5"  # noqa: S608
    return [tuple(row)[1:] for row in await everything.fetch(query, tenant)]


async def right(owner, tenant="acme"):
    """The months that a check recomputed, without a difference."""
    found = await check(owner, tenant)
    assert found.differences == ()
    return found.months


async def test_first_refresh_counts_everything_by_day_and_rule(owner, everything, load):
    day = {"service_from_date": "2025-10-06", "service_to_date": "2025-10-06"}
    claims = [load.scored("acme", f"C{n}", hits=2 * (n > 0), **day) for n in range(3)]
    results = [claim.result for claim in claims]
    await load("acme", *claims)

    done = await refresh(owner, "acme")

    assert (done.commit_seq, done.batches) == (1, 1)
    [approved, reviewed] = await summary(everything, TABLES[0])
    of_day = (date(2025, 10, 6), "F1", "unspecified")
    assert approved[:6] == (*of_day, "approve", 1, 2)
    assert reviewed[:6] == (*of_day, "review", 2, 4)
    assert approved[6] + reviewed[6] == 3 * 20_000
    assert approved[9] == results[0].exposure_cents
    assert reviewed[9] == sum(each.exposure_cents for each in results[1:])
    assert approved[8] + reviewed[8] == sum(not r.HasField("allowed_cents") for r in results)
    by_rule = await summary(everything, TABLES[1])
    assert sum(row[4] for row in by_rule) == 4
    assert {row[0] for row in by_rule} == {date(2025, 10, 1)}


async def test_a_refresh_takes_only_what_came_since(owner, everything, load):
    await load("acme", load.scored("acme", "C1"))
    await refresh(owner, "acme")
    again = await refresh(owner, "acme")
    await load("acme", load.scored("acme", "C2"))
    waiting = await pending(owner, "acme")

    after = await refresh(owner, "acme", at_once=1)

    assert (again.batches, after.batches, after.commit_seq) == (0, 1, 2)
    assert (waiting.batches, waiting.commit_seq) == (1, 1)
    assert await right(owner) == 1


async def test_suppressed_hits_are_not_counted(owner, everything, load):
    await load("acme", load.scored("acme", "C1", hits=3))

    await refresh(owner, "acme")

    by_rule = await summary(everything, TABLES[1])
    assert sum(row[4] for row in by_rule) == 2


async def test_check_finds_a_row_that_is_wrong_and_one_that_is_missing(owner, everything, load):
    await load("acme", load.scored("acme", "C1"), load.scored("acme", "C2", month="2025-11"))
    await refresh(owner, "acme")
    await everything.execute(
        "UPDATE daily_claim_summary SET lines = lines + 1 WHERE service_date < '2025-11-01'"
    )
    await everything.execute("DELETE FROM rule_month_summary WHERE month = '2025-11-01'")

    found = await check(owner, "acme")

    wrong, missing = found.differences
    assert (wrong.table, wrong.summary[1] - wrong.recomputed[1]) == (TABLES[0], 1)
    assert (missing.table, missing.summary) == (TABLES[1], ())


async def test_a_refresh_that_is_killed_counts_nothing_twice(database, owner, load):
    await load("acme", load.scored("acme", "C1"))

    for _ in range(3):
        async with owner_session(database.owner, alone=False) as other:
            transaction = other.transaction()
            await transaction.start()
            await other.execute("SELECT set_config('claimgate.tenant', 'acme', true)")
            await refresh(other, "acme")  # within: committed with the outer one, which never is
            other.terminate()
    await refresh(owner, "acme")

    assert await right(owner) == 1


async def test_loads_and_refreshes_side_by_side_count_every_claim_once(
    database, owner, everything, load
):
    loading = 2

    async def keep_loading(tenant, name):
        nonlocal loading
        for number in range(12):
            claims = [load.scored(tenant, f"{name}{number}-{n}", hits=n) for n in range(3)]
            await load(tenant, *claims)
        loading -= 1

    async def keep_refreshing():
        async with owner_session(database.owner, alone=False) as session:
            while loading:
                for tenant in ("acme", "bolt"):
                    await refresh(session, tenant, at_once=2)

    await asyncio.gather(
        keep_loading("acme", "A"), keep_loading("bolt", "B"), keep_refreshing(), keep_refreshing()
    )
    for tenant in ("acme", "bolt"):
        await refresh(owner, tenant)
        assert await right(owner, tenant) == 1

    counted = await everything.fetch(
        "SELECT sum(claims) FROM daily_claim_summary GROUP BY tenant_id"
    )
    assert [row[0] for row in counted] == [36, 36]


MONTHS = ("2025-08", "2025-09", "2025-10")
BATCH = st.lists(st.tuples(st.sampled_from(MONTHS), st.integers(0, 4)), min_size=1, max_size=6)
STEP = st.one_of(
    st.tuples(st.just("load"), st.sampled_from(["acme", "bolt"]), BATCH),
    st.tuples(st.just("refresh"), st.sampled_from(["acme", "bolt"]), st.integers(1, 3)),
    st.tuples(st.just("archive"), st.sampled_from(MONTHS), st.none()),
    st.tuples(st.just("restore"), st.sampled_from(MONTHS), st.none()),
)


async def test_any_order_of_steps_ends_in_the_recomputed_summaries(
    database, owner, everything, load, tmp_path
):
    numbers = iter(range(1_000_000))

    async def take(step, archived):
        match step:
            case "load", tenant, batch:
                claims = [
                    load.scored(tenant, f"H{next(numbers)}", month=month, hits=hits)
                    for month, hits in batch
                    if month not in archived
                ]
                if claims:
                    await load(tenant, *claims)
            case "refresh", tenant, at_once:
                await refresh(owner, tenant, at_once=at_once)
            case "archive", month, _ if month not in archived:
                if await owner.fetchval(
                    "SELECT count(*) FROM claims WHERE to_char(service_from_date, 'YYYY-MM') = $1",
                    month,
                ):
                    await archive(owner, Month.read(month), tmp_path, TODAY)
                    archived.add(month)
                    load.sinks.clear()
            case "restore", month, _ if month in archived:
                await restore(owner, Month.read(month), None)
                archived.remove(month)

    async def run(steps):
        archived = set()
        for step in steps:
            await take(step, archived)
        for month in archived:
            await restore(owner, Month.read(month), None)
        for tenant in await tenants(owner):
            await refresh(owner, tenant)
            await right(owner, tenant)

    loop = asyncio.get_running_loop()

    @settings(
        max_examples=6,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(STEP, min_size=3, max_size=8))
    def examples(steps):
        asyncio.run_coroutine_threadsafe(run(steps), loop).result(60)

    await asyncio.to_thread(examples)


async def test_claims_that_are_archived_before_a_refresh_are_counted(
    owner, everything, load, tmp_path
):
    await load("acme", load.scored("acme", "C1"))

    await archive(owner, Month(2025, 10), tmp_path, TODAY)

    [row] = await summary(everything, TABLES[0])
    assert row[4] == 1
    found = await check(owner, "acme")
    assert (found.left_out, found.differences) == (("2025-10",), ())


async def test_a_tenant_reads_its_own_summaries_and_writes_none(owner, load, database):
    for tenant in ("acme", "bolt"):
        await load(tenant, load.scored(tenant, "C1"))
        await refresh(owner, tenant)
    reader = await asyncpg.connect(database.loading)

    async with reader.transaction():
        await reader.execute("SELECT set_config('claimgate.tenant', 'acme', true)")
        seen = [
            await reader.fetchval(f"SELECT array_agg(DISTINCT tenant_id) FROM {table}")  # noqa: S608
            for table in (*TABLES, "summary_watermarks")
        ]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.execute("DELETE FROM daily_claim_summary")

    assert seen == [["acme"]] * 3
    await reader.close()


async def test_commands_refresh_and_check_all_tenants(database, everything, load, capsys):
    for tenant in ("acme", "bolt"):
        await load(tenant, load.scored(tenant, "C1"))

    def run(command):
        status = command(url=database.owner, as_json=True)
        said = capsys.readouterr()
        return status, json.loads(said.out)["tenants"], said.err

    _, refreshed, _ = await asyncio.to_thread(run, summary_commands.summaries_refresh)
    good = await asyncio.to_thread(run, summary_commands.summaries_check)
    await everything.execute("UPDATE daily_claim_summary SET claims = 9")
    bad = await asyncio.to_thread(run, summary_commands.summaries_check)

    assert [(each["tenant"], each["batches"]) for each in refreshed] == [("acme", 1), ("bolt", 1)]
    assert (good[0], good[2]) == (0, "")
    assert bad[0] == summary_commands.DIFFERENT
    assert bad[2].count("daily_claim_summary") == 2
