"""Requests as they come off the wire: their claims stay bytes, which the engine reads itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from sys import maxsize
from typing import Final, Self

from claimgate.v1 import scoring_service_pb2 as pb
from claimgate.wire.v1 import requests_pb2 as wire

from engine.entries import entries_of
from engine.messages import Columns, Message, Rows
from server.errors import TooManyEntriesError

_ENTRY_BYTES: Final = 2
"""Bytes of the shortest entry of a list: a line of which nothing is said."""


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """One message of a scoring stream."""

    sequence: int
    options: pb.StreamOptions | None
    """How the stream is answered, instead of claims."""
    message: Message
    """The claims; none where the message names options, or nothing."""

    @classmethod
    def read(cls, content: bytes, entries_max: int = maxsize) -> Self:
        """Take a serialized `ScoreClaimsRequest`.

        Raises:
            DecodeError: Protobuf does not read it.
            TooManyEntriesError: It holds more lines and so on than a message may.
        """
        sent = wire.ScoreClaimsRequest.FromString(content)
        if len(sent.options) + len(sent.batch) + len(sent.columns) > 1:
            # Protobuf knows which of them holds, and what parts come to.
            meant = pb.ScoreClaimsRequest.FromString(content)
            sent = wire.ScoreClaimsRequest.FromString(meant.SerializeToString())
        options = sent.options[0] if sent.options else None
        message: Message
        if sent.columns:
            columns = message = Columns.read(b"".join(sent.columns))
            _check_entries(columns.entries, entries_max, sequence=sent.sequence)
        else:
            message = _rows(sent.batch, entries_max, sequence=sent.sequence)
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
    def read(cls, content: bytes, entries_max: int = maxsize) -> Self:
        """Take a serialized `ScoreBatchRequest`.

        Raises:
            DecodeError: Protobuf does not read it.
            TooManyEntriesError: It holds more lines and so on than a message may.
        """
        sent = wire.ScoreBatchRequest.FromString(content)
        claims = _rows(sent.batch, entries_max)
        return cls(claims, sent.view, sent.without_history, sent.priority)


def validation_request(content: bytes, entries_max: int) -> pb.ValidateClaimsRequest:
    """Read a serialized `ValidateClaimsRequest`; raises what `BatchRequest.read` raises."""
    # Its claims are in the same field as those of a batch that is scored.
    sent = wire.ScoreBatchRequest.FromString(content)
    return pb.ValidateClaimsRequest(batch=_rows(sent.batch, entries_max).rows())


def _rows(parts: Sequence[bytes], entries_max: int, **facts: int) -> Rows:
    # Parts of one message, one after the other, are the message.
    content = b"".join(parts)
    # Counted before protobuf reads it: of empty lines a message holds a million in 2 MB.
    if len(content) > entries_max * _ENTRY_BYTES:
        _check_entries(entries_of(content), entries_max, **facts)
    return Rows.read(content)


def _check_entries(entries: int, entries_max: int, **facts: int) -> None:
    if entries > entries_max:
        raise TooManyEntriesError(entries, entries_max, **facts)
