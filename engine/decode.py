"""Messages to columns.

One attribute getter runs over all claims, one over all lines: no Python loop per field.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter, methodcaller
from typing import Any, Final, Protocol

import numpy as np
from claimgate.v1 import claim_pb2, score_pb2
from numpy.typing import NDArray

from engine.codes import ABSENT, UNCODABLE, Code36, code36
from engine.columns import (
    INSTITUTIONAL,
    LOB_MEDICARE_ADVANTAGE,
    LOB_UNKNOWN,
    MISSING_BILLING_PROVIDER,
    MISSING_PAYER_ID,
    MISSING_PERSON_ID,
    MODIFIERS_MAX,
    POINTERS_MAX,
    POS_ABSENT,
    POS_INVALID,
    SEX_FEMALE,
    SEX_MALE,
    SEX_UNKNOWN,
    Batch,
    Claims,
    Dates,
    Diagnoses,
    IcdProcedures,
    Ints,
    Lines,
    Received,
)
from engine.dates import DAYS
from engine.insurance import HMO, INSURANCE, LINE_OF_BUSINESS, MEDICARE_ADVANTAGE_KIND
from engine.validate import (
    CLAIM_DATES,
    LINE_DATES,
    PROVIDER_TEXTS,
    REPEATED_MAX,
    Raw,
    Role,
    blank,
    validate,
)

_CODES: Final = Code36()
_SEX_CODES: Final = {"F": SEX_FEMALE, "M": SEX_MALE}
_ICD9_QUALIFIERS: Final = frozenset({"BK", "BF"})
_INPATIENT_BILLS: Final = frozenset({"11", "18", "21", "28", "41", "65", "66", "86"})
_MEMORY_MAX: Final = 200_000

CLAIM_FIELDS: Final = (
    "claim_id",
    "claim_version",
    "claim_type",
    "facility_id",
    "patient_account_number",
    "medical_record_number",
    "payer_claim_control_number",
    "frequency_code",
    "person_id",
    "subscriber_id",
    "relationship_code",
    "patient_first_name",
    "patient_middle_name",
    "patient_last_name",
    "patient_date_of_birth",
    "patient_sex",
    "service_from_date",
    "service_to_date",
    "admission_date",
    "discharge_date",
    "received_date",
    "total_charge_cents",
    "patient_paid_cents",
    "financial_class",
    "insurance_type",
    "line_of_business",
    "insurance_plan_id",
    "payer_id",
    "payer_name",
    "payer_sequence",
    "prior_authorization_number",
    "referral_number",
    "timely_filing_exception",
    "delay_reason_code",
    "accident_type",
    "accident_date",
    "place_of_service",
    "type_of_bill",
    "patient_status",
    "drg_code",
    "batch_id",
    "has_documentation",
    "is_encounter",
    "is_test",
    "diagnoses",
    "lines",
    *REPEATED_MAX,
)
LINE_FIELDS: Final = (
    "line_number",
    "line_control_number",
    "service_from_date",
    "service_to_date",
    "procedure_code",
    "procedure_qualifier",
    "modifiers",
    "revenue_code",
    "units_milli",
    "unit_basis",
    "charge_cents",
    "non_covered_charge_cents",
    "place_of_service",
    "diagnosis_pointers",
    "ndc",
    "prior_authorization_number",
    "emergency_indicator",
    "is_rental",
    "rental_month",
    "purchase_price_cents",
    "has_documentation",
)
CLAIM_ROLES: Final = (
    "billing_provider",
    "rendering_provider",
    "attending_provider",
    "operating_provider",
    "referring_provider",
    "supervising_provider",
    "facility_provider",
)
LINE_ROLES: Final = (
    "rendering_provider",
    "ordering_provider",
    "referring_provider",
    "supervising_provider",
    "facility_provider",
)
PROVIDER_FIELDS: Final = tuple(PROVIDER_TEXTS)


class _Lookup(Protocol):
    """Anything that turns a text into an integer by subscript."""

    def __getitem__(self, text: str, /) -> int: ...


class _Memory(dict[str, int]):
    """A bounded memory of one conversion."""

    def __init__(self, convert: Callable[[str], int]) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, text: str) -> int:
        value = self._convert(text)
        if len(self) < _MEMORY_MAX:
            self[text] = value
        return value


def _npi(text: str) -> int:
    text = text.strip()
    if not text:
        return ABSENT
    digits = len(text) == 10 and text.isascii() and text.isdigit()
    return int(text) or UNCODABLE if digits else UNCODABLE


def _place(text: str) -> int:
    text = text.strip()
    if not text:
        return POS_ABSENT
    return int(text) if len(text) == 2 and text.isascii() and text.isdigit() else POS_INVALID


def _zip5(text: str) -> int:
    text = text.strip()[:5]
    if not text:
        return ABSENT
    return int(text) if len(text) == 5 and text.isascii() and text.isdigit() else UNCODABLE


class _Words(dict[str, int]):
    """Words of one pass, numbered as they come; case and blanks around them do not count."""

    def __missing__(self, text: str) -> int:
        word = text.strip().lower()
        number = self[text] = len(self) if word == text else self[word]
        return number


class _Forgetful:
    """Codes of fields that may hold patient-grade data, such as a tax id that is an SSN.

    Nothing is remembered.
    """

    def __getitem__(self, text: str) -> int:
        return code36(text)


_TAX_IDS: Final = _Forgetful()
_SEXES: Final = _Memory(lambda text: _SEX_CODES.get(text.strip().upper(), SEX_UNKNOWN))
_INSURANCE: Final = _Memory(lambda text: INSURANCE.get(text.strip().upper(), 0))
_HMOS: Final = _Memory(lambda text: text.strip().upper() == HMO)
_ICD9: Final = _Memory(lambda text: text.strip().upper() in _ICD9_QUALIFIERS)
_INPATIENT: Final = _Memory(lambda text: text[1:3] in _INPATIENT_BILLS)
_NPIS: Final = _Memory(_npi)
_PLACES: Final = _Memory(_place)
_ZIPS: Final = _Memory(_zip5)


def decode(messages: Sequence[score_pb2.ClaimBatch], *, allow_zero_charge: bool) -> Batch:
    """Return the messages' claims as columns, those that cannot be scored set aside with reasons.

    Args:
        messages: Request messages of one tenant, in the order of arrival.
        allow_zero_charge: A total charge of 0 is accepted on encounters.
    """
    claims = list(chain.from_iterable(message.claims for message in messages))
    message_claims = [len(message.claims) for message in messages]
    lines, line_counts = _flatten([claim.lines for claim in claims])
    claim_fields = _fields(claims, CLAIM_FIELDS)
    line_fields = _fields(lines, LINE_FIELDS)
    owner = np.repeat(np.arange(len(claims), dtype=np.int32), line_counts)
    message = np.repeat(np.arange(len(messages), dtype=np.int32), message_claims)
    claim_roles = {name: _role(claims, name) for name in CLAIM_ROLES}
    line_roles = {name: _role(lines, name) for name in LINE_ROLES}
    claim_days = {name: _dates(claim_fields[name]) for name in CLAIM_DATES}
    line_days = {name: _dates(line_fields[name]) for name in LINE_DATES}
    words = _Words({"": 0})

    claim_columns = _claims(claim_fields, claim_days, claim_roles, message, line_counts, words)
    line_columns = _lines(line_fields, line_days, line_roles, owner, claim_columns, claim_roles)
    diagnoses = _diagnoses(claim_fields["diagnoses"])
    icd_procedures = _icd_procedures(claim_fields["icd_procedures"])
    violations = validate(
        Raw(claim_fields, line_fields, claim_days, line_days, claim_roles, line_roles),
        claim_columns,
        line_columns,
        diagnoses,
        allow_zero_charge=allow_zero_charge,
    )
    received = Received(
        claim_ids=claim_fields["claim_id"],
        versions=claim_columns.version.tolist(),
        is_test=claim_fields["is_test"],
        message_claims=message_claims,
    )
    batch = Batch(
        received, violations, claim_columns, line_columns, diagnoses, icd_procedures, words
    )
    return _without(batch, violations.keys()) if violations else batch


def _without(batch: Batch, unscorable: Iterable[int]) -> Batch:
    """Drop the claims that cannot be scored from the columns; their ordinals stay known."""
    keep = np.ones(len(batch.claims), np.bool_)
    keep[list(unscorable)] = False
    row = (np.cumsum(keep) - 1).astype(np.int32)
    counts = batch.claims.lines[keep]
    start = np.zeros_like(batch.claims.line_start)
    start[keep] = np.cumsum(counts) - counts

    def kept(table: Any) -> Any:
        return table.take(keep[table.claim], claim=row[table.claim])

    return Batch(
        batch.received,
        batch.violations,
        batch.claims.take(keep, line_start=start),
        kept(batch.lines),
        kept(batch.diagnoses),
        kept(batch.icd_procedures),
        batch.words,
    )


def _flatten(lists: Sequence[Sequence[Any]]) -> tuple[list[Any], NDArray[np.int32]]:
    counts = np.fromiter(map(len, lists), np.int32, len(lists))
    return list(chain.from_iterable(lists)), counts


def _fields(rows: Sequence[Any], names: tuple[str, ...]) -> dict[str, Sequence[Any]]:
    """Read all fields of all rows at once; a tuple per field."""
    columns = zip(*map(attrgetter(*names), rows), strict=True) if rows else ((),) * len(names)
    return dict(zip(names, columns, strict=True))


def _role(rows: Sequence[Any], name: str) -> Role:
    """Read the providers of one role, for the rows that have one."""
    has_role = np.fromiter(map(methodcaller("HasField", name), rows), np.bool_, len(rows))
    present, get = np.flatnonzero(has_role), attrgetter(name)
    fields = _fields([get(rows[index]) for index in present.tolist()], PROVIDER_FIELDS)
    return Role(present, fields, len(rows))


def _ints(values: Iterable[int], dtype: Any, count: int) -> NDArray[Any]:
    return np.fromiter(values, dtype, count)


def _codes(texts: Sequence[str], dtype: Any = np.int64) -> NDArray[Any]:
    wide = np.fromiter(map(_CODES.__getitem__, texts), np.int64, len(texts))
    if dtype is np.int64:
        return wide
    limit = np.iinfo(dtype).max
    return np.where(wide > limit, UNCODABLE, wide).astype(dtype)


def _dates(texts: Sequence[str]) -> NDArray[np.datetime64]:
    return np.fromiter(map(DAYS.__getitem__, texts), np.int64, len(texts)).view("datetime64[D]")


def _mapped(memory: _Lookup, texts: Sequence[str], dtype: Any) -> NDArray[Any]:
    return np.fromiter(map(memory.__getitem__, texts), dtype, len(texts))


def _of_role(role: Role, name: str, memory: _Lookup) -> NDArray[np.int64]:
    """A provider field over all rows; 0 where the row has no provider in this role."""
    column = np.zeros(role.rows, np.int64)
    column[role.present] = _mapped(memory, role.fields[name], np.int64)
    return column


def _claims(
    fields: Mapping[str, Sequence[Any]],
    days: Mapping[str, Dates],
    roles: Mapping[str, Role],
    message: Ints,
    line_counts: Ints,
    words: "_Words",
) -> Claims:
    count = len(message)
    bills = fields["type_of_bill"]
    billing, facility = roles["billing_provider"], roles["facility_provider"]
    facility_zip = _of_role(facility, "zip", _ZIPS)
    billing_zip = _of_role(billing, "zip", _ZIPS)
    insurance, line_of_business = _insurance(fields)
    version = _ints(fields["claim_version"], np.int32, count)
    return Claims(
        message=message,
        ordinal=np.arange(count, dtype=np.int32),
        type=_ints(fields["claim_type"], np.int32, count),
        version=np.where(version == 0, 1, version),
        frequency=_or_default(_codes(fields["frequency_code"], np.int32), "1"),
        member=_members(fields),
        birth_date=days["patient_date_of_birth"],
        service_from=days["service_from_date"],
        service_to=days["service_to_date"],
        admission_date=days["admission_date"],
        discharge_date=days["discharge_date"],
        received_date=days["received_date"],
        sex=_mapped(_SEXES, fields["patient_sex"], np.int8),
        total_charge_cents=_ints(fields["total_charge_cents"], np.int64, count),
        patient_paid_cents=_ints(fields["patient_paid_cents"], np.int64, count),
        line_of_business=line_of_business,
        insurance=insurance,
        payer_sequence=_or_default(_codes(fields["payer_sequence"], np.int32), "P"),
        filing_exception=_mapped(words, fields["timely_filing_exception"], np.int32),
        delay_reason=_ints(fields["delay_reason_code"], np.int32, count),
        accident_type=_codes(fields["accident_type"], np.int32),
        place_of_service=_mapped(_PLACES, fields["place_of_service"], np.int8),
        type_of_bill=_codes(bills, np.int32),
        inpatient=_mapped(_INPATIENT, bills, np.bool_),
        drg=_codes(fields["drg_code"], np.int32),
        patient_status=_codes(fields["patient_status"], np.int32),
        billing_npi=_of_role(billing, "npi", _NPIS),
        rendering_npi=_of_role(roles["rendering_provider"], "npi", _NPIS),
        attending_npi=_of_role(roles["attending_provider"], "npi", _NPIS),
        operating_npi=_of_role(roles["operating_provider"], "npi", _NPIS),
        referring_npi=_of_role(roles["referring_provider"], "npi", _NPIS),
        supervising_npi=_of_role(roles["supervising_provider"], "npi", _NPIS),
        facility_npi=_of_role(facility, "npi", _NPIS),
        billing_tin=_of_role(billing, "tin", _TAX_IDS),
        billing_taxonomy=_of_role(billing, "taxonomy", _CODES),
        zip5=np.where(facility_zip == ABSENT, billing_zip, facility_zip).astype(np.int32),
        has_documentation=_ints(fields["has_documentation"], np.bool_, count),
        is_encounter=_ints(fields["is_encounter"], np.bool_, count),
        is_test=_ints(fields["is_test"], np.bool_, count),
        missing=_missing(fields, billing),
        lines=line_counts,
        line_start=(np.cumsum(line_counts) - line_counts).astype(np.int32),
    )


def _lines(
    fields: Mapping[str, Sequence[Any]],
    days: Mapping[str, Dates],
    roles: Mapping[str, Role],
    owner: Ints,
    claims: Claims,
    claim_roles: Mapping[str, Role],
) -> Lines:
    count = len(owner)
    service_from = days["service_from_date"]
    undated = np.isnat(service_from)
    service_from = np.where(undated, claims.service_from[owner], service_from)
    service_to = days["service_to_date"]
    place = _mapped(_PLACES, fields["place_of_service"], np.int8)
    facility_zip = _of_role(roles["facility_provider"], "zip", _ZIPS)
    rendering, provider = _rendering(roles["rendering_provider"], owner, claims, claim_roles)
    return Lines(
        claim=owner,
        number=_ints(fields["line_number"], np.int32, count),
        service_from=service_from,
        service_to=np.where(np.isnat(service_to), service_from, service_to),
        undated=undated,
        procedure=_codes(fields["procedure_code"], np.int32),
        qualifier=_codes(fields["procedure_qualifier"], np.int32),
        modifiers=_padded(fields["modifiers"], MODIFIERS_MAX, np.int16),
        revenue=_codes(fields["revenue_code"], np.int32),
        units_milli=_ints(fields["units_milli"], np.int64, count),
        unit_basis=_or_default(_codes(fields["unit_basis"], np.int32), "UN"),
        charge_cents=_ints(fields["charge_cents"], np.int64, count),
        non_covered_cents=_ints(fields["non_covered_charge_cents"], np.int64, count),
        place_of_service=np.where(place == POS_ABSENT, claims.place_of_service[owner], place),
        pointers=_padded(fields["diagnosis_pointers"], POINTERS_MAX, np.int32),
        ndc=_codes(fields["ndc"]),
        rendering_npi=rendering,
        ordering_npi=_of_role(roles["ordering_provider"], "npi", _NPIS),
        referring_npi=_of_role(roles["referring_provider"], "npi", _NPIS),
        supervising_npi=_of_role(roles["supervising_provider"], "npi", _NPIS),
        facility_npi=_of_role(roles["facility_provider"], "npi", _NPIS),
        provider=provider,
        zip5=np.where(facility_zip == ABSENT, claims.zip5[owner], facility_zip).astype(np.int32),
        emergency=_ints(fields["emergency_indicator"], np.bool_, count),
        is_rental=_ints(fields["is_rental"], np.bool_, count),
        rental_month=_ints(fields["rental_month"], np.int32, count),
        purchase_price_cents=_ints(fields["purchase_price_cents"], np.int64, count),
        has_documentation=_ints(fields["has_documentation"], np.bool_, count)
        | claims.has_documentation[owner],
    )


def _rendering(
    own: Role, owner: Ints, claims: Claims, claim_roles: Mapping[str, Role]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Who rendered each line, and the key by which lines of one claim count as the same provider.

    Physicians of one group and one specialty count as one (Claims Processing Manual ch. 12 s.
    40.1), so the key is
    the specialty where it is known, else the NPI. A facility bill has one provider: the biller.
    """
    specialty = _specialty(claim_roles["rendering_provider"])
    specialty = np.where(
        specialty == ABSENT, _specialty(claim_roles["billing_provider"]), specialty
    )
    default = np.where(claims.rendering_npi == ABSENT, claims.billing_npi, claims.rendering_npi)
    own_npi, own_specialty = _of_role(own, "npi", _NPIS), _specialty(own)
    has_own = own_npi != ABSENT
    npi = np.where(has_own, own_npi, default[owner])
    known = np.where(has_own & (own_npi != default[owner]), own_specialty, specialty[owner])
    key = np.where(known > 0, known, -npi)
    institutional = claims.type[owner] == INSTITUTIONAL
    return npi, np.where(institutional, -claims.billing_npi[owner], key)


def _specialty(role: Role) -> NDArray[np.int64]:
    specialty = _of_role(role, "specialty", _CODES)
    return np.where(specialty > 0, specialty, _of_role(role, "taxonomy", _CODES))


def _insurance(fields: Mapping[str, Sequence[Any]]) -> tuple[Ints, Ints]:
    """The model's input for the kind of insurance, and the line of business, stated or derived."""
    kinds = fields["insurance_type"]
    stated = _ints(fields["line_of_business"], np.int32, len(kinds))
    insurance = _mapped(_INSURANCE, kinds, np.int8)
    hmo = _mapped(_HMOS, kinds, np.bool_)
    insurance[hmo & (stated == LOB_MEDICARE_ADVANTAGE)] = MEDICARE_ADVANTAGE_KIND
    derived = np.array(LINE_OF_BUSINESS, np.int32)[insurance]
    known = (stated > LOB_UNKNOWN) & (stated < len(claim_pb2.LineOfBusiness.values()))
    return insurance, np.where(known, stated, derived)


def _members(fields: Mapping[str, Sequence[Any]]) -> NDArray[np.int32]:
    """Number the members of the pass; a claim without a member id is a member of its own."""
    numbers: dict[tuple[str, str], int] = {}
    return _ints(
        (
            numbers.setdefault((payer, person) if person else ("", str(index)), len(numbers))
            for index, (payer, person) in enumerate(
                zip(fields["payer_id"], fields["person_id"], strict=True)
            )
        ),
        np.int32,
        len(fields["person_id"]),
    )


def _missing(fields: Mapping[str, Sequence[Any]], billing: Role) -> NDArray[np.int8]:
    count = len(fields["claim_id"])
    mask = np.zeros(count, np.int8)
    for bit, texts in (
        (MISSING_PERSON_ID, fields["person_id"]),
        (MISSING_PAYER_ID, fields["payer_id"]),
    ):
        mask |= (blank(texts) * bit).astype(np.int8)
    absent = np.ones(count, np.bool_)
    absent[billing.present] = False
    return mask | (absent * MISSING_BILLING_PROVIDER).astype(np.int8)


def _or_default(column: NDArray[Any], default: str) -> NDArray[Any]:
    return np.where(column == ABSENT, code36(default), column).astype(column.dtype)


def _padded(lists: Sequence[Sequence[Any]], width: int, dtype: Any) -> NDArray[Any]:
    """Lists of at most `width` values as rows, padded with 0.

    What is beyond is a structural fault.
    """
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    padded = np.zeros((len(lists), width), dtype)
    flat = list(chain.from_iterable(lists))
    if flat:
        values = _codes(flat, dtype) if isinstance(flat[0], str) else np.array(flat, dtype)
        row = np.repeat(np.arange(len(lists)), counts)
        column = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
        fits = column < width
        padded[row[fits], column[fits]] = values[fits]
    return padded


def _diagnoses(lists: Sequence[Sequence[Any]]) -> Diagnoses:
    flat, counts = _flatten(lists)
    return Diagnoses(
        claim=np.repeat(np.arange(len(lists), dtype=np.int32), counts),
        sequence=_positions(counts),
        code=_codes([diagnosis.code for diagnosis in flat]),
        icd9=_mapped(_ICD9, [diagnosis.qualifier for diagnosis in flat], np.bool_),
    )


def _icd_procedures(lists: Sequence[Sequence[Any]]) -> IcdProcedures:
    flat, counts = _flatten(lists)
    return IcdProcedures(
        claim=np.repeat(np.arange(len(lists), dtype=np.int32), counts),
        code=_codes([procedure.code for procedure in flat]),
    )


def _positions(counts: Ints) -> NDArray[np.int32]:
    """Position from 1 within each list."""
    start = np.repeat(np.cumsum(counts) - counts, counts)
    return (np.arange(int(counts.sum())) - start + 1).astype(np.int32)
