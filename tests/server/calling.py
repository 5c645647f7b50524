"""How tests call the service without its client."""

import grpc
from claimgate.client import CallError
from claimgate.v1 import score_pb2
from claimgate.v1 import scoring_service_pb2 as pb


async def drained(call) -> list[pb.MessageResult]:
    return [message async for response in call for message in response.messages]


async def answers_and_error(call) -> tuple[list[pb.MessageResult], CallError]:
    answers: list[pb.MessageResult] = []
    try:
        async for response in call:
            answers += response.messages
    except grpc.aio.AioRpcError as error:
        return answers, CallError.of(error)
    raise AssertionError("the stream ended without an error")


async def failed(call) -> CallError:
    return (await answers_and_error(call))[1]


def message(sequence: int, batch: score_pb2.ClaimBatch) -> pb.ScoreClaimsRequest:
    return pb.ScoreClaimsRequest(sequence=sequence, batch=batch)
