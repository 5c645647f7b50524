"""Workers come and go under load, and no caller notices."""

import asyncio

import pytest
from claimgate import Client
from claimgate.v1 import claim_pb2, score_pb2

from loader.places import prepared_snapshot
from loader.synthetic import synthetic_claims

_CALLERS, _STREAMS = 6, 3
_MESSAGES = 400


@pytest.fixture(scope="module")
def claims() -> list[claim_pb2.Claim]:
    return list(synthetic_claims(12, seed=31))


async def called(address: str, claims: list[claim_pb2.Claim], stopped: asyncio.Event) -> int:
    """Score single claims until told to stop; the calls that were answered."""
    answered = 0
    async with Client(address) as client:
        while not stopped.is_set():
            response = await client.score_batch(claims[:1])
            assert response.results[0].claim_id == claims[0].claim_id
            answered += 1
    return answered


async def streamed(address: str, batch: score_pb2.ClaimBatch) -> list[int]:
    """Stream messages slowly enough to live through every restart."""

    async def messages():
        for _ in range(_MESSAGES):
            yield batch
            await asyncio.sleep(0.02)

    async with Client(address) as client:
        return [answer.sequence async for answer in client.score(messages())]


async def test_workers_that_are_stopped_one_by_one_cost_no_call_and_no_answer(
    claims, until, started
):
    stopped = asyncio.Event()
    async with started(prepared_snapshot(), workers="2") as service:
        calling = [
            asyncio.create_task(called(service.address, claims, stopped)) for _ in range(_CALLERS)
        ]
        batch = score_pb2.ClaimBatch(claims=claims)
        streaming = [asyncio.create_task(streamed(service.address, batch)) for _ in range(_STREAMS)]
        await asyncio.sleep(1)
        for pid, worker in service.children.items():
            serving = len(service.logged("serving"))
            worker.terminate()
            await until(lambda pid=pid: pid not in service.children)
            await until(lambda serving=serving: len(service.logged("serving")) > serving)
        sequences = await asyncio.gather(*streaming)
        stopped.set()
        answered = await asyncio.gather(*calling)

    assert sum(answered) > _CALLERS * 10
    assert [sorted(each) for each in sequences] == [list(range(_MESSAGES))] * _STREAMS
