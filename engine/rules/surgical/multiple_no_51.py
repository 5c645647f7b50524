"""Several procedures of one session, for a payer that wants the lesser ones marked."""

from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import LOB_MEDICARE_ADVANTAGE, LOB_MEDICARE_FFS, Batch, one_of
from engine.facts import Facts
from engine.policy import Params
from engine.pricing import Allowed
from engine.reference import GLOBAL_ZZZ, Reference
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    example,
    line,
    rule,
)

_REDUCED: Final = (2, 3)
"""Values of the multiple procedure indicator: surgery, and endoscopy."""
_MULTIPLE: Final = code36("51")
_MEDICARE: Final = (LOB_MEDICARE_FFS, LOB_MEDICARE_ADVANTAGE)
_ON: Final = {"required": 1}


@rule(
    id="SURGICAL_MULTIPLE_NO_51",
    category=Category.SURGICAL,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.11,
    action=Action.INFO,
    certainty=Certainty.ADVISE,
    carc="59",
    cites="Medicare Claims Processing Manual ch. 12 s. 40.6; MPFS multiple procedure indicator",
    datasets=("mpfs",),
    params={"required": 0},
    evidence={"multiple_procedure": Kind.COUNT, "procedures": Kind.COUNT, "highest": Kind.CODE},
    caveat="Off unless a policy sets `required` for payers that want 51; never for Medicare, whose "
    "systems add it. [U] The highest procedure is that of the highest price of the line before "
    "reductions across lines, then of the highest charge, then the first. A line with 51 may be "
    "any of them.",
    examples=[
        example(
            "the lesser of two procedures without 51",
            line("11042"),
            line("17110"),
            params=_ON,
            insurance_type="CI",
            hit=True,
            hit_lines=(2,),
        ),
        example("a payer that does not want it", line("11042"), line("17110"), insurance_type="CI"),
        example("Medicare adds it itself", line("11042"), line("17110"), params=_ON),
        example(
            "51 on the lesser one",
            line("11042"),
            line("17110-51"),
            params=_ON,
            insurance_type="CI",
        ),
        example(
            "51 on the highest does not mark the lesser one",
            line("11042-51"),
            line("17110"),
            params=_ON,
            insurance_type="CI",
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "three procedures: two of them lack it",
            line("27447"),
            line("11042"),
            line("17110"),
            pos="22",
            params=_ON,
            insurance_type="CI",
            hit=True,
            hit_lines=(2, 3),
        ),
        example(
            "an add-on never needs it",
            line("11042"),
            line("11045"),
            params=_ON,
            insurance_type="CI",
        ),
        example(
            "a service that is not reduced",
            line("11042"),
            line("99213"),
            params=_ON,
            insurance_type="CI",
        ),
        example(
            "on two days",
            line("11042"),
            line("17110", day="2025-10-16"),
            params=_ON,
            insurance_type="CI",
        ),
        example(
            "by two providers",
            line("11042"),
            line("17110", npi="1003000126"),
            params=_ON,
            insurance_type="CI",
        ),
        example(
            "a facility's bill",
            line("11042"),
            line("17110"),
            params=_ON,
            insurance_type="CI",
            institutional=True,
        ),
    ],
)
def find(
    batch: Batch, reference: Reference, facts: Facts, allowed: Allowed, params: Params
) -> Hits:
    """A procedure that is not the highest of its session lacks 51, which its payer wants."""
    claims = batch.claims
    asks = (params["required"] != 0) & ~one_of(claims.line_of_business, _MEDICARE)
    if not asks.any():
        return Hits.none()
    lines = batch.lines
    judged = batch.professional & batch.of_line(asks) & (lines.procedure > 0)
    multiple = reference.mpfs.multiple[facts.mpfs_code]
    procedure = judged & (facts.mpfs_code >= 0) & one_of(multiple, _REDUCED)
    row = np.flatnonzero(procedure & (facts.global_days != GLOBAL_ZZZ))
    # The highest of each session comes first.
    row = row[
        np.lexsort((row, -lines.charge_cents[row], -allowed.amount_cents[row], facts.session[row]))
    ]
    _, lead, place, count = np.unique(
        facts.session[row], return_index=True, return_inverse=True, return_counts=True
    )
    lesser = np.ones(len(row), np.bool_)
    lesser[lead] = False
    lacks = lesser & (lines.modifiers[row] != _MULTIPLE).all(axis=1)
    highest, procedures = np.zeros((2, len(lines)), np.int64)
    highest[row], procedures[row] = lines.procedure[row[lead]][place], count[place]
    mask = np.zeros(len(lines), np.bool_)
    mask[row[lacks]] = True
    return Hits.on_lines(
        batch,
        mask,
        evidence={"multiple_procedure": multiple, "procedures": procedures, "highest": highest},
        not_evaluated=(NotEvaluated("no_release", judged & ~facts.mpfs_in_force),),
    )
