"""Spans of many members in one pass: each claim is held against its own member's alone."""

from dataclasses import replace

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.members import EligibilitySpans, Members
from engine.pipeline import Engine
from engine.rules.rule import example, line
from engine.words import word_key

RULE = "ELIGIBILITY_INACTIVE"


@pytest.fixture(scope="module")
def engine(sample_reference) -> Engine:
    return Engine.with_all_rules(sample_reference)


def claim(claim_id: str, member: str, **fields):
    return claim_of(example("", line("99213"), person_id=member, **fields), claim_id)


def spans(rows) -> EligibilitySpans:
    member, payer, effective, termination = zip(*rows, strict=True)
    return EligibilitySpans(
        member=np.array(member),
        payer=np.array([word_key(each) for each in payer]),
        plan=np.zeros(len(rows), np.int64),
        effective=np.array(effective, "datetime64[D]"),
        termination=np.array(termination, "datetime64[D]"),
    )


def hits(engine: Engine, claims, eligibility):
    read = engine.read([score_pb2.ClaimBatch(claims=claims)])
    gathered = Gathered(ModelAnswer.disabled(), None, Members(eligibility=eligibility))
    results = engine.score(read, gathered, [score_pb2.VIEW_EVIDENCE])[0].results
    return [[hit for hit in result.hits if hit.rule_id == RULE] for result in results]


def test_each_member_has_its_own_spans_in_any_order(engine: Engine) -> None:
    claims = [claim("A", "M0"), claim("B", "M1"), claim("C", "M2"), claim("D", "M0")]

    table = spans(
        [
            (2, "PAYER", "2026-01-01", None),
            (0, "PAYER", None, "2025-10-15"),
            (1, "OTHER", "2020-01-01", None),
            (2, "PAYER", "2020-01-01", "2025-10-01"),
        ]
    )
    found = hits(engine, claims, table)

    assert [len(each) for each in found] == [0, 1, 1, 0]
    assert [each[0].evidence["status"] for each in found if each] == ["not_found", "between_spans"]
    assert found[2][0].evidence["covered_until"] == "2025-10-01"
    assert found[2][0].evidence["covered_from"] == "2026-01-01"


def test_a_claim_without_a_member_is_not_judged(engine: Engine) -> None:
    unnamed = claim("A", "")
    read = engine.read([score_pb2.ClaimBatch(claims=[unnamed])])
    gathered = Gathered(
        ModelAnswer.disabled(), None, Members(eligibility=spans([(9, "PAYER", None, None)]))
    )
    result = engine.score(read, gathered, [score_pb2.VIEW_EVIDENCE])[0].results[0]

    assert RULE not in {hit.rule_id for hit in result.hits}
    assert any(RULE in gap.rule_ids for gap in result.not_evaluated if gap.reason == "no_person_id")


def test_lines_without_coverage_put_only_themselves_at_risk(engine: Engine) -> None:
    two_days = example(
        "", line("99213", day="2025-10-14"), line("99214", day="2025-10-15"), person_id="M0"
    )

    [found] = hits(engine, [claim_of(two_days)], spans([(0, "PAYER", None, "2025-10-14")]))

    assert [(hit.variant, list(hit.line_numbers)) for hit in found] == [("some_lines", [2])]


def test_permuted_spans_give_the_same_answer(engine: Engine) -> None:
    random = np.random.default_rng(3)
    claims = [claim(str(n), f"M{n % 40}") for n in range(80)]
    rows = [
        (int(m), "PAYER", f"20{20 + int(y)}-01-01", f"20{20 + int(y)}-12-31")
        for m, y in zip(random.integers(0, 40, 90), random.integers(0, 7, 90), strict=True)
    ]
    table = spans(rows)
    order = random.permutation(len(rows))
    permuted = replace(
        table,
        **{name: getattr(table, name)[order] for name in ("member", "effective", "termination")},
    )

    found = hits(engine, claims, table)

    covered = {m for m, _, first, _ in rows if first == "2025-01-01"}
    assert [bool(each) for each in found] == [n % 40 not in covered for n in range(80)]
    assert hits(engine, claims, permuted) == found


def test_a_pass_without_claims_is_no_trouble(engine: Engine) -> None:
    assert hits(engine, [], spans([(0, "PAYER", None, None)])) == []
