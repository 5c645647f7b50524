"""Writes random messages with the compiled writer: a process of its own, so that a crash is seen.

`python writing.py SEED COUNT [answers LIBRARY]`. Each message is read by protobuf and held against
the one that was meant; where a value has to be written by Python's rules, nothing may be written.
"""

import sys
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
from claimgate.v1 import score_pb2 as pb

from engine import native, wire_tables
from engine.codes import ABSENT, UNCODABLE, code36, text36
from engine.encode import evidence_text
from engine.rules.rule import Kind
from engine.wire_tables import Run, Tables, Texts

NAMES = ("", "a", "later", "é東", "x" * 300)
DTYPES = (np.int8, np.int16, np.int32, np.int64)
EDGES = (-1, 0, 1, 9, 10, 35, 36, 37, 99, 100, 127, 128, 999, 1000, 1500, 2**31 - 1, 2**53 + 1)
DAYS = (-719163, -719162, -1, 0, 1, 58, 59, 60, 11016, 19782, 19783, 2932896, 2932897)
CODES = (ABSENT, UNCODABLE, *map(code36, ("0", "Z", "99213", "J1100", "LT", "ZZZZZZZZZZZ")))
TEXTS = (b"", b"A", b"low", b"with\x00zero", b"padded  ")


def integer(random: Random, dtype: Any) -> int:
    """A value of the type, often one at an edge."""
    bounds = np.iinfo(dtype)
    value = random.choice((random.choice(EDGES), -random.choice(EDGES), random.getrandbits(62)))
    return max(bounds.min, min(bounds.max, value >> random.choice((0, 0, 20, 40))))


def column_of(random: Random, kind: Kind, rows: int) -> np.ndarray:
    """A column of evidence of this kind."""
    match kind:
        case Kind.TEXT:
            return np.array([random.choice(TEXTS) for _ in range(rows)], "S8")
        case Kind.NAME | Kind.EARLIER_CLAIM:
            return np.array([random.randrange(-1, len(NAMES)) for _ in range(rows)], np.int64)
        case Kind.DATE:
            days = [
                np.iinfo(np.int64).min
                if random.random() < 0.2
                else random.choice((random.choice(DAYS[1:-1]), random.randrange(-(10**5), 10**5)))
                for _ in range(rows)
            ]
            if random.random() < 0.1:
                days[-1:] = [random.choice(DAYS)]
            return np.array(days, np.int64).view("datetime64[D]")
    dtype = random.choice(DTYPES)
    column = np.array([integer(random, dtype) for _ in range(2 * rows)], dtype)
    return column[::2] if random.random() < 0.5 else column[:rows]


def lists_of(random: Random, rows: int, dtype: Any, most: int = 6) -> tuple[Run, np.ndarray]:
    """A list of integers for each row."""
    run = Run.of(np.array([random.randrange(most) for _ in range(rows)], np.int64))
    entries = [integer(random, dtype) for _ in range(int(run.length.sum()))]
    return run, np.array(entries, dtype)


def listed(lists: tuple[Run, np.ndarray], row: int) -> list[int]:
    (first, length), entries = lists
    return entries[first[row] : first[row] + length[row]].tolist()


def check(random: Random) -> bool:
    """Write hits within a claim within a message; return whether they were written."""
    rows = random.randrange(1, 5)
    kinds = {f"k{n}": random.choice(list(Kind)) for n in range(random.randrange(4))}
    rule = SimpleNamespace(names=dict.fromkeys(kinds, NAMES))
    columns = {name: column_of(random, kind, rows) for name, kind in kinds.items()}
    lines, partners = lists_of(random, rows, np.int32), lists_of(random, rows, np.int32)
    run, picks = lists_of(random, rows, np.int64)
    codes = run, np.array([CODES[pick % len(CODES)] for pick in picks.tolist()], np.int64)
    exposure = np.array([integer(random, np.int64) for _ in range(rows)])
    weight = np.array([random.choice((0.0, -0.0, 0.25, random.random())) for _ in range(rows)])
    ids = np.array([random.randrange(-1, len(NAMES)) for _ in range(rows)])
    order = np.array(random.sample(range(rows), rows))

    texts = Texts()
    tables = Tables(texts)
    names = texts.add_all(NAMES)
    places = [
        tables.fact(texts.add_key(name), kind, columns[name], range(names, names + len(NAMES)))
        for name, kind in kinds.items()
    ]
    facts = Run(np.full(rows, places[0] if places else 0), np.full(rows, len(places)))
    hits = tables.add(
        pb.RuleHit.DESCRIPTOR,
        [
            ("rule_id", wire_tables.text(np.where(ids < 0, -1, ids + names))),
            ("line_numbers", wire_tables.numbers(*lines)),
            ("weight", wire_tables.real(weight)),
            ("codes", wire_tables.codes(*codes)),
            ("evidence", wire_tables.facts(facts, np.arange(rows))),
            ("evidence", wire_tables.joined(*partners, texts.add_key("partner_lines"))),
            ("exposure_cents", wire_tables.number(exposure)),
        ],
    )
    allowed = np.array([random.choice((wire_tables.ABSENT, 0, integer(random, np.int64)))])
    p = np.array([random.choice((0.0, 0.5, 1.0))]).view(np.int64)
    claim = tables.add(
        pb.ClaimResult.DESCRIPTOR,
        [
            ("allowed_cents", wire_tables.optional(allowed)),
            ("approval_probability", wire_tables.optional_real(p)),
            ("hits", wire_tables.rows(Run.of(np.array([rows])), hits, order)),
            ("", wire_tables.piece(np.array([random.choice((-1, texts.add(b"\x90\x01\x01")))]))),
        ],
    )
    written = tables.write(claim, 1, random.choice((1, 7, 100, 10_000)))
    if written is None:
        days = np.concatenate([c for c in columns.values() if c.dtype.kind == "M"]).view(np.int64)
        far = (days < DAYS[1]) | (days > DAYS[-2])
        assert (far & (days != np.iinfo(np.int64).min)).any()
        return False
    facts_of_rows = [
        {n: evidence_text(rule, n, k, columns[n][row], NAMES) for n, k in kinds.items()}
        for row in range(rows)
    ]
    found = pb.ClaimResult.FromString(written[0])
    assert found.approval_probability == p.view(np.float64)[0]
    assert found.HasField("allowed_cents") == (allowed[0] != wire_tables.ABSENT)
    assert not found.HasField("allowed_cents") or found.allowed_cents == allowed[0]
    for hit, row in zip(found.hits, order.tolist(), strict=True):
        meant = pb.RuleHit(
            rule_id="" if ids[row] < 0 else NAMES[ids[row]],
            line_numbers=listed(lines, row),
            weight=weight[row],
            codes=filter(None, dict.fromkeys(map(text36, listed(codes, row)))),
            evidence={name: text for name, text in facts_of_rows[row].items() if text},
            exposure_cents=int(exposure[row]),
        )
        if joined := ",".join(map(str, listed(partners, row))):
            meant.evidence["partner_lines"] = joined
        assert hit == meant
    return True


def main(seed: int, count: int, _: str = "answers", library: str = "") -> None:
    """Write that many claims."""
    if library:
        wire_tables.LIBRARY = native.ANSWERS.load(Path(library))
    assert wire_tables.LIBRARY is not None
    random = Random(seed)
    written = sum(check(random) for _ in range(count))
    assert 0 < written < count
    sys.stdout.write(f"{count} claims, {written} written\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
