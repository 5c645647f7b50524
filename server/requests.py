"""Requests as they come off the wire: their claims stay bytes, which the engine reads itself."""

from dataclasses import dataclass
from typing import Self

from claimgate.v1 import scoring_service_pb2 as pb
from claimgate.wire.v1 import requests_pb2 as wire

from engine.messages import Columns, Message, Rows


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """One message of a scoring stream."""

    sequence: int
    options: pb.StreamOptions | None
    """How the stream is answered, instead of claims."""
    message: Message
    """The claims; none where the message names options, or nothing."""

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Take a serialized `ScoreClaimsRequest`; DecodeError unless protobuf reads it."""
        sent = wire.ScoreClaimsRequest.FromString(content)
        if len(sent.options) + len(sent.batch) + len(sent.columns) > 1:
            # Protobuf knows which of them holds, and what parts come to.
            meant = pb.ScoreClaimsRequest.FromString(content)
            sent = wire.ScoreClaimsRequest.FromString(meant.SerializeToString())
        options = sent.options[0] if sent.options else None
        message: Message
        if sent.columns:
            message = Columns.read(b"".join(sent.columns))
        else:
            message = Rows.read(b"".join(sent.batch))
        return cls(sent.sequence, options, message)


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """The request of a unary call."""

    message: Message
    view: int
    without_history: bool
    priority: int
    """Who waits for the answer, a `Priority`."""

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Take a serialized `ScoreBatchRequest`; DecodeError unless protobuf reads it."""
        sent = wire.ScoreBatchRequest.FromString(content)
        # Parts of one message, one after the other, are the message.
        claims = Rows.read(b"".join(sent.batch))
        return cls(claims, sent.view, sent.without_history, sent.priority)
