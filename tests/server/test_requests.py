"""Requests off the wire: read as protobuf reads them, whatever parts they come in."""

from itertools import permutations

import pytest
from claimgate.columns import pack, unpack
from claimgate.v1 import score_pb2
from claimgate.v1 import scoring_service_pb2 as pb
from claimgate.wire.v1 import requests_pb2 as wire
from google.protobuf.message import DecodeError

from server.answer_bytes import in_response
from server.requests import BatchRequest, StreamRequest

OPTIONS = pb.StreamOptions(view=score_pb2.VIEW_TRACE, without_history=True)


def parts_of(batch) -> list[bytes]:
    """A request in parts that may come in any order and number."""
    requests = (
        pb.ScoreClaimsRequest(sequence=7),
        pb.ScoreClaimsRequest(options=OPTIONS),
        pb.ScoreClaimsRequest(batch=batch("a", "b")),
        pb.ScoreClaimsRequest(batch=batch("c")),
        pb.ScoreClaimsRequest(columns=pack(batch("d"))),
    )
    return [each.SerializeToString() for each in requests]


def orders(count: int) -> list[tuple[int, ...]]:
    return [each for size in range(count + 1) for each in permutations(range(count), size)]


@pytest.mark.parametrize("order", orders(5))
def test_request_in_parts_is_what_protobuf_makes_of_them(batch, order):
    parts = parts_of(batch)
    content = b"".join(parts[number] for number in order)
    meant = pb.ScoreClaimsRequest.FromString(content)

    found = StreamRequest.read(content)

    assert found.sequence == meant.sequence
    assert (found.options is not None) == meant.HasField("options")
    assert found.options in (None, meant.options)
    claims = unpack(meant.columns) if meant.HasField("columns") else meant.batch
    assert found.message.rows() == claims
    assert found.message.claims == len(claims.claims)


def test_unary_request_in_parts_is_what_protobuf_makes_of_them(batch):
    requests = (
        pb.ScoreBatchRequest(batch=batch("a"), view=score_pb2.VIEW_TRACE),
        pb.ScoreBatchRequest(batch=batch("b"), without_history=True, priority="PRIORITY_BULK"),
    )
    content = b"".join(each.SerializeToString() for each in requests)
    meant = pb.ScoreBatchRequest.FromString(content)

    found = BatchRequest.read(content)

    assert (found.view, found.without_history) == (meant.view, meant.without_history)
    assert found.priority == meant.priority == pb.PRIORITY_BULK
    assert found.message.rows() == meant.batch


@pytest.mark.parametrize("read", [StreamRequest.read, BatchRequest.read])
@pytest.mark.parametrize("content", [b"\x1a\x05\x0a\x7f", b"\x0a\x02\x0a\x7f\x1a\x02\x0a\x7f"])
def test_malformed_claims_are_refused_with_their_request(read, content):
    with pytest.raises(DecodeError):
        read(content)


@pytest.mark.parametrize("name", ["ScoreClaimsRequest", "ScoreBatchRequest"])
def test_mirror_has_the_fields_of_the_api_under_their_numbers(name):
    def numbers(message) -> dict[str, int]:
        return {each.name: each.number for each in message.DESCRIPTOR.fields}

    assert numbers(getattr(wire, name)) == numbers(getattr(pb, name))


def test_answers_are_put_together_as_one_response():
    answers = {
        sequence: pb.MessageResult(results=[score_pb2.ClaimResult(claim_id="x" * size)])
        for sequence, size in ((-1, 0), (0, 1), (5, 200), (2**40, 20_000))
    }

    response = pb.ScoreClaimsResponse.FromString(
        b"".join(in_response(number, each.SerializeToString()) for number, each in answers.items())
    )

    for found, (sequence, answer) in zip(response.messages, answers.items(), strict=True):
        answer.sequence = sequence
        assert found == answer
