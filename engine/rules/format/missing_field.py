"""Required fields that are left out."""

from typing import Final

import numpy as np

from engine.codes import ABSENT, code36
from engine.columns import (
    INSTITUTIONAL,
    MISSING_BILLING_PROVIDER,
    MISSING_PAYER_ID,
    MISSING_PERSON_ID,
    POS_ABSENT,
    Batch,
    Bools,
    one_of,
)
from engine.policy import Params
from engine.rules.format.faults import Faults, hits_of
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    Scope,
    Severity,
    Stake,
    example,
    line,
    rule,
)

_FIELDS: Final = (
    "person_id",
    "payer_id",
    "billing_provider",
    "patient_date_of_birth",
    "received_date",
    "admission_date",
    "patient_status",
    "diagnoses",
    "lines.procedure_code",
    "lines.revenue_code",
    "lines.place_of_service",
    "lines.diagnosis_pointers",
    "lines.service_from_date",
)
_PROBLEMS: Final = (
    "left out; the member id of the patient is required",
    "left out; the id of the payer is required",
    "left out; the provider that bills is required",
    "left out; required",
    "left out; the day of receipt is required",
    "left out; required on inpatient bills",
    "left out; required on institutional claims",
    "left out; at least one diagnosis is required",
    "left out; required on professional lines and on outpatient lines but those of supplies",
    "left out; required on institutional lines",
    "left out; required on each professional line or on its claim",
    "left out; a professional line points to at least one diagnosis",
    "left out; the first day of the line is required",
)


@rule(
    id="FORMAT_MISSING_FIELD",
    category=Category.FORMAT,
    scope=Scope.CLAIM,
    severity=Severity.HIGH,
    weight=0.15,
    action=Action.REJECT,
    certainty=Certainty.APPLY,
    carc="16",
    stake=Stake.NONE,
    cites="45 CFR 162.1102; X12 005010X222A1 and 005010X223A2",
    params={
        "revenue_without_procedure": (
            *("001", "025", "026", "027", "028", "037", "039", "062", "063", "068"),
            *("070", "071", "072", "081", "082", "094"),
        ),
    },
    evidence={"field": Kind.NAME, "problem": Kind.NAME},
    names={"field": _FIELDS, "problem": _PROBLEMS},
    caveat=(
        "Claims without lines, dates of service, account number or bill type are rejected before "
        "any rule. Which outpatient revenue categories need no procedure code is unverified "
        "(parameter). Attending provider, discharge and admission details are not checked: their "
        "conditions are the payer's."
    ),
    examples=[
        example("no member id", line("99213"), hit=True, hit_lines=(), person_id=""),
        example("a member id of blanks", line("99213"), hit=True, hit_lines=(), person_id="  "),
        example("no payer", line("99213"), hit=True, payer_id=""),
        example("two fields: a hit for each", line("99213"), hit=True, person_id="", payer_id=""),
        example("no billing provider", line("99213"), hit=True, billing_provider=None),
        example("no date of birth", line("99213"), hit=True, patient_date_of_birth=""),
        example("no day of receipt", line("99213"), hit=True, received_date=""),
        example("no diagnosis", line("99213", dx=()), hit=True, dx=()),
        example(
            "a line that points to no diagnosis", line("99213", dx=()), hit=True, hit_lines=(1,)
        ),
        example("no procedure code", line("99213"), line(""), hit=True, hit_lines=(2,)),
        example(
            "no day of the line",
            line("99213"),
            line("71046", service_from_date=""),
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "no place of service", line("99213"), hit=True, hit_lines=(1,), place_of_service=""
        ),
        example(
            "no revenue code",
            line("99213", revenue_code=""),
            institutional=True,
            hit=True,
            hit_lines=(1,),
        ),
        example(
            "no patient status", line("99213"), institutional=True, hit=True, patient_status=""
        ),
        example(
            "an inpatient bill without admission date",
            line("", revenue_code="0120"),
            institutional=True,
            tob="0111",
            hit=True,
        ),
        example(
            "an outpatient imaging line without procedure code",
            line("", revenue_code="0320"),
            institutional=True,
            hit=True,
            hit_lines=(1,),
        ),
        example("the renderer is left out where the biller rendered", line("99213")),
        example(
            "the place of service is on the line alone",
            line("99213", pos="11"),
            place_of_service="",
        ),
        example("an outpatient supply line", line("", revenue_code="0270"), institutional=True),
        example(
            "an inpatient room line",
            line("", revenue_code="0120"),
            institutional=True,
            tob="0111",
            admission_date="2025-10-15",
        ),
    ],
)
def find(batch: Batch, params: Params) -> Hits:
    """A field that is required, or whose condition holds, is left out or blank."""
    claims, lines = batch.claims, batch.lines
    institutional = claims.type == INSTITUTIONAL
    professional_line = batch.professional
    has_diagnosis = np.bincount(batch.diagnoses.claim, minlength=len(claims)) > 0
    on_claims = (
        claims.missing & MISSING_PERSON_ID != 0,
        claims.missing & MISSING_PAYER_ID != 0,
        claims.missing & MISSING_BILLING_PROVIDER != 0,
        np.isnat(claims.birth_date),
        np.isnat(claims.received_date),
        claims.inpatient & np.isnat(claims.admission_date),
        institutional & (claims.patient_status == ABSENT),
        ~has_diagnosis,
    )
    on_lines = (
        (lines.procedure == ABSENT)
        & (professional_line | _needs_procedure(batch, params.words("revenue_without_procedure"))),
        ~professional_line & (lines.revenue == ABSENT),
        professional_line & (lines.place_of_service == POS_ABSENT),
        professional_line & (lines.pointers[:, 0] == ABSENT),
        professional_line & lines.undated,
    )
    return hits_of(
        [
            *(Faults.on_claims(kind, mask) for kind, mask in enumerate(on_claims)),
            *(
                Faults.on_lines(batch, kind, mask)
                for kind, mask in enumerate(on_lines, len(on_claims))
            ),
        ]
    )


def _needs_procedure(batch: Batch, without_procedure: tuple[str, ...]) -> Bools:
    """Outpatient lines whose revenue category is none of those that stand alone."""
    category = batch.lines.revenue // 36
    alone = one_of(category, [code36(text) for text in without_procedure])
    return ~batch.of_line(batch.claims.inpatient) & (batch.lines.revenue > 0) & ~alone
