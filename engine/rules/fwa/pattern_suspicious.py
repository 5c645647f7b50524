"""One diagnosis for services that seldom have one in common."""

from typing import Final

import numpy as np

from engine.as_earlier import pointed_diagnoses
from engine.codes import code36
from engine.columns import Batch, Bools, Ints, rows_where
from engine.facts import Facts
from engine.policy import Params
from engine.reference import Reference
from engine.rules.listed import gap_of, rows_of_lines
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    Scope,
    Severity,
    example,
    line,
    rule,
)
from engine.tables.code_sets import diagnosis_order, diagnosis_order_last

_SHOWN: Final = 4


@rule(
    id="FWA_PATTERN_SUSPICIOUS",
    category=Category.FWA,
    scope=Scope.CLAIM,
    severity=Severity.MEDIUM,
    weight=0.10,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    cites="Tenant policy of the special investigations unit",
    datasets=("procedure_families",),
    params={"families_min": 3, "lines_min": 3, "diagnoses_excluded": ("Z00", "Z01")},
    evidence={
        "diagnosis": Kind.CODE,
        "families": Kind.COUNT,
        **{f"family_{n}": Kind.TEXT for n in range(1, _SHOWN + 1)},
    },
    caveat="Which families seldom share a diagnosis is the tenant's table. Examinations (Z00, Z01) "
    "lead to many services and are left out. Facility lines point to no diagnosis.",
    examples=[
        example(
            "imaging, therapy, a genetic test and equipment for one diagnosis",
            line("70551"),
            line("97140"),
            line("81528"),
            line("E0601"),
            hit=True,
            hit_lines=(),
        ),
        example("two families", line("70551"), line("70553"), line("97140")),
        example(
            "two lines are too few, whatever their families",
            line("70551"),
            line("97140"),
            params={"families_min": 2},
        ),
        example(
            "three lines of two families, where two are enough",
            line("70551"),
            line("70553"),
            line("97140"),
            params={"families_min": 2},
            hit=True,
        ),
        example(
            "three families, each for a diagnosis of its own",
            line("70551", dx=(1,)),
            line("97140", dx=(2,)),
            line("81528", dx=(3,)),
            dx=("G43909", "M545", "Z1211"),
        ),
        example(
            "a second diagnosis that all three share",
            line("70551", dx=(1, 2)),
            line("97140", dx=(2,)),
            line("81528", dx=(3, 2)),
            dx=("G43909", "E119", "Z1211"),
            hit=True,
        ),
        example(
            "an annual examination", line("70551"), line("97140"), line("81528"), dx=("Z0000",)
        ),
        example("families of no listed code", line("99213"), line("36415"), line("85025")),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts, params: Params) -> Hits:
    """Lines of several unrelated families are justified by one and the same diagnosis."""
    listing, lines = reference.listing("procedure_families"), batch.lines
    found = rows_of_lines(listing, batch, facts)
    if not len(found):
        return Hits.none(*gap_of(listing))
    names, family = np.unique(listing.columns["family"], return_inverse=True)
    diagnosis = pointed_diagnoses(batch, found.place)
    at, slot = np.nonzero(diagnosis > 0)
    claim, code = lines.claim[found.place[at]], diagnosis[at, slot]
    kept = ~_excluded(code, params.words("diagnoses_excluded"))
    groups = np.unique(
        np.stack([claim[kept], code[kept], family[found.row[at[kept]]]], axis=1), axis=0
    )
    starts = np.ones(len(groups), np.bool_)
    starts[1:] = (groups[1:, :2] != groups[:-1, :2]).any(axis=1)
    first = rows_where(starts)
    count = np.diff(np.append(first, len(groups)))
    # A code may belong to several families, so that families are not lines.
    billed = np.unique(np.stack([claim[kept], code[kept], found.place[at[kept]]], axis=1), axis=0)
    lines_of = np.unique(billed[:, :2], axis=0, return_counts=True)[1]
    enough = count >= params["families_min"][groups[first, 0]]
    enough &= lines_of >= params["lines_min"][groups[first, 0]]
    return _on_claims(groups, first[enough], count[enough], names)


def _excluded(code: Ints, prefixes: tuple[str, ...]) -> Bools:
    place, out = diagnosis_order(code), np.zeros(len(code), np.bool_)
    for prefix in prefixes:
        bound = np.array([code36(prefix)], np.int64)
        out |= (diagnosis_order(bound) <= place) & (place <= diagnosis_order_last(bound))
    return out


def _on_claims(groups: Ints, first: Ints, count: Ints, names: np.ndarray) -> Hits:
    """One hit for each claim: the diagnosis with most families, the first of equals."""
    order = np.lexsort((first, -count, groups[first, 0]))
    claim, lead = np.unique(groups[first[order], 0], return_index=True)
    best = order[lead]
    row, most = first[best], count[best]
    shown = {
        f"family_{n + 1}": np.where(
            n < most, names[groups[np.minimum(row + n, len(groups) - 1), 2]], b""
        )
        for n in range(_SHOWN)
    }
    return Hits(claim=claim, evidence={"diagnosis": groups[row, 1], "families": most, **shown})
