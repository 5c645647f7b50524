"""The same service twice on a day, billed differently."""

from typing import Final

import numpy as np

from engine.codes import ABSENT
from engine.columns import Batch, Bools, Ints
from engine.facts import Facts
from engine.reference import ANATOMIC, DISTINCT, REPEAT, Reference
from engine.rules.duplicate.groups import repeats_of, same_service
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    example,
    line,
    rule,
)

_APART: Final = ANATOMIC | DISTINCT | REPEAT
"""Groups of modifiers that say why a service is there twice."""


@rule(
    id="DUPLICATE_SAME_DAY",
    category=Category.DUPLICATE,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.12,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    families=(Family.DUPLICATE,),
    carc="18",
    cites="Medicare Claims Processing Manual ch. 1 s. 120",
    datasets=("ncci_modifiers", "ncci_mue_practitioner", "ncci_mue_hospital", "ncci_mue_dme"),
    evidence={"charge_cents": Kind.CENTS, "units": Kind.UNITS, "different_lines": Kind.COUNT},
    caveat=(
        "Lines that are equal in charge and units are left to DUPLICATE_LINE. Lines of facilities "
        "must agree in revenue code, drugs in their package code. Codes whose unit limit holds by "
        "line (MAI 1) are exempt."
    ),
    examples=[
        example(
            "an injection at two charges",
            line("20610", charge=150),
            line("20610", charge=140),
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "an injection of one and two units",
            line("20610"),
            line("20610", units=2),
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "an equal line is another rule's, a third differs",
            line("20610", charge=150),
            line("20610", charge=150),
            line("20610", charge=140),
            hit=True,
            hit_lines=(3,),
        ),
        example("right and left", line("20610-RT", charge=150), line("20610-LT", charge=140)),
        example(
            "twice right, which says where",
            line("20610-RT", charge=150),
            line("20610-RT", charge=140),
        ),
        example(
            "both said to be distinct", line("20610-59", charge=150), line("20610-59", charge=140)
        ),
        example("equal lines", line("20610"), line("20610")),
        example(
            "another renderer",
            line("99213", charge=150),
            line("99213", charge=140, npi="1111111112"),
        ),
        example(
            "another day", line("20610", charge=150), line("20610", charge=140, day="2025-10-16")
        ),
        example(
            "limits that hold by line",
            line("J7190", units=20_000),
            line("J7190", units=10_000),
        ),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """Two lines share code, modifiers, day, renderer and place; charge or units differ."""
    found = same_service(batch, reference, facts)
    # One line stands for those that are equal in charge and units: the others are plain duplicates.
    _, lead = np.unique(found.form, return_index=True)
    line, service = found.line[lead], found.service[lead]
    modifiers = batch.lines.modifiers[line]
    judged = reference.ncci_modifiers.loaded | (modifiers[:, 0] == ABSENT)
    unexplained = judged & ~_explained(modifiers, reference)
    unjudged = np.zeros(len(batch.lines), np.bool_)
    unjudged[line[~judged]] = True
    line, service = line[unexplained], service[unexplained]
    repeats = repeats_of(line, service)
    different = np.zeros(len(batch.lines), np.int64)
    different[line] = np.bincount(service)[service]
    return Hits.on_groups(
        batch,
        repeats.line,
        repeats.group,
        partner=(repeats.first, repeats.first_group),
        evidence={
            "charge_cents": batch.lines.charge_cents,
            "units": batch.lines.units_milli,
            "different_lines": different,
        },
        not_evaluated=(NotEvaluated("no_dataset", lines=unjudged),),
    )


def _explained(modifiers: Ints, reference: Reference) -> Bools:
    """Lines with a modifier that says why the service is there twice."""
    groups = reference.ncci_modifiers.group(modifiers)
    explained: Bools = np.any(groups & _APART != 0, axis=1)
    return explained
