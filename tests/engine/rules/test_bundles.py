"""Wholes, panels and incidental services at random: the columns say the same as loops."""

from dataclasses import replace

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.codes import code36
from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.rules.rule import example, line
from engine.tables.listing import Listings

BASIC = {"82310", "82374", "82435", "82565", "82947", "84132", "84295", "84520"}
ELECTROLYTES = {"82374", "82435", "84132", "84295"}
HEPATIC = {"82040", "82247", "82248", "84075", "84155", "84450", "84460"}
COMPREHENSIVE = (BASIC | HEPATIC) - {"82248"}
PANELS = {"80053": COMPREHENSIVE, "80048": BASIC, "80076": HEPATIC, "80051": ELECTROLYTES}
"""The largest first."""
WHOLES = {**PANELS, "93000": {"93005", "93010"}, "45385": {"45380"}, "94060": {"94010"}}
EDITED = {("45385", "45380")}
"""Pairs of these codes, column 1 first, that the sample's edits for practitioners name."""
APART = {"59", "91", "XE"}
CODES = sorted(set(WHOLES).union(*WHOLES.values()))
DAYS = ("2025-10-14", "2025-10-15")
NPIS = ("1234567893", "1003000126")


def drawn(seed: int):
    """Claims that often hold a panel in full, or all but a member."""
    random = np.random.default_rng(seed)

    def drawn_claim():
        panel = sorted(PANELS[str(random.choice(list(PANELS)))])
        left_out = int(random.integers(-2, 3))
        codes = [code for n, code in enumerate(panel) if n != left_out]
        codes += random.choice(CODES, int(random.integers(0, 4))).tolist()
        random.shuffle(codes)
        odd = 0.04
        return example(
            "",
            *(
                line(
                    f"{code}-{random.choice(sorted(APART))}" if random.random() < odd else code,
                    day=DAYS[int(random.random() < odd)],
                    npi=NPIS[int(random.random() < odd)],
                )
                for code in codes
            ),
        )

    return [drawn_claim() for _ in range(200)]


def expected(claim) -> set[tuple[str, str, tuple[int, ...]]]:
    """Case, code of the whole and numbers of the lines, by loops."""
    sessions: dict = {}
    for number, each in enumerate(claim.lines, 1):
        sessions.setdefault((each.fields["day"], each.fields["npi"]), []).append((number, each))
    found = set()
    for lines in sessions.values():
        parts = [(n, each) for n, each in lines if not APART & set(each.modifiers)]
        beside: dict = {}
        members: dict = {}
        accounted: set = set()
        for number, part in parts:
            wholes = [(n, w.code) for n, w in lines if part.code in WHOLES.get(w.code, ())]
            if wholes:
                accounted.add(number)
            for whole in [n for n, code in wholes if (code, part.code) not in EDITED][:1]:
                beside.setdefault(whole, []).append(number)
        parts = [(n, each) for n, each in parts if n not in accounted]
        for panel, asked in PANELS.items():
            if {part.code for _, part in parts} >= asked:
                members[panel] = [n for n, part in parts if part.code in asked]
                parts = [(n, part) for n, part in parts if n not in members[panel]]
        found |= {
            ("components", claim.lines[n - 1].code, tuple(numbers)) for n, numbers in beside.items()
        }
        found |= {("panel", panel, tuple(numbers)) for panel, numbers in members.items()}
    return found


def answers_of(reference, claims):
    engine = Engine.with_all_rules(reference)
    sent = [claim_of(claim, str(number)) for number, claim in enumerate(claims)]
    for number, claim in enumerate(sent):
        claim.person_id = f"MEMBER-{number}"
    read = engine.read([score_pb2.ClaimBatch(claims=sent)])
    return engine.score(read, Gathered(ModelAnswer.disabled()), [score_pb2.VIEW_EVIDENCE])[0]


def hits_by_claim(answer, rule_id: str):
    return [[h for h in result.hits if h.rule_id == rule_id] for result in answer.results]


def unbundled(answer):
    return [
        {(h.variant, h.evidence["comprehensive"], tuple(h.line_numbers)) for h in hits}
        for hits in hits_by_claim(answer, "SPECIALTY_UNBUNDLING")
    ]


@pytest.mark.parametrize("seed", range(4))
def test_columns_say_the_same_as_loops(sample_reference, seed: int) -> None:
    claims = drawn(seed)

    found = unbundled(answers_of(sample_reference, claims))

    assert found == [expected(claim) for claim in claims]
    cases = [case for hits in found for case, _, _ in hits]
    assert min(cases.count("panel"), cases.count("components")) > 10
    assert set() in found


def test_a_member_that_a_tenant_names_again_counts_once(sample_reference) -> None:
    spec, columns = sample_reference.listings.tenants["comprehensive_procedures"]
    again = np.flatnonzero(columns["component"] == code36("82947"))[0]
    own = {name: np.append(values, values[again]) for name, values in columns.items()}
    own["tenant"][-1] = b"OTHER"
    tables = {**sample_reference.listings.tenants, "comprehensive_procedures": (spec, own)}
    reference = replace(sample_reference, listings=Listings.of(tables).for_tenant("OTHER"))
    claim = example("", *map(line, sorted(BASIC)))

    [found] = unbundled(answers_of(reference, [claim]))

    assert found == {("panel", "80048", (1, 2, 3, 4, 5, 6, 7, 8))}


def test_days_without_a_fee_schedule_are_not_judged(sample_reference) -> None:
    claim = example("", line("99000", day="2010-10-15"), received="2010-10-20")

    [result] = answers_of(sample_reference, [claim]).results

    [gap] = [
        gap
        for gap in result.not_evaluated
        if gap.reason == "no_release" and "SPECIALTY_INCIDENTAL" in gap.rule_ids
    ]
    assert list(gap.line_numbers) == [1]
