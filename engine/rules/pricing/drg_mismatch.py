"""A diagnosis related group that the coded diagnoses and procedures do not lead to."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Bools, Ints, rows_where
from engine.joins import equal_in
from engine.reference import Reference
from engine.rules.listed import gap_of
from engine.rules.pricing.stays import stays
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
from engine.tables.code_sets import diagnosis_order
from engine.tables.keys import KEY_MAX
from engine.tables.listing import Matches
from engine.tables.listings import GROUP_EVIDENCE

_SECONDARY: Final = GROUP_EVIDENCE.index("secondary_diagnosis")
_JOINT: Final[dict[str, Any]] = {
    "institutional": True,
    "tob": "0111",
    "drg_code": "470",
    "dx": ("M1711",),
}


@rule(
    id="PRICING_DRG_MISMATCH",
    category=Category.PRICING,
    scope=Scope.CLAIM,
    severity=Severity.HIGH,
    weight=0.16,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    carc="A8",
    cites="42 CFR 412.60; MS-DRG definitions manual of the fiscal year",
    datasets=("drg_rules",),
    evidence={"drg": Kind.CODE, "missing": Kind.NAME, "discharge_date": Kind.DATE},
    names={"missing": ("principal diagnosis", "secondary diagnosis", "procedure")},
    caveat="This is no grouper: it asks only for what the rows of the table ask for, and a group "
    "without rows is not evaluated. Age, sex, patient status and exclusions of complications are "
    "not weighed. Without a day of discharge the last day of the bill decides the version.",
    examples=[
        example(
            "a joint replacement without its procedure", line(""), **_JOINT, hit=True, hit_lines=()
        ),
        example("with it", line(""), **_JOINT, icd_procedures=[{"code": "0SRC0J9"}]),
        example(
            "one of several procedures",
            line(""),
            **_JOINT,
            icd_procedures=[{"code": "3E0T3BZ"}, {"code": "0SRC0J9"}],
        ),
        example(
            "another operation", line(""), **_JOINT, icd_procedures=[{"code": "0DTJ4ZZ"}], hit=True
        ),
        example(
            "the procedure, but a principal diagnosis of another field",
            line(""),
            institutional=True,
            tob="0111",
            drg_code="470",
            dx=("I214", "M1711"),
            icd_procedures=[{"code": "0SRC0J9"}],
            hit=True,
        ),
        example(
            "with a major complication, which is there",
            line(""),
            institutional=True,
            tob="0111",
            drg_code="469",
            dx=("M1711", "J9601"),
            icd_procedures=[{"code": "0SRC0J9"}],
        ),
        example(
            "with a major complication, which is not",
            line(""),
            institutional=True,
            tob="0111",
            drg_code="469",
            dx=("M1711",),
            icd_procedures=[{"code": "0SRC0J9"}],
            hit=True,
        ),
        example(
            "the complication as the principal diagnosis does not count",
            line(""),
            institutional=True,
            tob="0111",
            drg_code="177",
            dx=("J9601",),
            hit=True,
        ),
        example(
            "a pneumonia as the principal diagnosis",
            line(""),
            institutional=True,
            tob="0111",
            drg_code="177",
            dx=("J159", "J9601"),
        ),
        example(
            "discharged before 1 October: the older version",
            line(""),
            institutional=True,
            tob="0111",
            drg_code="521",
            dx=("S72001A",),
            day="2025-09-28",
            discharge_date="2025-09-30",
            service_to_date="2025-09-30",
        ),
        example(
            "discharged on 1 October: the newer version",
            line(""),
            institutional=True,
            tob="0111",
            drg_code="521",
            dx=("S72001A",),
            day="2025-09-28",
            discharge_date="2025-10-01",
            service_to_date="2025-10-01",
            hit=True,
        ),
        example(
            "a group without rows is not evaluated",
            line(""),
            institutional=True,
            tob="0111",
            drg_code="871",
            dx=("M1711",),
        ),
        example("no group is billed", line(""), institutional=True, tob="0111"),
        example("an outpatient bill", line("99213"), institutional=True, drg_code="470"),
    ],
)
def find(batch: Batch, reference: Reference) -> Hits:
    """An inpatient claim lacks a diagnosis or procedure that its group asks for."""
    listing = reference.listing("drg_rules")
    found = stays(batch)
    if not len(found.claim) or not listing.loaded:
        return Hits.none(*gap_of(listing))
    rows = found.rows(listing)
    known = rows.found(len(found.claim))
    unknown = np.zeros(len(batch.claims), np.bool_)
    unknown[found.claim[~known]] = True
    asked, met = np.zeros((2, len(found.claim), len(GROUP_EVIDENCE)), np.bool_)
    holds = _holds(batch, rows, found.claim[rows.place])
    asked[rows.place, rows["evidence"]] = True
    met[rows.place[holds], rows["evidence"][holds]] = True
    lacking = asked & ~met
    missed = rows_where(lacking.any(axis=1))
    return Hits(
        claim=found.claim[missed],
        evidence={
            "drg": found.group[missed],
            "missing": lacking[missed].argmax(axis=1),
            "discharge_date": found.day[missed],
        },
        not_evaluated=(NotEvaluated("no_row", claims=unknown),) if unknown.any() else (),
    )


def _holds(batch: Batch, rows: Matches, claim: Ints) -> Bools:
    """Rows whose diagnosis, where they name one, and procedure are coded on their claim."""
    diagnoses, procedures = batch.diagnoses, batch.icd_procedures
    principal = diagnoses.sequence == 1
    order = diagnosis_order(diagnoses.code)
    secondary = rows["evidence"] == _SECONDARY
    by_principal = _coded(rows, "diagnosis", claim, diagnoses.claim[principal], order[principal])
    by_secondary = _coded(rows, "diagnosis", claim, diagnoses.claim[~principal], order[~principal])
    by_procedure = _coded(rows, "procedure", claim, procedures.claim, procedures.code)
    holds: Bools = np.where(secondary, by_secondary, by_principal) & by_procedure
    return holds


def _coded(rows: Matches, field: str, claim: Ints, owner: Ints, code: NDArray[np.integer]) -> Bools:
    """Rows that name no range in the field, or one that holds a code of their claim."""
    first, last = rows[f"{field}_first"], rows[f"{field}_last"]
    row, at = equal_in(owner, claim)
    inside = (first[row] <= code[at]) & (code[at] <= last[row])
    open_range = (first == 0) & (last == KEY_MAX)
    found: Bools = open_range | (np.bincount(row[inside], minlength=len(claim)) > 0)
    return found
