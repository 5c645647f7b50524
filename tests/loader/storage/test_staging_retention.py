"""Staging gives up what ended and production has, and nothing else."""

import asyncio
import json
from datetime import date

import asyncpg
import pytest

from loader import embedded, source
from loader.run import run
from loader.source import Submitted
from loader.storage import retention_commands
from loader.storage.holds import place, release
from loader.storage.month import Month
from loader.storage.owner import StorageError, owner_session
from loader.storage.retention import actions, apply, due
from loader.storage.retention_policies import RetentionPolicy, set_policy
from loader.storage.staging import staging_session, take

TODAY = date(2026, 11, 25)
STATES = """
SELECT c.claim_id FROM claim_states AS s JOIN claims AS c USING (tenant_id, staging_id)
WHERE s.tenant_id = $1 ORDER BY 1
"""
AGE = """
UPDATE claim_states SET processed_at = timestamptz '2026-08-31 23:59:59Z' WHERE tenant_id = $1
    AND staging_id IN (SELECT staging_id FROM claims WHERE tenant_id = $1 AND claim_id = ANY ($2))
"""


@pytest.fixture
async def queue(postgres):
    """Staging as the owner of its tables."""
    async with staging_session(postgres.migrating_url(embedded.STAGING)) as connection:
        yield connection


@pytest.fixture
async def all_staging(postgres):
    """Staging as one who sees every row."""
    connection = await asyncpg.connect(postgres.superuser_url(embedded.STAGING))
    yield connection
    await connection.close()


@pytest.fixture
def loader(settings, database):
    """Settings of a loader into the production database of this test."""
    return settings.model_copy(update={"production_url": database.loading})


@pytest.fixture
def stage(staging, vault, tenant, make_claim):
    async def stage(*claims):
        claims = [make_claim(each) if isinstance(each, str) else each for each in claims]
        await source.stage_claims(staging, vault, tenant, map(Submitted, claims))

    return stage


@pytest.fixture
def left(all_staging, tenant):
    """Claims that staging still has, each in both tables."""

    async def left():
        found = [row["claim_id"] for row in await all_staging.fetch(STATES, tenant)]
        for table in ("claims", "claim_states"):
            query = f"SELECT count(*) FROM {table} WHERE tenant_id = $1"  # noqa: S608
            assert await all_staging.fetchval(query, tenant) == len(found)
        return found

    return left


@pytest.fixture
def age(all_staging, tenant):
    """Have claims ended in the last second of August."""
    return lambda *claims: all_staging.execute(AGE, tenant, claims)


@pytest.fixture
async def policy(owner, tenant):
    """The tenant's staging is deleted two months after the month in which a claim ended."""
    await set_policy(owner, RetentionPolicy(tenant, "staging", "delete", 2, "space", "clerk"))


@pytest.mark.usefixtures("policy")
async def test_what_production_has_leaves_staging_and_is_not_loaded_twice(
    owner, queue, everything, loader, tenant, stage, left, age, make_claim, tmp_path
):
    names = [f"loaded-{number}" for number in range(5)]
    await stage(*names, "recent", "reject-1", make_claim("test", is_test=True))
    await run(loader)
    await stage("waits")
    await age(*names, "reject-1", "test")

    planned = await due(owner, TODAY, queue)
    await apply(owner, tmp_path / "archives", TODAY, staging=queue, at_once=3)
    after = await left()
    await stage(*names)
    again = await run(loader)

    assert [(d.kind, str(d.month), d.claims) for d in planned] == [("staging", "2026-08", 7)]
    # A test claim is in staging alone.
    assert after == ["recent", "test", "waits"]
    done = [(each["kind"], each["claims"], each["held"]) for each in await actions(owner, tenant)]
    assert done == [("staging", 3, 0), ("staging", 3, 0), ("staging", 0, 1)]
    assert (again.claims_in, again.loaded, again.already_loaded, again.failed) == (6, 1, 5, 0)
    stored = await everything.fetch("SELECT claim_id FROM claims ORDER BY 1")
    assert [row["claim_id"] for row in stored] == [*names, "recent", "waits"]
    assert await everything.fetchval("SELECT status FROM failed_claims") == "open"


@pytest.mark.usefixtures("policy")
async def test_months_that_are_not_due_and_claims_under_way_stay(
    owner, queue, loader, stage, left, age, all_staging, tenant, tmp_path
):
    await stage("C1", "C2")
    await run(loader)
    await age("C1", "C2")
    await all_staging.execute(
        "UPDATE claim_states SET status = 'pending' WHERE tenant_id = $1 AND staging_id = "
        "(SELECT staging_id FROM claims WHERE tenant_id = $1 AND claim_id = 'C2')",
        tenant,
    )

    for day in (date(2026, 10, 31), date(2026, 11, 1)):
        await apply(owner, tmp_path / "archives", day, staging=queue)
        if day.month == 10:
            early = await left()

    assert (early, await left()) == (["C1", "C2"], ["C2"])


@pytest.mark.usefixtures("policy")
async def test_other_content_under_a_loaded_id_is_not_what_production_has(
    owner, queue, everything, loader, stage, left, age, make_claim, tmp_path
):
    await stage("C1", make_claim("C1", total_charge_cents=1))
    await run(loader)
    await age("C1")
    await everything.execute("DELETE FROM failed_claims")  # the refused content

    await apply(owner, tmp_path / "archives", TODAY, staging=queue)

    assert await left() == ["C1"]


@pytest.mark.usefixtures("policy")
async def test_a_repaired_claim_that_failed_again_leaves_with_its_repair_in_production(
    owner, queue, everything, loader, stage, left, age, make_claim, all_staging, tenant, tmp_path
):
    await stage("reject-1")
    await run(loader)
    repaired = make_claim("reject-1", total_charge_cents=1)
    await stage(repaired)
    content = await all_staging.fetchval(
        "SELECT content_sha256 FROM claims WHERE tenant_id = $1 ORDER BY staging_id DESC", tenant
    )
    await everything.execute(
        "UPDATE failed_claims SET status = 'resubmitted', resubmitted_sha256 = $1", content
    )
    await run(loader)
    await age("reject-1")

    await apply(owner, tmp_path / "archives", TODAY, staging=queue)

    assert await everything.fetchval("SELECT count(*) FROM failed_claims") == 1
    assert await left() == []


@pytest.mark.usefixtures("policy")
async def test_the_last_copy_of_a_claim_stays_while_the_tenant_has_a_hold(
    owner, queue, everything, loader, stage, left, age, tenant, tmp_path
):
    await stage("gone", "there")
    await run(loader)
    await age("gone", "there")
    await everything.execute("DELETE FROM claims WHERE claim_id = 'gone'")  # as retention does
    hold = await place(owner, tenant, "claim", "gone", reason="matter 1", by="counsel")

    await apply(owner, tmp_path / "archives", TODAY, staging=queue)
    held = await left()
    await release(owner, tenant, hold.hold_id, by="counsel")
    await apply(owner, tmp_path / "archives", TODAY, staging=queue)

    assert (held, await left()) == (["gone"], [])
    assert [(each["claims"], each["held"]) for each in await actions(owner, tenant)] == [
        (1, 1),
        (1, 0),
    ]


async def test_a_hold_that_is_placed_meanwhile_waits_for_the_step(
    owner, queue, everything, loader, stage, left, age, tenant, database
):
    await stage("C1")
    await run(loader)
    await age("C1")
    placing = []

    async def hold():
        async with owner_session(database.owner, alone=False) as counsel:
            await place(counsel, tenant, "tenant", "", reason="matter 1", by="counsel")
        return await left()

    async def record(deleted, kept):
        placing.append(asyncio.create_task(hold()))
        waits = (
            "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database "
            "WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database()"
        )
        async with asyncio.timeout(10):
            while not await everything.fetchval(waits):  # noqa: ASYNC110 - a lock has no event
                await asyncio.sleep(0.01)
        assert not placing[0].done()

    taken = await take(queue, owner, tenant, Month(2026, 8), after=0, most=10, record=record)

    assert (taken.deleted, taken.kept) == (1, 0)
    assert await placing[0] == []


@pytest.mark.usefixtures("policy")
async def test_what_is_deleted_is_written_before_and_a_killed_step_is_done_again(
    owner, queue, loader, stage, left, age, tenant, tmp_path
):
    await stage("C1")
    await run(loader)
    await age("C1")
    await queue.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'killed'; END $$"
    )
    await queue.execute(
        f"CREATE TRIGGER refuse BEFORE DELETE ON claims FOR EACH ROW "
        f"WHEN (OLD.tenant_id = '{tenant}') EXECUTE FUNCTION refuse()"
    )
    try:
        with pytest.raises(asyncpg.PostgresError, match="killed"):
            await apply(owner, tmp_path / "archives", TODAY, staging=queue)
        between = await left()
    finally:
        await queue.execute("DROP FUNCTION refuse CASCADE")
    await apply(owner, tmp_path / "archives", TODAY, staging=queue)

    assert (between, await left()) == (["C1"], [])
    assert [each["claims"] for each in await actions(owner, tenant)] == [1, 1]


@pytest.mark.usefixtures("policy")
async def test_a_shard_that_is_being_moved_is_left_alone(
    owner, queue, loader, stage, left, age, all_staging, tenant, tmp_path
):
    await stage("C1")
    await run(loader)
    await age("C1")
    await all_staging.execute(
        "INSERT INTO shard_fences (tenant_id, state, source, target) "
        "VALUES ($1, 'closed', 'a', 'b')",
        tenant,
    )

    with pytest.raises(StorageError, match="stay: shard a is being moved to b"):
        await apply(owner, tmp_path / "archives", TODAY, staging=queue)

    assert await left() == ["C1"]


@pytest.mark.usefixtures("policy")
async def test_without_staging_a_policy_of_it_is_refused_before_anything_is_done(
    owner, tenant, tmp_path
):
    with pytest.raises(StorageError, match=f"{tenant} has a retention of staging; set CLAIMGATE"):
        await apply(owner, tmp_path / "archives", TODAY)


async def test_another_database_or_role_is_refused(postgres, database):
    for url, said in (
        (database.owner, "has no tables of staging"),
        (postgres.loading_url(embedded.STAGING), "connect as claimgate_migrator"),
    ):
        with pytest.raises(StorageError, match=said):
            async with staging_session(url):
                pass


async def test_commands_set_plan_and_apply(
    database, postgres, loader, stage, left, age, tenant, tmp_path, capsys
):
    await stage("C1")
    await run(loader)
    await age("C1")

    def run_one(command, *arguments, **options):
        assert command(*arguments, url=database.owner, as_json=True, **options) == 0
        return json.loads(capsys.readouterr().out)

    def in_turn():
        where = {"to": tmp_path / "a", "staging_url": postgres.migrating_url(embedded.STAGING)}
        why = {"keep_months": 1, "reason": "space", "by": "clerk"}
        return (
            run_one(retention_commands.retention_set, "staging", "delete", tenant=tenant, **why),
            run_one(retention_commands.retention_apply, dry_run=True, **where),
            run_one(retention_commands.retention_apply, **where),
        )

    was_set, planned, done = await asyncio.to_thread(in_turn)

    assert (was_set["kind"], was_set["keep_months"], was_set["set"]) == ("staging", 1, True)
    assert planned["due"] == done["done"]
    assert [(each["month"], each["claims"]) for each in done["done"]] == [("2026-08", 1)]
    assert await left() == []
