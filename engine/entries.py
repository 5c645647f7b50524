"""How many entries the lists of a message have: what a reader has to make room for.

Claims are entries, and so are their lines, diagnoses, other payers, whatever lists hold.
"""

from typing import Any

from claimgate.v1 import score_pb2

from engine.checks_native import entries_in


def entries_of(content: bytes) -> int:
    """Return the entries of a serialized `ClaimBatch`, counted before anything is made of them.

    Raises:
        DecodeError: Without the compiled check protobuf has to read it, and cannot.
    """
    entries = entries_in(content)
    return entries_within(score_pb2.ClaimBatch.FromString(content)) if entries is None else entries


def entries_within(message: Any) -> int:
    """Return the entries of a message that is parsed."""
    entries = 0
    for field, found in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            entries += len(found)
        elif field.is_repeated:
            entries += len(found) + sum(map(entries_within, found))
        else:
            entries += entries_within(found)
    return entries
