"""What could not be judged: told by reason and lines, for each claim as if it were alone."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.gaps import Gap, Gaps
from engine.rules.rule import Hits, NotEvaluated

TWO = [("A", 1), ("A", 2), ("B", 1)]


def batch_of(lines):
    """Claims by name, with the numbers of their lines."""
    names = list(dict.fromkeys(name for name, _ in lines))
    owner = np.array([names.index(name) for name, _ in lines], np.int32)
    numbers = np.array([number for _, number in lines], np.int32)
    return SimpleNamespace(
        lines=np.rec.fromarrays([owner, numbers], names="claim,number"), claims=names
    )


def findings_of(*said):
    """What rules say that they could not judge, as pairs of rule id and gaps."""
    rules = [SimpleNamespace(id=rule_id) for rule_id, _ in said]
    return SimpleNamespace(rules=rules, by_rule=[Hits.none(*gaps) for _, gaps in said])


def told(batch, findings) -> dict[str, list[Gap]]:
    gaps = Gaps.of(findings, batch)
    pairs = zip(gaps.claim.tolist(), gaps.pattern.tolist(), strict=True)
    return {batch.claims[claim]: list(gaps.patterns[pattern]) for claim, pattern in pairs}


def on_lines(reason, *lines):
    return NotEvaluated(reason, lines=np.array(lines, np.bool_))


def on_claims(reason, *claims):
    return NotEvaluated(reason, claims=np.array(claims, np.bool_))


def test_gaps_are_told_by_reason_with_their_lines():
    batch = batch_of(TWO)

    found = told(
        batch,
        findings_of(
            ("R1", [on_lines("no_row", 0, 1, 0), on_lines("no_release", 1, 1, 1)]),
            ("R2", [on_claims("no_row", 0, 1)]),
        ),
    )

    assert found == {
        "A": [Gap("no_release", ["R1"], [1, 2]), Gap("no_row", ["R1"], [2])],
        "B": [Gap("no_release", ["R1"], [1]), Gap("no_row", ["R2"], [])],
    }


def test_gap_that_concerns_nobody_is_not_told():
    batch = batch_of(TWO)

    nobody = findings_of(
        ("R1", [on_lines("no_row", 0, 0, 0), on_claims("x", 0, 0), NotEvaluated("no_dataset")])
    )

    assert told(batch, nobody) == {}


def test_claims_that_lack_the_same_share_a_pattern():
    batch = batch_of([("A", 1), ("B", 1), ("C", 2)])

    gaps = Gaps.of(findings_of(("R1", [on_lines("no_row", 1, 1, 1)])), batch)

    assert gaps.claim.tolist() == [0, 1, 2]
    assert gaps.pattern.tolist() == [0, 0, 1]


def plainly(batch, findings) -> dict[str, list[Gap]]:
    """The same, claim by claim and rule by rule."""
    found = {}
    for row, name in enumerate(batch.claims):
        joined = {}
        for rule, hits in zip(findings.rules, findings.by_rule, strict=True):
            for gap in hits.not_evaluated:
                own = [n for n in range(len(batch.lines)) if batch.lines.claim[n] == row]
                lacking = (
                    [int(batch.lines.number[n]) for n in own if gap.lines[n]]
                    if gap.lines is not None
                    else []
                )
                if lacking or (gap.claims is not None and gap.claims[row]):
                    joined.setdefault((gap.reason, tuple(lacking)), set()).add(rule.id)
        if joined:
            found[name] = [Gap(r, sorted(joined[r, n]), list(n)) for r, n in sorted(joined)]
    return found


@st.composite
def passes(draw):
    claims = draw(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=4), max_size=5))
    batch = batch_of([(f"C{n}", number) for n, lines in enumerate(claims) for number in lines])
    said = []
    for rule in range(draw(st.sampled_from([0, 1, 3, 70]))):
        gaps = []
        for reason in draw(st.lists(st.sampled_from("ab"), max_size=2)):
            if draw(st.booleans()):
                flags = st.lists(
                    st.booleans(), min_size=len(batch.lines), max_size=len(batch.lines)
                )
                gaps.append(on_lines(reason, *draw(flags)))
            else:
                flags = st.lists(st.booleans(), min_size=len(claims), max_size=len(claims))
                gaps.append(on_claims(reason, *draw(flags)))
        said.append((f"R{rule:02}", gaps))
    return batch, findings_of(*said)


@given(passes())
def test_patterns_say_what_each_claim_lacks(made):
    batch, findings = made

    assert told(batch, findings) == plainly(batch, findings)
