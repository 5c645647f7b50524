"""Feeds damaged columns to the reader: a process of its own, so that a crash is seen.

`python column_mutations.py SEED COUNT`. Columns are damaged as bytes and as messages. What the
reader takes must be the claims that the SDK unpacks; what it refuses, the SDK must refuse too.
"""

import sys
from random import Random

from claimgate.columns import ColumnError, pack, unpack
from claimgate.v1.claim_columns_pb2 import ClaimColumns
from google.protobuf.message import DecodeError

from engine import fields_columns
from engine.decode import decode
from loader.synthetic import synthetic_claims

CLAIMS_MAX = 50


def damaged_bytes(content: bytes, random: Random) -> bytes:
    """Return the bytes with a few of them changed, removed or repeated."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(changed))
        match random.randrange(4):
            case 0:
                changed[at] = random.randrange(256)
            case 1:
                changed[at] ^= 1 << random.randrange(8)
            case 2:
                del changed[at : at + random.randint(1, 9)]
            case _:
                changed[at:at] = changed[at : at + random.randint(1, 40)]
    return bytes(changed)


def damaged_message(content: bytes, random: Random) -> bytes:
    """Return the message with a few of its values changed, removed or added."""
    message = ClaimColumns.FromString(content)
    for _ in range(random.randint(1, 3)):
        column = random.choice(message.columns)
        name = random.choice(["field", "numbers", "texts", "places", "counts", "present"])
        if name == "field":
            match random.randrange(4):
                case 0:
                    column.field = random.choice(message.columns).field
                case 1:
                    message.claims += random.choice([-1, 1])
                case 2:
                    message.columns.add().CopyFrom(column)
                case _:
                    message.columns.remove(column)
            continue
        values = getattr(column, name)
        value = {
            "numbers": random.choice([0, 1, -1, 2**31, 2**63 - 1, -(2**63)]),
            "texts": random.choice(["", "X", "\0", "é" * 300, "2025-13-01"]),
            "places": random.choice([0, 1, 5, 2**32 - 1]),
            "counts": random.choice([0, 1, 2, 2**31, 2**32 - 1]),
            "present": random.choice([True, False]),
        }[name]
        if values and random.random() < 0.7:
            values[random.randrange(len(values))] = value
        elif values and random.random() < 0.5:
            values.pop()
        else:
            values.append(value)
    return message.SerializeToString()


def outcome(columns: ClaimColumns) -> bool:
    """Read columns, alone and behind others; tell whether they were taken."""
    try:
        rows = unpack(columns)
    except ColumnError:
        rows = None
    try:
        batch = decode([columns], allow_zero_charge=True)
    except ColumnError:
        assert rows is None, "refused by the reader, but not by the SDK"
        return False
    assert rows is not None, "refused by the SDK, but not by the reader"
    expected = decode([rows], allow_zero_charge=True, reader="python")
    assert batch.violations == expected.violations
    assert list(batch.received.claim_ids) == list(expected.received.claim_ids)
    assert batch.received.versions == expected.received.versions
    for table in ("claims", "lines", "diagnoses", "other_payers"):
        ours, theirs = getattr(batch, table), getattr(expected, table)
        for name in type(theirs).__slots__:
            assert getattr(ours, name).tobytes() == getattr(theirs, name).tobytes(), name
    return True


def is_read(content: bytes) -> bool:
    """Whether the reader takes bytes that did not go through a message of the API."""
    try:
        fields_columns.read([content])
    except ColumnError:
        return False
    return True


def main(seed: int, count: int) -> None:
    """Damage and read; print how many were refused and how many were read."""
    random = Random(seed)
    originals = [
        pack(list(synthetic_claims(size, seed=seed + size))).SerializeToString()
        for size in (1, 2, 5)
    ]
    taken = [0, 0]
    for _ in range(count):
        content = random.choice(originals)
        damage = random.choice([damaged_bytes, damaged_message])
        damaged = damage(content, random)
        try:
            columns = ClaimColumns.FromString(damaged)
        except DecodeError:
            assert not is_read(damaged), "no message of the API, but read"
            continue
        if 0 <= columns.claims <= CLAIMS_MAX:
            read = outcome(columns)
            assert is_read(damaged) is read, "the bytes are not read as their message is"
            taken[read] += 1
    sys.stdout.write(f"{taken[0]} {taken[1]}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
