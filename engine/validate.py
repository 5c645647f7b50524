"""Structural validation.

What makes a claim unscorable (V01 to V19). Every fault is collected; no value is repeated.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np

from engine.codes import code36
from engine.columns import (
    INSTITUTIONAL,
    MODIFIERS_MAX,
    POINTERS_MAX,
    PROFESSIONAL,
    Bools,
    Claims,
    Dates,
    Diagnoses,
    Ints,
    Lines,
    Violation,
)

LINES_MAX: Final = {PROFESSIONAL: 50, INSTITUTIONAL: 999}
DIAGNOSES_MAX: Final = {PROFESSIONAL: 12, INSTITUTIONAL: 25}
LINE_NUMBER_MAX: Final = 999
CENTS_MAX: Final = 99_999_999_999
UNITS_MILLI_MAX: Final = 999_999_999_999
VERSION_MAX: Final = 10_000

_CODE_LENGTH_MAX: Final = 20
CLAIM_TEXTS: Final = {
    "claim_id": 100,
    "facility_id": 50,
    "patient_account_number": 100,
    "medical_record_number": 100,
    "payer_claim_control_number": 50,
    "frequency_code": _CODE_LENGTH_MAX,
    "person_id": 80,
    "subscriber_id": 80,
    "relationship_code": 2,
    "patient_first_name": 100,
    "patient_middle_name": 100,
    "patient_last_name": 100,
    "patient_sex": 1,
    "financial_class": 50,
    "insurance_type": 100,
    "insurance_plan_id": 100,
    "payer_id": 80,
    "payer_name": 60,
    "payer_sequence": _CODE_LENGTH_MAX,
    "prior_authorization_number": 50,
    "referral_number": 50,
    "timely_filing_exception": 32,
    "accident_type": _CODE_LENGTH_MAX,
    "place_of_service": _CODE_LENGTH_MAX,
    "type_of_bill": _CODE_LENGTH_MAX,
    "patient_status": _CODE_LENGTH_MAX,
    "drg_code": _CODE_LENGTH_MAX,
    "batch_id": 100,
}
LINE_TEXTS: Final = {
    "line_control_number": 50,
    "procedure_code": _CODE_LENGTH_MAX,
    "procedure_qualifier": _CODE_LENGTH_MAX,
    "revenue_code": _CODE_LENGTH_MAX,
    "unit_basis": _CODE_LENGTH_MAX,
    "place_of_service": _CODE_LENGTH_MAX,
    "ndc": _CODE_LENGTH_MAX,
    "prior_authorization_number": 50,
}
PROVIDER_TEXTS: Final = {
    "npi": _CODE_LENGTH_MAX,
    "tin": _CODE_LENGTH_MAX,
    "last_or_org_name": 200,
    "first_name": 100,
    "taxonomy": _CODE_LENGTH_MAX,
    "specialty": _CODE_LENGTH_MAX,
    "ccn": _CODE_LENGTH_MAX,
    "state": 2,
    "zip": 10,
    "network_status": 50,
    "contract_id": 100,
}
REPEATED_MAX: Final = {
    "attributes": 50,
    "other_payers": 10,
    "condition_codes": 24,
    "occurrence_codes": 24,
    "occurrence_spans": 24,
    "value_codes": 24,
    "icd_procedures": 25,
    "visit_reasons": 3,
    "external_causes": 12,
}
CLAIM_DATES: Final = (
    "patient_date_of_birth",
    "service_from_date",
    "service_to_date",
    "admission_date",
    "discharge_date",
    "received_date",
    "accident_date",
)
LINE_DATES: Final = ("service_from_date", "service_to_date")

_EXPECTED_DATE: Final = "is no calendar date from 1900 to 2100; write it as YYYY-MM-DD"
_ICD9_LAST_DAY: Final = np.datetime64("2015-09-30", "D")
_FREQUENCIES_WITH_ORIGINAL: Final = (code36("7"), code36("8"))


@dataclass(frozen=True, slots=True)
class Role:
    """Providers of one role as texts, for the rows that have one."""

    present: Ints
    fields: Mapping[str, Sequence[str]]
    rows: int


@dataclass(frozen=True, slots=True)
class Raw:
    """Claims and lines as they came: a tuple per field."""

    claims: Mapping[str, Sequence[Any]]
    lines: Mapping[str, Sequence[Any]]
    claim_days: Mapping[str, Dates]
    line_days: Mapping[str, Dates]
    claim_roles: Mapping[str, Role]
    line_roles: Mapping[str, Role]


class Faults:
    """Violations by claim, in the order in which they are found."""

    def __init__(self, claims: Claims, lines: Lines) -> None:
        self.by_claim: dict[int, list[Violation]] = defaultdict(list)
        self._owner = lines.claim
        self._position = np.arange(len(lines)) - claims.line_start[lines.claim]

    def claim(self, mask: Bools, field: str, code: str, message: str) -> None:
        """Add a fault of a claim field for every claim of the mask."""
        for row in np.flatnonzero(mask):
            self.by_claim[int(row)].append(Violation(field, code, message))

    def line(self, mask: Bools, field: str, code: str, message: str) -> None:
        """Add a fault of a line field for every line of the mask."""
        for row in np.flatnonzero(mask):
            path = f"lines[{int(self._position[row])}].{field}"
            self.by_claim[int(self._owner[row])].append(Violation(path, code, message))


def validate(
    raw: Raw,
    claims: Claims,
    lines: Lines,
    diagnoses: Diagnoses,
    *,
    allow_zero_charge: bool,
) -> dict[int, list[Violation]]:
    """Return every structural fault by row of the claim; claims without faults are not in it."""
    faults = Faults(claims, lines)
    _identity(faults, raw, claims)
    _dates(faults, raw, claims, lines)
    _money_and_units(faults, claims, lines, allow_zero_charge=allow_zero_charge)
    _line_numbers(faults, claims, lines)
    _counts(faults, raw, claims, diagnoses)
    _pointers(faults, claims, lines, diagnoses)
    _form(faults, raw, claims)
    _icd9(faults, claims, diagnoses)
    _texts(faults, raw)
    return dict(faults.by_claim)


def blank(texts: Sequence[str]) -> Bools:
    """Return which texts are empty or nothing but white space."""
    if all(map(str.strip, texts)):
        return np.zeros(len(texts), np.bool_)
    return np.array([not text.strip() for text in texts], np.bool_)


def _identity(faults: Faults, raw: Raw, claims: Claims) -> None:
    count = len(claims)
    for field, code in (
        ("claim_id", "V01"),
        ("facility_id", "V02"),
        ("patient_account_number", "V03"),
    ):
        faults.claim(blank(raw.claims[field]), field, code, "is missing; it is required")
    sent = zip(
        claims.message.tolist(), raw.claims["claim_id"], claims.version.tolist(), strict=True
    )
    first: dict[tuple[int, str, int], int] = {}
    repeats = np.array(
        [first.setdefault(key, row) != row for row, key in enumerate(sent)], np.bool_
    )
    if len(first) < count:
        faults.claim(
            repeats, "claim_id", "V01", "repeats an earlier claim and version of the same message"
        )
    faults.claim(
        (claims.version < 1) | (claims.version > VERSION_MAX),
        "claim_version",
        "V01",
        f"is not from 1 to {VERSION_MAX}",
    )


def _dates(faults: Faults, raw: Raw, claims: Claims, lines: Lines) -> None:
    for field, code in (("service_from_date", "V04"), ("service_to_date", "V04")):
        missing = blank(raw.claims[field])
        faults.claim(missing, field, code, "is missing; it is required")
    faults.claim(
        claims.service_from > claims.service_to,
        "service_to_date",
        "V04",
        "is before service_from_date",
    )
    for field, days in raw.claim_days.items():
        faults.claim(_impossible(days, raw.claims[field]), field, "V13", _EXPECTED_DATE)
    for field, days in raw.line_days.items():
        faults.line(_impossible(days, raw.lines[field]), field, "V13", _EXPECTED_DATE)
    faults.line(
        lines.service_from > lines.service_to,
        "service_to_date",
        "V04",
        "is before service_from_date",
    )


def _impossible(days: Dates, texts: Sequence[str]) -> Bools:
    """Texts that are there and are no date."""
    bad = np.isnat(days)
    if np.count_nonzero(bad) != texts.count(""):
        return bad & ~blank(texts)
    return np.zeros(len(texts), np.bool_)


def _money_and_units(
    faults: Faults, claims: Claims, lines: Lines, *, allow_zero_charge: bool
) -> None:
    total = claims.total_charge_cents
    zero_allowed = claims.is_encounter & (total == 0) & allow_zero_charge
    faults.claim(
        ((total <= 0) & ~zero_allowed) | (total > CENTS_MAX),
        "total_charge_cents",
        "V05",
        f"is not from 1 to {CENTS_MAX}; 0 is for encounters only",
    )
    faults.claim(
        (claims.patient_paid_cents < 0) | (claims.patient_paid_cents > CENTS_MAX),
        "patient_paid_cents",
        "V05",
        f"is not from 0 to {CENTS_MAX}",
    )
    faults.line(
        (lines.units_milli <= 0) | (lines.units_milli > UNITS_MILLI_MAX),
        "units_milli",
        "V09",
        f"is not from 1 to {UNITS_MILLI_MAX}; one unit is 1000",
    )
    for field, column in (
        ("charge_cents", lines.charge_cents),
        ("non_covered_charge_cents", lines.non_covered_cents),
        ("purchase_price_cents", lines.purchase_price_cents),
    ):
        bad = (column < 0) | (column > CENTS_MAX)
        faults.line(bad, field, "V10", f"is not from 0 to {CENTS_MAX}")


def _line_numbers(faults: Faults, claims: Claims, lines: Lines) -> None:
    faults.claim(claims.lines == 0, "lines", "V06", "is empty; a claim has at least one line")
    faults.line(
        (lines.number < 1) | (lines.number > LINE_NUMBER_MAX),
        "line_number",
        "V08",
        f"is not from 1 to {LINE_NUMBER_MAX}",
    )
    if not len(lines):
        return
    ascending = (lines.claim[1:] != lines.claim[:-1]) | (lines.number[1:] > lines.number[:-1])
    if ascending.all():
        return
    key = lines.claim.astype(np.int64) << 32 | (lines.number.astype(np.int64) & 0xFFFFFFFF)
    repeats = np.ones(len(lines), np.bool_)
    repeats[np.unique(key, return_index=True)[1]] = False
    faults.line(repeats, "line_number", "V08", "is on an earlier line too; number each line once")
    disorder = np.concatenate(([False], ~ascending)) & ~repeats
    faults.line(disorder, "line_number", "V08", "is below the line before; send lines in order")


def _counts(faults: Faults, raw: Raw, claims: Claims, diagnoses: Diagnoses) -> None:
    diagnosis_count = np.bincount(diagnoses.claim, minlength=len(claims))
    for form, most in LINES_MAX.items():
        over = (claims.type == form) & (claims.lines > most)
        faults.claim(over, "lines", "V12", f"has more than {most} lines; split the claim")
    for form, most in DIAGNOSES_MAX.items():
        over = (claims.type == form) & (diagnosis_count > most)
        faults.claim(over, "diagnoses", "V18", f"has more than {most} diagnoses")
    for field, most in REPEATED_MAX.items():
        over = _longer(raw.claims[field], most)
        faults.claim(over, field, "V18", f"has more than {most} entries")
    for field, most in (("modifiers", MODIFIERS_MAX), ("diagnosis_pointers", POINTERS_MAX)):
        faults.line(_longer(raw.lines[field], most), field, "V18", f"has more than {most} entries")


def _longer(lists: Sequence[Sequence[Any]], most: int) -> Bools:
    return np.fromiter(map(len, lists), np.int64, len(lists)) > most


def _pointers(faults: Faults, claims: Claims, lines: Lines, diagnoses: Diagnoses) -> None:
    diagnosis_count = np.bincount(diagnoses.claim, minlength=len(claims))[lines.claim]
    counts = (lines.pointers != 0).sum(axis=1)
    beyond = ((lines.pointers > diagnosis_count[:, None]) | (lines.pointers < 0)).any(axis=1)
    gap = (lines.pointers[:, :1] == 0).any(axis=1) & (counts > 0)
    faults.line(
        beyond | gap,
        "diagnosis_pointers",
        "V11",
        "names a diagnosis that the claim does not have; positions count from 1",
    )


def _form(faults: Faults, raw: Raw, claims: Claims) -> None:
    known = (claims.type == PROFESSIONAL) | (claims.type == INSTITUTIONAL)
    faults.claim(
        ~known,
        "claim_type",
        "V15",
        "is neither CLAIM_TYPE_PROFESSIONAL nor CLAIM_TYPE_INSTITUTIONAL",
    )
    has_bill_type = ~blank(raw.claims["type_of_bill"])
    faults.claim(
        (claims.type == PROFESSIONAL) & has_bill_type,
        "type_of_bill",
        "V15",
        "is set on a professional claim; only institutional claims have one",
    )
    faults.claim(
        (claims.type == INSTITUTIONAL) & ~has_bill_type,
        "type_of_bill",
        "V15",
        "is missing on an institutional claim; it is required",
    )
    faults.claim(
        np.isin(claims.frequency, _FREQUENCIES_WITH_ORIGINAL)
        & blank(raw.claims["payer_claim_control_number"]),
        "payer_claim_control_number",
        "V16",
        "is missing; a replacement (7) or void (8) names the payer's number of the original",
    )


def _icd9(faults: Faults, claims: Claims, diagnoses: Diagnoses) -> None:
    late = claims.service_to > _ICD9_LAST_DAY
    concerned = np.bincount(diagnoses.claim[diagnoses.icd9], minlength=len(claims)) > 0
    faults.claim(
        late & concerned,
        "diagnoses",
        "V19",
        f"holds ICD-9 codes on services after {_ICD9_LAST_DAY}; send ICD-10-CM (ABK, ABF)",
    )


def _texts(faults: Faults, raw: Raw) -> None:
    for field, limit in CLAIM_TEXTS.items():
        _text(faults.claim, raw.claims[field], field, limit)
    for field, limit in LINE_TEXTS.items():
        _text(faults.line, raw.lines[field], field, limit)
    for roles, add in ((raw.claim_roles, faults.claim), (raw.line_roles, faults.line)):
        for name, role in roles.items():
            for field, limit in PROVIDER_TEXTS.items():
                _text(add, role.fields[field], f"{name}.{field}", limit, role)
    if raw.lines["modifiers"]:
        flat = list(chain.from_iterable(raw.lines["modifiers"]))
        if _suspect(flat, _CODE_LENGTH_MAX):
            bad = [
                any(_faulty(text, _CODE_LENGTH_MAX) for text in texts)
                for texts in raw.lines["modifiers"]
            ]
            faults.line(np.array(bad), "modifiers", "V17", _text_message(_CODE_LENGTH_MAX))


def _text(
    add: Callable[[Bools, str, str, str], None],
    texts: Sequence[str],
    field: str,
    limit: int,
    role: Role | None = None,
) -> None:
    """Look at all texts of a field at once; only where something is odd, at each."""
    if not _suspect(texts, limit):
        return
    bad: Bools = np.array([_faulty(text, limit) for text in texts], np.bool_)
    if role is not None:
        mask = np.zeros(role.rows, np.bool_)
        mask[role.present] = bad
        bad = mask
    add(bad, field, "V17", _text_message(limit))


def _suspect(texts: Sequence[str], limit: int) -> bool:
    return max(map(len, texts), default=0) > limit or not "".join(texts).isprintable()


def _faulty(text: str, limit: int) -> bool:
    return len(text) > limit or any(unicodedata.category(character) == "Cc" for character in text)


def _text_message(limit: int) -> str:
    return f"is longer than {limit} characters or has control characters"
