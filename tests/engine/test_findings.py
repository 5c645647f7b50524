"""Rules over a pass: what each is handed, and how their hits come together."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.columns import Batch
from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.findings import Coverage, Findings, coverage, find_hits
from engine.gathered import Gathered, ModelAnswer
from engine.history import History
from engine.policy import Override, Policy
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Rule,
    RuleDeclarationError,
    Scope,
    Severity,
    Stake,
    example,
    line,
    rule,
)

NOTHING, STRANGERS = Gathered(ModelAnswer.disabled()), History.of_strangers(1)
HIT, MISS = example("a hit", line("99213"), hit=True), example("a near miss", line("99213"))


def declared(**changes: Any):
    """A plain declaration but for what the test changes."""
    plain = {
        "id": "PLAIN",
        "category": Category.NCCI,
        "scope": Scope.LINE,
        "severity": Severity.LOW,
        "weight": 0.1,
        "action": Action.PEND,
        "certainty": Certainty.APPLY,
        "cites": "a test",
        "examples": (HIT, MISS),
    }
    return rule(**{**plain, **changes})


def finds(rule_id: str, hits: Hits, **changes: Any) -> Rule:
    @declared(id=rule_id, **changes)
    def find() -> Hits:
        """Find what the test says."""
        return hits

    return find


def batch_of(*claims: tuple[str, ...]) -> Batch:
    messages = [
        claim_of(example("a", *map(line, codes), institutional=not all(codes)), f"C{number}")
        for number, codes in enumerate(claims)
    ]
    return decode([score_pb2.ClaimBatch(claims=messages)], allow_zero_charge=True)


def found(batch: Batch, *rules: Rule, policy: Policy | None = None) -> Findings:
    return find_hits(rules, batch, None, None, NOTHING, None, policy or Policy())


TWO = batch_of(("99213", "20610"), ("99214",))


# --- what a rule is handed


def test_rule_is_handed_what_it_names_and_nothing_else():
    seen: dict[str, Any] = {}

    @declared(params={"limit": 7, "names": ("a", "b")})
    def find(batch, reference, facts, past, history, members, allowed, params):
        """Look at everything."""
        seen.update(locals())
        return Hits.none()

    facts, allowed = SimpleNamespace(name="facts"), SimpleNamespace(name="allowed")
    reference, gathered = SimpleNamespace(name="reference"), replace(NOTHING, history=STRANGERS)
    find_hits((find,), TWO, reference, facts, gathered, allowed, Policy())

    assert seen["batch"] is TWO
    assert seen["reference"] is reference
    assert seen["facts"] is facts
    assert seen["history"] is gathered.history
    assert seen["members"] is gathered.members
    assert seen["past"].has_history
    assert seen["allowed"] is allowed
    assert seen["params"]["limit"].tolist() == [7, 7], "a column over the claims"
    assert seen["params"].words("names") == ("a", "b")
    assert "pair_edits" not in seen


def test_pair_edits_are_sought_where_a_rule_asks_for_them(sample_reference):
    batch = batch_of(("45385", "45380"))
    seen = []

    @declared()
    def find(pair_edits):
        """Look at the pairs."""
        seen.append(pair_edits)
        return Hits.none()

    facts = look_up(batch, sample_reference)
    find_hits((find,), batch, sample_reference, facts, NOTHING, None, Policy())

    assert len(seen) == 1
    assert seen[0] is not None


def test_rule_that_asks_for_what_there_is_not_is_refused():
    with pytest.raises(RuleDeclarationError, match=r"PLAIN.*clock"):

        @declared()
        def find(batch, clock):
            """Ask for the time."""


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_rule_with_a_weight_outside_0_to_1_is_refused(weight):
    with pytest.raises(RuleDeclarationError, match="weight"):
        finds("PLAIN", Hits.none(), weight=weight)


@pytest.mark.parametrize("examples", [(), (HIT,), (MISS,)])
def test_rule_without_a_hit_and_a_near_miss_is_refused(examples):
    with pytest.raises(RuleDeclarationError, match="near"):
        finds("PLAIN", Hits.none(), examples=examples)


@pytest.mark.parametrize(
    ("action", "scope", "stake"),
    [
        (Action.INFO, Scope.LINE, Stake.NONE),
        (Action.PEND, Scope.LINE, Stake.LINES),
        (Action.DENY_LINE, Scope.LINE, Stake.LINES),
        (Action.REJECT, Scope.LINE, Stake.LINES),
        (Action.PEND, Scope.CLAIM, Stake.NONE),
        (Action.DENY_CLAIM, Scope.CLAIM, Stake.CLAIM),
        (Action.DENY_CLAIM, Scope.LINE, Stake.CLAIM),
    ],
)
def test_stake_follows_from_what_the_action_falls_on(action, scope, stake):
    assert finds("PLAIN", Hits.none(), action=action, scope=scope).stake is stake


# --- how hits come together


def test_hits_of_all_rules_are_one_set_of_columns():
    lines = Hits.on_lines(TWO, np.array([True, False, True]), variant=np.array([0, 1, 1]))
    none = Hits.none()
    claims = Hits.on_claims(np.array([False, True]))
    both = Hits.on_groups(TWO, np.array([1, 0, 2]), np.array([5, 5, 9]))

    findings = found(TWO, finds("A", lines), finds("B", none), finds("C", claims), finds("D", both))

    assert len(findings) == 5
    assert findings.rule.tolist() == [0, 0, 2, 3, 3]
    assert findings.row.tolist() == [0, 1, 0, 0, 1]
    assert findings.claim.tolist() == [0, 1, 1, 0, 1]
    assert findings.case.tolist() == [0, 1, 0, 0, 0]
    assert findings.line_hit.tolist() == [0, 1, 3, 3, 4]
    assert findings.line.tolist() == [0, 2, 0, 1, 2]


def test_group_is_led_by_its_first_line_and_keeps_its_partners():
    evidence = {"code": np.array([10, 20, 30])}
    partner = (np.array([2, 0]), np.array([9, 5]))

    hits = Hits.on_groups(
        TWO,
        np.array([2, 1]),
        np.array([9, 5]),
        evidence=evidence,
        variant=np.array([0, 1, 2]),
        partner=partner,
    )

    assert hits.claim.tolist() == [0, 1]
    assert hits.line.tolist() == [1, 2]
    assert hits.evidence["code"].tolist() == [20, 30]
    assert hits.variant.tolist() == [1, 2]
    assert (hits.partner_hit.tolist(), hits.partner.tolist()) == ([0, 1], [0, 2])


def test_no_rules_find_nothing():
    findings = found(TWO)

    assert len(findings) == 0
    assert findings.line.tolist() == []


def test_rule_that_the_policy_disables_is_not_run():
    @declared(id="OFF")
    def find():
        """Fail if it is run."""
        raise AssertionError

    policy = Policy(overrides=(Override("OFF", enabled=False),))
    on = finds("ON", Hits.on_claims(np.array([True, False])))

    findings = found(TWO, find, on, policy=policy)

    assert [each.id for each in findings.rules] == ["ON"]
    assert findings.rule.tolist() == [0]


def test_weight_of_the_policy_is_kept_by_rule():
    policy = Policy(overrides=(Override("B", weight=0.0),))
    hits = Hits.on_claims(np.array([True, True]))

    findings = found(TWO, *(finds(name, hits) for name in "ABC"), policy=policy)

    assert {index: each.weight.tolist() for index, each in findings.weighed.items()} == {
        1: [0.0, 0.0]
    }


def test_parameter_of_the_policy_replaces_the_default():
    seen = []

    @declared(params={"limit": 7, "other": 1})
    def find(params):
        """Look at the parameters."""
        seen.append((params["limit"].tolist(), params["other"].tolist()))
        return Hits.none()

    found(TWO, find, policy=Policy(overrides=(Override("PLAIN", params={"limit": 9}),)))

    assert seen == [([9, 9], [1, 1])]


# --- what was judged


def test_rules_that_look_at_a_crowded_past_say_so_and_no_others():
    crowd = batch_of(*[("99213",)] * 258)

    @declared(id="LOOKS")
    def looks(past):
        """Look at the past."""
        return Hits.none()

    looked, other = found(crowd, looks, finds("DOES_NOT", Hits.none())).by_rule

    [gap] = looked.not_evaluated
    assert (gap.reason, np.flatnonzero(gap.claims).tolist()) == ("crowded_member", [257])
    assert other.not_evaluated == ()


def test_coverage_counts_lines_with_a_code_that_were_judged():
    batch = batch_of(("99213", ""), ("99214",))
    evaluated = np.array([True, True, False])

    judged = coverage(
        found(
            batch, finds("A", Hits.none(evaluated=evaluated)), finds("SAYS_NOTHING", Hits.none())
        ),
        batch,
    )

    assert judged == {"A": Coverage(lines=2, evaluated=1)}
