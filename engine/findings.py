"""Every rule over one pass: their hits in one set of columns, and what could not be judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np

from engine.columns import Batch, Bools, Ints
from engine.facts import Facts
from engine.gathered import Gathered
from engine.overrides import Effects, Weighed, effects_of
from engine.past import Past
from engine.policy import Policy
from engine.pricing import Allowed
from engine.reference import Reference
from engine.rules.ncci.pair_edits import find_pair_edits
from engine.rules.rule import Action, Category, Certainty, Hits, NotEvaluated, Rule

_OF_THE_PAST: Final = {"past", "pair_edits"}
_NOT_OF_CODING: Final = (Category.ELIGIBILITY, Category.TIMELY_FILING, Category.COB)


@dataclass(frozen=True, slots=True)
class Findings:
    """Hits of all rules, in the order of rule ids. Shapes are (hits,) but where said."""

    rules: tuple[Rule, ...]
    past: Past
    by_rule: tuple[Hits, ...]
    """What each rule returned."""
    rule: Ints
    """Index into `rules`."""
    row: Ints
    """Row of the hit within its rule's hits."""
    claim: Ints
    case: Ints
    """Index into the rule's cases."""
    line_hit: Ints
    """Which hit the line below belongs to; shape (hit lines,)."""
    line: Ints
    weighed: Mapping[int, Weighed]
    """What the hits of a rule weigh, by rule index, where the policy changes it."""
    effects: Effects
    """What the policy changes about the pass."""

    def __len__(self) -> int:
        """Count the hits."""
        return len(self.rule)

    def take(self, keep: Bools) -> Self:
        """Return the hits of the mask; what each rule returned stays whole."""
        number = np.cumsum(keep) - 1
        line = keep[self.line_hit]
        return replace(
            self,
            rule=self.rule[keep],
            row=self.row[keep],
            claim=self.claim[keep],
            case=self.case[keep],
            line_hit=number[self.line_hit[line]],
            line=self.line[line],
        )


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a pass a rule judged."""

    lines: int
    """Lines with a code that it could have judged."""
    evaluated: int
    """Lines that it did judge."""


def find_hits(
    rules: tuple[Rule, ...],
    batch: Batch,
    reference: Reference,
    facts: Facts,
    gathered: Gathered,
    allowed: Allowed,
    policy: Policy,
) -> Findings:
    """Run every rule that the policy leaves on, handing each what it asks for and no more."""
    effects = effects_of(policy, batch)
    # Never by the claims of the pass: an answer names rules, whoever shares its pass.
    rules = tuple(rule for rule in rules if rule.id not in policy.switched_off)
    inputs = rule_inputs(rules, batch, reference, facts, gathered, allowed)
    found = _found(rules, batch, inputs, effects)
    by_rule = tuple(hits for hits, _ in found)
    counts = np.array([len(hits) for hits in by_rule], np.int64)
    first = np.cumsum(counts) - counts
    return Findings(
        rules=rules,
        past=inputs["past"],
        by_rule=by_rule,
        rule=np.repeat(np.arange(len(rules)), counts),
        row=np.concatenate([np.arange(n) for n in counts]) if rules else np.empty(0, np.int64),
        claim=_joined([hits.claim for hits in by_rule]),
        case=_joined(
            [np.zeros(len(h), np.int64) if h.variant is None else h.variant for h in by_rule]
        ),
        line_hit=_joined([h.line_hit + f for h, f in zip(by_rule, first, strict=True)]),
        line=_joined([hits.line for hits in by_rule]),
        weighed={index: weighed for index, (_, weighed) in enumerate(found) if weighed},
        effects=effects,
    )


def rule_inputs(
    rules: tuple[Rule, ...],
    batch: Batch,
    reference: Reference,
    facts: Facts,
    gathered: Gathered,
    allowed: Allowed,
) -> dict[str, Any]:
    """Return what these rules may ask for, by name; what several read is worked out once."""
    inputs: dict[str, Any] = {
        "batch": batch,
        "reference": reference,
        "facts": facts,
        "past": Past.of(batch, gathered.history),
        "history": gathered.history,
        "members": gathered.members,
        "allowed": allowed,
    }
    if any("pair_edits" in rule.needs for rule in rules):
        inputs["pair_edits"] = find_pair_edits(batch, reference, facts, inputs["past"])
    return inputs


def _found(
    rules: tuple[Rule, ...], batch: Batch, inputs: dict[str, Any], effects: Effects
) -> list[tuple[Hits, Weighed | None]]:
    """Run the rules; those that ask what the others deny come last, and see none of one another."""
    asks = ["denied" in rule.needs for rule in rules]
    found: dict[int, tuple[Hits, Weighed | None]] = {}
    for last in (False, True):
        if last and any(asks):
            others = [(rules[index], *hits) for index, hits in found.items()]
            inputs = inputs | {"denied": denied_for_certain(others, len(batch.lines))}
        for index in (index for index, each in enumerate(asks) if each is last):
            hits = hits_of(rules[index], inputs, effects)
            found[index] = effects.weigh(rules[index], hits)
    return [found[index] for index in range(len(rules))]


def denied_for_certain(found: Sequence[tuple[Rule, Hits, Weighed | None]], lines: int) -> Bools:
    """Return the lines that edits of coding deny for certain.

    What is late or not covered as a whole was still coded right: it is left out.
    """
    denied = np.zeros(lines, np.bool_)
    for rule, hits, weighed in found:
        if not len(hits.line) or rule.category in _NOT_OF_CODING:
            continue
        if weighed is None:
            case = np.zeros(len(hits), np.int64) if hits.variant is None else hits.variant
            sure = np.array([_denies(each.action, each.certainty) for each in rule.cases])[case]
        else:
            sure = _denies(weighed.action, weighed.certainty) & ~weighed.shadow
        denied[hits.line[sure[hits.line_hit]]] = True
    return denied


def _denies(action: Any, certainty: Any) -> Any:
    return (
        (action >= Action.DENY_LINE)
        & (action <= Action.DENY_CLAIM)
        & (certainty == Certainty.APPLY)
    )


def hits_of(rule: Rule, inputs: Mapping[str, Any], effects: Effects) -> Hits:
    """Run one rule, handing it what it asks for and no more."""
    hits = rule.find(
        **{need: effects.params(rule) if need == "params" else inputs[need] for need in rule.needs}
    )
    crowded = inputs["past"].crowded
    if not (crowded.any() and _OF_THE_PAST.intersection(rule.needs)):
        return hits
    gap = NotEvaluated("crowded_member", claims=crowded)
    return replace(hits, not_evaluated=(*hits.not_evaluated, gap))


def coverage(findings: Findings, batch: Batch) -> dict[str, Coverage]:
    """Return how many lines each rule that says so has judged."""
    coded = batch.lines.procedure > 0
    lines = int(coded.sum())
    return {
        rule.id: Coverage(lines, int((hits.evaluated & coded).sum()))
        for rule, hits in zip(findings.rules, findings.by_rule, strict=True)
        if hits.evaluated is not None
    }


def never_judged(findings: Findings) -> dict[str, list[str]]:
    """Return by reason the rules that can judge no claim: what they rest on is not loaded."""
    by_reason: dict[str, list[str]] = {}
    for rule, hits in zip(findings.rules, findings.by_rule, strict=True):
        for gap in hits.not_evaluated:
            if gap.lines is None and gap.claims is None:
                by_reason.setdefault(gap.reason, []).append(rule.id)
    return by_reason


def _joined(columns: list[Ints]) -> Ints:
    return np.concatenate([*columns, np.empty(0, np.int64)]).astype(np.int64)
