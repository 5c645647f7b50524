"""Answers as they go over the wire: written once by the engine, and never read here."""

from typing import Final

from claimgate.framing import varint
from claimgate.v1 import scoring_service_pb2 as pb

_LENGTH_DELIMITED: Final = 2
_MESSAGES: Final = varint(
    pb.ScoreClaimsResponse.DESCRIPTOR.fields_by_name["messages"].number << 3 | _LENGTH_DELIMITED
)


def in_response(sequence: int, content: bytes) -> bytes:
    """Return a message's answer as one of the `messages` of a `ScoreClaimsResponse`.

    Serialized fields may follow one another in any order: what is put together of such parts, and
    of other serialized fields of the response, is a response.
    """
    head = pb.MessageResult(sequence=sequence).SerializeToString()
    return b"".join((_MESSAGES, varint(len(head) + len(content)), head, content))
