"""Nothing is lost and nothing doubled: small versions of `make crash`, and of poisoned loads."""

import random

import asyncpg
import pytest

from loader import embedded
from loader.failpoints import FAILPOINTS
from tests.crash import poison
from tests.crash.loaders import SIZES, kill_at
from tests.crash.run import PARTS, Amounts, Report, Suite, quiet
from tests.crash.world import World, served
from tests.killable import killable_databases
from tests.loader.conftest import Scorer

SEED = 20251125
FEW = Amounts(hits=1, tenants=3, postgres_kills=3, acknowledged=300, replayed_batches=1,
    lossy_claims=400, lossy_model_claims=600, memory_claims=10_000)  # fmt: skip
SOME = Amounts(hits=1, tenants=3, postgres_kills=12, acknowledged=1_200, replayed_batches=3,
    lossy_claims=2_000, lossy_model_claims=1_500, memory_claims=10_000)  # fmt: skip
OF_EACH_STEP = ("lease.commit", "answer", "load.merged", "load.commit", "load.done", "finish.done")
POISONED = 25_000


@pytest.fixture
async def killable():
    quiet()
    async with killable_databases() as own:
        yield own


@pytest.fixture
async def scorer():
    quiet()
    async with served(Scorer()) as running:
        yield running


async def checked(part, killable, amounts, capsys):
    report = Report()
    with capsys.disabled():
        print()
        await PARTS[part](Suite(killable, SEED, amounts, report))
        print(report.summary())
    assert report.audit.clean, report.audit.told()
    assert report.audit.claims > 0


async def test_loaders_killed_at_every_step_lose_and_double_nothing(
    postgres, scorer, tenant, capsys
):
    world = World(postgres, scorer.address, tenant, dict(SIZES))

    killed = await kill_at(world, OF_EACH_STEP, 1, random.Random(SEED))
    found = await world.audit()

    assert set(killed) == set(OF_EACH_STEP)
    assert set(killed) <= set(FAILPOINTS)
    assert found.clean, found.told()
    with capsys.disabled():
        print(f"\n{killed.total()} kills, {found.claims} claims, 0 lost, 0 doubled")


async def test_the_audit_finds_what_is_lost_and_what_is_doubled(postgres, scorer, tenant):
    world = World(postgres, scorer.address, tenant, dict(SIZES))
    await world.stage(30)
    assert await world.load() == 0
    assert (await world.audit()).clean
    admin = await asyncpg.connect(postgres.superuser_url(embedded.PRODUCTION))

    await admin.execute("DELETE FROM claims WHERE tenant_id = $1 AND claim_id = 'ok-1'", tenant)
    await admin.execute(
        "INSERT INTO claim_lines SELECT (jsonb_populate_record(l, '{\"line_number\": 99}')).* "
        "FROM claim_lines AS l WHERE tenant_id = $1 AND claim_id = 'ok-2' AND line_number = 1",
        tenant,
    )
    found = await world.audit()
    await admin.close()

    assert found.lost == {("ok-1", 1)}
    assert found.doubled == {("ok-2", 1)}


@pytest.mark.parametrize("part", ["postgres", "replays", "answers"])
async def test_parts_that_die_or_lose_answers_lose_and_double_nothing(part, killable, capsys):
    await checked(part, killable, FEW, capsys)


@pytest.mark.full
@pytest.mark.parametrize("part", ["loaders", "postgres", "replays", "answers", "model", "memory"])
async def test_more_of_everything_loses_and_doubles_nothing(part, killable, capsys):
    await checked(part, killable, SOME, capsys)


@pytest.fixture
async def own_rule(killable):
    """A rule in production that only the database knows, and the scorer of the tests."""
    await poison.forbid(killable.server)
    async with served(Scorer()) as scorer:
        yield killable.server, scorer.address


@pytest.mark.parametrize("bad", [1, len(poison.KINDS)])
async def test_bad_claims_of_every_kind_cost_themselves_only(own_rule, bad):
    world = World(*own_rule, "few", {"batch_claims": 200, "lease_claims": 200})

    outcome = await poison.load_poisoned(world, 600, bad, SEED)

    assert outcome.faults == []


@pytest.mark.full
@pytest.mark.parametrize(("bad", "share"), [(1, 0.5), (10, 0.5), (POISONED // 100, 0.5)])
async def test_many_bad_claims_cost_a_bounded_share_of_the_speed(own_rule, bad, share, capsys):
    sizes = {"service_faults_max": bad}
    await poison.load_poisoned(World(*own_rule, "warm", sizes), 1_000, 0, SEED)

    ratios, kinds = [], min(bad, len(poison.KINDS))
    for number in range(3):  # the best: other work on the machine only slows
        clean = await poison.load_poisoned(World(*own_rule, f"c{number}"), POISONED, 0, SEED)
        world = World(*own_rule, f"p{number}", sizes)
        poisoned = await poison.load_poisoned(world, POISONED, bad, SEED)
        ratios.append(clean.seconds / poisoned.seconds)
        assert (clean.faults, poisoned.faults) == ([], [])

    with capsys.disabled():
        print(f"\n{bad} bad of {POISONED}, {kinds} kinds: {max(ratios):.2f} of clean speed")
    assert max(ratios) >= share
