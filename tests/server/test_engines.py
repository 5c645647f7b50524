"""The engine in use may change at any time; a pass never sees it change."""

import asyncio
import shutil
from pathlib import Path

import grpc
from claimgate.v1 import score_pb2
from claimgate.v1 import scoring_service_pb2 as pb
from claimgate.v1.scoring_service_pb2_grpc import ScoringServiceStub

from engine.pipeline import Engine
from engine.policy import Policy
from engine.reference import Reference
from loader.snapshot.build import build
from server.engines import Engines

SAMPLE = Path(__file__).parents[2] / "ops" / "reference-sample"


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
    taken = engines.under(Policy(), "demo")

    engines.replace(second)

    assert taken.engine.reference is first.reference
    assert engines.engine is second
    assert engines.under(Policy(), "demo") is not taken


def test_policies_that_decide_alike_share_an_engine(sample_reference):
    engines = Engines(Engine.with_all_rules(sample_reference))
    strict = engines.under(Policy(review_min=0.1), "demo")

    assert engines.under(Policy(review_min=0.1), "demo") is strict
    assert engines.under(Policy(), "demo") is not strict
    assert strict.engine.policy.review_min == 0.1


def test_each_tenant_is_scored_with_its_own_listings(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(SAMPLE, source)
    (source / "claimgate" / "inpatient_only.csv").write_text(
        "tenant_id,code_from,code_to,effective_from,effective_to\none,27446,,,\n"
    )
    build(source, tmp_path / "snapshot")
    engines = Engines(Engine.with_all_rules(Reference.open(tmp_path / "snapshot")))

    def listed(tenant: str) -> int:
        reference = engines.under(Policy(), tenant).engine.reference
        return len(reference.listing("inpatient_only"))

    assert (listed("one"), listed("two")) == (1, 0)
    assert engines.under(Policy(), "two").engine.reference is engines.engine.reference
