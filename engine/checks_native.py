"""Serialized claims that are beyond doubt, told in C from those that protobuf has to read first.

The tables that the walk follows are made here, from the API's descriptors.
"""

import ctypes
from typing import Final

import numpy as np
from claimgate.v1 import score_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from engine import native
from engine.fields import CLAIM_FIELDS

LIBRARY: Final = native.CHECKS.load()
"""The compiled check; None where there is none."""

if LIBRARY is not None:
    LIBRARY.count_entries.restype = ctypes.c_int64

_OK: Final = 0
_NUMBERS_MAX: Final = 127
"""Highest number of a field that the walk can remember."""

_STRANGE, _NUMBER, _NUMBERS, _TEXT, _TEXTS, _MESSAGE, _MESSAGES = range(7)
_KINDS: Final = {
    FieldDescriptor.CPPTYPE_INT32: (_NUMBER, _NUMBERS),
    FieldDescriptor.CPPTYPE_INT64: (_NUMBER, _NUMBERS),
    FieldDescriptor.CPPTYPE_BOOL: (_NUMBER, _NUMBERS),
    FieldDescriptor.CPPTYPE_ENUM: (_NUMBER, _NUMBERS),
    FieldDescriptor.CPPTYPE_STRING: (_TEXT, _TEXTS),
    FieldDescriptor.CPPTYPE_MESSAGE: (_MESSAGE, _MESSAGES),
}
_VARINTS: Final = frozenset(
    {FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64}
    | {FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_ENUM}
)
_SURE: Final = _VARINTS | {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE}


class _Plan:
    """The tables of `native/checks.c`: fields and messages as rows of int32."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._numbers: dict[str, int] = {}
        fields: list[tuple[int, int, int]] = []
        messages: list[tuple[int, int]] = []
        self._add(fields, messages, descriptor)
        self.fields = np.array(fields, np.int32)
        self.messages = np.array(messages, np.int32)

    def _add(
        self,
        fields: list[tuple[int, int, int]],
        messages: list[tuple[int, int]],
        descriptor: Descriptor,
    ) -> int:
        """Add a message and all within it; return its number."""
        if descriptor.full_name in self._numbers:
            return self._numbers[descriptor.full_name]
        number, first = len(messages), len(fields)
        last = max((each.number for each in descriptor.fields), default=0)
        self._numbers[descriptor.full_name] = number
        messages.append((first, last + 1))
        fields += [(_STRANGE, 0, 0)] * (last + 1)
        if last > _NUMBERS_MAX:
            raise ValueError(f"{descriptor.full_name} has a field beyond number {_NUMBERS_MAX}")
        for each in descriptor.fields:
            if each.type not in _SURE:
                continue
            kind, within, most = _KINDS[each.cpp_type][each.is_repeated], 0, 0
            if each.message_type is not None:
                within = self._add(fields, messages, each.message_type)
                if each.message_type.GetOptions().map_entry:
                    # Below its limit it does not matter whether a key came twice.
                    most = CLAIM_FIELDS[each.name].limit
            fields[first + each.number] = (kind, within, most)
        return number


_PLAN: Final = _Plan(score_pb2.ClaimBatch.DESCRIPTOR)
_TABLES: Final = (_PLAN.fields.ctypes.data, _PLAN.messages.ctypes.data)
"""Where they lie: asked for each time, it would cost as much as the walk over one claim."""


def claims_in(content: bytes) -> int | None:
    """Return how many claims a serialized `ClaimBatch` has that is written as protobuf writes it.

    None where protobuf has to be asked: it may read something else there, or nothing at all.
    """
    if LIBRARY is None:
        return None
    claims = ctypes.c_int64()
    outcome = LIBRARY.check_message(content, len(content), *_TABLES, ctypes.addressof(claims))
    return claims.value if outcome == _OK else None


def entries_in(content: bytes) -> int | None:
    """Return how many messages there are in lists of a serialized `ClaimBatch`, at any depth.

    Claims, their lines and diagnoses, and so on: what a reader has to make room for. Nothing is
    made of them here, so it may be asked of any bytes. None where that was not compiled.
    """
    if LIBRARY is None:
        return None
    entries: int = LIBRARY.count_entries(content, len(content), *_TABLES)
    return entries
