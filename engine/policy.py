"""How a tenant wants claims decided.

Thresholds, the model's part, and what it changes about rules and for whom (domain D.5).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from functools import cached_property
from itertools import product
from typing import Any, Final

import numpy as np

from engine.columns import Ints
from engine.match import LINE_FILTERS, Match, PolicyError
from engine.rules.rule import Action, Case, Certainty, Rule, Severity

__all__ = ["Match", "Override", "Params", "Policy", "PolicyError", "Tier"]

THRESHOLDS: Final = ("review_min", "deny_min", "approval_threshold", "model_weight")

TIGHTER: Final[Mapping[str, int]] = {
    "enabled": 1,
    "weight": 1,
    "severity": 1,
    "action": 1,
    "certainty": -1,
    "shadow": -1,
    "review_min": -1,
    "deny_min": -1,
    "approval_threshold": 1,
    "model_weight": 1,
}
"""Fields that can be tightened, and whether up (1) or down (-1); the others are only changed."""

_RULE_FIELDS: Final = ("enabled", "weight", "severity", "action", "certainty", "carc", "shadow")
_CHOICES: Final = {
    "score_mode": ("product", "additive"),
    "ml_reject_policy": ("ignore", "review", "deny"),
    "format_reject_mode": ("review", "reject"),
    "price_formula": ("full", "simple"),
}
_SHARES: Final = ("base_score", "review_min", "approval_threshold", "model_weight")


ALL: Final = Match()
"""Every claim, line and hit."""


class Tier(IntEnum):
    """Who an override comes from; a later one is more specific and goes first."""

    LOB = 1
    """Pack of a line of business."""
    PAYER = 2
    TENANT = 3
    CONTRACT = 4


@dataclass(frozen=True)
class Override:
    """What a policy changes, and for whom; None leaves what less specific tiers say.

    With a rule it changes the rule, without one the thresholds.
    """

    rule_id: str = ""
    tier: Tier = Tier.TENANT
    match: Match = ALL
    enabled: bool | None = None
    weight: float | None = None
    severity: Severity | None = None
    action: Action | None = None
    certainty: Certainty | None = None
    carc: str | None = None
    """Suggested claim adjustment reason code."""
    shadow: bool | None = None
    """Hits are recorded and count for nothing."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Numbers, which may differ by claim, and lists of texts, which hold for every claim."""
    review_min: float | None = None
    deny_min: float | None = None
    approval_threshold: float | None = None
    model_weight: float | None = None
    locked: tuple[str, ...] = ()
    """Fields given here that more specific tiers may only tighten."""

    @cached_property
    def given(self) -> dict[str, Any]:
        """What is changed, by field; parameters as `params.NAME`."""
        names = (*_RULE_FIELDS, *THRESHOLDS)
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None} | {
            f"params.{name}": value for name, value in self.params.items()
        }


@dataclass(frozen=True, eq=False)
class Policy:
    """One version of a tenant's policy. The defaults are the project's own."""

    name: str = "default"
    review_min: float = 0.30
    """From this fraud score on a claim is reviewed."""
    deny_min: float = 0.80
    """From this fraud score on a claim is denied or reviewed; above 1 switches it off."""
    approval_threshold: float = 0.80
    """From this probability on the model approves."""
    score_mode: str = "product"
    """How rules add up to the rule score: product, or additive from `base_score` on."""
    base_score: float = 0.0
    """What an additive rule score begins with."""
    ml_reject_policy: str = "ignore"
    """What a model rejection leads to: ignore (a model with synthetic labels), review or deny."""
    ml_sole_denial_attested: bool = False
    """The tenant attests that the model alone may deny; without it `deny` acts as `review`."""
    model_weight: float = 0.30
    """The model's share in the fraud score (lambda).

    Counts as 0 while `ml_reject_policy` is ignore.
    """
    auto_partial: bool = False
    """Clean lines of a claim with denied lines are paid without review."""
    format_reject_mode: str = "review"
    """What FORMAT_* rules with action REJECT lead to: review or reject."""
    allow_zero_charge: bool = True
    """A total charge of 0 is accepted on encounters."""
    price_formula: str = "full"
    """`full` prices by locality; `simple` is total RVU x units x `legacy_cf_e4`."""
    legacy_cf_e4: int = 388_700
    """Conversion factor of the simple formula, dollars in ten-thousandths.

    Not a CMS factor of any year.
    """
    overrides: tuple[Override, ...] = ()
    """Changes to rules and thresholds; within a tier a later one goes first."""

    def __post_init__(self) -> None:
        """Refuse a policy that cannot be meant, whatever the rules are."""
        if not re.fullmatch(r"[\w.-]{1,64}", self.name, re.ASCII):
            raise PolicyError("name", "1 to 64 letters, digits, dots, hyphens or underscores")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise PolicyError(name, " or ".join(allowed))
        for name in _SHARES:
            _check_share(name, getattr(self, name))
        if self.legacy_cf_e4 <= 0:
            raise PolicyError("legacy_cf_e4", "more than 0")
        if not self.review_min <= self.deny_min:
            raise PolicyError("review_min", f"no more than deny_min, which is {self.deny_min}")
        for path, override in self._paths:
            _check_override(path, override)
        self._check_thresholds()
        self._check_locks()

    def check(self, rules: Iterable[Rule]) -> None:
        """Refuse overrides of rules, cases or parameters that do not exist or must not be eased."""
        by_id = {rule.id: rule for rule in rules}
        for path, override in self._paths:
            if override.rule_id:
                if override.rule_id not in by_id:
                    raise PolicyError(
                        f"{path}.rule_id", "the id of a rule; `claimgate rules list` shows them"
                    )
                _check_against(path, override, by_id[override.rule_id])
                _check_guards(path, override, by_id[override.rule_id])

    @cached_property
    def version(self) -> str:
        """Name and content hash.

        Two policies that decide alike have the same version, and no others.
        """
        content = json.dumps(self._content(), sort_keys=True, default=str)
        return f"{self.name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    @cached_property
    def switched_off(self) -> frozenset[str]:
        """Rules that are off for every claim there may be, so that no pass has to run them."""
        said = [each for each in self.overrides if each.rule_id and each.enabled is not None]
        on = {each.rule_id for each in said if each.enabled}
        return frozenset(each.rule_id for each in said if each.match == ALL) - on

    @property
    def model_share(self) -> float:
        """The model's share in the fraud score where no override says otherwise (domain D.2)."""
        return 0.0 if self.ml_reject_policy == "ignore" else self.model_weight

    @property
    def _paths(self) -> list[tuple[str, Override]]:
        return [(f"overrides[{at}]", each) for at, each in enumerate(self.overrides)]

    def _content(self) -> dict[str, Any]:
        """Everything that decides, in one spelling: 1 is 1.0, sets have one order."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        for each in fields(self):
            if isinstance(each.default, float):
                content[each.name] = float(content[each.name])
        ordered = sorted(self.overrides, key=lambda each: (each.tier, each.rule_id))
        content["overrides"] = [_override_content(each) for each in ordered]
        return content

    def _check_thresholds(self) -> None:
        """Refuse a review_min and a deny_min that can meet on a claim in the wrong order."""
        own = Override(
            tier=Tier.LOB, review_min=self.review_min, deny_min=self.deny_min
        )  # of the policy itself: below every override, since it stands first
        ranked = sorted(
            [("", own), *(pair for pair in self._paths if not pair[1].rule_id)],
            key=lambda pair: pair[1].tier if pair[0] else 0,
        )
        for (at, (path, one)), (other_at, (other_path, other)) in product(
            enumerate(ranked), repeat=2
        ):
            if (
                one.review_min is None
                or other.deny_min is None
                or one.review_min <= other.deny_min
                or one.match.apart(other.match)
                or _outranked("review_min", at, one, other_at, other)
                or _outranked("deny_min", other_at, other, at, one)
            ):
                continue
            named, limit = (f"{path}." if path else ""), (f"{other_path}." if other_path else "")
            raise PolicyError(
                f"{named}review_min",
                f"no more than {limit}deny_min, which is {other.deny_min}: some claims meet both",
            )

    def _check_locks(self) -> None:
        """Refuse an override that a lock of a less specific tier would always undo."""
        for path, override in self._paths:
            for lock_path, lock in self._paths:
                if (
                    lock.rule_id != override.rule_id
                    or lock.tier >= override.tier
                    or not lock.match.covers(override.match)
                ):
                    continue
                for name in lock.locked:
                    value, bound = override.given.get(name), lock.given[name]
                    if value is not None and _looser(name, value, bound):
                        way = {1: "no less than", -1: "no more than", 0: "nothing other than"}
                        shown = bound.name.lower() if isinstance(bound, IntEnum) else bound
                        raise PolicyError(
                            f"{path}.{name}",
                            f"{way[TIGHTER.get(name, 0)]} {shown}, which {lock_path} has locked",
                        )


def _override_content(override: Override) -> dict[str, Any]:
    given = {
        name: float(value) if isinstance(getattr(override, name, None), float) else value
        for name, value in override.given.items()
    }
    for name in ("weight", *THRESHOLDS):
        if name in given:
            given[name] = float(given[name])
    match = {name: getattr(override.match, name) for name in override.match.given}
    return {
        "tier": override.tier,
        "rule_id": override.rule_id,
        "match": {
            name: sorted(value) if isinstance(value, tuple) else value
            for name, value in match.items()
        },
        "given": given,
        "locked": sorted(override.locked),
    }


def _check_share(path: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise PolicyError(path, "0 to 1")


def _check_override(path: str, override: Override) -> None:
    """Refuse an override that contradicts itself."""
    given = override.given
    if not given:
        raise PolicyError(path, "at least one field to change")
    for name in ("weight", "review_min", "approval_threshold", "model_weight"):
        if name in given:
            _check_share(f"{path}.{name}", given[name])
    if "deny_min" in given and not given["deny_min"] >= 0:
        raise PolicyError(f"{path}.deny_min", "0 or more; above 1 switches it off")
    for name in given:
        if bool(override.rule_id) == (name in THRESHOLDS):
            raise PolicyError(
                f"{path}.{name}",
                "an override without a rule: thresholds are of whole claims"
                if override.rule_id
                else "a rule beside it",
            )
    for at, name in enumerate(override.locked):
        if name not in given:
            raise PolicyError(f"{path}.locked[{at}]", "a field that the same override gives")
    override.match.check(f"{path}.match")
    whole = not override.rule_id or override.params
    for name in (*LINE_FILTERS, "variants"):
        if whole and getattr(override.match, name):
            raise PolicyError(
                f"{path}.match.{name}", "nothing: thresholds and parameters are of whole claims"
            )


def _check_against(path: str, override: Override, rule: Rule) -> None:
    """Refuse cases and parameters that the rule does not have, and what it may not ask for."""
    if rule.never_alone and override.action not in {None, Action.INFO}:
        raise PolicyError(f"{path}.action", f"info: {rule.id} may only note")
    names = {case.name for case in rule.cases}
    for at, name in enumerate(override.match.variants):
        if name not in names:
            raise PolicyError(f"{path}.match.variants[{at}]", _one_of(names - {""}, "case"))
    for name, value in override.params.items():
        if name not in rule.params:
            raise PolicyError(f"{path}.params.{name}", _one_of(rule.params, "parameter"))
        default = rule.params[name]
        if isinstance(default, tuple):
            if not (isinstance(value, tuple) and all(isinstance(each, str) for each in value)):
                raise PolicyError(f"{path}.params.{name}", "a list of texts")
            if override.match.given:
                raise PolicyError(
                    f"{path}.match", f"none beside params.{name}: a list holds for every claim"
                )
        elif not isinstance(value, int | float if isinstance(default, float) else int):
            raise PolicyError(
                f"{path}.params.{name}",
                "a number" if isinstance(default, float) else "a whole number",
            )


def _one_of(names: Iterable[str], kind: str) -> str:
    known = sorted(names)
    return f"one of {', '.join(known)}" if known else f"none: the rule has no {kind} to name"


@dataclass(frozen=True)
class _Guard:
    """What no policy may ease."""

    rule: str
    free: frozenset[str]
    """Cases that may be eased; a case that is added to the rule may not."""
    eased_by_more: tuple[str, ...] = ()
    """List parameters that ease the rule when they grow."""


_MAY_EASE: Final = frozenset({"commercial", "other"})
_GUARDS: Final = (
    _Guard("OIG_EXCLUSION", frozenset({"not_federal"})),
    _Guard("NCCI_MUE", frozenset({"line", "day_clinical"}), ("modifiers_excluded",)),
)
"""Excluded providers and absolute unit limits (MAI 2) bind where federal money pays."""


def _check_guards(path: str, override: Override, rule: Rule) -> None:
    lobs, cases = override.match.lines_of_business, override.match.variants
    for guard in _GUARDS:
        if guard.rule != rule.id or (lobs and {*lobs} <= _MAY_EASE):
            continue
        guarded = [
            c for c in rule.cases if c.name not in guard.free and (not cases or c.name in cases)
        ]
        for name, value in override.given.items():
            if any(_eases(name, value, case) for case in guarded) or (
                name.removeprefix("params.") in guard.eased_by_more
                and {*value} - {*rule.params[name.removeprefix("params.")]}
            ):
                raise PolicyError(
                    f"{path}.{name}",
                    f"nothing that eases {rule.id} for Medicare or Medicaid; give "
                    "match.lines_of_business without them",
                )


def _eases(name: str, value: Any, case: Case) -> bool:
    own = {
        "enabled": True,
        "shadow": False,
        "weight": case.weight,
        "action": case.action,
        "certainty": case.certainty,
    }
    return name in own and _looser(name, value, own[name])


def _looser(name: str, value: Any, bound: Any) -> bool:
    """Whether a value is looser than a bound; what cannot be tightened must be equal."""
    way = TIGHTER.get(name, 0)
    return bool(value != bound) if way == 0 else bool((value - bound) * way < 0)


def _outranked(name: str, at: int, one: Override, other_at: int, other: Override) -> bool:
    """Whether the other gives the same field and goes first wherever it matches."""
    return getattr(other, name) is not None and other_at > at and name not in one.locked


@dataclass(frozen=True, slots=True)
class Params:
    """A rule's parameters for one pass."""

    values: Mapping[str, Any]
    """Numbers, columns over the claims where they differ, and lists."""
    claims: int

    def __getitem__(self, name: str) -> Ints:
        """Return a number parameter as a column over the claims."""
        return np.broadcast_to(np.asarray(self.values[name]), (self.claims,))

    def words(self, name: str) -> tuple[str, ...]:
        """Return a list parameter."""
        return tuple(self.values[name])
