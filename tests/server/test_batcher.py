"""How the batcher does what the schedule says, in real time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from time import monotonic

import pytest
from claimgate.v1 import claim_pb2, score_pb2
from prometheus_client import CollectorRegistry

from engine.messages import as_message
from server.batcher import Batcher, Work
from server.errors import (
    DeadlineError,
    DrainingError,
    OverloadedError,
    QuotaExceededError,
    TenantOverloadedError,
)
from server.queue_metrics import QueueMetrics
from server.schedule.quota import Quota
from server.schedule.terms import Limits, Priority
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


def work(claims: int = 1, tenant: str = "demo", expires_at: float = inf, **facts) -> Work:
    batch = score_pb2.ClaimBatch(claims=[claim_pb2.Claim()] * claims)
    return Work(message=as_message(batch), tenant=tenant, view=0, expires_at=expires_at, **facts)


def limits(**changes) -> Limits:
    given = {
        "claims_max": 10,
        "claims_short": 10,
        "wait_s": 0.0,
        "interactive_memory_s": 0.0,
        "bulk_wait_s": 60.0,
        "queue_claims_max": 1000,
        "interactive_share": 0.0,
        "tenant_share": 1.0,
        "retry_s": 0.001,
        "retry_s_max": 30.0,
    }
    return Limits(**{**given, **changes})


@asynccontextmanager
async def batching(**changes) -> AsyncIterator[tuple[Batcher, Passes, CollectorRegistry]]:
    passes, registry = Passes(), CollectorRegistry()
    thread = EngineThread(lambda *_: None)
    try:
        async with Batcher(
            passes.run, thread, limits(**changes), QueueMetrics(registry)
        ) as batcher:
            yield batcher, passes, registry
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
    async with batching(queue_claims_max=3) as (batcher, _passes, _):
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


async def test_message_that_waits_outside_a_full_queue_comes_in_as_soon_as_there_is_room(until):
    async with batching(queue_claims_max=3) as (batcher, passes, _):
        batcher.offer(work())
        await until(lambda: passes.started)
        batcher.offer(work())
        await until(lambda: len(passes.started) == 2)
        batcher.offer(work(3))
        waits = work(2)
        putting = asyncio.create_task(batcher.put(waits))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            batcher.offer(work())

        passes.release.set()
        await putting
        await waits.answered

    assert passes.sizes == [1, 1, 3, 2]


async def test_message_that_is_given_up_outside_the_queue_is_never_scored(until):
    async with batching(queue_claims_max=3) as (batcher, passes, _):
        for _number in range(3):
            batcher.offer(work())
            await until(lambda: not batcher.queued_claims or len(passes.started) == 2)
        batcher.offer(work(2))
        gone = asyncio.create_task(batcher.put(work(3)))
        await asyncio.sleep(0)

        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        passes.release.set()
        await until(lambda: len(passes.started) == 3)

    assert passes.sizes == [1, 1, 3]


async def test_message_that_expires_outside_the_queue_is_told_so(until):
    async with batching(queue_claims_max=2) as (batcher, passes, registry):
        for _number in range(2):
            batcher.offer(work())
            await until(lambda: not batcher.queued_claims)
        batcher.offer(work(2))
        late = work(expires_at=monotonic() + 0.02)

        await batcher.put(late)

        with pytest.raises(DeadlineError):
            await late.answered
        assert passes.sizes == [1, 1]
        assert sample(registry, "refused_messages_total", "bulk", reason="expired") == 1


async def test_who_waits_outside_at_the_end_is_told_to_come_again(until):
    async with batching(queue_claims_max=1) as (batcher, passes, _):
        for _number in range(2):
            batcher.offer(work())
            await until(lambda: not batcher.queued_claims)
        batcher.offer(work())
        outside = work()
        putting = asyncio.create_task(batcher.put(outside))
        await asyncio.sleep(0)
    await putting

    assert passes.sizes == [1, 1]
    with pytest.raises(DrainingError):
        await outside.answered


async def test_interactive_message_goes_first_and_alone(until):
    async with batching(claims_short=4, interactive_memory_s=60) as (batcher, passes, registry):
        for _number in range(2):
            batcher.offer(work())
            await until(lambda: not batcher.queued_claims)
        for _number in range(3):
            batcher.offer(work(3))
        single = work(priority=Priority.INTERACTIVE)
        batcher.offer(single)
        batcher.refresh_metrics()
        assert sample(registry, "queued_claims", "bulk") == 9
        assert sample(registry, "queued_claims", "interactive") == 1

        passes.release.set()
        await until(lambda: len(passes.started) == 6)

    assert passes.sizes == [1, 1, 1, 3, 3, 3]
    assert passes.started[2] == [single]
    assert sample(registry, "queue_wait_seconds_count", "interactive") == 1
    assert sample(registry, "queue_wait_seconds_count", "bulk") == 5


async def test_quota_refuses_single_calls_with_the_time_when_the_claims_are_there(until):
    quotas = {"demo": Quota(claims_per_s=20, burst_claims=4)}
    async with batching(quotas=quotas) as (batcher, passes, registry):
        passes.release.set()
        batcher.offer(work(4))

        with pytest.raises(QuotaExceededError) as raised:
            batcher.offer(work(2))
        batcher.offer(work(2, tenant="other"))
        batcher.refresh_metrics()
        left = registry.get_sample_value("claimgate_quota_claims_left", {"tenant": "demo"})
        await until(lambda: len(passes.started) == 2)

    assert 50 < raised.value.retry_ms <= 100
    assert 0 <= left < 2
    assert sample(registry, "refused_messages_total", "bulk", reason="quota") == 1


async def test_quota_pauses_streams_until_the_claims_are_there():
    quotas = {"demo": Quota(claims_per_s=100, burst_claims=5)}
    async with batching(quotas=quotas) as (batcher, passes, _):
        passes.release.set()
        started = monotonic()
        for _number in range(4):
            await batcher.put(work(5))
        took_s = monotonic() - started

    assert took_s >= 0.15
    assert passes.sizes == [5] * 4


async def test_tenant_that_fills_its_part_of_the_queue_leaves_room_for_others(until):
    async with batching(queue_claims_max=10, tenant_share=0.5) as (batcher, passes, _):
        for _number in range(2):
            batcher.offer(work())
            await until(lambda: not batcher.queued_claims)
        batcher.offer(work(5))

        with pytest.raises(TenantOverloadedError):
            batcher.offer(work())
        batcher.offer(work(tenant="other"))

        assert passes.sizes == [1, 1]
        assert batcher.queued_claims == 6


def sample(registry: CollectorRegistry, name: str, priority: str, **labels: str) -> float:
    return registry.get_sample_value(f"claimgate_{name}", {"priority": priority, **labels}) or 0.0
