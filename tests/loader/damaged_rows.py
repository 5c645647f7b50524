"""Feeds damaged claims and answers to what writes rows in C: a process of its own, for a crash.

`python damaged_rows.py SEED COUNT [PART LIBRARY]`. What protobuf still reads has the same rows as
Python writes; of the rest it is only asked that nothing outside its bytes is touched.
"""

import struct
import sys
from pathlib import Path
from random import Random
from uuid import UUID

from claimgate.v1 import claim_pb2, score_pb2
from google.protobuf.message import DecodeError

sys.path.insert(0, str(Path(__file__).parents[2]))

from engine import native
from loader import opened, rows, rows_native
from loader.source import Leased
from loader.synthetic import synthetic_claims
from tests.engine.mutations import damaged

OWNER = rows.Owner.of("tenant", UUID(int=7))
LEASED = Leased(1, "C1", 1, b"c" * 32, b"m" * 16, 1, b"sealed")
TABLES = ("claim_rows", "line_rows", "result_rows")


def item_of(payload: bytes, answer: bytes) -> rows.LoadClaim:
    """Return a claim on its way, of bytes that nobody has looked at."""
    result = score_pb2.ClaimResult()
    try:
        result.ParseFromString(answer)
    except DecodeError:
        result.Clear()
    try:
        facts = opened.facts_of(claim_pb2.Claim.FromString(payload))
    except DecodeError:
        facts = opened.facts_of(claim_pb2.Claim())
    each = opened.Opened(LEASED, payload, facts)
    return rows.LoadClaim(
        LEASED, "completed", each, result, answer, (1, 2), facts.lines, 0, b"a" * 16, b"key"
    )


def written(module: object, table: str, item: rows.LoadClaim) -> bytes | None:
    """Return a claim's rows in one table; None where they cannot be written."""
    try:
        content: bytes = getattr(module, table)([item], OWNER)
    except (DecodeError, KeyError, OverflowError, struct.error):
        return None
    return content


def main(seed: int, count: int, part: str = "", library: str = "") -> None:
    """Write the rows of that many damaged claims, and compare those that protobuf reads."""
    if part == "rows":
        rows_native.LIBRARY = opened.LIBRARY = native.ROWS.load(Path(library))
    assert rows_native.LIBRARY is not None
    random = Random(seed)
    claims = list(synthetic_claims(60, seed=seed))
    answers = [
        score_pb2.ClaimResult(
            decision=2,
            lines=[{"line_number": line.line_number, "rvu_total_e4": 5} for line in claim.lines],
            hits=[{"rule_id": "R", "line_numbers": [1, 2], "evidence": {"a": "b"}, "weight": 0.5}],
        )
        for claim in claims
    ]
    compared = 0
    for _ in range(count):
        place = random.randrange(len(claims))
        payload, answer = claims[place].SerializeToString(), answers[place].SerializeToString()
        if random.randrange(2):
            payload = damaged(payload, random)
        else:
            answer = damaged(answer, random)
        item = item_of(payload, answer)
        for table in (*TABLES, "hit_rows"):
            written(rows_native, table, item)
        try:
            facts = opened.read_facts([payload])
            claim = claim_pb2.Claim.FromString(payload)
            score_pb2.ClaimResult.FromString(answer)
        except (DecodeError, UnicodeDecodeError):
            continue
        assert facts == [opened.facts_of(claim)]
        for table in TABLES:
            in_c, in_python = written(rows_native, table, item), written(rows, table, item)
            assert in_c == in_python or in_python is None, table
        compared += 1
    assert compared
    sys.stdout.write(f"{count} claims, {compared} compared\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
