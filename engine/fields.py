"""What is read of a claim: every field of the API that becomes a column, and how.

Three readers follow these tables and give the same `Fields`: `fields_python` from messages, field
by field, `fields_native` from their bytes, in C, and `fields_columns` from messages that hold
columns. The first is the authority.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.columns import CONDITION_CODES_MAX, MODIFIERS_MAX, POINTERS_MAX, Ints

Column = NDArray[Any]


class Kind(IntEnum):
    """How a field becomes a column; the numbers are those of `native/fields.c`."""

    CODE = 1
    """A text as the integer of `engine.codes`; UNCODABLE where its column is too narrow for it."""
    DAY = 2
    """A date text as days; NaT where it is blank or no date."""
    NPI = 3
    """Ten digits as a number; ABSENT, UNCODABLE."""
    PLACE = 4
    """Two digits as a number; POS_ABSENT, POS_INVALID."""
    ZIP5 = 5
    """The first five digits as a number; ABSENT, UNCODABLE."""
    INT = 6
    """A number or an enum's number, known or not."""
    BOOL = 7
    TEXT = 8
    """A text that no rule reads: only its length and characters are checked."""
    FILLED = 9
    """Whether the text is more than blanks."""
    KEPT = 10
    """A text that is kept as it was sent."""
    COUNT = 11
    """How many entries a list or map has."""
    CODES = 12
    """The first entries of a list as codes, padded with 0; their number is in `<name>.count`."""
    INTS = 13
    """The same of numbers."""
    ROLE = 14
    """Whether there is a provider in this role; its fields are `<role>.<field>`."""
    ROWS = 15
    """A list with a table of its own."""
    WORD = 16
    """A text without a form of its own as the integer of `engine.words`; 0 where it is blank."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message."""

    kind: Kind
    dtype: type[np.generic] = np.int32
    limit: int = 0
    """Most characters of a text, or most entries that are counted; 0 for any."""
    entries: int = 1
    """Values of one row: a list's most, or where a kept text begins and ends among the bytes."""
    private: bool = False
    """May hold patient-grade data, such as a tax id that is an SSN: no reader remembers it."""


_CODE_LENGTH_MAX: Final = 20


def _code(dtype: type[np.generic] = np.int32, limit: int = _CODE_LENGTH_MAX) -> Field:
    return Field(Kind.CODE, dtype, limit)


def _day() -> Field:
    return Field(Kind.DAY, np.int64)


def _text(limit: int) -> Field:
    return Field(Kind.TEXT, limit=limit)


def _filled(limit: int) -> Field:
    return Field(Kind.FILLED, np.bool_, limit)


def _kept(limit: int) -> Field:
    return Field(Kind.KEPT, limit=limit, entries=2)


def _word(limit: int) -> Field:
    return Field(Kind.WORD, np.int64, limit)


def _int(dtype: type[np.generic] = np.int32) -> Field:
    return Field(Kind.INT, dtype)


def _count(limit: int) -> Field:
    return Field(Kind.COUNT, limit=limit)


_BOOL: Final = Field(Kind.BOOL, np.bool_)
_PLACE: Final = Field(Kind.PLACE, np.int8, _CODE_LENGTH_MAX)

_PROVIDER: Final = {
    "npi": Field(Kind.NPI, np.int64, _CODE_LENGTH_MAX),
    "tin": Field(Kind.CODE, np.int64, _CODE_LENGTH_MAX, private=True),
    "last_or_org_name": Field(Kind.WORD, np.int64, 200, private=True),
    "first_name": Field(Kind.WORD, np.int64, 100, private=True),
    "taxonomy": _code(np.int64),
    "specialty": _code(np.int64),
    "ccn": _text(_CODE_LENGTH_MAX),
    "state": _code(limit=2),
    "zip": Field(Kind.ZIP5, np.int64, 10),
    "network_status": _text(50),
    "contract_id": _word(100),
}


def _provider(*columns: str) -> dict[str, Field]:
    """Return the fields of a provider; those that are not named are only checked."""
    return {
        name: field if name in columns else replace(field, kind=Kind.TEXT)
        for name, field in _PROVIDER.items()
    }


_NAME: Final = ("last_or_org_name", "first_name", "state")
CLAIM_FIELDS: Final[Mapping[str, Field]] = {
    "claim_id": _kept(100),
    "claim_version": _int(),
    "claim_type": _int(),
    "facility_id": _filled(50),
    "patient_account_number": _filled(100),
    "medical_record_number": _text(100),
    "payer_claim_control_number": _word(50),
    "frequency_code": _code(),
    "person_id": _kept(80),
    "subscriber_id": _text(80),
    "relationship_code": _text(2),
    "patient_first_name": _text(100),
    "patient_middle_name": _text(100),
    "patient_last_name": _text(100),
    "patient_date_of_birth": _day(),
    "patient_sex": _code(np.int16, limit=1),
    "service_from_date": _day(),
    "service_to_date": _day(),
    "admission_date": _day(),
    "discharge_date": _day(),
    "received_date": _day(),
    "total_charge_cents": _int(np.int64),
    "patient_paid_cents": _int(np.int64),
    "financial_class": _text(50),
    "insurance_type": _kept(100),
    "line_of_business": _int(),
    "insurance_plan_id": _word(100),
    "payer_id": _kept(80),
    "payer_name": _text(60),
    "payer_sequence": _code(),
    "prior_authorization_number": _word(50),
    "referral_number": _text(50),
    "timely_filing_exception": _kept(32),
    "delay_reason_code": _int(),
    "accident_type": _code(),
    "accident_date": _day(),
    "place_of_service": _PLACE,
    "type_of_bill": _code(),
    "patient_status": _code(),
    "drg_code": _code(),
    "drg_weight_e4": _int(np.int64),
    "batch_id": _text(100),
    "has_documentation": _BOOL,
    "is_encounter": _BOOL,
    "is_test": _BOOL,
    "patient_zip": Field(Kind.ZIP5, np.int32, 10),
    "attributes": _count(50),
    "other_payers": _count(10),
    "condition_codes": Field(Kind.CODES, np.int16, _CODE_LENGTH_MAX, CONDITION_CODES_MAX),
    "occurrence_codes": _count(24),
    "occurrence_spans": _count(24),
    "value_codes": _count(24),
    "visit_reasons": _count(3),
    "external_causes": _count(12),
    "diagnoses": Field(Kind.ROWS),
    "icd_procedures": Field(Kind.ROWS),
    "lines": Field(Kind.ROWS),
}
CLAIM_ROLES: Final[Mapping[str, Mapping[str, Field]]] = {
    "billing_provider": _provider(
        "npi", "tin", "taxonomy", "specialty", "zip", "contract_id", *_NAME
    ),
    "rendering_provider": _provider("npi", "taxonomy", "specialty", *_NAME),
    "attending_provider": _provider("npi"),
    "operating_provider": _provider("npi"),
    "referring_provider": _provider("npi"),
    "supervising_provider": _provider("npi"),
    "facility_provider": _provider("npi", "zip"),
}
LINE_FIELDS: Final[Mapping[str, Field]] = {
    "line_number": _int(),
    "line_control_number": _text(50),
    "service_from_date": _day(),
    "service_to_date": _day(),
    "procedure_code": _code(),
    "procedure_qualifier": _code(),
    "modifiers": Field(Kind.CODES, np.int16, _CODE_LENGTH_MAX, MODIFIERS_MAX),
    "revenue_code": _code(),
    "units_milli": _int(np.int64),
    "unit_basis": _code(),
    "charge_cents": _int(np.int64),
    "non_covered_charge_cents": _int(np.int64),
    "place_of_service": _PLACE,
    "diagnosis_pointers": Field(Kind.INTS, np.int32, entries=POINTERS_MAX),
    "ndc": _code(np.int64),
    "prior_authorization_number": _word(50),
    "emergency_indicator": _BOOL,
    "is_rental": _BOOL,
    "rental_month": _int(),
    "purchase_price_cents": _int(np.int64),
    "has_documentation": _BOOL,
    "has_medical_necessity_certificate": _BOOL,
}
LINE_ROLES: Final[Mapping[str, Mapping[str, Field]]] = {
    "rendering_provider": _provider("npi", "taxonomy", "specialty"),
    "ordering_provider": _provider("npi"),
    "referring_provider": _provider("npi"),
    "supervising_provider": _provider("npi"),
    "facility_provider": _provider("npi", "zip"),
}
DIAGNOSIS_FIELDS: Final[Mapping[str, Field]] = {
    "code": _code(np.int64, limit=0),
    "qualifier": _code(limit=0),
}
ICD_PROCEDURE_FIELDS: Final[Mapping[str, Field]] = {"code": _code(np.int64, limit=0)}


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a pass as columns by name.

    The tables of lines, diagnoses and ICD procedures have the row of their claim under `claim`.
    """

    message: Ints
    """Which request message each claim came in, from 0."""
    texts: Mapping[str, Sequence[str]]
    """The claims' texts that are kept as they were sent."""
    claims: Mapping[str, Column]
    lines: Mapping[str, Column]
    diagnoses: Mapping[str, Column]
    icd_procedures: Mapping[str, Column]
