"""Serialized claims as the bytes of messages that hold them: nothing is parsed or copied twice."""

from collections.abc import Iterable
from typing import Final

from claimgate.v1 import score_pb2

_LENGTH_DELIMITED: Final = 2


def field_tag(number: int) -> bytes:
    """Return how protobuf begins a field of length and bytes."""
    return varint(number << 3 | _LENGTH_DELIMITED)


def varint(number: int) -> bytes:
    """Return a length as protobuf writes it."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_CLAIMS: Final = field_tag(score_pb2.ClaimBatch.CLAIMS_FIELD_NUMBER)


def batch_of(payloads: Iterable[bytes]) -> bytes:
    """Return a serialized `ClaimBatch` of serialized claims."""
    parts: list[bytes] = []
    for payload in payloads:
        parts += (_CLAIMS, varint(len(payload)), payload)
    return b"".join(parts)
