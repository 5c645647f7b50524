"""Scoring over a real connection: streams, batches, and what ends them."""

import asyncio

import grpc
import pytest
from claimgate.client import CallError, Client
from claimgate.columns import pack
from claimgate.v1 import error_reason_pb2 as reasons
from claimgate.v1 import score_pb2
from claimgate.v1 import scoring_service_pb2 as pb
from claimgate.v1.claim_columns_pb2 import ClaimColumns
from claimgate.v1.scoring_service_pb2_grpc import ScoringServiceStub

from tests.server.calling import answers_and_error, drained, failed, message

CANCELLED = {
    "grpc_type": "unary",
    "grpc_service": "claimgate.v1.ScoringService",
    "grpc_method": "ScoreBatch",
    "grpc_code": "CANCELLED",
}


async def test_batch_is_answered_claim_by_claim_in_order(channel, batch):
    response = await ScoringServiceStub(channel).ScoreBatch(
        pb.ScoreBatchRequest(batch=batch("a", "b", "c"))
    )

    assert [result.claim_id for result in response.results] == ["a", "b", "c"]


async def test_every_message_of_a_stream_is_answered_once_under_its_number(channel, batch):
    requests = [message(n * 7, batch(f"{n}-0", f"{n}-1")) for n in range(200)]

    answers = await drained(ScoringServiceStub(channel).ScoreClaims(iter(requests)))

    assert sorted(answer.sequence for answer in answers) == [n * 7 for n in range(200)]
    for answer in answers:
        n = answer.sequence // 7
        assert [result.claim_id for result in answer.results] == [f"{n}-0", f"{n}-1"]


async def test_stream_is_answered_with_the_view_of_its_options(channel, batch):
    options = pb.ScoreClaimsRequest(options=pb.StreamOptions(view=score_pb2.VIEW_TRACE))

    [answer] = await drained(
        ScoringServiceStub(channel).ScoreClaims(iter([options, message(1, batch("a"))]))
    )

    assert answer.provenance.policy_version == "VIEW_TRACE"


async def test_view_is_evidence_where_none_is_asked_for(channel, batch):
    response = await ScoringServiceStub(channel).ScoreBatch(pb.ScoreBatchRequest(batch=batch("a")))

    assert response.provenance.policy_version == "VIEW_EVIDENCE"


async def test_validation_names_the_faults_of_each_claim(channel, batch):
    claims = batch("good", "bad")
    claims.claims[1].facility_id = ""

    response = await ScoringServiceStub(channel).ValidateClaims(
        pb.ValidateClaimsRequest(batch=claims)
    )

    assert [
        (each.claim_id, [v.code for v in each.violations]) for each in response.validations
    ] == [
        ("good", []),
        ("bad", ["V02"]),
    ]


async def test_messages_of_several_calls_share_a_pass(server, channel, batch, until):
    server.engine.gate.clear()
    stub = ScoringServiceStub(channel)
    calls = [stub.ScoreBatch(pb.ScoreBatchRequest(batch=batch("first")))]
    await until(lambda: server.engine.passes)
    calls += [stub.ScoreBatch(pb.ScoreBatchRequest(batch=batch(str(n)))) for n in range(11)]
    await until(lambda: server.service.batcher.queued_claims >= 11)

    server.engine.gate.set()
    await asyncio.gather(*calls)

    assert sorted(len(each) for each in server.engine.passes) == [1, 11]


async def test_bad_message_ends_a_stream_after_the_good_ones_are_answered(channel, batch):
    stub = ScoringServiceStub(channel)
    call = stub.ScoreClaims(iter([message(1, batch("a")), message(2, batch())]))

    answers, error = await answers_and_error(call)

    assert [answer.sequence for answer in answers] == [1]
    assert error.reason == "ERROR_REASON_EMPTY_REQUEST"
    assert error.metadata["sequence"] == "2"


def columns(sequence: int, batch: score_pb2.ClaimBatch) -> pb.ScoreClaimsRequest:
    return pb.ScoreClaimsRequest(sequence=sequence, columns=pack(batch))


async def test_columns_are_answered_as_rows_are_and_never_in_one_pass(
    server, channel, batch, until
):
    server.engine.gate.clear()
    stub = ScoringServiceStub(channel)
    requests = [(columns if n % 2 else message)(n, batch(f"{n}-0", f"{n}-1")) for n in range(21)]
    call = stub.ScoreClaims(iter(requests))
    waiting = server.service.batcher
    await until(lambda: waiting.queued_claims + len(server.engine.scored_ids) == 42)

    server.engine.gate.set()
    answers = await drained(call)

    assert {a.sequence: [r.claim_id for r in a.results] for a in answers} == {
        n: [f"{n}-0", f"{n}-1"] for n in range(21)
    }
    assert len(server.engine.passes) < len(requests)
    for each in server.engine.passes:
        assert len({int(ids[0].partition("-")[0]) % 2 for ids in each}) == 1


async def test_columns_that_do_not_fit_end_a_stream_after_the_good_ones_are_answered(
    server, channel, batch
):
    bad = columns(2, batch("b"))
    bad.columns.columns.add(field="lines.charge_cents", numbers=[1])
    stub = ScoringServiceStub(channel)
    other = stub.ScoreClaims(iter([columns(n, batch(f"o{n}")) for n in range(5)]))
    call = stub.ScoreClaims(iter([columns(1, batch("a")), bad]))

    answers, error = await answers_and_error(call)

    assert [answer.sequence for answer in answers] == [1]
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "ERROR_REASON_INVALID_FIELD"
    assert error.metadata["field"] == "lines.charge_cents"
    assert error.metadata["sequence"] == "2"
    assert "0 numbers" in error.metadata["expected"]
    assert len(await drained(other)) == 5


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        (0, "ERROR_REASON_EMPTY_REQUEST"),
        (-1, "ERROR_REASON_INVALID_FIELD"),
        (2**31 - 1, "ERROR_REASON_TOO_MANY_CLAIMS"),
    ],
)
async def test_columns_are_limited_by_the_claims_that_they_say_they_hold(channel, claims, reason):
    request = pb.ScoreClaimsRequest(sequence=4, columns=ClaimColumns(claims=claims))

    error = await failed(ScoringServiceStub(channel).ScoreClaims(iter([request])))

    assert error.reason == reason
    assert error.metadata["sequence"] == "4"


async def test_options_after_claims_are_refused(channel, batch):
    late = pb.ScoreClaimsRequest(sequence=7, options=pb.StreamOptions())

    error = await failed(
        ScoringServiceStub(channel).ScoreClaims(iter([message(1, batch("a")), late]))
    )

    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "ERROR_REASON_OPTIONS_AFTER_CLAIMS"
    assert error.metadata == {"sequence": "7"}


async def test_message_that_is_neither_options_nor_claims_is_refused(channel):
    error = await failed(
        ScoringServiceStub(channel).ScoreClaims(iter([pb.ScoreClaimsRequest(sequence=3)]))
    )

    assert error.reason == "ERROR_REASON_EMPTY_REQUEST"


async def test_request_without_claims_is_refused(server):
    async with Client(server.address) as client:
        with pytest.raises(CallError) as raised:
            await client.score_batch([])

    assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.reason == "ERROR_REASON_EMPTY_REQUEST"


@pytest.mark.parametrize("streaming", [False, True])
async def test_too_many_claims_in_a_message_are_refused(start, batch, streaming):
    async with start(message_claims_max=3) as server, Client(server.address) as client:
        call = client.score([batch(*"abcd")]).__anext__ if streaming else client.score_batch
        arguments = () if streaming else (batch(*"abcd"),)

        with pytest.raises(CallError) as raised:
            await call(*arguments)

    assert raised.value.reason == "ERROR_REASON_TOO_MANY_CLAIMS"
    assert raised.value.metadata == {"claims": "4", "claims_max": "3"} | (
        {"sequence": "0"} if streaming else {}
    )


async def test_unknown_view_is_refused(server, batch):
    async with Client(server.address) as client:
        with pytest.raises(CallError) as raised:
            await client.score_batch(batch("a"), view=99)

    assert raised.value.reason == "ERROR_REASON_INVALID_FIELD"
    assert raised.value.metadata["field"] == "view"


async def test_poisoned_message_fails_alone(server, batch, until):
    server.engine.gate.clear()
    async with Client(server.address, deadline_s=10) as client:
        calls = [asyncio.create_task(client.score_batch(batch("first")))]
        await until(lambda: server.engine.passes)
        calls += [
            asyncio.create_task(client.score_batch(batch(name)))
            for name in ("good", "poison", "fine")
        ]
        await until(lambda: server.service.batcher.queued_claims >= 3)

        server.engine.gate.set()
        first, good, poisoned, fine = await asyncio.gather(*calls, return_exceptions=True)

    assert [each.results[0].claim_id for each in (first, good, fine)] == ["first", "good", "fine"]
    assert isinstance(poisoned, CallError)
    assert poisoned.code == grpc.StatusCode.INTERNAL
    assert poisoned.reason == reasons.ErrorReason.Name(reasons.ERROR_REASON_INTERNAL)
    assert len(poisoned.metadata["error_id"]) == 32


async def test_poisoned_message_of_a_stream_is_named_and_the_others_are_answered(channel, batch):
    requests = [message(n, batch("poison" if n == 5 else str(n))) for n in range(10)]
    call = ScoringServiceStub(channel).ScoreClaims(iter(requests))

    answers, error = await answers_and_error(call)

    assert error.code == grpc.StatusCode.INTERNAL
    assert error.metadata["sequence"] == "5"
    assert {0, 1, 2, 3, 4} <= {answer.sequence for answer in answers}


async def test_silent_stream_is_ended(start):
    async with (
        start(stream_idle_ms=100) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):

        async def silence():
            await asyncio.sleep(10)
            yield pb.ScoreClaimsRequest()

        error = await failed(ScoringServiceStub(channel).ScoreClaims(silence()))

    assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert error.reason == "ERROR_REASON_DEADLINE"


async def test_drain_answers_what_was_taken_then_says_come_again(start, batch, until):
    async with start() as server:
        channel = grpc.aio.insecure_channel(server.address)
        server.engine.gate.clear()
        asyncio.get_running_loop().call_later(0.3, server.engine.gate.set)

        async def open_ended():
            yield message(1, batch("taken"))
            await asyncio.sleep(30)

        call = ScoringServiceStub(channel).ScoreClaims(open_ended())
        await until(lambda: server.engine.passes)
    answers, error = await answers_and_error(call)

    assert [answer.sequence for answer in answers] == [1]
    assert error.reason == "ERROR_REASON_DRAINING"
    assert error.code == grpc.StatusCode.UNAVAILABLE
    await channel.close()


def _with_empty_lines(batch, form: str) -> pb.ScoreClaimsRequest:
    """One claim that says of 200 lines no more than that they are there."""
    claims = batch("a")
    for _ in range(200):
        claims.claims[0].lines.add()
    if form == "rows":
        return pb.ScoreClaimsRequest(sequence=7, batch=claims)
    return pb.ScoreClaimsRequest(sequence=7, columns=pack(claims))


@pytest.mark.parametrize("form", ["rows", "columns"])
async def test_too_many_lines_in_a_message_end_the_stream(start, batch, form):
    async with (
        start(message_entries_max=100) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        request = _with_empty_lines(batch, form)

        error = await failed(ScoringServiceStub(channel).ScoreClaims(iter([request])))

    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "ERROR_REASON_TOO_MANY_CLAIMS"
    assert error.metadata == {"entries": "201", "entries_max": "100", "sequence": "7"}


@pytest.mark.parametrize("method", ["ScoreBatch", "ValidateClaims"])
async def test_too_many_lines_in_a_single_call_are_refused(start, batch, method):
    async with (
        start(message_entries_max=100) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        claims = _with_empty_lines(batch, "rows").batch
        call = getattr(ScoringServiceStub(channel), method)

        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(getattr(pb, f"{method}Request")(batch=claims))

    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert CallError.of(raised.value).metadata == {"entries": "201", "entries_max": "100"}
