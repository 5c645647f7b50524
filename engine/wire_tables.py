"""Columns as wire bytes of messages: what `native/answers.c` writes from.

Knows messages and fields of protobuf, and nothing of claims. A table is one kind of message with a
column per field; a message within is a row of another table.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from claimgate.framing import varint
from google.protobuf.descriptor import Descriptor
from numpy.typing import NDArray

from engine import native
from engine.rules.rule import Kind as Reading

LIBRARY: Final = native.ANSWERS.load()
"""The compiled writer; None where there is none."""

ABSENT: Final = np.iinfo(np.int64).min
"""An optional value that is left out."""

NO_PIECE: Final = -1
"""No text, no piece."""

Column = NDArray[Any]

_OK, _NO_ROOM = 0, 1
_VARINT, _EIGHT_BYTES, _LENGTH = 0, 1, 2


class _Kind(IntEnum):
    """How a column is written; numbers as in `native/answers.c`."""

    NUMBER = 0
    OPTIONAL = 1
    REAL = 2
    OPTIONAL_REAL = 3
    TEXT = 4
    PIECE = 5
    NUMBERS = 6
    CODES = 7
    JOINED = 8
    FACTS = 9
    ROWS = 10


_WIRE: Final = {
    _Kind.NUMBER: _VARINT,
    _Kind.OPTIONAL: _VARINT,
    _Kind.REAL: _EIGHT_BYTES,
    _Kind.OPTIONAL_REAL: _EIGHT_BYTES,
}
_READINGS: Final[Mapping[Reading, int]] = {
    Reading.COUNT: 0,
    Reading.UNITS: 1,
    Reading.CENTS: 2,
    Reading.RATIO_E2: 3,
    Reading.RATIO_E4: 4,
    Reading.CODE: 5,
    Reading.POS: 6,
    Reading.DATE: 7,
    Reading.NAME: 8,
    Reading.EARLIER_CLAIM: 8,
    Reading.TEXT: 9,
}


class Run(NamedTuple):
    """The entries that belong to each row: where they begin, and how many there are."""

    first: Column
    length: Column

    @classmethod
    def of(cls, length: Column) -> "Run":
        """Return runs of these lengths, one after the other."""
        length = length.astype(np.int64)
        return cls(np.cumsum(length) - length, length)


@dataclass(frozen=True, slots=True)
class Cell:
    """One field of a message: a value, or a list of entries, for each row."""

    kind: _Kind
    values: Column | None
    run: Run | None = None
    more: int = 0


def number(values: Column) -> Cell:
    """Integers, enums, true and false; 0 is left out."""
    return Cell(_Kind.NUMBER, values)


def optional(values: Column) -> Cell:
    """Integers with presence, int64; ABSENT is left out."""
    return Cell(_Kind.OPTIONAL, values)


def real(values: Column) -> Cell:
    """Doubles; 0 is left out."""
    return Cell(_Kind.REAL, values.astype(np.float64, copy=False))


def optional_real(bits: Column) -> Cell:
    """Doubles with presence, as the int64 of their bits; ABSENT is left out."""
    return Cell(_Kind.OPTIONAL_REAL, bits)


def text(places: Column) -> Cell:
    """Texts by their place; NO_PIECE and empty ones are left out."""
    return Cell(_Kind.TEXT, places)


def piece(places: Column) -> Cell:
    """Fields that are serialized already, by their place; NO_PIECE for none."""
    return Cell(_Kind.PIECE, places)


def numbers(run: Run, entries: Column) -> Cell:
    """Lists of integers."""
    return Cell(_Kind.NUMBERS, entries, run)


def codes(run: Run, entries: Column) -> Cell:
    """Lists of codes of `engine.codes` as texts, each different one once."""
    return Cell(_Kind.CODES, entries, run)


def joined(run: Run, entries: Column, key: int) -> Cell:
    """An entry of a map: integers as one text with commas between them."""
    return Cell(_Kind.JOINED, entries, run, key)


def facts(run: Run, rows: Column) -> Cell:
    """Entries of a map: values of columns that `Tables.fact` was given, each at its row."""
    return Cell(_Kind.FACTS, rows, run)


def rows(run: Run, table: int, order: Column | None = None) -> Cell:
    """Messages: rows of another table, in its order or in another one."""
    return Cell(_Kind.ROWS, None if order is None else _wide(order), run, table)


class Texts:
    """Texts and serialized fields of one pass, by their place."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._sizes: list[int] = []

    def add(self, content: bytes) -> int:
        """Add one; return its place."""
        self._parts.append(content)
        self._sizes.append(len(content))
        return len(self._sizes) - 1

    def add_text(self, content: str) -> int:
        """Add a text; return its place."""
        return self.add(content.encode())

    def add_key(self, name: str) -> int:
        """Add the key of entries of a map; return its place."""
        key = name.encode()
        return self.add(b"\x0a" + varint(len(key)) + key)

    def add_all(self, contents: Sequence[str]) -> int:
        """Add texts; return the place of the first."""
        first, together = len(self._sizes), "".join(contents)
        self._parts.append(together.encode())
        sizes = contents if together.isascii() else map(str.encode, contents)
        self._sizes.extend(map(len, sizes))
        return first

    def pool(self) -> tuple[bytes, Column]:
        """Return all of them, and where each begins and the last one ends."""
        places = np.zeros(len(self._sizes) + 1, np.int64)
        np.cumsum(self._sizes, out=places[1:])
        return b"".join(self._parts), places


class Tables:
    """The messages of one pass as columns."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._columns: list[tuple[int, ...]] = []
        self._tables: list[tuple[int, int]] = []
        self._facts: list[tuple[int, ...]] = []
        self._alive: list[Column] = []

    def add(self, message: Descriptor, fields: Iterable[tuple[str, Cell]]) -> int:
        """Add a table; return its number.

        Args:
            message: What its rows are.
            fields: Columns by field, in the order of writing; a piece needs no name.
        """
        first = len(self._columns)
        for name, cell in fields:
            place = message.fields_by_name[name].number if name else 0
            tag = place << 3 | _WIRE.get(cell.kind, _LENGTH)
            self._columns.append(
                (cell.kind, tag, *self._values(cell), *self._run(cell.run), cell.more)
            )
        self._tables.append((first, len(self._columns) - first))
        return len(self._tables) - 1

    def fact(self, key: int, reading: Reading, values: Column, names: range = range(0)) -> int:
        """Add a column of evidence; return its place.

        Args:
            key: Place of its key.
            reading: How its values read as text.
            values: A value per row.
            names: Places of the texts that the values stand for, if they do.
        """
        if reading is Reading.DATE:
            values = values.astype("datetime64[D]", copy=False)
        elif reading is not Reading.TEXT and values.dtype.kind not in "ib":
            values = values.astype(np.int64)
        self._facts.append(
            (
                *(_READINGS[reading], key, values.itemsize, values.strides[0]),
                *(self._address(values), names.start, len(names)),
            )
        )
        return len(self._facts) - 1

    def write(self, table: int, count: int, room: int) -> list[bytes] | None:
        """Return the bytes of each of the first rows of a table.

        None where a value has to be written by Python's rules.

        Args:
            table: Its number.
            count: How many rows it has.
            room: About how many bytes they take; more are made as needed.
        """
        if LIBRARY is None:
            raise RuntimeError("engine/native was not built; write in Python, or install again")
        columns, tables = np.array(self._columns, np.int64), np.array(self._tables, np.int64)
        evidence = np.array(self._facts, np.int64)
        pool, places = self._texts.pool()
        starts = np.zeros(count + 1, np.int64)
        while True:
            buffer = np.empty(room, np.uint8)
            outcome = LIBRARY.write_messages(
                *(columns.ctypes.data, tables.ctypes.data, evidence.ctypes.data),
                *(pool, places.ctypes.data, len(places) - 1),
                *(table, count, buffer.ctypes.data, room, starts.ctypes.data),
            )
            if outcome != _NO_ROOM:
                break
            room *= 2
        if outcome != _OK:
            return None
        starts[count] = room
        return [buffer[start:end].tobytes() for start, end in pairwise(starts.tolist())]

    def _values(self, cell: Cell) -> tuple[int, int, int]:
        values = cell.values
        if values is None:
            return 0, 0, 0
        return values.itemsize, values.strides[0], self._address(values)

    def _run(self, run: Run | None) -> tuple[int, int]:
        if run is None:
            return 0, 0
        return self._address(_wide(run.first)), self._address(_wide(run.length))

    def _address(self, column: Column) -> int:
        """Return where a column lies, and keep it there."""
        self._alive.append(column)
        # A third of the time of column.ctypes.data; there are hundreds of columns in a pass.
        address: int = column.__array_interface__["data"][0]
        return address


def _wide(column: Column) -> Column:
    return np.ascontiguousarray(column, np.int64)
