"""A claim that the service fails on costs that claim alone."""

import grpc
import pytest
from claimgate.client import CallError, Client
from claimgate.v1 import score_pb2
from hypothesis import given
from hypothesis import strategies as st

from server.poison import POISONED_MAX, without_poisoned
from server.scorer import Judged
from tests.server.conftest import FAULTY, POISON, PlainEngine, claims


async def test_claims_around_a_faulty_one_are_scored(server, batch, logged):
    async with Client(server.address) as client:
        response = await client.score_batch(batch("a", f"{FAULTY}-1", "b", f"{FAULTY}-2", "c"))

    decisions = {each.claim_id: each.decision for each in response.results}
    assert decisions == {
        "a": score_pb2.DECISION_APPROVE,
        f"{FAULTY}-1": score_pb2.DECISION_REJECT,
        "b": score_pb2.DECISION_APPROVE,
        f"{FAULTY}-2": score_pb2.DECISION_REJECT,
        "c": score_pb2.DECISION_APPROVE,
    }
    reported = [line for line in logged() if line["event"] == "claim_failed"]
    assert sorted(line["ordinal"] for line in reported) == [1, 3]
    for line, result in zip(reported, (response.results[1], response.results[3]), strict=True):
        [violation] = result.violations
        assert violation.code == "V00"
        assert line["error_id"] in violation.message
    assert server.sample("claimgate_poisoned_claims_total") == 2


async def test_nothing_of_the_claim_leaves_with_its_fault(server, batch, logged):
    async with Client(server.address) as client:
        response = await client.score_batch(batch(FAULTY))

    for seen in (str(response), str(logged())):
        assert "123-45-6789" not in seen


async def test_message_with_too_many_faulty_claims_fails_whole(server, batch):
    async with Client(server.address) as client:
        with pytest.raises(CallError) as raised:
            await client.score_batch(batch(*(f"{FAULTY}-{n}" for n in range(POISONED_MAX + 1))))

    assert raised.value.code == grpc.StatusCode.INTERNAL


@given(
    st.lists(st.sampled_from(["fine", FAULTY]), min_size=1, max_size=40).filter(
        lambda ids: 0 < ids.count(FAULTY) <= POISONED_MAX
    )
)
async def test_exactly_the_faulty_claims_are_found(ids):
    engine = PlainEngine()

    async def judge(batch: score_pb2.ClaimBatch) -> Judged:
        return engine.score(engine.read([batch]), None, [score_pb2.VIEW_EVIDENCE])

    named = []
    judged = await without_poisoned(
        claims(*ids), ValueError(), judge, lambda poisoned: named.append(poisoned.ordinal) or "id"
    )

    assert named == [n for n, each in enumerate(ids) if each == FAULTY]
    assert [len(each.violations) for each in judged.answers[0].results] == [
        int(each == FAULTY) for each in ids
    ]


async def test_fault_that_is_in_no_claim_is_passed_on():
    async def judge(_batch: score_pb2.ClaimBatch) -> Judged:
        raise ValueError("of the engine")

    with pytest.raises(ValueError, match="of the engine"):
        await without_poisoned(claims("a", "b"), ValueError("of the engine"), judge, lambda _: "id")


async def test_claim_that_poisons_by_its_id_fails_its_message(server, batch):
    async with Client(server.address) as client:
        with pytest.raises(CallError) as raised:
            await client.score_batch(batch("a", POISON))

    assert raised.value.code == grpc.StatusCode.INTERNAL
