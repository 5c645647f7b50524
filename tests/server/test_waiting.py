"""Who waits, who is refused and who is dropped, over a real connection."""

import asyncio

import grpc
import pytest
from claimgate.client import CallError, Client
from claimgate.v1 import scoring_service_pb2 as pb
from claimgate.v1.scoring_service_pb2_grpc import ScoringServiceStub

from engine.gathered import Gathered, ModelAnswer
from tests.server.calling import drained, failed, message

CANCELLED = {
    "grpc_type": "unary",
    "grpc_service": "claimgate.v1.ScoringService",
    "grpc_method": "ScoreBatch",
    "grpc_code": "CANCELLED",
}


async def test_full_queue_refuses_single_calls_with_a_time_to_come_again(start, batch, until):
    async with (
        start(queue_claims_max=4, message_claims_max=4, queue_retry_ms=125) as server,
        Client(server.address) as client,
    ):
        server.engine.gate.clear()
        running = asyncio.create_task(client.score_batch(batch("first")))
        await until(lambda: server.engine.passes)
        waiting = asyncio.create_task(client.score_batch(batch(*"abcd")))
        await until(lambda: server.service.batcher.queued_claims >= 4)

        with pytest.raises(CallError) as raised:
            await client.score_batch(batch("e"))

        server.engine.gate.set()
        await asyncio.gather(running, waiting)
    assert raised.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert raised.value.reason == "ERROR_REASON_OVERLOADED"
    assert raised.value.retry_after_s == 0.125
    assert raised.value.metadata == {"queued_claims": "4", "queued_claims_max": "4"}
    assert "e" not in server.engine.scored_ids


async def test_full_queue_refuses_a_single_call_before_its_message_came(start, batch, until):
    async with (
        start(queue_claims_max=4, message_claims_max=4) as server,
        grpc.aio.insecure_channel(server.address) as channel,
        Client(server.address) as client,
    ):
        server.engine.gate.clear()
        running = asyncio.create_task(client.score_batch(batch("first")))
        await until(lambda: server.engine.passes)
        waiting = asyncio.create_task(client.score_batch(batch(*"abcd")))
        await until(lambda: server.service.batcher.queued_claims >= 4)
        silent = channel.stream_unary("/claimgate.v1.ScoringService/ScoreBatch")()

        error = await refused(silent)

        server.engine.gate.set()
        await asyncio.gather(running, waiting)
    assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.reason == "ERROR_REASON_OVERLOADED"
    assert error.retry_after_s is not None
    received = server.sample(
        "grpc_server_msg_received_total",
        **{name: value for name, value in CANCELLED.items() if name != "grpc_code"},
    )
    assert received == 2
    assert server.sample("claimgate_refusal_duration_seconds_count") == 1
    assert (
        server.sample("claimgate_refused_messages_total", priority="interactive", reason="full")
        == 1
    )


async def refused(call) -> CallError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return CallError.of(raised.value)


async def test_used_up_quota_refuses_single_calls_and_says_when_to_come_again(start, batch):
    quotas = {"demo": {"claims_per_s": 2, "burst_claims": 3}}
    async with start(tenant_quotas=quotas) as server, Client(server.address) as client:
        await client.score_batch(batch(*"abc"))

        with pytest.raises(CallError) as raised:
            await client.score_batch(batch("d"))

    assert raised.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert raised.value.reason == "ERROR_REASON_QUOTA_EXCEEDED"
    assert raised.value.metadata == {"claims": "1", "claims_per_second": "2"}
    assert 0 < raised.value.retry_after_s <= 0.5


async def test_used_up_quota_stops_reading_streams_and_loses_nothing(start, batch):
    quotas = {"*": {"claims_per_s": 100, "burst_claims": 5}}
    async with start(tenant_quotas=quotas) as server, Client(server.address) as client:
        begun = asyncio.get_running_loop().time()
        answers = [answer async for answer in client.score([batch(str(n)) for n in range(20)])]
        took_s = asyncio.get_running_loop().time() - begun

    assert sorted(answer.sequence for answer in answers) == list(range(20))
    assert took_s >= 0.15


async def test_stream_that_waits_for_its_quota_is_not_silent(start, batch):
    quotas = {"demo": {"claims_per_s": 10, "burst_claims": 4}}
    async with (
        start(tenant_quotas=quotas, stream_idle_ms=50) as server,
        Client(server.address) as client,
    ):
        answers = [answer async for answer in client.score([batch(*"abcd"), batch(*"efg")])]

    assert sorted(answer.sequence for answer in answers) == [0, 1]


@pytest.mark.parametrize("streaming", [False, True])
async def test_call_has_its_default_priority_or_the_one_it_asks_for(
    server, channel, batch, until, streaming
):
    server.engine.gate.clear()
    stub = ScoringServiceStub(channel)

    def call(name, priority):
        if not streaming:
            return stub.ScoreBatch(pb.ScoreBatchRequest(batch=batch(name), priority=priority))
        options = pb.ScoreClaimsRequest(options=pb.StreamOptions(priority=priority))
        return drained(stub.ScoreClaims(iter([options, message(1, batch(name))])))

    running = [asyncio.ensure_future(call("first", pb.PRIORITY_UNSPECIFIED))]
    await until(lambda: server.engine.passes)
    for name, priority in {
        "bulk": pb.PRIORITY_BULK,
        "default": pb.PRIORITY_UNSPECIFIED,
        "interactive": pb.PRIORITY_INTERACTIVE,
    }.items():
        running.append(asyncio.ensure_future(call(name, priority)))
    await until(lambda: server.service.batcher.queued_claims == 3)
    server.service.batcher.refresh_metrics()

    interactive = server.sample("claimgate_queued_claims", priority="interactive")
    server.engine.gate.set()
    await asyncio.gather(*running)

    assert interactive == (1 if streaming else 2)


@pytest.mark.parametrize("streaming", [False, True])
async def test_unknown_priority_is_refused(channel, batch, streaming):
    stub = ScoringServiceStub(channel)
    if streaming:
        options = pb.ScoreClaimsRequest(options=pb.StreamOptions(priority=9))
        error = await failed(stub.ScoreClaims(iter([options, message(1, batch("a"))])))
    else:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.ScoreBatch(pb.ScoreBatchRequest(batch=batch("a"), priority=9))
        error = CallError.of(raised.value)

    assert error.reason == "ERROR_REASON_INVALID_FIELD"
    assert error.metadata["field"] == "priority"


async def test_stream_whose_deadline_passed_frees_the_queue_and_is_never_scored(
    server, channel, batch, until
):
    server.engine.gate.clear()
    stub = ScoringServiceStub(channel)
    first = stub.ScoreBatch(pb.ScoreBatchRequest(batch=batch("first")))
    await until(lambda: server.engine.passes)
    late = stub.ScoreClaims(iter([message(1, batch("late"))]), timeout=0.2)

    error = await failed(late)
    await until(lambda: not server.service.batcher.queued_claims)
    server.engine.gate.set()
    await first

    assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.engine.scored_ids == ["first"]


async def test_full_queue_stops_reading_streams_and_loses_nothing(start, batch):
    async with (
        start(queue_claims_max=4, message_claims_max=4, batch_claims_max=4) as server,
        Client(server.address) as client,
    ):
        server.engine.gate.clear()
        asyncio.get_running_loop().call_later(0.2, server.engine.gate.set)

        answers = [
            answer
            async for answer in client.score(
                [batch(f"{n}a", f"{n}b") for n in range(40)], window=40
            )
        ]

    assert sorted(answer.sequence for answer in answers) == list(range(40))


async def test_stream_takes_no_more_than_its_window_before_it_answers(start, batch):
    async with (
        start(stream_unacknowledged_max=3) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        server.engine.gate.clear()
        call = ScoringServiceStub(channel).ScoreClaims(
            iter([message(n, batch(str(n))) for n in range(20)])
        )
        await asyncio.sleep(0.3)

        received = server.sample(
            "grpc_server_msg_received_total",
            grpc_type="bidi_stream",
            grpc_service="claimgate.v1.ScoringService",
            grpc_method="ScoreClaims",
        )
        server.engine.gate.set()
        answers = await drained(call)

    assert received == 3
    assert len(answers) == 20


async def test_cancelled_call_is_never_scored(server, batch, until):
    server.engine.gate.clear()
    async with Client(server.address) as client:
        running = asyncio.create_task(client.score_batch(batch("first")))
        await until(lambda: server.engine.passes)
        cancelled = asyncio.create_task(client.score_batch(batch("gone")))
        await until(lambda: server.service.batcher.queued_claims)

        cancelled.cancel()
        await until(lambda: not server.service.batcher.queued_claims)
        server.engine.gate.set()
        await running
        await client.score_batch(batch("next"))

    assert server.engine.scored_ids == ["first", "next"]


async def test_stream_cancelled_midway_frees_the_queue_and_its_neighbours_go_on(
    server, batch, until, logged
):
    server.engine.gate.clear()
    async with (
        Client(server.address) as client,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        running = asyncio.create_task(client.score_batch(batch("first")))
        await until(lambda: server.engine.passes)
        call = ScoringServiceStub(channel).ScoreClaims(
            iter([message(n, batch(f"gone{n}")) for n in range(20)])
        )
        neighbour = asyncio.create_task(client.score_batch(batch("stays")))
        await until(lambda: server.service.batcher.queued_claims == 21)

        call.cancel()
        await until(lambda: server.service.batcher.queued_claims == 1)
        server.engine.gate.set()
        await running
        response = await neighbour

    assert [result.claim_id for result in response.results] == ["stays"]
    assert "call_failed" not in [line["event"] for line in logged()]
    assert server.engine.scored_ids == ["first", "stays"]


async def test_expired_work_is_dropped_before_it_costs(start, batch, until):
    async with start(call_deadline_ms=100) as server:
        server.engine.gate.clear()
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = ScoringServiceStub(channel)
            first = stub.ScoreBatch(pb.ScoreBatchRequest(batch=batch("first")))
            await until(lambda: server.engine.passes)
            late = stub.ScoreBatch(pb.ScoreBatchRequest(batch=batch("late")))

            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await late
            server.engine.gate.set()
            with pytest.raises(grpc.aio.AioRpcError):
                await first

    assert CallError.of(raised.value).reason == "ERROR_REASON_DEADLINE"
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.engine.scored_ids == ["first"]


async def test_pass_that_nobody_waits_for_is_not_scored(start, batch, until):
    gathering, go_on = asyncio.Event(), asyncio.Event()

    async def gather(_read, _wanted):
        gathering.set()
        await go_on.wait()
        return Gathered(ModelAnswer.disabled())

    async with start(gather=gather) as server, Client(server.address) as client:
        gone = asyncio.create_task(client.score_batch(batch("gone")))
        await gathering.wait()

        gone.cancel()
        await until(lambda: server.sample("grpc_server_handled_total", **CANCELLED))
        go_on.set()
        await client.score_batch(batch("next"))

    assert server.sample("claimgate_claims_processed_total", status="approve") == 1
