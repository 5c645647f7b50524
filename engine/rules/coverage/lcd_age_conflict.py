"""Diagnoses and services that do not go with the patient's age."""

from dataclasses import replace
from typing import Final

import numpy as np

from engine.calendar import completed_years
from engine.columns import INSTITUTIONAL, Batch, Dates, Ints, rows_where
from engine.facts import Facts
from engine.reference import AGE_CLASSES, Reference
from engine.rules.coverage.policies import (
    CAVEAT,
    EVIDENCE,
    NAMES,
    excluded_by_all,
    is_prevailing,
    policies_of_lines,
    policy_evidence,
)
from engine.rules.listed import gap_of
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    Variant,
    example,
    line,
    rule,
)
from engine.tables.listing import NONE

_DIAGNOSIS, _POLICY = range(2)
_MASSACHUSETTS: Final = {"npi": "1234567893", "entity_type": 2, "zip": "02101"}


@rule(
    id="LCD_AGE_CONFLICT",
    category=Category.COVERAGE,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.15,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    carc="6",
    cites="Medicare Code Editor definitions, age conflict edit; text of the coverage policy",
    variants={"diagnosis": Variant(), "policy": Variant()},
    datasets=("diagnosis_age_class", "coverage_policies"),
    evidence={
        **EVIDENCE,
        "age": Kind.COUNT,
        "diagnosis": Kind.CODE,
        "age_class": Kind.NAME,
        "age_from": Kind.COUNT,
        "age_to": Kind.COUNT,
    },
    names={**NAMES, "age_class": AGE_CLASSES},
    caveat=(
        f"{CAVEAT} Which diagnoses belong to an age class "
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
        example("pregnancy at 9", line("99213"), dx=("O0990",), birth="2016-10-15"),
        example("pregnancy at 8", line("99213"), dx=("O0990",), birth="2016-10-16", hit=True),
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
        example(
            "younger than the policy of the contractor covers",
            line("99174"),
            birth="2020-10-16",
            hit=True,
            hit_lines=(1,),
            variant="policy",
        ),
        example("on the birthday from which it covers", line("99174"), birth="2020-10-15"),
        example(
            "one of two policies of a contractor covers the age",
            line("99174"),
            birth="2012-01-01",
            billing_provider=_MASSACHUSETTS,
        ),
        example(
            "neither of them does",
            line("99174"),
            birth="2021-01-01",
            billing_provider=_MASSACHUSETTS,
            hit=True,
            variant="policy",
        ),
        example(
            "a national policy goes before the contractor's",
            line("77082"),
            birth="1965-01-01",
            hit=True,
            variant="policy",
        ),
        example("the age of the national policy", line("77082"), birth="1960-01-01"),
        example("the policy is Medicare's", line("99174"), birth="2021-01-01", insurance_type="CI"),
        example("a diagnosis of every age", line("99213"), dx=("E119",), birth="2017-10-15"),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """The age of the patient is outside that of a diagnosis of the line, or of a policy for it."""
    born = NotEvaluated("no_birth_date", claims=np.isnat(batch.claims.birth_date))
    gaps = gap_of(reference.diagnosis_age_class, reference.listing("coverage_policies"))
    by_policy = _by_policy(batch, reference, facts)
    joined = Hits.joined(_by_diagnosis(batch, reference), by_policy)
    return replace(joined, not_evaluated=(born, *gaps, *by_policy.not_evaluated))


def _by_diagnosis(batch: Batch, reference: Reference) -> Hits:
    """Hits on diagnoses of an age class."""
    claims, diagnoses, table = batch.claims, batch.diagnoses, reference.diagnosis_age_class
    if not table.loaded:
        return Hits.none()
    day = _age_day(batch)
    youngest, oldest, age_class = table.age_range(diagnoses.code, day[diagnoses.claim])
    classed = rows_where(age_class)
    if not len(classed):
        return Hits.none()
    born, seen = claims.birth_date[diagnoses.claim[classed]], day[diagnoses.claim[classed]]
    known = born <= seen
    classed = classed[known]
    age = completed_years(born[known], seen[known])
    outside = (age < youngest[classed]) | (age > oldest[classed])
    conflict, age = classed[outside], age[outside]
    hit, line = _lines_of(batch, conflict)
    kept, hit = np.unique(hit, return_inverse=True)
    conflict, age = conflict[kept], age[kept]
    count = len(conflict)
    return Hits(
        claim=diagnoses.claim[conflict],
        line_hit=hit,
        line=line,
        variant=np.full(count, _DIAGNOSIS),
        evidence={
            "policy": np.zeros(count, "S1"),
            "version": np.zeros(count, "S1"),
            "level": np.full(count, NONE),
            "carrier": np.full(count, NONE),
            "age": age,
            "diagnosis": diagnoses.code[conflict],
            "age_class": age_class[conflict],
            "age_from": youngest[conflict],
            "age_to": oldest[conflict],
        },
    )


def _by_policy(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """Hits on lines of which every policy on age excludes the patient's."""
    policies = policies_of_lines(batch, reference, facts)
    found, count = policies.found, len(batch.lines)
    if not len(found):
        return Hits.none(*policies.not_evaluated)
    found = found.where(
        is_prevailing(found, (found["age_from"] != NONE) | (found["age_to"] != NONE), count)
    )
    born = batch.of_line(batch.claims.birth_date)[found.place]
    day = batch.of_line(_age_day(batch))[found.place]
    known = born <= day
    found = found.where(known)
    age = np.full(count, NONE)
    age[found.place] = completed_years(born[known], day[known])
    own, youngest, oldest = age[found.place], found["age_from"], found["age_to"]
    excluded = (own < youngest) | ((oldest != NONE) & (own > oldest))
    row = found.first(count)
    return Hits.on_lines(
        batch,
        excluded_by_all(found, excluded, count),
        variant=np.full(count, _POLICY),
        evidence={
            **policy_evidence(found, count),
            "age": age,
            "diagnosis": np.zeros(count, np.int64),
            "age_class": np.full(count, NONE),
            "age_from": found.listing.columns["age_from"][row],
            "age_to": found.listing.columns["age_to"][row],
        },
        not_evaluated=policies.not_evaluated,
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
