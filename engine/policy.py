"""How a tenant wants claims decided.

Thresholds, the model's part, and what it changes about rules.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from engine.columns import Ints
    from engine.rules.rule import Rule


class PolicyError(ValueError):
    """A policy that contradicts itself or names what does not exist."""


@dataclass(frozen=True, slots=True)
class RuleOverride:
    """What a policy changes about one rule; None leaves the rule's own value."""

    enabled: bool = True
    weight: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of a tenant's policy. The defaults are the project's own."""

    name: str = "default"
    review_min: float = 0.30
    """From this fraud score on a claim is reviewed."""
    deny_min: float = 0.80
    """From this fraud score on a claim is denied or reviewed; above 1 switches it off."""
    approval_threshold: float = 0.80
    """From this probability on the model approves."""
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
    overrides: Mapping[str, RuleOverride] = field(default_factory=dict)
    """Changes by rule id."""

    def __post_init__(self) -> None:
        """Refuse a policy that cannot be meant."""
        choices = {
            "ml_reject_policy": ("ignore", "review", "deny"),
            "format_reject_mode": ("review", "reject"),
            "price_formula": ("full", "simple"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise PolicyError(f"{name} is {getattr(self, name)!r}; allowed are {allowed}")
        for name in ("review_min", "approval_threshold", "model_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise PolicyError(f"{name} is {getattr(self, name)}; allowed is 0 to 1")
        if not self.review_min <= self.deny_min:
            raise PolicyError(
                f"review_min {self.review_min} is above deny_min {self.deny_min}; lower the first"
            )
        for rule_id, override in self.overrides.items():
            if override.weight is not None and not 0 <= override.weight <= 1:
                raise PolicyError(
                    f"overrides[{rule_id}].weight is {override.weight}; allowed is 0 to 1"
                )

    @property
    def version(self) -> str:
        """Name and content hash.

        Two policies that decide alike have the same version, and no others.
        """
        content = json.dumps(self._content(), sort_keys=True, default=str)
        return f"{self.name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    def _content(self) -> dict[str, Any]:
        """Everything that decides, in one spelling: 1 is 1.0, an override of nothing is none."""
        content = asdict(self)
        for each in fields(self):
            if isinstance(each.default, float):
                content[each.name] = float(content[each.name])
        plain = asdict(RuleOverride())
        content["overrides"] = {
            rule_id: override
            for rule_id, override in content["overrides"].items()
            if override != plain
        }
        return content

    @property
    def model_share(self) -> float:
        """The model's share in the fraud score that is in force (domain D.2)."""
        return 0.0 if self.ml_reject_policy == "ignore" else self.model_weight

    def check(self, rules: tuple[Rule, ...]) -> None:
        """Refuse overrides of rules or parameters that do not exist."""
        by_id = {rule.id: rule for rule in rules}
        for rule_id, override in self.overrides.items():
            if rule_id not in by_id:
                raise PolicyError(
                    f"overrides names {rule_id!r}, which is no rule; see `claimgate rules list`"
                )
            if unknown := set(override.params) - set(by_id[rule_id].params):
                raise PolicyError(
                    f"overrides[{rule_id}].params names {sorted(unknown)}; "
                    f"the rule has {sorted(by_id[rule_id].params)}"
                )
            for name, value in override.params.items():
                expected = type(by_id[rule_id].params[name])
                if type(value) is not expected:
                    raise PolicyError(
                        f"overrides[{rule_id}].params[{name}] is a {type(value).__name__}; "
                        f"expected {expected.__name__}"
                    )


@dataclass(frozen=True, slots=True)
class Params:
    """A rule's parameters for one pass."""

    values: Mapping[str, Any]
    claims: int

    def __getitem__(self, name: str) -> Ints:
        """Return a number parameter as a column over the claims."""
        return np.broadcast_to(np.asarray(self.values[name]), (self.claims,))

    def words(self, name: str) -> tuple[str, ...]:
        """Return a list parameter."""
        return tuple(self.values[name])


def params_of(rule: Rule, policy: Policy, claims: int) -> Params:
    """Return the rule's parameters with the policy's changes."""
    override = policy.overrides.get(rule.id, RuleOverride())
    return Params({**rule.params, **override.params}, claims)
