"""What a rule found, and what it could not judge, as columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Bools, Ints, rows_where


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
        line = rows_where(mask)
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
        claim = rows_where(mask)
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
            partner_hit = groups.searchsorted(partner_group[partner_order])
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
