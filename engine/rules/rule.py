"""What a rule is.

A declaration that documents, weighs and exemplifies, and a function from columns to hits.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from engine.rules.example import Example, LineExample, claim_before, example, line
from engine.rules.hits import Hits, NotEvaluated

__all__ = [
    "NEEDS",
    "Action",
    "Case",
    "Category",
    "Certainty",
    "Example",
    "Family",
    "Find",
    "Hits",
    "Kind",
    "LineExample",
    "NotEvaluated",
    "Rule",
    "RuleDeclarationError",
    "Scope",
    "Severity",
    "Stake",
    "Variant",
    "claim_before",
    "example",
    "line",
    "rule",
    "stake_of",
]


class Category(IntEnum):
    """The field of a rule; numbers as in the API."""

    FORMAT = 1
    ELIGIBILITY = 2
    TIMELY_FILING = 3
    DUPLICATE = 4
    COB = 5
    NCCI = 6
    MODIFIER = 7
    PLACE_OF_SERVICE = 8
    PRICING = 9
    NECESSITY = 10
    FWA = 11
    OCE = 12
    COVERAGE = 13
    SPECIALTY = 14
    SURGICAL = 15


class Scope(IntEnum):
    """What a rule looks at; numbers as in the API."""

    LINE = 1
    CLAIM = 2


class Severity(IntEnum):
    """How bad a finding is; numbers as in the API."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Action(IntEnum):
    """What a hit asks for, worst last; numbers as in the API."""

    INFO = 1
    PEND = 2
    DENY_LINE = 3
    DENY_CLAIM = 4
    REJECT = 5


class Certainty(IntEnum):
    """Whether a hit may act by itself; numbers as in the API."""

    APPLY = 1
    ADVISE = 2


class Family(StrEnum):
    """Rules that find the same problem: on one line only the strongest counts."""

    DUPLICATE = "duplicate"
    TIMELY_FILING = "timely_filing"
    BUNDLING = "bundling"
    UNITS = "units"
    FEE = "fee"
    EXPERIMENTAL = "experimental"
    BILATERAL = "bilateral"
    GLOBAL_SURGERY = "global_surgery"


class Stake(StrEnum):
    """What money a hit puts at risk."""

    NONE = "none"
    LINES = "lines"
    """The whole price of its lines, their charge where they have none."""
    CLAIM = "claim"
    """The same of all lines of the claim."""
    EXCESS = "excess"
    """The evidence column `excess_cents`."""
    RECOVERY = "recovery"
    """The evidence column `recovery_cents`: what another claim was paid, beside this one's."""


class Kind(StrEnum):
    """How an evidence column reads as text; a count or amount below 0 is left out."""

    COUNT = "count"
    """A number; -1 for none."""
    UNITS = "units"
    """Thousandths; below 0 for none."""
    CENTS = "cents"
    RATIO_E2 = "ratio_e2"
    RATIO_E4 = "ratio_e4"
    CODE = "code"
    POS = "pos"
    DATE = "date"
    NAME = "name"
    """An index into the names that the rule declares for this column."""
    TEXT = "text"
    """A text of a listing, in ASCII."""
    EARLIER_CLAIM = "earlier_claim"
    """A row of `Past.claims`, shown by the claim's id; -1 for none."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One case of a rule; what is left out is the rule's own."""

    weight: float | None = None
    action: Action | None = None
    certainty: Certainty | None = None
    families: tuple[Family, ...] | None = None
    stake: Stake | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A variant with everything filled in."""

    name: str
    weight: float
    action: Action
    certainty: Certainty
    families: tuple[Family, ...]
    stake: Stake


Find = Callable[..., Hits]

NEEDS = (
    "batch",
    "reference",
    "facts",
    "past",
    "history",
    "members",
    "allowed",
    "pair_edits",
    "denied",
    "params",
)
"""What a rule may ask for by naming it as a parameter. `denied` are the lines that edits of coding
deny for certain; rules that ask for it run after the others."""


@dataclass(frozen=True, slots=True, repr=False)
class Rule:
    """One rule.

    What it says, who says so, what it weighs, how it is found, what it does to real claims.
    """

    id: str
    category: Category
    scope: Scope
    severity: Severity
    cases: tuple[Case, ...]
    cites: str
    carc: str
    stake: Stake
    datasets: tuple[str, ...]
    """Tables that it reads; the first one's release goes into the hit."""
    params: Mapping[str, Any]
    evidence: Mapping[str, Kind]
    names: Mapping[str, tuple[str, ...]]
    examples: tuple[Example, ...]
    caveat: str
    uses_history: bool
    prevails: bool
    """It wins its families whatever the others weigh."""
    never_alone: bool
    """It may add to what others find, and alone moves no claim out of payment."""
    summary: str
    needs: tuple[str, ...]
    find: Find

    def __repr__(self) -> str:
        """Name the rule."""
        return f"Rule({self.id})"


class RuleDeclarationError(ValueError):
    """A rule's declaration contradicts itself."""


def rule(
    *,
    id: str,  # noqa: A002 - the word that everybody uses for it
    category: Category,
    scope: Scope,
    severity: Severity,
    weight: float,
    action: Action,
    certainty: Certainty,
    cites: str,
    examples: Sequence[Example],
    carc: str = "",
    variants: Mapping[str, Variant] | None = None,
    families: tuple[Family, ...] = (),
    stake: Stake | None = None,
    datasets: tuple[str, ...] = (),
    params: Mapping[str, Any] | None = None,
    evidence: Mapping[str, Kind] | None = None,
    names: Mapping[str, tuple[str, ...]] | None = None,
    caveat: str = "",
    uses_history: bool = False,
    prevails: bool = False,
    never_alone: bool = False,
) -> Callable[[Find], Rule]:
    """Declare the rule that the decorated function finds.

    Args:
        id: Name for ever, upper case.
        category: Field of the rule.
        scope: Line or claim.
        severity: How bad a hit is.
        weight: Probability mass of a real problem if this rule alone fires, 0 to 1.
        action: What a hit asks for.
        certainty: Whether a hit may act by itself.
        cites: Document, section, date of the regulation or manual.
        examples: At least a hit and a near miss.
        carc: Suggested claim adjustment reason code.
        variants: Cases by name in the order of `Hits.variant`; none means one case without a name.
        families: Families whose strongest hit alone counts on a line.
        stake: What money a hit puts at risk; by default what its action falls on.
        datasets: Tables that the rule reads; the first one's release goes into the hit.
        params: Parameters with defaults, which a policy may change.
        evidence: Evidence columns by name and how they read.
        names: For evidence of Kind.NAME the names by index.
        caveat: What is unverified about the rule.
        uses_history: Earlier claims of the member count too; without them an answer says `partial`.
        prevails: The rule wins its families whatever the others weigh.
        never_alone: It may add to what others find, and alone moves no claim out of payment.
    """
    own_stake = stake_of(action, scope) if stake is None else stake
    cases = tuple(
        Case(
            name,
            weight if variant.weight is None else variant.weight,
            variant.action or action,
            variant.certainty or certainty,
            families if variant.families is None else variant.families,
            variant.stake
            or (
                own_stake
                if variant.action in (None, action) or own_stake is Stake.EXCESS
                else stake_of(variant.action, scope)
            ),
        )
        for name, variant in (variants or {"": Variant()}).items()
    )

    def declare(find: Find) -> Rule:
        needs = tuple(inspect.signature(find).parameters)
        if unknown := set(needs) - set(NEEDS):
            raise RuleDeclarationError(
                f"{id} asks for {sorted(unknown)}; a rule may ask for {NEEDS}"
            )
        if not all(0 <= case.weight <= 1 for case in cases):
            raise RuleDeclarationError(f"{id} has a weight outside 0 to 1")
        if not any(e.hit for e in examples) or all(e.hit for e in examples):
            raise RuleDeclarationError(f"{id} needs an example that hits and one that nearly does")
        return Rule(
            id=id,
            category=category,
            scope=scope,
            severity=severity,
            cases=cases,
            cites=cites,
            carc=carc,
            stake=own_stake,
            datasets=datasets,
            params=params or {},
            evidence=evidence or {},
            names=names or {},
            examples=tuple(examples),
            caveat=caveat,
            uses_history=uses_history,
            prevails=prevails,
            never_alone=never_alone,
            summary=inspect.cleandoc(find.__doc__ or "").split("\n\n")[0].replace("\n", " "),
            needs=needs,
            find=find,
        )

    return declare


def stake_of(action: Action, scope: Scope) -> Stake:
    """Return what an action puts at risk, unless its rule says otherwise."""
    if action is Action.DENY_CLAIM:
        return Stake.CLAIM
    if action is Action.INFO or scope is Scope.CLAIM:
        return Stake.NONE
    return Stake.LINES
