"""The engine in use may change at any time; a pass never sees it change."""

import asyncio

import grpc
from claimgate.v1 import score_pb2
from claimgate.v1 import scoring_service_pb2 as pb
from claimgate.v1.scoring_service_pb2_grpc import ScoringServiceStub

from engine.pipeline import Engine
from engine.policy import Policy
from server.engines import Engines


async def test_a_pass_ends_with_the_engine_that_it_began_with(start, batch, until):
    scored = []
    async with start() as server, grpc.aio.insecure_channel(server.address) as channel:
        first = server.engine
        first.gate.clear()
        judge = first.score
        first.score = lambda *arguments: scored.append("first") or judge(*arguments)
        stub = ScoringServiceStub(channel)
        call = asyncio.ensure_future(stub.ScoreBatch(pb.ScoreBatchRequest(batch=batch("a"))))
        await until(lambda: first.passes)

        server.engine = type(first)()
        first.gate.set()
        answer = await call
        after = await stub.ScoreBatch(pb.ScoreBatchRequest(batch=batch("b")))

    assert scored == ["first"]
    assert [each.decision for each in (*answer.results, *after.results)] == [
        score_pb2.DECISION_APPROVE
    ] * 2
    assert first.scored_ids == ["a"]
    assert server.engine.scored_ids == ["b"]


def test_the_engine_in_use_is_replaced_whole(sample_reference):
    first, second = (Engine.with_all_rules(sample_reference) for _ in range(2))
    engines = Engines(first)
    taken = engines.under(Policy())

    engines.replace(second)

    assert taken.engine.reference is first.reference
    assert engines.engine is second
    assert engines.under(Policy()) is not taken


def test_policies_that_decide_alike_share_an_engine(sample_reference):
    engines = Engines(Engine.with_all_rules(sample_reference))
    strict = engines.under(Policy(review_min=0.1))

    assert engines.under(Policy(review_min=0.1)) is strict
    assert engines.under(Policy()) is not strict
    assert strict.engine.policy.review_min == 0.1
