"""How passes form."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from time import monotonic

import pytest
from claimgate.v1 import claim_pb2, score_pb2

from engine.messages import as_message
from server.batcher import Batcher, Limits, Work
from server.errors import DeadlineError, DrainingError
from server.scorer import EngineThread


class Passes:
    """Records passes and holds them until released."""

    def __init__(self):
        self.started: list[list[Work]] = []
        self.release = asyncio.Event()

    async def run(self, works):
        self.started.append(list(works))
        await self.release.wait()
        for work in works:
            work.deliver(None)

    @property
    def sizes(self):
        return [sum(work.claims for work in each) for each in self.started]


def work(claims: int = 1, tenant: str = "demo", expires_at: float = inf) -> Work:
    batch = score_pb2.ClaimBatch(claims=[claim_pb2.Claim()] * claims)
    return Work(message=as_message(batch), tenant=tenant, view=0, expires_at=expires_at)


@asynccontextmanager
async def batching(
    claims_max: int = 10, wait_s: float = 0.0, queue: int = 1000
) -> AsyncIterator[tuple[Batcher, Passes, EngineThread]]:
    passes = Passes()
    thread = EngineThread(lambda *_: None)
    try:
        async with Batcher(passes.run, thread, Limits(claims_max, wait_s, queue, 1)) as batcher:
            yield batcher, passes, thread
            passes.release.set()
    finally:
        thread.close()


async def test_first_message_starts_at_once():
    async with batching(wait_s=60) as (batcher, passes, _):
        batcher.offer(work())
        await asyncio.sleep(0.02)

        assert passes.sizes == [1]


async def test_second_pass_is_read_while_the_first_waits_and_no_third_is():
    async with batching() as (batcher, passes, _):
        for _number in range(3):
            batcher.offer(work())
            await asyncio.sleep(0.02)

        assert passes.sizes == [1, 1]
        assert batcher.queued_claims == 1


async def test_pass_waits_for_more_claims_while_another_is_under_way():
    async with batching(wait_s=0.1) as (batcher, passes, _):
        batcher.offer(work())
        await asyncio.sleep(0.01)
        started = monotonic()
        for _number in range(5):
            batcher.offer(work())
            await asyncio.sleep(0.005)
        while len(passes.started) < 2 and monotonic() < started + 5:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

        assert passes.sizes == [1, 5]
        assert monotonic() - started >= 0.1


async def test_full_pass_waits_for_nothing():
    async with batching(claims_max=4, wait_s=60) as (batcher, passes, _):
        batcher.offer(work())
        await asyncio.sleep(0.01)
        batcher.offer(work(4))
        await asyncio.sleep(0.02)

        assert passes.sizes == [1, 4]


async def test_message_is_never_split_and_a_large_one_goes_alone():
    async with batching(claims_max=10) as (batcher, passes, _):
        passes.release.set()
        works = [work(6), work(6), work(25), work(4), work(6)]
        for each in works:
            batcher.offer(each)
        await asyncio.gather(*(each.answered for each in works))

        assert passes.sizes == [6, 6, 25, 10]


async def test_pass_holds_one_tenant_and_tenants_take_turns():
    async with batching(claims_max=2) as (batcher, passes, _):
        passes.release.set()
        works = [work(tenant=tenant) for tenant in "aaaaaabb"]
        for each in works:
            batcher.offer(each)
        await asyncio.gather(*(each.answered for each in works))

    tenants = [{each.tenant for each in one} for one in passes.started]
    assert all(len(each) == 1 for each in tenants)
    assert tenants.index({"b"}) <= 2


async def test_expired_message_is_dropped_and_its_caller_told():
    async with batching() as (batcher, passes, _):
        late = work(expires_at=monotonic() - 1)
        batcher.offer(late)
        with pytest.raises(DeadlineError):
            await late.answered

        assert passes.started == []
        assert batcher.queued_claims == 0


async def test_message_that_nobody_waits_for_makes_room_at_once():
    async with batching(queue=3) as (batcher, _passes, _):
        batcher.offer(work())
        await asyncio.sleep(0.01)
        batcher.offer(work())
        await asyncio.sleep(0.01)
        gone = work(3)
        batcher.offer(gone)

        gone.answered.cancel()
        await asyncio.sleep(0.01)

        assert batcher.queued_claims == 0
        batcher.offer(work(3))


async def test_what_still_waits_at_the_end_is_told_to_come_again():
    async with batching() as (batcher, _passes, _):
        for _number in range(2):
            batcher.offer(work())
            await asyncio.sleep(0.01)
        left = work()
        batcher.offer(left)

    with pytest.raises(DrainingError):
        await left.answered
