"""Faulty fields as hits: one hit for each place where one field is wrong in one way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Bools, Ints, rows_where
from engine.rules.rule import Hits, NotEvaluated

NO_LINE = -1


@dataclass(frozen=True, slots=True)
class Faults:
    """Places where one field is wrong in one way. Shapes are (faults,)."""

    kind: int
    """Which field and which way: an index into the names that the rule declares."""
    claim: Ints
    line: Ints
    """NO_LINE where the field is the claim's."""
    evidence: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def on_claims(cls, kind: int, mask: Bools, **evidence: NDArray[Any]) -> Self:
        """Return a fault for each claim of the mask; evidence are columns over the claims."""
        claim = rows_where(mask)
        taken = {name: column[claim] for name, column in evidence.items()}
        return cls(kind, claim, np.full(len(claim), NO_LINE), taken)

    @classmethod
    def on_lines(cls, batch: Batch, kind: int, mask: Bools, **evidence: NDArray[Any]) -> Self:
        """Return a fault for each line of the mask; evidence are columns over the lines."""
        line = rows_where(mask)
        taken = {name: column[line] for name, column in evidence.items()}
        return cls(kind, batch.lines.claim[line], line, taken)


def hits_of(
    faults: Sequence[Faults],
    *,
    variant_by_kind: Sequence[int] | None = None,
    not_evaluated: tuple[NotEvaluated, ...] = (),
) -> Hits:
    """Return one hit for each fault, by claim, line and kind.

    The kind is the evidence `field` and `problem`; every fault has the same further evidence.
    """
    kind = np.repeat([fault.kind for fault in faults], [len(fault.claim) for fault in faults])
    claim = np.concatenate([fault.claim for fault in faults])
    line = np.concatenate([fault.line for fault in faults])
    order = np.lexsort((kind, line, claim))
    kind, claim, line = kind[order], claim[order], line[order]
    evidence = {
        name: np.concatenate([fault.evidence[name] for fault in faults])[order]
        for name in faults[0].evidence
    }
    on_line = rows_where(line != NO_LINE)
    return Hits(
        claim=claim,
        line_hit=on_line,
        line=line[on_line],
        variant=None if variant_by_kind is None else np.asarray(variant_by_kind)[kind],
        evidence={"field": kind, "problem": kind, **evidence},
        not_evaluated=not_evaluated,
    )
