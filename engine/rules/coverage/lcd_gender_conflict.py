"""Services that a coverage policy covers for the other sex alone."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from engine.codes import code36
from engine.columns import (
    LOB_MEDICARE_ADVANTAGE,
    LOB_MEDICARE_FFS,
    SEX_UNKNOWN,
    Batch,
    one_of,
)
from engine.facts import Facts
from engine.reference import Reference
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
    Scope,
    Severity,
    Variant,
    example,
    line,
    rule,
)
from engine.tables.listings import SEXES

_MEDICARE, _OTHER = range(2)
_MEDICARE_LINES: Final = (LOB_MEDICARE_FFS, LOB_MEDICARE_ADVANTAGE)
_KX: Final = code36("KX")
_AMBIGUOUS_SEX: Final = code36("45")
"""Condition code of patients whose services may belong to either sex."""
_COMMERCIAL: Final[Mapping[str, Any]] = {"insurance_type": "CI", "payer_id": "SAMPLE-PAYER"}


@rule(
    id="LCD_GENDER_CONFLICT",
    category=Category.COVERAGE,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.10,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    carc="7",
    cites="Medicare Claims Processing Manual ch. 32 s. 240 (KX, condition code 45); policy text",
    variants={"medicare": Variant(action=Action.INFO), "other_payer": Variant()},
    datasets=("coverage_policies",),
    evidence={**EVIDENCE, "covered_sex": Kind.NAME},
    names={**NAMES, "covered_sex": SEXES},
    caveat=(
        f"{CAVEAT} [U] Since when Medicare's code editor has no sex edits: for Medicare a hit is "
        "for information."
    ),
    examples=[
        example(
            "a service for men, another payer",
            line("84153"),
            hit=True,
            hit_lines=(1,),
            variant="other_payer",
            **_COMMERCIAL,
        ),
        example("the same under Medicare is for information", line("84153"), hit=True,
            variant="medicare"),
        example("a man", line("84153"), patient_sex="M", **_COMMERCIAL),
        example("sex unknown", line("84153"), patient_sex="U", **_COMMERCIAL),
        example("KX on the line", line("84153-KX"), **_COMMERCIAL),
        example("KX on another line", line("84153"), line("99213-KX"), hit=True, hit_lines=(1,),
            **_COMMERCIAL),
        example("condition code 45 on a facility's bill", line("84153"), institutional=True,
            condition_codes=["45"], **_COMMERCIAL),
        example("another condition code", line("84153"), institutional=True,
            condition_codes=["44"], hit=True, **_COMMERCIAL),
        example("a policy for both sexes", line("83090"), dx=("I509",)),
    ],
)  # fmt: skip
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """The policies in force for the line cover its code for the other sex alone."""
    policies = policies_of_lines(batch, reference, facts)
    gaps = (*gap_of(reference.listing("coverage_policies")), *policies.not_evaluated)
    found, count = policies.found, len(batch.lines)
    if not len(found):
        return Hits.none(*gaps)
    found = found.where(is_prevailing(found, found["sex"] != SEX_UNKNOWN, count))
    sex = batch.of_line(batch.claims.sex)
    excluded = (sex[found.place] != SEX_UNKNOWN) & (sex[found.place] != found["sex"])
    either = batch.of_line((batch.claims.condition_codes == _AMBIGUOUS_SEX).any(axis=1))
    hit = excluded_by_all(found, excluded, count) & ~batch.has_modifier(_KX) & ~either
    row = found.first(count)
    medicare = one_of(batch.of_line(batch.claims.line_of_business), _MEDICARE_LINES)
    return Hits.on_lines(
        batch,
        hit,
        variant=np.where(medicare, _MEDICARE, _OTHER),
        evidence={
            **policy_evidence(found, count),
            "covered_sex": np.where(row >= 0, found.listing.columns["sex"][row], -1),
        },
        not_evaluated=gaps,
        evaluated=found.found(count),
    )
