"""Codes that are not written like one, or that do not exist on the day."""

from typing import Final

import numpy as np

from engine.codes import ABSENT, code36
from engine.columns import POS_INVALID, Batch, Bools, Dates, Ints, rows_where
from engine.facts import Facts
from engine.reference import BILLABLE, HEADER, NOT_IN_SET, Reference
from engine.rules.format import patterns
from engine.rules.format.faults import NO_LINE, Faults, hits_of
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    Stake,
    Variant,
    example,
    line,
    rule,
)

_PATTERN, _UNKNOWN = 0, 1

_PROCEDURE, _PROCEDURE_UNKNOWN, _MODIFIER, _PLACE, _REVENUE, _NDC = range(6)
_BILL, _DRG, _TAXONOMY = range(6, 9)
_DIAGNOSIS, _DIAGNOSIS_UNKNOWN, _DIAGNOSIS_HEADER, _ICD_PROCEDURE = range(9, 13)

_KINDS: Final = (
    ("lines.procedure_code", "not written like a CPT or HCPCS code: five characters", _PATTERN),
    ("lines.procedure_code", "not a HCPCS Level II code on the day of service", _UNKNOWN),
    ("lines.modifiers", "not two letters or digits", _PATTERN),
    ("lines.place_of_service", "not two digits", _PATTERN),
    ("lines.revenue_code", "not four digits", _PATTERN),
    ("lines.ndc", "not eleven digits without dashes", _PATTERN),
    ("type_of_bill", "not 0 and three letters or digits", _PATTERN),
    ("drg_code", "not three digits", _PATTERN),
    ("billing_provider.taxonomy", "not nine letters or digits and X", _PATTERN),
    ("diagnoses.code", "not written like an ICD-10-CM code without its dot", _PATTERN),
    ("diagnoses.code", "not an ICD-10-CM code on the day of service", _UNKNOWN),
    ("diagnoses.code", "a category that is not billable: more characters are required", _UNKNOWN),
    ("icd_procedures.code", "not seven letters or digits, I and O left out", _PATTERN),
)
_HIPPS: Final = code36("HP")
"""Qualifier of the prospective payment codes of facilities, which look different."""

_LEVEL_II_FIRST: Final = code36("A0000")
_DENTAL_FIRST, _DENTAL_END = code36("D0000"), code36("E0000")


@rule(
    id="FORMAT_INVALID_CODE",
    category=Category.FORMAT,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.12,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    variants={"pattern": Variant(), "unknown_code": Variant(weight=0.14)},
    carc="181/146",
    stake=Stake.LINES,
    cites="45 CFR 162.1002 (code sets)",
    datasets=("icd10cm", "hcpcs"),
    evidence={
        "field": Kind.NAME,
        "problem": Kind.NAME,
        "code": Kind.CODE,
        "position": Kind.COUNT,
    },
    names={
        "field": tuple(field for field, _, _ in _KINDS),
        "problem": tuple(problem for _, problem, _ in _KINDS),
    },
    caveat=(
        "Whether CPT, CDT and ICD-10-PCS codes exist is not evaluated: their sets are licensed or "
        "not loaded. No grace period after a yearly change is allowed (unverified). Inpatient "
        "diagnoses are looked up on the last day of service (unverified). Of the taxonomies only "
        "the billing provider's is read."
    ),
    examples=[
        example("four digits", line("9921"), hit=True, hit_lines=(1,), variant="pattern"),
        example("a letter in front of a W code", line("W1234"), hit=True, variant="pattern"),
        example("Category III", line("0042T")),
        example("a laboratory code with U", line("0001U")),
        example("HCPCS Level II in force", line("G2211")),
        example(
            "HCPCS Level II that is not in the set",
            line("G9999"),
            hit=True,
            hit_lines=(1,),
            variant="unknown_code",
        ),
        example("a dental code, whose set is not loaded", line("D0150")),
        example(
            "a diagnosis that is not in the set",
            line("99213"),
            dx=("E119", "E119X"),
            hit=True,
            hit_lines=(),
            variant="unknown_code",
        ),
        example(
            "a category that is not billable",
            line("99213"),
            dx=("E11",),
            hit=True,
            variant="unknown_code",
        ),
        example(
            "a diagnosis of two characters", line("99213"), dx=("E1",), hit=True, variant="pattern"
        ),
        example(
            "a diagnosis that begins with a digit",
            line("99213"),
            dx=("1119",),
            hit=True,
            variant="pattern",
        ),
        example(
            "a dot, which is for the eye", line("99213"), dx=("E11.9",), hit=True, variant="pattern"
        ),
        example("a letter as third character", line("99213"), dx=("C4A10",)),
        example("a seventh character", line("99213"), dx=("S72001A",)),
        example("X as filler", line("99213"), dx=("T148XXA",)),
        example(
            "a modifier of one character",
            line("99213-2"),
            hit=True,
            hit_lines=(1,),
            variant="pattern",
        ),
        example("a modifier that no table knows", line("99213-9Z")),
        example(
            "a place of service of one digit", line("99213", pos="1"), hit=True, variant="pattern"
        ),
        example("a place of service that is not assigned", line("99213", pos="29")),
        example(
            "a revenue code of letters",
            line("99213", revenue_code="ER01"),
            institutional=True,
            hit=True,
        ),
        example(
            "a bill type without the leading 0",
            line("99213"),
            institutional=True,
            tob="131",
            hit=True,
            hit_lines=(),
        ),
        example(
            "a drug code with dashes", line("J1885", ndc="12345-678-90"), hit=True, hit_lines=(1,)
        ),
        example("a drug code of eleven digits", line("J1885", ndc="12345067890")),
        example(
            "a taxonomy of nine characters",
            line("99213"),
            billing_provider={"taxonomy": "207Q00000"},
            hit=True,
        ),
        example("a taxonomy", line("99213"), billing_provider={"taxonomy": "207Q00000X"}),
        example(
            "a group of two digits", line("99213"), institutional=True, drg_code="47", hit=True
        ),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """A code is not written as its set asks, or its set does not hold it on the day of service."""
    faults, gaps = _lines(batch, reference, facts)
    diagnosis_faults, diagnosis_gaps = _diagnoses(batch, reference)
    return hits_of(
        [*faults, *_claims(batch), *diagnosis_faults, _icd_procedures(batch)],
        variant_by_kind=[variant for _, _, variant in _KINDS],
        not_evaluated=(*gaps, *diagnosis_gaps),
    )


def _lines(
    batch: Batch, reference: Reference, facts: Facts
) -> tuple[list[Faults], tuple[NotEvaluated, ...]]:
    lines, position = batch.lines, np.zeros(len(batch.lines), np.int64)
    coded = (lines.procedure != ABSENT) & (lines.qualifier != _HIPPS)
    # What the fee schedule holds is written well: patterns are for the few codes that it lacks.
    odd = rows_where(coded & (facts.mpfs_code < 0))
    written = coded.copy()
    written[odd] = patterns.is_procedure(lines.procedure[odd])
    unknown, gaps = _unknown_procedures(batch, reference, written)
    modifiers, first = _modifiers(lines.modifiers)
    masks = (
        (_PROCEDURE, coded & ~written, lines.procedure),
        (_PROCEDURE_UNKNOWN, unknown, lines.procedure),
        (_PLACE, lines.place_of_service == POS_INVALID, position),
        (_REVENUE, _misspelt(lines.revenue, patterns.REVENUE), lines.revenue),
        (_NDC, _misspelt(lines.ndc, patterns.NDC), lines.ndc),
    )
    faults = [
        Faults.on_lines(batch, kind, mask, code=code, position=position)
        for kind, mask, code in masks
    ]
    code = lines.modifiers[np.arange(len(lines)), first]
    faults.append(Faults.on_lines(batch, _MODIFIER, modifiers, code=code, position=first + 1))
    return faults, gaps


def _unknown_procedures(
    batch: Batch, reference: Reference, written: Bools
) -> tuple[Bools, tuple[NotEvaluated, ...]]:
    """HCPCS Level II lines that the set does not hold.

    CPT and CDT are licensed and never loaded, which is said once and not of each of their lines.
    """
    lines = batch.lines
    # Letters come after digits in the integers of codes, and only Level II begins with a letter.
    level_ii = written & (lines.procedure >= _LEVEL_II_FIRST)
    level_ii &= (lines.procedure < _DENTAL_FIRST) | (lines.procedure >= _DENTAL_END)
    row = rows_where(level_ii)
    code, day = lines.procedure[row], lines.service_from[row]
    unknown, unreleased = np.zeros(len(lines), np.bool_), np.zeros(len(lines), np.bool_)
    unreleased[row] = reference.hcpcs.release_at(day) < 0
    unknown[row] = ~unreleased[row] & ~reference.hcpcs.valid(code, day)
    return unknown, (
        NotEvaluated("no_licensed_set"),
        NotEvaluated(_no_table(loaded=reference.hcpcs.loaded), lines=unreleased),
    )


def _modifiers(modifiers: Ints) -> tuple[Bools, Ints]:
    """Lines with a misspelt modifier, and the place of the first one."""
    used = rows_where(modifiers[:, 0] != ABSENT)
    given = modifiers[used]
    misspelt = (given != ABSENT) & ~patterns.matches(given, patterns.MODIFIER)
    any_bad, first = np.zeros(len(modifiers), np.bool_), np.zeros(len(modifiers), np.int64)
    any_bad[used] = misspelt.any(axis=1)
    first[used] = misspelt.argmax(axis=1)
    return any_bad, first


def _claims(batch: Batch) -> list[Faults]:
    claims, position = batch.claims, np.zeros(len(batch.claims), np.int64)
    return [
        Faults.on_claims(kind, _misspelt(code, pattern), code=code, position=position)
        for kind, code, pattern in (
            (_BILL, claims.type_of_bill, patterns.TYPE_OF_BILL),
            (_DRG, claims.drg, patterns.DRG),
            (_TAXONOMY, claims.billing_taxonomy, patterns.TAXONOMY),
        )
    ]


def _misspelt(codes: Ints, pattern: patterns.Pattern) -> Bools:
    """Return which codes are there and are not written like the pattern."""
    given = rows_where(codes != ABSENT)
    misspelt = np.zeros(len(codes), np.bool_)
    misspelt[given] = ~patterns.matches(codes[given], pattern)
    return misspelt


def _diagnoses(batch: Batch, reference: Reference) -> tuple[list[Faults], tuple[NotEvaluated, ...]]:
    diagnoses, claims, icd10cm = batch.diagnoses, batch.claims, reference.icd10cm
    day = _diagnosis_day(batch)
    unreleased = icd10cm.release_at(day) < 0
    state = icd10cm.state(diagnoses.code, day[diagnoses.claim])
    judged = ~unreleased[diagnoses.claim]
    # What the set holds is written well: patterns are for the few that it does not hold.
    odd = rows_where((state != BILLABLE) & (diagnoses.code != ABSENT))
    written = np.ones(len(diagnoses), np.bool_)
    written[odd] = patterns.is_diagnosis(diagnoses.code[odd])
    present = diagnoses.code != ABSENT
    masks = (
        (_DIAGNOSIS, ~written),
        (_DIAGNOSIS_UNKNOWN, present & written & judged & (state == NOT_IN_SET)),
        (_DIAGNOSIS_HEADER, present & written & judged & (state == HEADER)),
    )
    faults = [
        _of_claims(kind, mask, diagnoses.claim, diagnoses.code, diagnoses.sequence)
        for kind, mask in masks
    ]
    diagnosed = np.bincount(diagnoses.claim, minlength=len(claims)) > 0
    gap = NotEvaluated(_no_table(loaded=icd10cm.loaded), claims=unreleased & diagnosed)
    return faults, (gap,)


def _diagnosis_day(batch: Batch) -> Dates:
    """The day whose code set holds: inpatient bills are coded by the set of their last day."""
    claims = batch.claims
    return np.where(claims.inpatient, claims.service_to, claims.service_from)


def _icd_procedures(batch: Batch) -> Faults:
    procedures = batch.icd_procedures
    first = procedures.claim.searchsorted(procedures.claim)
    return _of_claims(
        _ICD_PROCEDURE,
        ~patterns.matches(procedures.code, patterns.ICD_PROCEDURE),
        procedures.claim,
        procedures.code,
        np.arange(len(procedures)) - first + 1,
    )


def _of_claims(kind: int, mask: Bools, claim: Ints, code: Ints, position: Ints) -> Faults:
    """Faults of codes that stand on the claim."""
    row = rows_where(mask)
    evidence = {"code": code[row], "position": position[row]}
    return Faults(kind, claim[row], np.full(len(row), NO_LINE), evidence)


def _no_table(*, loaded: bool) -> str:
    return "no_release" if loaded else "no_dataset"
