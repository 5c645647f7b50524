"""What the overrides of a policy come to in one pass: by claim, and by hit.

Tiers are merged field by field: the most specific override whose filters are passed gives the
value, and what a less specific one has locked can only be tightened (domain D.5).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Bools, Ints, Table
from engine.policy import THRESHOLDS, TIGHTER, Override, Params, Policy
from engine.rules.rule import Hits, NotEvaluated, Rule

Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits of the decision: one number, or a column over the claims where they differ."""

    review_min: float | Column
    deny_min: float | Column
    approval_threshold: float | Column
    model_share: float | Column


@dataclass(frozen=True, slots=True)
class Weighed(Table):
    """What the hits of one rule weigh and ask for under the policy. Shapes are (hits,)."""

    weight: NDArray[np.float64]
    action: Ints
    certainty: Ints
    severity: Ints
    carc: Ints
    """Index into `Effects.carcs`; -1 for the rule's own."""
    shadow: Bools


class _Entry(NamedTuple):
    """One override on the rows that it is for; no mask means all of them."""

    override: Override
    mask: Bools | None


@dataclass(frozen=True, slots=True)
class Effects:
    """What a policy changes about one pass."""

    batch: Batch
    thresholds: Thresholds
    by_rule: Mapping[str, Sequence[_Entry]] = field(default_factory=dict)
    """Overrides that are for some claim of the pass, least specific first."""
    carcs: tuple[str, ...] = ()

    def params(self, rule: Rule) -> Params:
        """Return the rule's parameters."""
        claims, values = len(self.batch.claims), dict(rule.params)
        entries = self.by_rule.get(rule.id, ())
        for name in {name for entry in entries for name in entry.override.params}:
            if isinstance(rule.params[name], tuple):
                values[name] = _last_list(entries, name)
            else:
                base = np.full(claims, rule.params[name])
                values[name] = _merged(f"params.{name}", base, entries)
        return Params(values, claims)

    def weigh(self, rule: Rule, hits: Hits) -> tuple[Hits, Weighed | None]:
        """Return the hits that the policy leaves, and their weights where it changes them."""
        entries = self.by_rule.get(rule.id)
        if not entries:
            return hits, None
        by_hit = [_Entry(e.override, self._on_hits(e, rule, hits)) for e in entries]
        enabled = _merged("enabled", np.ones(len(hits), np.bool_), by_hit)
        if not enabled.all():
            hits = hits.take(enabled)
            by_hit = [_Entry(o, None if m is None else m[enabled]) for o, m in by_hit]
        return self._without_gaps(entries, hits), self._weighed(rule, hits, by_hit)

    def _weighed(self, rule: Rule, hits: Hits, entries: Sequence[_Entry]) -> Weighed:
        case = np.zeros(len(hits), np.int64) if hits.variant is None else hits.variant
        number = {text: at for at, text in enumerate(self.carcs)}
        coded = [_Entry(e.override, e.mask) for e in entries if e.override.carc is not None]
        return Weighed(
            weight=_merged("weight", np.array([c.weight for c in rule.cases])[case], entries),
            action=_merged("action", np.array([c.action for c in rule.cases])[case], entries),
            certainty=_merged(
                "certainty", np.array([c.certainty for c in rule.cases])[case], entries
            ),
            severity=_merged("severity", np.full(len(hits), int(rule.severity)), entries),
            carc=_merged("carc", np.full(len(hits), -1), coded, number),
            shadow=_merged("shadow", np.zeros(len(hits), np.bool_), entries),
        )

    def _enabled(self, entries: Iterable[_Entry]) -> Bools:
        """Claims for which a rule is on, as far as claims tell."""
        of_claims = [entry for entry in entries if not entry.override.match.by_hit]
        return _merged("enabled", np.ones(len(self.batch.claims), np.bool_), of_claims)

    def _without_gaps(self, entries: Sequence[_Entry], hits: Hits) -> Hits:
        """Leave out what could not be judged of claims for which the rule is off."""
        if not hits.not_evaluated:
            return hits
        on = self._enabled(entries)
        if on.all():
            return hits
        gaps = tuple(
            NotEvaluated(
                gap.reason,
                None if gap.lines is None else gap.lines & self.batch.of_line(on),
                None if gap.claims is None else gap.claims & on,
            )
            for gap in hits.not_evaluated
        )
        return replace(hits, not_evaluated=gaps)

    def _on_hits(self, entry: _Entry, rule: Rule, hits: Hits) -> Bools | None:
        """Hits that an override is for; None means all."""
        match = entry.override.match
        mask = None if entry.mask is None else entry.mask[hits.claim]
        if match.variants:
            wanted = np.array([case.name in match.variants for case in rule.cases])
            found = wanted[np.zeros(len(hits), np.int64) if hits.variant is None else hits.variant]
            mask = found if mask is None else mask & found
        lines = match.lines(self.batch)
        if lines is not None:
            found = self._all_lines(hits, lines)
            mask = found if mask is None else mask & found
        return mask

    def _all_lines(self, hits: Hits, mask: Bools) -> Bools:
        """Hits whose lines are all in the mask; a hit without lines stands on all of its claim."""
        named = np.zeros(len(hits), np.bool_)
        named[hits.line_hit] = True
        missed = np.zeros(len(hits), np.bool_)
        missed[hits.line_hit[~mask[hits.line]]] = True
        return np.where(named, ~missed, self.batch.all_lines(mask)[hits.claim])


def effects_of(policy: Policy, batch: Batch) -> Effects:
    """Return what a policy changes about a pass."""
    thresholds = Thresholds(
        policy.review_min, policy.deny_min, policy.approval_threshold, policy.model_share
    )
    if not policy.overrides:
        return Effects(batch, thresholds)
    by_rule: dict[str, list[_Entry]] = {}
    for override in sorted(policy.overrides, key=lambda each: each.tier):
        mask = override.match.claims(batch.claims)
        if mask is None or mask.any():
            by_rule.setdefault(override.rule_id, []).append(_Entry(override, mask))
    if of_claims := by_rule.pop("", None):
        thresholds = _thresholds(policy, of_claims, len(batch.claims))
    carcs = (o.carc for entries in by_rule.values() for o, _ in entries if o.carc is not None)
    return Effects(batch, thresholds, by_rule, tuple(dict.fromkeys(carcs)))


def _thresholds(policy: Policy, entries: Sequence[_Entry], claims: int) -> Thresholds:
    review, deny, approval, weight = (
        _merged(name, np.full(claims, float(getattr(policy, name))), entries) for name in THRESHOLDS
    )
    share = np.zeros(claims) if policy.ml_reject_policy == "ignore" else weight
    return Thresholds(review, deny, approval, share)


def _merged(
    name: str,
    base: Column,
    entries: Sequence[_Entry],
    number: Mapping[Any, int] | None = None,
) -> Column:
    """Return a field's value on each row: the most specific one, no looser than what is locked.

    Args:
        name: The field, `params.NAME` for a parameter.
        base: What holds where no override gives the field; taken over.
        entries: Overrides, least specific first.
        number: What stands in the column for a value that is no number.
    """
    value, locked, bound = base, np.zeros(len(base), np.bool_), base
    given = [e for e in entries if name in e.override.given]
    for _, tier in groupby(given, key=lambda entry: entry.override.tier):
        of_tier = list(tier)
        for override, mask in of_tier:
            new = override.given[name]
            value = _put(value, mask, new if number is None else number[new])
        if locked.any():
            value = np.where(locked, _TIGHTEST[TIGHTER.get(name, 0)](bound, value), value)
        for override, mask in of_tier:
            if name in override.locked:
                locked = _put(locked, mask, True)  # noqa: FBT003 - the value that is put
                bound = value if mask is None else np.where(mask, value, bound)
    return value


def _put(column: Column, mask: Bools | None, value: Any) -> Column:
    return np.full_like(column, value) if mask is None else np.where(mask, value, column)


_TIGHTEST: Final[Mapping[int, Callable[[Column, Column], Column]]] = {
    1: np.maximum,
    -1: np.minimum,
    0: lambda bound, _: bound,
}


def _last_list(entries: Iterable[_Entry], name: str) -> tuple[str, ...]:
    """Return a list parameter: such overrides are for every claim, so the last one holds."""
    value: tuple[str, ...] = ()
    locked = False
    for _, tier in groupby(
        (e.override for e in entries if name in e.override.params), key=lambda o: o.tier
    ):
        of_tier = list(tier)
        if not locked:
            value = of_tier[-1].params[name]
        locked = locked or any(f"params.{name}" in override.locked for override in of_tier)
    return value
