"""Serialized claims as the bytes of messages that hold them: nothing is parsed or copied twice."""

from collections.abc import Iterable
from typing import Final

from claimgate.framing import field_tag, varint
from claimgate.v1 import score_pb2

_CLAIMS: Final = field_tag(score_pb2.ClaimBatch.CLAIMS_FIELD_NUMBER)


def batch_of(payloads: Iterable[bytes]) -> bytes:
    """Return a serialized `ClaimBatch` of serialized claims."""
    parts: list[bytes] = []
    for payload in payloads:
        parts += (_CLAIMS, varint(len(payload)), payload)
    return b"".join(parts)
