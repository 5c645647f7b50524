"""What Postgres' logical decoding says (plug-in pgoutput, protocol version 1), message by message.

The layout is published: PostgreSQL manual, "Logical Replication Message Formats".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import unpack_from
from typing import Final, TypeAlias

_NULL, _UNCHANGED = b"n", b"u"


class DecodingError(Exception):
    """The server says something that protocol version 1 does not know."""


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction begins."""

    commit: int
    """Place of its commit in the log."""


@dataclass(frozen=True, slots=True)
class Inserted:
    """A row was put in; values as text, None for NULL."""

    table: str
    values: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Committed:
    """The transaction that began was committed."""

    end: int
    """Place in the log behind it."""


Said: TypeAlias = Begin | Inserted | Committed


class Decoder:
    """Knows the tables that were described so far: each is, before its first row."""

    def __init__(self) -> None:
        """Know none."""
        self._tables: dict[int, tuple[str, list[str]]] = {}

    def decode(self, message: bytes) -> Said | None:
        """Return what a message says; None where it is nothing to us.

        Raises:
            DecodingError: It cannot be understood.
        """
        kind = message[:1]
        match kind:
            case b"B":
                return Begin(unpack_from(">q", message, 1)[0])
            case b"C":
                return Committed(unpack_from(">q", message, 10)[0])
            case b"R":
                self._describe(message)
                return None
            case b"I":
                return self._inserted(message)
            case b"O" | b"Y" | b"T" | b"U" | b"D" | b"M":
                return None
        raise DecodingError(f"message of kind {kind!r}; expected one of protocol version 1")

    def _describe(self, message: bytes) -> None:
        """Remember a table's name and columns."""
        number = unpack_from(">I", message, 1)[0]
        _, at = _text(message, 5)
        name, at = _text(message, at)
        count = unpack_from(">h", message, at + 1)[0]
        at += 3
        columns = []
        for _ in range(count):
            column, at = _text(message, at + 1)
            columns.append(column)
            at += 8
        self._tables[number] = name, columns

    def _inserted(self, message: bytes) -> Inserted:
        number = unpack_from(">I", message, 1)[0]
        if number not in self._tables:
            raise DecodingError(f"a row of table {number}, which was not described before")
        name, columns = self._tables[number]
        return Inserted(name, dict(zip(columns, _values(message, 6), strict=True)))


def _values(message: bytes, at: int) -> Iterator[str | None]:
    """Yield the values of a row."""
    count = unpack_from(">h", message, at)[0]
    at += 2
    for _ in range(count):
        kind = message[at : at + 1]
        at += 1
        if kind in {_NULL, _UNCHANGED}:
            yield None
            continue
        size = unpack_from(">i", message, at)[0]
        at += 4
        yield message[at : at + size].decode()
        at += size


def _text(message: bytes, at: int) -> tuple[str, int]:
    """Return a text that a zero ends, and the place behind it."""
    end = message.index(b"\0", at)
    return message[at:end].decode(), end + 1


RESULTS: Final = "claim_results"
"""The table whose rows are told."""
