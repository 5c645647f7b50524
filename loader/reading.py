"""Which fields of serialized claims and answers are read in C, without parsing a message."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

import numpy as np
from claimgate.v1 import claim_pb2, score_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from engine import native

LIBRARY: Final = native.ROWS.load()
"""What reads facts and writes rows; None where nothing was compiled."""

_Kind = IntEnum("_Kind", "SKIPPED NUMBER NARROW REAL TEXT ROLE LIST", start=0)
_KINDS: Final = {
    FieldDescriptor.TYPE_INT32: _Kind.NARROW,
    FieldDescriptor.TYPE_ENUM: _Kind.NARROW,
    FieldDescriptor.TYPE_INT64: _Kind.NUMBER,
    FieldDescriptor.TYPE_BOOL: _Kind.NUMBER,
    FieldDescriptor.TYPE_DOUBLE: _Kind.REAL,
    FieldDescriptor.TYPE_STRING: _Kind.TEXT,
}
_ROOTS: Final = {
    "claim": claim_pb2.Claim.DESCRIPTOR,
    "answer": score_pb2.ClaimResult.DESCRIPTOR,
    "line": claim_pb2.ServiceLine.DESCRIPTOR,
    "price": score_pb2.LineResult.DESCRIPTOR,
    "hit": score_pb2.RuleHit.DESCRIPTOR,
}
"""What the first part of a path stands for: `line.units_milli`, `claim.billing_provider.npi`."""
OF_A_CLAIM: Final = ("claim", "answer")


class Reading:
    """Which fields of which messages are kept, each in a slot; those of a claim come first."""

    def __init__(self, paths: Iterable[str]) -> None:
        wanted = sorted(set(paths), key=lambda path: _root(path) not in OF_A_CLAIM)
        self.slots = {path: number for number, path in enumerate(wanted)}
        self._fields: list[tuple[int, int, int]] = []
        self._messages: list[tuple[int, int]] = []
        self.roots = {
            root: self._add(descriptor, f"{root}.")
            for root, descriptor in _ROOTS.items()
            if self._reads(f"{root}.")
        }
        self.fields = np.array(self._fields, np.int32)
        self.messages = np.array(self._messages, np.int32)

    def first_slot(self, *roots: str) -> int:
        """Return the first slot that belongs to one of these messages."""
        places = [slot for path, slot in self.slots.items() if _root(path) in roots]
        return min(places, default=len(self.slots))

    def _reads(self, prefix: str) -> bool:
        return any(path.startswith(prefix) for path in self.slots)

    def _add(self, descriptor: Descriptor, prefix: str) -> int:
        number, first = len(self._messages), len(self._fields)
        last = max(each.number for each in descriptor.fields)
        self._messages.append((first, last + 1))
        self._fields += [(_Kind.SKIPPED, 0, 0)] * (last + 1)
        for each in descriptor.fields:
            path = prefix + each.name
            if path in self.slots:
                kind = _Kind.LIST if each.is_repeated else _KINDS[each.type]
                self._fields[first + each.number] = (kind, self.slots[path], 0)
            elif each.message_type is not None and self._reads(f"{path}."):
                within = self._add(each.message_type, f"{path}.")
                self._fields[first + each.number] = (_Kind.ROLE, 0, within)
        return number


def _root(path: str) -> str:
    return path.partition(".")[0]
