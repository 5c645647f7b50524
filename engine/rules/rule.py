"""What a rule is.

A declaration that documents, weighs and exemplifies, and a function from columns to hits.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Bools, Ints


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
    """Thousandths; below 0 for none."""
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


@dataclass(frozen=True, slots=True)
class NotEvaluated:
    """Lines (or whole claims) that a rule could not judge, and why."""

    reason: str
    lines: Bools | None = None
    """Mask over the lines."""
    claims: Bools | None = None
    """Mask over the claims; with neither, no claim of any pass: what it rests on is not loaded."""


def _empty() -> Ints:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Hits:
    """What a rule found, as columns.

    One row per hit, with the lines that it falls on and their partners.
    """

    claim: Ints
    """Row of the claim, shape (hits,)."""
    line_hit: Ints = field(default_factory=_empty)
    """Which hit the line below belongs to, ascending."""
    line: Ints = field(default_factory=_empty)
    """Row of a line on which the action falls."""
    partner_hit: Ints = field(default_factory=_empty)
    """Which hit the partner below belongs to, ascending."""
    partner: Ints = field(default_factory=_empty)
    """Row of a line that the finding rests on, such as the column 1 line of a pair."""
    variant: Ints | None = None
    """Index of the case in the order of declaration, shape (hits,); None means the first."""
    evidence: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Facts by declared name, shape (hits,)."""
    not_evaluated: tuple[NotEvaluated, ...] = ()
    evaluated: Bools | None = None
    """Lines that were really judged, by a table row or a comparison.

    None means all that the rule applies to.
    """

    def __len__(self) -> int:
        """Count the hits."""
        return len(self.claim)

    @classmethod
    def none(cls, *not_evaluated: NotEvaluated, evaluated: Bools | None = None) -> Self:
        """Return no hits."""
        return cls(_empty(), not_evaluated=not_evaluated, evaluated=evaluated)

    @classmethod
    def on_lines(
        cls,
        batch: Batch,
        mask: Bools,
        *,
        variant: Ints | None = None,
        evidence: Mapping[str, NDArray[Any]] | None = None,
        not_evaluated: tuple[NotEvaluated, ...] = (),
        evaluated: Bools | None = None,
    ) -> Self:
        """Return one hit for each line of the mask.

        Variant and evidence are columns over all lines.
        """
        line = np.flatnonzero(mask)
        return cls(
            claim=batch.lines.claim[line],
            line_hit=np.arange(len(line)),
            line=line,
            variant=None if variant is None else variant[line],
            evidence={name: column[line] for name, column in (evidence or {}).items()},
            not_evaluated=not_evaluated,
            evaluated=evaluated,
        )

    @classmethod
    def on_claims(
        cls,
        mask: Bools,
        *,
        variant: Ints | None = None,
        evidence: Mapping[str, NDArray[Any]] | None = None,
        not_evaluated: tuple[NotEvaluated, ...] = (),
    ) -> Self:
        """Return one hit for each claim of the mask.

        Variant and evidence are columns over all claims.
        """
        claim = np.flatnonzero(mask)
        return cls(
            claim=claim,
            variant=None if variant is None else variant[claim],
            evidence={name: column[claim] for name, column in (evidence or {}).items()},
            not_evaluated=not_evaluated,
        )

    @classmethod
    def on_groups(
        cls,
        batch: Batch,
        line: Ints,
        group: Ints,
        *,
        variant: Ints | None = None,
        evidence: Mapping[str, NDArray[Any]] | None = None,
        partner: tuple[Ints, Ints] | None = None,
        not_evaluated: tuple[NotEvaluated, ...] = (),
        evaluated: Bools | None = None,
    ) -> Self:
        """Return one hit for each group of lines.

        Args:
            batch: The pass.
            line: Rows of lines, shape (k,).
            group: Group of each of them, any integers, shape (k,).
            variant: Column over all lines; the first line of a group decides.
            evidence: Columns over all lines; the first line of a group decides.
            partner: Rows of partner lines and the group that each belongs to.
            not_evaluated: What could not be judged.
            evaluated: Lines that were judged.
        """
        order = np.lexsort((line, group))
        line, group = line[order], group[order]
        groups, first, line_hit = np.unique(group, return_index=True, return_inverse=True)
        lead = line[first]
        partner_hit, partner_line = _empty(), _empty()
        if partner is not None:
            partner_line, partner_group = partner
            partner_order = np.lexsort((partner_line, partner_group))
            partner_line = partner_line[partner_order]
            partner_hit = np.searchsorted(groups, partner_group[partner_order])
        return cls(
            claim=batch.lines.claim[lead],
            line_hit=line_hit,
            line=line,
            partner_hit=partner_hit,
            partner=partner_line,
            variant=None if variant is None else variant[lead],
            evidence={name: column[lead] for name, column in (evidence or {}).items()},
            not_evaluated=not_evaluated,
            evaluated=evaluated,
        )

    @classmethod
    def joined(cls, first: Self, second: Self) -> Self:
        """Return the hits of one search after those of another, with the same cases and evidence.

        What was not evaluated is said of both; what was, by the first that says it.
        """
        gaps = first.not_evaluated + second.not_evaluated
        evaluated = second.evaluated if first.evaluated is None else first.evaluated
        if not len(second) or not len(first):
            some = first if len(first) else second
            return replace(some, not_evaluated=gaps, evaluated=evaluated)
        after = len(first)
        return cls(
            claim=np.concatenate([first.claim, second.claim]),
            line_hit=np.concatenate([first.line_hit, second.line_hit + after]),
            line=np.concatenate([first.line, second.line]),
            partner_hit=np.concatenate([first.partner_hit, second.partner_hit + after]),
            partner=np.concatenate([first.partner, second.partner]),
            variant=None
            if first.variant is None or second.variant is None
            else np.concatenate([first.variant, second.variant]),
            evidence={
                name: np.concatenate([column, second.evidence[name]])
                for name, column in first.evidence.items()
            },
            not_evaluated=gaps,
            evaluated=evaluated,
        )

    def take(self, keep: Bools) -> Self:
        """Return the hits of the mask, with their lines and partners."""
        number = np.cumsum(keep) - 1
        line, partner = keep[self.line_hit], keep[self.partner_hit]
        return replace(
            self,
            claim=self.claim[keep],
            line_hit=number[self.line_hit[line]],
            line=self.line[line],
            partner_hit=number[self.partner_hit[partner]],
            partner=self.partner[partner],
            variant=None if self.variant is None else self.variant[keep],
            evidence={name: column[keep] for name, column in self.evidence.items()},
        )


@dataclass(frozen=True, slots=True)
class LineExample:
    """A service line of an example.

    What is left out is plain: one unit, 100 dollars, office, the claim's day.
    """

    code: str
    modifiers: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `ServiceLine` by name."""

    def __str__(self) -> str:
        """Return the line in short, such as `45380-59` or `97110 [units 2]`."""
        said = "-".join((self.code, *self.modifiers)) or "no code"
        facts = ", ".join(f"{name} {_field_text(value)}" for name, value in self.fields.items())
        return f"{said} [{facts}]" if facts else said


@dataclass(frozen=True, slots=True)
class Example:
    """A claim that shows what a rule does; a test runs it and the documentation prints it."""

    name: str
    lines: tuple[LineExample, ...]
    hit: bool
    hit_lines: tuple[int, ...] | None
    """Numbers of the lines on which the action falls, over all hits of the rule.

    None where that is left open.
    """
    variant: str | None
    fields: Mapping[str, Any]
    """Fields of `Claim` by name."""
    earlier: tuple["Example", ...] = ()
    """Claims of the same member before this one."""
    on_file: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Rows about member and biller, by the name of their table in `engine.members.Members` or
    `engine.history.History`."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the rule that the example changes."""

    def __str__(self) -> str:
        """Return the claim in short, such as `45385 | 45380-59`."""
        facts = [f"{name} {_field_text(value)}" for name, value in self.fields.items()]
        before = "".join(f"{each}, then " for each in self.earlier)
        facts += [f"{name} = {value}" for name, value in self.params.items()]
        facts += [f"{table} on file: {_rows_text(rows)}" for table, rows in self.on_file.items()]
        lines = " | ".join(map(str, self.lines))
        return before + lines + (f" ({', '.join(facts)})" if facts else "")


def _field_text(value: Any) -> str:
    """Return what an example gives a field: a value, a message's fields, or a list of either."""
    if value is None:
        return "left out"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_value_text(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return _list_text(value) or "none"
    return str(value) or "blank"


def _rows_text(rows: Sequence[Mapping[str, Any]]) -> str:
    return _list_text(rows) or "none"


def _list_text(values: Sequence[Any]) -> str:
    return "; ".join(
        " ".join(f"{name} {_value_text(part)}" for name, part in value.items())
        if isinstance(value, Mapping)
        else str(value)
        for value in values
    )


def _value_text(value: Any) -> str:
    return f"[{_list_text(value)}]" if isinstance(value, list) else str(value)


def line(text: str, **fields: Any) -> LineExample:
    """Return a line of an example: code and modifiers as `45380-59`, more fields by name.

    Names are those of `ServiceLine`; `units`, `charge` (dollars), `pos`, `day` (ISO date), `dx`
    (pointers) and `npi` (rendering) are short forms.
    """
    code, *modifiers = text.split("-")
    return LineExample(code, tuple(modifiers), fields)


def example(
    name: str,
    *lines: LineExample,
    hit: bool = False,
    hit_lines: tuple[int, ...] | None = None,
    variant: str | None = None,
    earlier: Sequence[Example] = (),
    on_file: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    params: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Example:
    """Return a named example: its lines, whether the rule fires, and fields of `Claim` by name.

    `day` (of service), `received`, `birth`, `npi` (billing), `tob`, `dx` (codes), `total` (dollars)
    and `institutional=True` are short forms. `earlier` are claims of the same member before it,
    of `claim_before`; `on_file` are rows about the member, by table and column of `engine.members`,
    or about billers (`engine.history`), with days in ISO form, codes and ids as texts; `params` are
    parameters of the rule under a policy that changes them.
    """
    return Example(
        name,
        lines,
        hit,
        hit_lines,
        variant,
        fields,
        tuple(earlier),
        on_file or {},
        params or {},
    )


def claim_before(*lines: LineExample, **fields: Any) -> Example:
    """Return an earlier claim of an example's member; fields as for `example`."""
    return Example("", lines, hit=False, hit_lines=None, variant=None, fields=fields)


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
