"""Diagnoses that do not go with the patient's age."""

import numpy as np

from engine.calendar import completed_years
from engine.columns import INSTITUTIONAL, Batch, Dates, Ints
from engine.reference import AGE_CLASSES, Reference
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


@rule(
    id="LCD_AGE_CONFLICT",
    category=Category.COVERAGE,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.15,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    carc="6",
    cites="Medicare Code Editor definitions, age conflict edit",
    datasets=("diagnosis_age_class",),
    evidence={
        "diagnosis": Kind.CODE,
        "age_class": Kind.NAME,
        "age_from": Kind.COUNT,
        "age_to": Kind.COUNT,
    },
    names={"age_class": AGE_CLASSES},
    caveat=(
        "Age ranges of coverage articles are not read yet. Which diagnoses belong to an age class "
        "is a small table of this project, unverified against the Medicare Code Editor."
    ),
    examples=[
        example(
            "an adult's examination at the age of 8",
            line("99213"),
            dx=("Z0000",),
            birth="2017-10-15",
            hit=True,
            hit_lines=(1,),
        ),
        example("the same on the 15th birthday", line("99213"), dx=("Z0000",), birth="2010-10-15"),
        example("the day before it", line("99213"), dx=("Z0000",), birth="2010-10-16", hit=True),
        example(
            "a newborn's condition in the first year",
            line("99213"),
            dx=("P599",),
            birth="2024-10-16",
        ),
        example("on the first birthday", line("99213"), dx=("P599",), birth="2024-10-15", hit=True),
        example("a child's examination at 17", line("99213"), dx=("Z00129",), birth="2007-10-16"),
        example("at 18", line("99213"), dx=("Z00129",), birth="2007-10-15", hit=True),
        example("pregnancy at 64", line("99213"), dx=("O0990",), birth="1960-10-16"),
        example("pregnancy at 65", line("99213"), dx=("O0990",), birth="1960-10-15", hit=True),
        example(
            "only the line that points to it",
            line("99213"),
            line("99214", dx=(2,)),
            dx=("E119", "P599"),
            hit=True,
            hit_lines=(2,),
        ),
        example("a diagnosis that no line points to", line("99213"), dx=("E119", "P599")),
        example(
            "all lines of a facility bill",
            line("99213"),
            line("85025"),
            dx=("E119", "P599"),
            institutional=True,
            hit=True,
            hit_lines=(1, 2),
        ),
        example("a diagnosis of every age", line("99213"), dx=("E119",), birth="2017-10-15"),
    ],
)
def find(batch: Batch, reference: Reference) -> Hits:
    """A diagnosis that a line rests on belongs to an age class that excludes the patient's age."""
    claims, diagnoses, table = batch.claims, batch.diagnoses, reference.diagnosis_age_class
    if not table.loaded:
        return Hits.none(NotEvaluated("no_dataset", claims=np.ones(len(claims), np.bool_)))
    day = _age_day(batch)
    youngest, oldest, age_class = table.age_range(diagnoses.code, day[diagnoses.claim])
    classed = np.flatnonzero(age_class)
    born, seen = claims.birth_date[diagnoses.claim[classed]], day[diagnoses.claim[classed]]
    known = born <= seen
    classed = classed[known]
    age = completed_years(born[known], seen[known])
    conflict = classed[(age < youngest[classed]) | (age > oldest[classed])]
    hit, line = _lines_of(batch, conflict)
    kept, hit = np.unique(hit, return_inverse=True)
    conflict = conflict[kept]
    return Hits(
        claim=diagnoses.claim[conflict],
        line_hit=hit,
        line=line,
        evidence={
            "diagnosis": diagnoses.code[conflict],
            "age_class": age_class[conflict],
            "age_from": youngest[conflict],
            "age_to": oldest[conflict],
        },
        not_evaluated=(NotEvaluated("no_birth_date", claims=np.isnat(claims.birth_date)),),
    )


def _age_day(batch: Batch) -> Dates:
    """The day on which the age counts: admission for inpatients, else the first day of service."""
    claims = batch.claims
    admitted = claims.inpatient & ~np.isnat(claims.admission_date)
    return np.where(admitted, claims.admission_date, claims.service_from)


def _lines_of(batch: Batch, diagnosis: Ints) -> tuple[Ints, Ints]:
    """Pairs of a diagnosis, by its place in the list, and a line that rests on it.

    On a facility's bill every line rests on every diagnosis.
    """
    claims, lines, diagnoses = batch.claims, batch.lines, batch.diagnoses
    claim = diagnoses.claim[diagnosis]
    counts = claims.lines[claim].astype(np.int64)
    hit = np.repeat(np.arange(len(diagnosis)), counts)
    line = np.arange(counts.sum()) + np.repeat(
        claims.line_start[claim] - np.cumsum(counts) + counts, counts
    )
    position = diagnoses.sequence[diagnosis][hit]
    pointed = (lines.pointers[line] == position[:, None]).any(axis=1)
    rests = pointed | (claims.type[lines.claim[line]] == INSTITUTIONAL)
    return hit[rests], line[rests]
