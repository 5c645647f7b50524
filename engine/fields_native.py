"""Serialized messages to fields, in C: the same columns as the Python reader's, many times faster.

The tables that the walk follows are made here, from the API's descriptors by the fields' names.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from claimgate.v1 import claim_pb2, score_pb2
from google.protobuf.descriptor import Descriptor
from numpy.typing import NDArray

from engine import fields_python, native
from engine.columns import Ints, rows_where
from engine.dates import ABSENT_DAY
from engine.fields import (
    CLAIM_FIELDS,
    CLAIM_ROLES,
    DIAGNOSIS_FIELDS,
    ICD_PROCEDURE_FIELDS,
    LINE_FIELDS,
    LINE_ROLES,
    Column,
    Field,
    Fields,
    Kind,
)
from engine.messages import Message, serialized

LIBRARY: Final = native.FIELDS.load()
"""The compiled reader; None where there is none."""

_OK: Final = 0
_SIZE_MAX: Final = 2**31 - 1
_SKIPPED: Final = (0, 0, 0, 0, 0, 0)
_LISTS: Final = frozenset({Kind.CODES, Kind.INTS})
_WITHOUT_COLUMN: Final = frozenset({Kind.TEXT, Kind.ROWS})
_FLAG: Final = Field(Kind.BOOL, np.bool_)
_NUMBER: Final = Field(Kind.INT)
_PLACE_IN_BYTES: Final = Field(Kind.KEPT, entries=2)


@dataclass(frozen=True, slots=True)
class _Table:
    """The columns of one kind of row, one after the other in one block, the widest first."""

    columns: Mapping[str, Field]
    offsets: Mapping[str, int]
    """Bytes of the columns before it, per row."""
    width: int

    def views(self, block: NDArray[np.uint8], rows: int) -> dict[str, Column]:
        """Return the columns of a filled block."""
        return {
            name: np.ndarray(
                rows if each.entries == 1 else (rows, each.entries),
                each.dtype,
                block.data,
                self.offsets[name] * rows,
            )
            for name, each in self.columns.items()
        }


@dataclass(frozen=True, slots=True)
class _Read:
    """What is read of one message of the API, and the table that its columns are in."""

    fields: Mapping[str, Field]
    table: int
    roles: Mapping[str, Mapping[str, Field]] = field(default_factory=dict)
    rows: Mapping[str, "_Read"] = field(default_factory=dict)
    prefix: str = ""


def _table(message: _Read, *, owner: bool) -> _Table:
    columns: dict[str, Field] = (
        {"claim": _NUMBER} if owner else {"doubtful": _FLAG, "place": _PLACE_IN_BYTES}
    )
    every = dict(message.fields)
    for role, provider in message.roles.items():
        columns[role] = _FLAG
        every |= {f"{role}.{name}": each for name, each in provider.items()}
    columns |= {name: each for name, each in every.items() if each.kind not in _WITHOUT_COLUMN}
    columns |= {f"{name}.count": _NUMBER for name, each in every.items() if each.kind in _LISTS}
    offsets, width = {}, 0
    widest_first = sorted(columns.items(), key=lambda column: -np.dtype(column[1].dtype).itemsize)
    for name, each in widest_first:
        offsets[name] = width
        width += np.dtype(each.dtype).itemsize * each.entries
    return _Table(dict(widest_first), offsets, width)


_LINE: Final = _Read(LINE_FIELDS, 1, LINE_ROLES)
_DIAGNOSIS: Final = _Read(DIAGNOSIS_FIELDS, 2)
_ICD_PROCEDURE: Final = _Read(ICD_PROCEDURE_FIELDS, 3)
_CLAIM: Final = _Read(
    CLAIM_FIELDS,
    0,
    CLAIM_ROLES,
    {"lines": _LINE, "diagnoses": _DIAGNOSIS, "icd_procedures": _ICD_PROCEDURE},
)
_BATCH: Final = _Read({}, 0, rows={"claims": _CLAIM})
_TABLES: Final = (
    _table(_CLAIM, owner=False),
    *(_table(message, owner=True) for message in (_LINE, _DIAGNOSIS, _ICD_PROCEDURE)),
)


class _Plan:
    """The tables of `native/fields.c`: fields and messages as rows of int32."""

    def __init__(self, descriptor: Descriptor, message: _Read) -> None:
        fields: list[tuple[int, ...]] = []
        messages: list[tuple[int, ...]] = []
        self._add(fields, messages, descriptor, message)
        self.fields = np.array(fields, np.int32)
        self.messages = np.array(messages, np.int32)

    def _add(
        self,
        fields: list[tuple[int, ...]],
        messages: list[tuple[int, ...]],
        descriptor: Descriptor,
        message: _Read,
    ) -> int:
        """Add a message and all within it; return its number."""
        number, first, known = len(messages), len(fields), descriptor.fields_by_name
        last = max(each.number for each in descriptor.fields)
        messages.append(())
        fields += [_SKIPPED] * (last + 1)
        for name, each in message.fields.items():
            fields[first + known[name].number] = _field(message, name, each)
        within = dict(message.rows) | {
            role: _Read(provider, message.table, prefix=f"{role}.")
            for role, provider in message.roles.items()
        }
        for name, inner in within.items():
            type_within = known[name].message_type
            if type_within is None:
                raise TypeError(f"{name} is no message; read it as a field of {descriptor.name}")
            place = self._add(fields, messages, type_within, inner)
            fields[first + known[name].number] = _inner(message, name, place)
        offsets = _TABLES[message.table].offsets
        owner = offsets["claim"] if message.table else offsets["place"]
        messages[number] = (first, last + 1, message.table, owner, bool(message.rows))
        return number


def _field(message: _Read, name: str, each: Field) -> tuple[int, ...]:
    offsets, path = _TABLES[message.table].offsets, message.prefix + name
    size = np.dtype(each.dtype).itemsize
    # Where a column has a place, so has the number of its entries, if it is a list.
    place, entries = offsets.get(path, 0), offsets.get(f"{path}.count", 0)
    return each.kind, size, each.limit, each.entries, place, entries


def _inner(message: _Read, name: str, number: int) -> tuple[int, ...]:
    if name in message.rows:
        return Kind.ROWS, 0, 0, 0, 0, number
    return Kind.ROLE, 1, 0, 1, _TABLES[message.table].offsets[name], number


_PLAN: Final = _Plan(score_pb2.ClaimBatch.DESCRIPTOR, _BATCH)


def read(messages: Sequence[Message], message: Ints) -> fields_python.Read | None:
    """Return what both readers do; only claims whose texts may have a fault are read as sent.

    None where a text has to be read by Python's rules, as a code with letters beyond ASCII.
    """
    # Serialized messages one after the other are one message with the claims of all.
    content = b"".join(map(serialized, messages))
    tables = read_bytes(content)
    if tables is None:
        return None
    claims, lines, diagnoses, icd_procedures = tables
    undated = (claims["service_from_date"] == ABSENT_DAY) | (
        claims["service_to_date"] == ABSENT_DAY
    )
    places = claims["place"]

    def claims_at(rows: Ints) -> list[claim_pb2.Claim]:
        cuts = map(slice, *places[rows].T.tolist()) if len(rows) else ()
        return [claim_pb2.Claim.FromString(content[cut]) for cut in cuts]

    rows = rows_where(claims["doubtful"] | undated)
    return fields_python.Read(
        Fields(message, _kept_texts(content, claims), claims, lines, diagnoses, icd_procedures),
        fields_python.sent_of(claims_at(rows), rows),
        claims_at,
    )


def _kept_texts(content: bytes, claims: Mapping[str, Column]) -> dict[str, list[str]]:
    """Cut the texts that are kept out of the bytes."""
    # Slices of one text cost half of decoding each slice of the bytes; ASCII reads the same.
    latin = content.decode("latin-1")
    return {
        name: _cut(content, latin, claims[name])
        for name, each in CLAIM_FIELDS.items()
        if each.kind is Kind.KEPT
    }


def _cut(content: bytes, latin: str, places: Column) -> list[str]:
    if not places.any():
        return [""] * len(places)
    first, end = places.T.tolist()
    texts = list(map(latin.__getitem__, map(slice, first, end)))
    if "".join(texts).isascii():
        return texts
    return [content[cut].decode() for cut in map(slice, first, end)]


def read_bytes(content: bytes) -> list[dict[str, Column]] | None:
    """Return the columns of claims, lines, diagnoses and ICD procedures of a serialized batch.

    None where the bytes are not what protobuf writes, or need Python's rules for text.
    """
    if LIBRARY is None:
        raise RuntimeError("engine/native was not built; use the Python reader, or install again")
    if len(content) > _SIZE_MAX:
        return None
    counts, taken = (ctypes.c_int64 * len(_TABLES))(), (ctypes.c_int64 * len(_TABLES))()
    plan = (_PLAN.fields.ctypes.data, _PLAN.messages.ctypes.data)
    if LIBRARY.count_rows(content, len(content), *plan, counts) != _OK:
        return None
    blocks = [
        np.zeros(table.width * rows, np.uint8) for table, rows in zip(_TABLES, counts, strict=True)
    ]
    addresses = [block.ctypes.data for block in blocks]
    doubtful = addresses[0] + _TABLES[0].offsets["doubtful"] * counts[0]
    outcome = LIBRARY.fill_columns(
        content,
        len(content),
        *plan,
        *(len(_PLAN.messages), len(_TABLES)),
        (ctypes.c_void_p * len(_TABLES))(*addresses),
        *(counts, taken, doubtful),
    )
    if outcome != _OK:
        return None
    return [
        table.views(block, rows) for table, block, rows in zip(_TABLES, blocks, counts, strict=True)
    ]
