"""Procedures that are paid to inpatients only, billed for an outpatient."""

from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import (
    LOB_MEDICARE_ADVANTAGE,
    LOB_MEDICARE_FFS,
    Batch,
    Bools,
    one_of,
)
from engine.facts import Facts
from engine.policy import Params
from engine.reference import Reference
from engine.rules.bills import bill_is_of
from engine.rules.listed import gap_of, rows_of_lines
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

_FACILITY, _PROFESSIONAL, _OTHER_PAYER = range(3)
_MEDICARE: Final = (LOB_MEDICARE_FFS, LOB_MEDICARE_ADVANTAGE)
_OUTPATIENT_PLACES: Final = (19, 22, 24)


@rule(
    id="OCE_INPATIENT_ONLY",
    category=Category.OCE,
    scope=Scope.LINE,
    severity=Severity.CRITICAL,
    weight=0.18,
    action=Action.DENY_LINE,
    certainty=Certainty.APPLY,
    variants={
        "facility": Variant(),
        "professional": Variant(action=Action.PEND),
        "other_payer": Variant(action=Action.PEND, certainty=Certainty.ADVISE),
    },
    carc="5/96",
    cites="42 CFR 419.22(n); Medicare Claims Processing Manual ch. 4 s. 180.7; IOCE "
    "inpatient-procedure edit; CY 2026 OPPS final rule (phase-out 2026-2028)",
    datasets=("inpatient_only",),
    params={
        "bill_types": ("013",),
        "exempt_modifiers": ("CA",),
        "exempt_statuses": (
            "20",
            "02",
            "05",
            "43",
            "62",
            "63",
            "65",
            "66",
            "82",
            "85",
            "88",
            "90",
            "91",
            "93",
            "94",
        ),
    },
    evidence={"procedure": Kind.CODE, "type_of_bill": Kind.CODE, "place_of_service": Kind.POS},
    caveat="[U] CA exempts where the patient status says died or transferred (`exempt_statuses`); "
    "a professional claim has no status, and CA alone exempts there. Critical access hospitals "
    "are not paid by the outpatient system: 085 goes into `bill_types` where their payer follows "
    "the list. Payers other than Medicare need not follow it: a person decides. Listed procedures "
    "that are packaged beside another one (separate procedures) are not told apart.",
    examples=[
        example(
            "a bypass on an outpatient bill",
            line("33533"),
            institutional=True,
            hit=True,
            hit_lines=(1,),
            variant="facility",
        ),
        example("the same for an inpatient", line("33533"), institutional=True, tob="0111"),
        example(
            "an interim bill for outpatients",
            line("33533"),
            institutional=True,
            tob="0133",
            hit=True,
        ),
        example(
            "a critical access hospital is not under the list",
            line("33533"),
            institutional=True,
            tob="0851",
        ),
        example(
            "its payer follows the list",
            line("33533"),
            institutional=True,
            tob="0851",
            params={"bill_types": ("013", "085")},
            hit=True,
        ),
        example(
            "the patient died before the admission: CA",
            line("33533-CA"),
            institutional=True,
            patient_status="20",
        ),
        example("CA after a transfer", line("33533-CA"), institutional=True, patient_status="02"),
        example("CA, but the patient went home", line("33533-CA"), institutional=True, hit=True),
        example(
            "died, without CA", line("33533"), institutional=True, patient_status="20", hit=True
        ),
        example(
            "the surgeon at an outpatient department",
            line("33533", pos="22"),
            hit=True,
            variant="professional",
        ),
        example(
            "the surgeon at an outpatient department off the campus",
            line("33533", pos="19"),
            hit=True,
            variant="professional",
        ),
        example(
            "the surgeon at a surgical center",
            line("33533", pos="24"),
            hit=True,
            variant="professional",
        ),
        example("the surgeon at the inpatient's table", line("33533", pos="21")),
        example("the surgeon of an emergency with CA", line("33533-CA", pos="22")),
        example(
            "a commercial payer",
            line("33533"),
            institutional=True,
            line_of_business=4,
            hit=True,
            variant="other_payer",
        ),
        example(
            "a plan of Medicare Advantage follows the list",
            line("33533"),
            institutional=True,
            line_of_business=2,
            hit=True,
            variant="facility",
        ),
        example(
            "removed from the list on 2026-01-01",
            line("22630"),
            institutional=True,
            day="2026-01-01",
            received="2026-01-10",
        ),
        example(
            "the day before its removal",
            line("22630"),
            institutional=True,
            day="2025-12-31",
            received="2026-01-10",
            hit=True,
        ),
        example(
            "one of two lines",
            line("33533"),
            line("71046"),
            institutional=True,
            hit=True,
            hit_lines=(1,),
        ),
        example("a knee replacement left the list in 2018", line("27447"), institutional=True),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts, params: Params) -> Hits:
    """A procedure of the inpatient-only list is billed for an outpatient."""
    listing = reference.listing("inpatient_only")
    row = np.unique(rows_of_lines(listing, batch, facts).place)
    if not len(row):
        return Hits.none(*gap_of(listing))
    claims, lines = batch.claims, batch.lines
    claim, professional = lines.claim[row], batch.professional[row]
    outpatient = np.where(
        professional,
        one_of(lines.place_of_service[row], _OUTPATIENT_PLACES),
        bill_is_of(claims.type_of_bill[claim], params.words("bill_types")),
    )
    found: Bools = np.zeros(len(lines), np.bool_)
    found[row] = outpatient
    found &= ~_exempt(batch, params)
    variant = np.where(batch.professional, _PROFESSIONAL, _FACILITY)
    medicare = batch.of_line(one_of(claims.line_of_business, _MEDICARE))
    return Hits.on_lines(
        batch,
        found,
        variant=np.where(medicare, variant, _OTHER_PAYER),
        evidence={
            "procedure": lines.procedure,
            "type_of_bill": batch.of_line(claims.type_of_bill),
            "place_of_service": lines.place_of_service,
        },
    )


def _exempt(batch: Batch, params: Params) -> Bools:
    """Lines whose patient died or was transferred before the admission."""
    statuses = [code36(text) for text in params.words("exempt_statuses")]
    stayed = batch.of_line(~np.isin(batch.claims.patient_status, statuses))
    flagged = batch.has_modifier(*map(code36, params.words("exempt_modifiers")))
    return flagged & (batch.professional | ~stayed)
