"""Feeds damaged bytes to the compiled reader: a process of its own, so that a crash is seen.

`python mutations.py SEED COUNT [PART LIBRARY]`. What protobuf still reads is read by both readers
and compared; what it refuses must not crash, nor give columns that point outside, nor be taken for
what is beyond doubt.
"""

import sys
from pathlib import Path
from random import Random

from claimgate.v1 import score_pb2
from google.protobuf.message import DecodeError

from engine import checks_native, fields_native, native
from engine.decode import decode
from engine.fields import CLAIM_FIELDS, Kind
from engine.messages import Rows
from loader.synthetic import synthetic_claims

INTERESTING = (0x00, 0x01, 0x7F, 0x80, 0xFF, 0x0A, 0x12, 0xC2, 0x20, 0x08)


def damaged(content: bytes, random: Random) -> bytes:
    """Return the bytes with a few of them changed, removed, repeated or cut off."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(changed)) if changed else 0
        match random.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([random.choice(INTERESTING)])
            case 1:
                changed[at : at + 1] = bytes([random.randrange(256)])
            case 2:
                del changed[at : at + random.randint(1, 8)]
            case 3:
                changed[at:at] = changed[at : at + random.randint(1, 40)]
            case 4:
                changed[at:at] = random.randbytes(random.randint(1, 12))
            case _:
                del changed[random.randint(at, len(changed)) :]
    return bytes(changed)


def check_within(content: bytes) -> bool:
    """Read the bytes; return whether they were accepted."""
    tables = fields_native.read_bytes(content)
    if tables is None:
        return False
    claims, *others = tables
    count = len(claims["doubtful"])
    for table in others:
        owner = table["claim"]
        assert len(owner) == 0 or (owner.min() >= 0 and owner.max() < count)
    for name, field in CLAIM_FIELDS.items():
        if field.kind is Kind.KEPT and count:
            first, end = claims[name].T
            assert (first >= 0).all()
            assert (first <= end).all()
            assert end.max() <= len(content)
    return True


def compare(content: bytes) -> bool:
    """Hold both readers against each other, if protobuf reads the bytes at all."""
    try:
        message = score_pb2.ClaimBatch.FromString(content)
    except DecodeError:
        return False
    ours, theirs = (
        decode([sent], allow_zero_charge=True, reader=reader)
        for sent, reader in ((Rows.read(content), "native"), (message, "python"))
    )
    assert ours.violations == theirs.violations
    for table in ("claims", "lines", "diagnoses", "icd_procedures"):
        for name in getattr(ours, table).__slots__:
            one, other = (getattr(getattr(batch, table), name) for batch in (ours, theirs))
            assert one.tobytes() == other.tobytes(), f"{table}.{name}"
    return True


def check_sure(content: bytes) -> bool:
    """Hold what is beyond doubt against protobuf; return whether it is."""
    claims = checks_native.claims_in(content)
    if claims is None:
        return False
    assert len(score_pb2.ClaimBatch.FromString(content).claims) == claims
    return True


def main(seed: int, count: int, part: str = "", library: str = "") -> None:
    """Read that many damaged buffers, and compare those that are sure, and one in twenty."""
    if part == "fields":
        fields_native.LIBRARY = native.FIELDS.load(Path(library))
    if part == "checks":
        checks_native.LIBRARY = native.CHECKS.load(Path(library))
    assert fields_native.LIBRARY is not None
    assert checks_native.LIBRARY is not None
    random = Random(seed)
    claims = list(synthetic_claims(60, seed=seed))
    sources = [
        score_pb2.ClaimBatch(claims=claims[first : first + size]).SerializeToString()
        for size in (1, 3)
        for first in range(0, len(claims), size)
    ]
    accepted = compared = sure = 0
    for number in range(count):
        content = damaged(random.choice(sources), random)
        accepted += check_within(content)
        certain = check_sure(content)
        sure += certain
        compared += (number % 20 == 0 or (certain and number % 5 == 0)) and compare(content)
    assert accepted
    assert compared
    assert sure
    sys.stdout.write(f"{count} buffers, {accepted} accepted, {sure} sure, {compared} compared\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
