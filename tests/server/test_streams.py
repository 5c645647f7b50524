"""What a stream says of itself: how far it is answered, that it drains, what it came to."""

import asyncio

import grpc
import pytest
from claimgate.client import Client
from claimgate.v1 import score_pb2
from claimgate.v1 import scoring_service_pb2 as pb
from claimgate.v1.scoring_service_pb2_grpc import ScoringServiceStub
from hypothesis import given
from hypothesis import strategies as st

from server.stream_account import Acknowledgements
from tests.server.calling import message


async def test_stream_that_ends_well_ends_with_its_summary(channel, batch):
    requests = [message(n, batch(*(f"{n}-{i}" for i in range(3)))) for n in range(10)]

    responses = [each async for each in ScoringServiceStub(channel).ScoreClaims(iter(requests))]

    assert [each.HasField("summary") for each in responses] == [False] * (len(responses) - 1) + [
        True
    ]
    summary = responses[-1].summary
    assert (summary.messages, summary.claims) == (10, 30)
    assert [(each.decision, each.claims) for each in summary.decisions] == [
        (score_pb2.DECISION_APPROVE, 30)
    ]
    assert summary.duration_us >= summary.slowest_message_us > 0


async def test_stream_that_fails_has_no_summary(channel, batch):
    requests = [message(0, batch("a")), message(1, score_pb2.ClaimBatch())]
    call = ScoringServiceStub(channel).ScoreClaims(iter(requests))

    responses = [await call.read()]
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()

    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert [each.HasField("summary") for each in responses] == [False]


async def test_last_answer_acknowledges_every_message(channel, batch):
    requests = [message(n * 7, batch(str(n))) for n in range(50)]

    responses = [each async for each in ScoringServiceStub(channel).ScoreClaims(iter(requests))]

    acknowledged = [each.acknowledged_sequence for each in responses if each.messages]
    assert acknowledged == sorted(acknowledged)
    assert acknowledged[-1] == 49 * 7


@given(st.lists(st.integers(-5, 5), max_size=12), st.randoms())
def test_nothing_is_acknowledged_before_what_was_read_earlier_is_answered(sequences, random):
    account = Acknowledgements()
    places = [account.take(sequence) for sequence in sequences]
    answered: set[int] = set()
    for place in random.sample(places, len(places)):
        account.answer(place)
        answered.add(place)
        whole = next((n for n in places if n not in answered), len(places))
        assert account.upto == (sequences[whole - 1] if whole else None)


async def test_gathered_answers_come_in_fewer_responses(start, batch):
    async with (
        start(batch_claims_max=1, message_claims_max=1) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):

        async def responses(*, gather: bool) -> list[pb.ScoreClaimsResponse]:
            options = pb.StreamOptions(gather_answers=gather)
            requests = [
                pb.ScoreClaimsRequest(options=options),
                *(message(n, batch(str(n))) for n in range(300)),
            ]
            call = ScoringServiceStub(channel).ScoreClaims(iter(requests))
            return [each async for each in call]

        gathered, plain = await responses(gather=True), await responses(gather=False)

    for each in (gathered, plain):
        answered = sorted(answer.sequence for response in each for answer in response.messages)
        assert answered == list(range(300))
    assert len(gathered) < len(plain)


async def test_caller_that_heeds_a_drain_ends_well(start, batch, until):
    heard = asyncio.Event()

    async def until_told():
        yield message(1, batch("taken"))
        await heard.wait()
        yield message(2, batch("under way"))

    async def heeding(call) -> list[pb.ScoreClaimsResponse]:
        responses = []
        async for response in call:
            responses.append(response)
            if response.draining:
                heard.set()
        return responses

    async with start() as server:
        channel = grpc.aio.insecure_channel(server.address)
        call = ScoringServiceStub(channel).ScoreClaims(until_told())
        listening = asyncio.create_task(heeding(call))
        await until(lambda: server.engine.passes)
    answers = await listening
    await channel.close()

    assert [each.sequence for response in answers for each in response.messages] == [1, 2]
    assert sum(response.draining for response in answers) == 1
    assert answers[-1].summary.messages == 2


async def test_client_moves_on_to_another_process_when_one_drains(start, batch, until):
    """The second server takes the port that the first one leaves."""
    async with start() as first:
        address = first.address
        client = Client(address)
        more = asyncio.Event()
        summaries: list[pb.StreamSummary] = []

        async def batches():
            for n in range(20):
                yield batch(str(n))
            await more.wait()
            for n in range(20, 40):
                yield batch(str(n))

        async def scored() -> list[int]:
            stream = client.score(batches(), on_summary=summaries.append)
            return [answer.sequence async for answer in stream]

        scoring = asyncio.create_task(scored())
        await until(lambda: len(first.engine.scored_ids) == 20)
    async with start(listen=address) as second:
        more.set()
        sequences = await scoring
        await client.close()

    assert sorted(sequences) == list(range(40))
    assert sorted(map(int, second.engine.scored_ids)) == list(range(20, 40))
    assert [each.messages for each in summaries] == [20, 20]
