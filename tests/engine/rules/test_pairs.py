"""Sessions and pairs of lines against what a plain loop over them says."""

import numpy as np
import pytest
from claimgate.v1 import score_pb2
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import Batch
from engine.decode import decode
from engine.examples import claim_of
from engine.rules import pairs
from engine.rules.pairs import (
    codes_of_sessions,
    hits_on_pairs,
    pair_blocks,
    pairs_within,
)
from engine.rules.rule import LineExample, example, line
from engine.sessions import sessions

LINES = st.builds(
    lambda code, day, npi: line(code, day=day, npi=npi),
    st.sampled_from(["99213", "20610", "45380"]),
    st.sampled_from(["2025-10-14", "2025-10-15"]),
    st.sampled_from(["1234567893", "1003000126"]),
)
CLAIMS = st.lists(st.lists(LINES, min_size=1, max_size=8), min_size=1, max_size=5)


def batch_of(claims: list[list[LineExample]]) -> Batch:
    examples = [claim_of(example("", *lines), str(index)) for index, lines in enumerate(claims)]
    return decode([score_pb2.ClaimBatch(claims=examples)], allow_zero_charge=True)


def keys_of(batch: Batch) -> list[tuple]:
    lines = batch.lines
    return list(
        zip(lines.claim.tolist(), lines.service_from.tolist(), lines.provider.tolist(), strict=True)
    )


@given(CLAIMS)
def test_session_is_the_first_line_of_one_claim_day_and_provider(claims) -> None:
    batch = batch_of(claims)

    session = sessions(batch)

    keys = keys_of(batch)
    assert session.tolist() == [keys.index(key) for key in keys]


@given(CLAIMS)
def test_codes_of_a_session_bear_the_row_of_their_first_line(claims) -> None:
    batch = batch_of(claims)
    rows = np.arange(len(batch.lines))[::2]

    group = codes_of_sessions(batch, rows, sessions(batch))

    codes = [(*keys_of(batch)[row], batch.lines.procedure[row]) for row in rows]
    assert group.tolist() == [rows[codes.index(code)] for code in codes]


@given(CLAIMS, st.integers(0, 2**32 - 1))
def test_pairs_are_those_of_a_double_loop(claims, seed) -> None:
    batch = batch_of(claims)
    session = sessions(batch)
    random = np.random.default_rng(seed)
    first = np.flatnonzero(random.random(len(session)) < 0.7)
    second = np.flatnonzero(random.random(len(session)) < 0.7)

    left, right = pairs_within(session, first, second)

    assert sorted(zip(left.tolist(), right.tolist(), strict=True)) == [
        (a, b) for a in first for b in second if a != b and session[a] == session[b]
    ]


def test_pairs_of_a_long_bill_come_in_bounded_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of([[line("99213")] * 40, [line("20610")] * 3])
    session, rows = sessions(batch), np.arange(43)
    monkeypatch.setattr(pairs, "PAIRS_MAX", 200)

    blocks = list(pair_blocks(session, rows, rows))

    assert len(blocks) > 5
    assert max(len(left) for left, _ in blocks) <= 200 + 40
    left, right = (np.concatenate(side) for side in zip(*blocks, strict=True))
    all_left, all_right = pairs_within(session, rows, rows)
    assert left.tolist() == all_left.tolist()
    assert right.tolist() == all_right.tolist()


def test_no_lines_make_one_empty_block() -> None:
    nothing = np.empty(0, np.int64)

    blocks = list(pair_blocks(np.zeros(3, np.int64), nothing, nothing))

    assert [(len(left), len(right)) for left, right in blocks] == [(0, 0)]


def test_a_line_with_three_partners_is_one_hit_that_shows_the_lowest_rank() -> None:
    batch = batch_of([[line("99213")] * 4, [line("20610")] * 2])

    hits = hits_on_pairs(
        batch,
        line=np.array([5, 2, 2, 2]),
        partner=np.array([4, 3, 0, 1]),
        rank=np.array([0, 1, 1, 0]),
        evidence={"partner": np.array([4, 3, 0, 1])},
    )

    assert hits.line.tolist() == [2, 5]
    assert hits.claim.tolist() == [0, 1]
    assert hits.partner_hit.tolist() == [0, 0, 0, 1]
    assert hits.partner.tolist() == [1, 0, 3, 4]
    assert hits.evidence["partner"].tolist() == [1, 4]
