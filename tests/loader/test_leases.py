"""A living loader keeps its claims, a dead one's are taken over, and a paused one harms none."""

import asyncio
import os
import signal
import sys

import psutil
import pytest

from loader import leases, source
from loader.failpoints import VARIABLE
from loader.run import run
from loader.source import Submitted
from tests.crash.world import LOAD, PROJECT, environment


@pytest.fixture
def stage(staging, vault, tenant):
    async def put(*claims):
        await source.stage_claims(staging, vault, tenant, map(Submitted, claims))

    return put


@pytest.fixture
def lend(staging, tenant):
    async def lease(owner, seconds=0.0):
        return await source.lease(staging, tenant, owner, claims=100, seconds=seconds)

    return lease


@pytest.fixture
async def start():
    """Start a loader in a process of its own, with a place where it is to halt or end."""
    started = []

    async def begin(settings, failpoint):
        started.append(
            await asyncio.create_subprocess_exec(
                sys.executable,
                *LOAD,
                cwd=PROJECT,
                env=os.environ
                | environment(settings)
                | {VARIABLE: failpoint, "GRPC_VERBOSITY": "NONE"},
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
        )
        return started[-1]

    yield begin
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def halted(process):
    """Wait until a process stands still at its place."""
    async with asyncio.timeout(20):
        while (  # noqa: ASYNC110 - what is waited for has no event
            psutil.Process(process.pid).status() != psutil.STATUS_STOPPED
        ):
            await asyncio.sleep(0.01)


async def test_what_a_living_loader_holds_stays_its_own_beyond_the_lease(
    staging, stage, lend, tenant, make_claim
):
    await stage(make_claim("C1"), make_claim("C2"))
    await leases.say_alive(staging, tenant, "alive", seconds=60)
    await lend("alive")

    taken = await leases.take_over(staging, tenant)

    assert taken == 0
    assert await source.count_by_status(staging, tenant) == {"processing": 2}


async def test_what_a_loader_held_that_says_nothing_more_is_taken_over(
    staging, stage, lend, tenant, make_claim
):
    await stage(make_claim("C1"), make_claim("C2"))
    await leases.say_alive(staging, tenant, "dead", seconds=0)
    await leases.say_alive(staging, tenant, "alive", seconds=60)
    await lend("dead")

    taken = await leases.take_over(staging, tenant)

    assert taken == 2
    assert [item.attempts for item in await lend("alive")] == [2, 2]
    async with source.tenant_transaction(staging, tenant):
        left = await staging.fetch("SELECT owner FROM loaders")
    assert [row["owner"] for row in left] == ["alive"]


async def test_a_loader_of_another_tenant_keeps_nobodys_claims_alive(
    staging, stage, lend, tenant, make_claim
):
    await stage(make_claim("C1"))
    await leases.say_alive(staging, f"{tenant}-other", "dead", seconds=60)
    await lend("dead")

    assert await leases.take_over(staging, tenant) == 1


async def test_a_run_waits_for_what_others_hold_and_takes_over_what_they_leave(
    settings, staging, stage, lend, tenant, make_claim
):
    await stage(make_claim("ok-1"), make_claim("ok-2"))
    await lend("dead", seconds=0.5)
    await stage(make_claim("ok-3"))

    summary = await run(settings.model_copy(update={"lease_s": 0.3}))

    assert summary.loaded == 3
    assert await source.count_by_status(staging, tenant) == {"completed": 3}


async def test_a_run_waits_for_a_living_loader_and_takes_nothing_of_it(
    settings, staging, stage, lend, tenant, make_claim
):
    await stage(make_claim("ok-1"), make_claim("ok-2"))
    await leases.say_alive(staging, tenant, "alive", seconds=60)
    [one, two] = await lend("alive")

    waiting = asyncio.create_task(run(settings.model_copy(update={"lease_s": 0.3})))
    async with asyncio.timeout(10):
        while True:  # until it has looked and stands by
            async with source.tenant_transaction(staging, tenant):
                if await staging.fetchval("SELECT count(*) FROM loaders") == 2:
                    break
            await asyncio.sleep(0.01)
    done = [(item.staging_id, "completed") for item in (one, two)]
    finished = await source.finish(staging, tenant, "alive", done)
    summary = await waiting

    assert finished == 2
    assert (summary.claims_in, summary.loaded) == (0, 0)


async def test_two_loaders_that_wait_for_each_other_both_end(
    settings, staging, stage, tenant, make_claim
):
    await stage(*(make_claim(f"ok-{n}") for n in range(60)))
    # Batches that no loader fills: each has to pass on what it has before it waits.
    large = settings.model_copy(update={"batch_claims": 1_000, "lease_s": 5.0})

    async with asyncio.timeout(20):
        done = await asyncio.gather(run(large), run(large))

    assert sum(summary.loaded for summary in done) == 60
    assert await source.count_by_status(staging, tenant) == {"completed": 60}


async def test_a_loader_that_ends_leaves_no_row_and_no_lease(
    settings, staging, stage, tenant, make_claim
):
    await stage(make_claim("ok-1"))

    await run(settings)

    async with source.tenant_transaction(staging, tenant):
        assert await staging.fetch("SELECT * FROM loaders") == []
    assert await leases.look(staging, tenant) == leases.Standing(pending=False, lent=False)


@pytest.mark.parametrize("place", ["send", "load.keys", "load.commit", "load.done"])
async def test_a_paused_loader_that_lost_its_claims_does_no_harm(
    settings, start, staging, stage, production, tenant, make_claim, place
):
    await stage(*(make_claim(f"ok-{n}") for n in range(30)))
    short = settings.model_copy(update={"lease_s": 0.4})

    paused = await start(short, f"{place}:1:STOP")
    await halted(paused)
    summary = await run(short)
    paused.send_signal(signal.SIGCONT)
    async with asyncio.timeout(20):
        status = await paused.wait()

    assert status == 0
    assert summary.claims_in > 0
    assert await source.count_by_status(staging, tenant) == {"completed": 30}
    for table in ("claim_keys", "claims", "claim_results", "claim_history"):
        query = f"SELECT count(*) FROM {table} WHERE tenant_id = $1"  # noqa: S608  our own names
        assert await production.fetchval(query, tenant) == 30
