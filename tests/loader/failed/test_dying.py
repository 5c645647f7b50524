"""Whoever dies over a failed claim: it is loaded once, and what failed is counted once."""

import asyncio
import json
from collections import Counter

import pytest

from loader.failed import staging as back
from loader.failed.repairs import repair
from loader.link import Link
from loader.run import run
from loader.source import tenant_transaction
from tests.loader.failed.conftest import count


async def test_two_retriers_never_take_the_same_claim(failing, due, retrier):
    await failing(*(f"reject-{n}" for n in range(40)))
    await due()

    taken = await asyncio.gather(*(retrier().lease() for _ in range(2)))

    assert max(Counter(each.failed_id for some in taken for each in some).values()) == 1
    assert sum(map(len, taken)) <= 40
    rest = await retrier().lease()
    assert sum(map(len, taken)) + len(rest) == 40


async def test_two_loaders_at_once_retry_each_claim_once(
    failing, failed, due, heal, settings, scorer, production, tenant
):
    await failing(*(f"reject-{n}" for n in range(30)))
    await due()
    heal()
    scorer.calls.clear()

    await asyncio.gather(run(settings), run(settings))
    await run(settings)

    assert {row["status"] for row in await failed()} == {"resolved"}
    assert await count(production, tenant, "claims") == 30
    assert set(scorer.calls.values()) == {1}


async def test_a_retrier_that_dies_before_staging_loses_nothing(
    failing, failed, due, heal, retrier, settings
):
    await failing("reject-1")
    await due()
    heal()

    await retrier(lease_s=0.0).lease()  # and dies
    await run(settings)

    assert [row["resolution"] for row in await failed()] == ["reloaded"]


async def test_a_retrier_that_dies_before_it_confirms_doubles_nothing(
    failing, failed, due, heal, retrier, links, tenant, settings, production
):
    await failing("reject-1")
    await due()
    heal()
    claims = await retrier(lease_s=0.0).lease()

    async def stage(connection):
        async with tenant_transaction(connection, tenant):
            await back.queue_again(connection, tenant, claims)

    await links[1].run(stage)  # and dies
    await run(settings)
    await run(settings)

    [row] = await failed()
    assert (row["resolution"], row["retries"]) == ("reloaded", 0)
    assert await count(production, tenant, "claims") == 1


async def test_a_held_lease_is_left_to_its_owner(failing, due, retrier):
    await failing("reject-1")
    await due()
    await retrier().lease()

    assert await retrier().lease() == []


async def test_a_loader_that_dies_after_the_load_counts_a_failure_once(
    failing, failed, due, settings, staging, tenant
):
    await failing("poison-1")
    await due()
    await run(settings)
    # As if the loader had died before it told staging.
    async with tenant_transaction(staging, tenant):
        await staging.execute("UPDATE claim_states SET status = 'pending'")

    await run(settings)

    assert [row["retries"] for row in await failed()] == [1]


async def test_a_step_that_lost_to_a_deadlock_is_done_again(failing, links, tenant, failed):
    await failing("reject-1", "reject-2")
    first, second = [row["failed_id"] for row in await failed()]
    lock = "SELECT FROM failed_claims WHERE failed_id = $1 FOR UPDATE"
    both_have_one = asyncio.Barrier(2)
    tries = Counter()

    def crossing(name, ids):
        async def step(connection):
            tries[name] += 1
            async with tenant_transaction(connection, tenant):
                await connection.fetch(lock, ids[0])
                if tries[name] == 1:
                    await both_have_one.wait()
                await connection.fetch(lock, ids[1])

        return step

    async with Link(links[0]._url, attempts=3) as other:
        await asyncio.gather(
            links[0].run(crossing("a", (first, second))),
            other.run(crossing("b", (second, first))),
        )

    assert tries.total() == 3


async def test_a_failure_that_production_did_not_hear_of_is_settled(
    failing, failed, due, retrier, production, tenant
):
    await failing("reject-1")
    await production.execute(
        "UPDATE failed_claims SET status = 'resubmitted', resubmitted_sha256 = content_sha256 "
        "WHERE tenant_id = $1",
        tenant,
    )

    await retrier().settle_unheard()

    [row] = await failed()
    assert (row["status"], row["retries"]) == ("open", 1)


class Fuse:
    """Dies at the nth moment between steps: before one, or after it."""

    def __init__(self, moments):
        self.left = moments

    def tick(self):
        self.left -= 1
        if self.left < 0:
            raise DiedError


class DiedError(Exception):
    """As if the process had been killed."""


def dying_link(fuse):
    class Dying(Link):
        opened = False

        async def __aenter__(self):
            await super().__aenter__()
            self.opened = True
            return self

        async def run(self, step):
            if self.opened:
                fuse.tick()
            done = await super().run(step)
            if self.opened:
                fuse.tick()
            return done

    return Dying


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.full)])
async def test_wherever_a_loader_dies_each_claim_is_loaded_once_and_its_row_resolved(
    every,
    failing, failed, due, heal, settings, make_claim, vault, links, tenant, production, staging,
    monkeypatch,
):  # fmt: skip
    """Kills the whole run, retries and all, at every moment between two steps on a database."""
    broken = make_claim("reject-repaired")
    broken.lines[1].line_number = 1
    quick = settings.model_copy(update={"lease_s": 0.3, "retry_lease_s": 0.001})
    for moment in range(every // 2, 100, every):
        again = make_claim(f"reject-{moment}")
        broken.claim_id = f"reject-repaired-{moment}"
        with monkeypatch.context() as sick:
            await failing(again, broken)
            await production.execute(
                "UPDATE failed_claims SET reasons = $2 WHERE tenant_id = $1 AND status = 'open'",
                tenant,
                json.dumps([{"field": "lines", "code": "V08", "message": "repeats"}]),
            )
            rows = [row for row in await failed() if row["status"] == "open"]

            async def apply(connection, rows=rows):
                async with tenant_transaction(connection, tenant):
                    for row in rows:
                        await repair(connection, vault, tenant, row["failed_id"])

            await links[0].run(apply)
            await due()
            heal(sick)
            fuse = Fuse(moment)
            sick.setattr("loader.run.Link", dying_link(fuse))
            died = False
            try:
                await run(quick)
            except DiedError:
                died = True
            sick.setattr("loader.run.Link", Link)
            async with asyncio.timeout(20):
                while {row["status"] for row in await failed()} != {"resolved"}:
                    await run(quick)

        loaded = await production.fetch(
            "SELECT claim_id, count(*) AS times FROM claims WHERE tenant_id = $1 GROUP BY 1", tenant
        )
        assert {row["times"] for row in loaded} == {1}
        assert len(loaded) == len(await failed())
        assert {row["retries"] for row in await failed()} == {0}
        if not died:
            break
    assert moment > 10
