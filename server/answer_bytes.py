"""Answers as they go over the wire: written once by the engine, and never read here."""

from typing import Final

from claimgate.framing import field_tag, varint
from claimgate.v1 import scoring_service_pb2 as pb

_MESSAGES: Final = field_tag(pb.ScoreClaimsResponse.MESSAGES_FIELD_NUMBER)
_SEQUENCE: Final = varint(pb.MessageResult.SEQUENCE_FIELD_NUMBER << 3)
_INT64: Final = (1 << 64) - 1
"""A number below 0 goes over the wire as 64 bits."""


def in_response(sequence: int, content: bytes) -> bytes:
    """Return a message's answer as one of the `messages` of a `ScoreClaimsResponse`.

    Serialized fields may follow one another in any order: what is put together of such parts, and
    of other serialized fields of the response, is a response.
    """
    head = _SEQUENCE + varint(sequence & _INT64)
    return b"".join((_MESSAGES, varint(len(head) + len(content)), head, content))
