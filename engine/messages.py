"""Claims that travel together, in the form that they came in."""

from collections.abc import Sequence
from typing import Protocol, Self, TypeAlias

from claimgate.columns import unpack
from claimgate.v1 import score_pb2
from claimgate.v1.claim_columns_pb2 import ClaimColumns

from engine.checks_native import claims_in
from engine.sent_columns import PARENTS


class Message(Protocol):
    """Claims that travel together, and are answered together."""

    @property
    def claims(self) -> int:
        """How many there are."""

    def rows(self) -> score_pb2.ClaimBatch:
        """Return them as messages: for callers that need each of them whole."""


class Rows:
    """Claims as rows: the bytes of a `ClaimBatch`, parsed only where somebody asks for it."""

    __slots__ = ("_content", "_parsed", "claims")

    def __init__(
        self, claims: int, content: bytes | None, parsed: score_pb2.ClaimBatch | None
    ) -> None:
        self.claims = claims
        self._content = content
        self._parsed = parsed

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Take serialized claims as they came in; DecodeError unless protobuf reads them."""
        claims = claims_in(content)
        if claims is None:
            return cls.of(score_pb2.ClaimBatch.FromString(content))
        return cls(claims, content, None)

    @classmethod
    def of(cls, batch: score_pb2.ClaimBatch) -> Self:
        """Take claims that are parsed already."""
        return cls(len(batch.claims), None, batch)

    def __repr__(self) -> str:
        """Say how many claims there are, not which."""
        return f"Rows({self.claims})"

    @property
    def content(self) -> bytes:
        """The claims as protobuf writes them."""
        if self._content is None:
            self._content = self.rows().SerializeToString()
        return self._content

    def rows(self) -> score_pb2.ClaimBatch:
        """Return the claims as messages."""
        if self._parsed is None:
            self._parsed = score_pb2.ClaimBatch.FromString(self._content or b"")
        return self._parsed


class Columns:
    """Claims as packed columns: the bytes of a `ClaimColumns`, and its message."""

    __slots__ = ("_parsed", "content")

    def __init__(self, content: bytes, parsed: ClaimColumns) -> None:
        self.content = content
        self._parsed = parsed

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Take serialized columns as they came in; DecodeError unless protobuf reads them."""
        return cls(content, ClaimColumns.FromString(content))

    def __repr__(self) -> str:
        """Say how many claims there are, not which."""
        return f"Columns({self.claims})"

    @property
    def claims(self) -> int:
        """How many claims the columns say that they hold."""
        return self._parsed.claims

    @property
    def entries(self) -> int:
        """How many claims, lines, diagnoses and so on they say that they hold."""
        lists = (column.counts for column in self._parsed.columns if column.field in PARENTS)
        return self.claims + sum(map(sum, lists))

    def rows(self) -> score_pb2.ClaimBatch:
        """Return the claims as messages; ColumnError where the columns contradict each other."""
        return unpack(self._parsed)


Messages: TypeAlias = Sequence[Message | score_pb2.ClaimBatch | ClaimColumns]
"""Claims in any form; those of one pass are all rows or all columns."""


def as_message(sent: Message | score_pb2.ClaimBatch | ClaimColumns) -> Message:
    """Return claims in a form of this module, whatever they came as."""
    if isinstance(sent, score_pb2.ClaimBatch):
        return Rows.of(sent)
    return Columns(sent.SerializeToString(), sent) if isinstance(sent, ClaimColumns) else sent


def serialized(message: Message) -> bytes:
    """Return claims as the bytes of a `ClaimBatch`."""
    return message.content if isinstance(message, Rows) else message.rows().SerializeToString()
