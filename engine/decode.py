"""Messages to columns.

One of two readers takes the fields out of the messages: in C where that was compiled, else in
Python. What the fields mean for a claim is worked out here, the same for both. Python alone judges
faults: where C reads, every claim that looks faulty is read again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from claimgate.v1 import claim_pb2, score_pb2
from numpy.typing import NDArray

from engine import fields_native, fields_python
from engine.bills import inpatient
from engine.codes import ABSENT, code36
from engine.columns import (
    INSTITUTIONAL,
    LOB_MEDICARE_ADVANTAGE,
    LOB_UNKNOWN,
    MISSING_BILLING_PROVIDER,
    MISSING_PAYER_ID,
    MISSING_PERSON_ID,
    POS_ABSENT,
    SEX_FEMALE,
    SEX_MALE,
    SEX_UNKNOWN,
    Batch,
    Bools,
    Claims,
    Dates,
    Diagnoses,
    IcdProcedures,
    Ints,
    Lines,
    OtherPayers,
    Received,
    one_of,
)
from engine.fields import Column, Fields
from engine.fields_python import Memory, Sent, blank
from engine.insurance import HMO, INSURANCE, LINE_OF_BUSINESS, MEDICARE_ADVANTAGE_KIND
from engine.validate import Tables, validate
from engine.words import BLANK, name_keys, word_key

Reader = Literal["native", "python"]

READER: Final[Reader] = "native" if fields_native.LIBRARY else "python"
"""Which reader takes the fields out of messages in this process."""

_FEMALE, _MALE = code36("F"), code36("M")
_ICD9_QUALIFIERS: Final = (code36("BK"), code36("BF"))
_OTHER_PAYER_TYPES: Final = (
    np.int32,
    np.int64,
    np.int64,
    np.bool_,
    np.int64,
    np.bool_,
    np.int64,
    np.bool_,
)
_CENTS_BOUND: Final = 1 << 60
_LINES_OF_BUSINESS: Final = len(claim_pb2.LineOfBusiness.values())


class _Words(dict[str, int]):
    """Words of one pass, numbered as they come; case and blanks around them do not count."""

    def __missing__(self, text: str) -> int:
        word = text.strip().lower()
        number = self[text] = len(self) if word == text else self[word]
        return number


_INSURANCE: Final = Memory(lambda text: INSURANCE.get(text.strip().upper(), 0))
_WORDS: Final = Memory(word_key)
_HMOS: Final = Memory(lambda text: text.strip().upper() == HMO)


def decode(
    messages: Sequence[score_pb2.ClaimBatch], *, allow_zero_charge: bool, reader: Reader = READER
) -> Batch:
    """Return the messages' claims as columns, those that cannot be scored set aside with reasons.

    Args:
        messages: Request messages of one tenant, in the order of arrival.
        allow_zero_charge: A total charge of 0 is accepted on encounters.
        reader: Which reader to use; both give the same.
    """
    batch, fields, sent = _read(messages, reader)
    violations = validate(
        fields,
        sent,
        Tables(batch.claims, batch.lines, batch.diagnoses, batch.icd_procedures),
        allow_zero_charge=allow_zero_charge,
    )
    batch = replace(batch, violations=violations)
    return _without(batch, violations.keys()) if violations else batch


def decode_unjudged(messages: Sequence[score_pb2.ClaimBatch], *, reader: Reader = READER) -> Batch:
    """Return the messages' claims as columns, all of them: whoever asks knows that they scored."""
    return _read(messages, reader)[0]


def _read(messages: Sequence[score_pb2.ClaimBatch], reader: Reader) -> tuple[Batch, Fields, Sent]:
    message_claims = [len(message.claims) for message in messages]
    message = np.repeat(np.arange(len(messages), dtype=np.int32), message_claims)
    words = _Words({"": 0})
    read = fields_native.read(messages, message) if reader == "native" else None
    fields, sent = read or fields_python.read(messages, message)
    member, persons = _members(fields)
    claims = _claims(fields, words, member)
    received = Received(
        claim_ids=fields.texts["claim_id"],
        versions=claims.version.tolist(),
        is_test=claims.is_test.tolist(),
        message_claims=message_claims,
    )
    batch = Batch(
        received,
        {},
        claims,
        _lines(fields, claims),
        _diagnoses(fields),
        _icd_procedures(fields),
        _other_payers(messages, fields),
        persons,
        words,
    )
    return batch, fields, sent


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
        kept(batch.other_payers),
        batch.persons,
        batch.words,
    )


def _claims(fields: Fields, words: _Words, member: Ints) -> Claims:
    sent = fields.claims
    count = len(fields.message)
    facility_zip, billing_zip = sent["facility_provider.zip"], sent["billing_provider.zip"]
    insurance, line_of_business = _insurance(fields)
    version = sent["claim_version"]
    line_counts = np.bincount(fields.lines["claim"], minlength=count)
    return Claims(
        message=fields.message,
        ordinal=np.arange(count, dtype=np.int32),
        type=sent["claim_type"],
        version=np.where(version == 0, 1, version),
        frequency=_or_default(sent["frequency_code"], "1"),
        control_number=sent["payer_claim_control_number"],
        member=member,
        birth_date=_days(sent["patient_date_of_birth"]),
        service_from=_days(sent["service_from_date"]),
        service_to=_days(sent["service_to_date"]),
        admission_date=_days(sent["admission_date"]),
        discharge_date=_days(sent["discharge_date"]),
        received_date=_days(sent["received_date"]),
        sex=_sex(sent["patient_sex"]),
        total_charge_cents=sent["total_charge_cents"],
        patient_paid_cents=sent["patient_paid_cents"],
        payer=_mapped(_WORDS, fields.texts["payer_id"], np.int64),
        plan=sent["insurance_plan_id"],
        contract=sent["billing_provider.contract_id"],
        authorization=sent["prior_authorization_number"],
        line_of_business=line_of_business,
        insurance=insurance,
        payer_sequence=_or_default(sent["payer_sequence"], "P"),
        filing_exception=_mapped(words, fields.texts["timely_filing_exception"], np.int32),
        delay_reason=sent["delay_reason_code"],
        accident_type=sent["accident_type"],
        place_of_service=sent["place_of_service"],
        type_of_bill=sent["type_of_bill"],
        inpatient=inpatient(sent["type_of_bill"]),
        drg=sent["drg_code"],
        drg_weight_e4=sent["drg_weight_e4"],
        condition_codes=sent["condition_codes"],
        patient_status=sent["patient_status"],
        billing_npi=sent["billing_provider.npi"],
        rendering_npi=sent["rendering_provider.npi"],
        attending_npi=sent["attending_provider.npi"],
        operating_npi=sent["operating_provider.npi"],
        referring_npi=sent["referring_provider.npi"],
        supervising_npi=sent["supervising_provider.npi"],
        facility_npi=sent["facility_provider.npi"],
        billing_tin=sent["billing_provider.tin"],
        billing_taxonomy=sent["billing_provider.taxonomy"],
        billing_name=_name(sent, "billing_provider"),
        billing_state=sent["billing_provider.state"],
        rendering_name=_name(sent, "rendering_provider"),
        rendering_state=sent["rendering_provider.state"],
        rendering_taxonomy=sent["rendering_provider.taxonomy"],
        zip5=np.where(facility_zip == ABSENT, billing_zip, facility_zip).astype(np.int32),
        patient_zip5=sent["patient_zip"],
        has_documentation=sent["has_documentation"],
        is_encounter=sent["is_encounter"],
        is_test=sent["is_test"],
        missing=_missing(fields),
        lines=line_counts.astype(np.int32),
        line_start=(np.cumsum(line_counts) - line_counts).astype(np.int32),
    )


def _name(sent: Mapping[str, Column], role: str) -> NDArray[np.int64]:
    return name_keys(sent[f"{role}.last_or_org_name"], sent[f"{role}.first_name"])


def _lines(fields: Fields, claims: Claims) -> Lines:
    sent, owner = fields.lines, fields.lines["claim"]
    service_from = _days(sent["service_from_date"])
    undated = np.isnat(service_from)
    service_from = np.where(undated, claims.service_from[owner], service_from)
    service_to = _days(sent["service_to_date"])
    place = sent["place_of_service"]
    facility_zip = sent["facility_provider.zip"]
    authorization = sent["prior_authorization_number"]
    rendered = _rendering(fields, claims)
    return Lines(
        claim=owner,
        number=sent["line_number"],
        service_from=service_from,
        service_to=np.where(np.isnat(service_to), service_from, service_to),
        undated=undated,
        procedure=sent["procedure_code"],
        qualifier=sent["procedure_qualifier"],
        modifiers=sent["modifiers"],
        revenue=sent["revenue_code"],
        units_milli=sent["units_milli"],
        unit_basis=_or_default(sent["unit_basis"], "UN"),
        charge_cents=sent["charge_cents"],
        non_covered_cents=sent["non_covered_charge_cents"],
        place_of_service=np.where(place == POS_ABSENT, claims.place_of_service[owner], place),
        pointers=sent["diagnosis_pointers"],
        ndc=sent["ndc"],
        rendering_npi=rendered.npi,
        ordering_npi=sent["ordering_provider.npi"],
        referring_npi=sent["referring_provider.npi"],
        supervising_npi=sent["supervising_provider.npi"],
        facility_npi=sent["facility_provider.npi"],
        provider=rendered.key,
        specialty=rendered.specialty,
        taxonomy=rendered.taxonomy,
        authorization=np.where(authorization == BLANK, claims.authorization[owner], authorization),
        zip5=np.where(facility_zip == ABSENT, claims.zip5[owner], facility_zip).astype(np.int32),
        emergency=sent["emergency_indicator"],
        is_rental=sent["is_rental"],
        rental_month=sent["rental_month"],
        purchase_price_cents=sent["purchase_price_cents"],
        has_documentation=sent["has_documentation"] | claims.has_documentation[owner],
        has_medical_necessity_certificate=sent["has_medical_necessity_certificate"],
    )


class _Rendered(NamedTuple):
    """Who rendered each line. Shapes are (lines,)."""

    npi: NDArray[np.int64]
    key: NDArray[np.int64]
    specialty: NDArray[np.int64]
    taxonomy: NDArray[np.int64]


def _rendering(fields: Fields, claims: Claims) -> _Rendered:
    """Who rendered each line, and the key by which lines of one claim count as the same provider.

    Physicians of one group and one specialty count as one (Claims Processing Manual ch. 12 s.
    40.1), so the key is the specialty where it is known, else the NPI; a person whose lines name
    several specialties, or one only on some, is one all the same. A facility bill has one provider:
    the biller.
    """
    owner = fields.lines["claim"]
    default = np.where(claims.rendering_npi == ABSENT, claims.billing_npi, claims.rendering_npi)
    own_npi = fields.lines["rendering_provider.npi"]
    npi = np.where(own_npi != ABSENT, own_npi, default[owner])
    other = (own_npi != ABSENT) & (own_npi != default[owner])
    specialty = _of_renderer(fields, _specialty, other)
    key = _of_persons(owner, npi, np.where(specialty > 0, specialty, -npi), other)
    institutional = claims.type[owner] == INSTITUTIONAL
    return _Rendered(
        npi=npi,
        key=np.where(institutional, -claims.billing_npi[owner], key),
        specialty=specialty,
        taxonomy=_of_renderer(fields, _taxonomy, other),
    )


def _of_persons(owner: Ints, npi: Ints, key: NDArray[np.int64], other: Bools) -> NDArray[np.int64]:
    """Give lines of one claim that share a person or a key, be it through third ones, one key.

    Lines of the claim's own renderer have one specialty; only those of others can disagree.
    """
    rows = np.flatnonzero(other)
    rows = rows[np.lexsort((npi[rows], owner[rows]))]
    first, second = rows[:-1], rows[1:]
    same_person = (owner[first] == owner[second]) & (npi[first] == npi[second])
    torn = np.unique(owner[second[same_person & (key[first] != key[second])]])
    if not len(torn):
        return key
    rows = np.flatnonzero(np.isin(owner, torn))
    groups = [
        np.unique(np.stack([owner[rows], part[rows]]), axis=1, return_inverse=True)[1].ravel()
        for part in (npi, key)
    ]
    joined = key[rows]
    while True:
        before = joined
        for group in groups:
            highest = np.full(len(rows), np.iinfo(np.int64).min)
            np.maximum.at(highest, group, joined)
            joined = highest[group]
        if (joined == before).all():
            break
    key = key.copy()
    key[rows] = joined
    return key


def _of_renderer(
    fields: Fields, what: Callable[[Mapping[str, Column], str], Column], other: Bools
) -> NDArray[np.int64]:
    """A fact of who rendered each line: the line's own where it names another, else the claim's."""
    claim = what(fields.claims, "rendering_provider")
    claim = np.where(claim == ABSENT, what(fields.claims, "billing_provider"), claim)
    own = what(fields.lines, "rendering_provider")
    return np.where(other, own, claim[fields.lines["claim"]])


def _taxonomy(table: Mapping[str, Column], role: str) -> Column:
    return table[f"{role}.taxonomy"]


def _specialty(table: Mapping[str, Column], role: str) -> NDArray[np.int64]:
    specialty = table[f"{role}.specialty"]
    return np.where(specialty > 0, specialty, table[f"{role}.taxonomy"])


def _insurance(fields: Fields) -> tuple[Ints, Ints]:
    """The model's input for the kind of insurance, and the line of business, stated or derived."""
    kinds, stated = fields.texts["insurance_type"], fields.claims["line_of_business"]
    insurance = _mapped(_INSURANCE, kinds, np.int8)
    hmo = _mapped(_HMOS, kinds, np.bool_)
    insurance[hmo & (stated == LOB_MEDICARE_ADVANTAGE)] = MEDICARE_ADVANTAGE_KIND
    derived = np.array(LINE_OF_BUSINESS, np.int32)[insurance]
    known = (stated > LOB_UNKNOWN) & (stated < _LINES_OF_BUSINESS)
    return insurance, np.where(known, stated, derived)


def _members(fields: Fields) -> tuple[NDArray[np.int32], Sequence[tuple[str, str]]]:
    """Number the members of the pass, and name them; a claim without a member id has its own."""
    known = list(zip(fields.texts["payer_id"], fields.texts["person_id"], strict=True))
    keys = [key if key[1].strip() else row for row, key in enumerate(known)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    persons = [key if isinstance(key, tuple) else (known[key][0], "") for key in numbers]
    return _mapped(numbers, keys, np.int32), persons


def _other_payers(messages: Sequence[score_pb2.ClaimBatch], fields: Fields) -> OtherPayers:
    """Read other payers message by message: few claims have any, and those have one or two."""
    rows = np.flatnonzero(fields.claims["other_payers"])
    starts = np.searchsorted(fields.message, np.arange(len(messages))).tolist()
    places = zip(fields.message[rows].tolist(), rows.tolist(), strict=True)
    found = [
        (row, *payer)
        for number, row in places
        for payer in _payers_of(messages[number].claims[row - starts[number]])
    ]
    columns = zip(*found, strict=True) if found else [()] * len(_OTHER_PAYER_TYPES)
    return OtherPayers(*(np.array(c, t) for c, t in zip(columns, _OTHER_PAYER_TYPES, strict=True)))


def _payers_of(claim: claim_pb2.Claim) -> Iterator[tuple[Any, ...]]:
    for payer in claim.other_payers:
        of_lines = [
            each
            for line in claim.lines
            for each in line.prior_adjudications
            if each.payer_id == payer.payer_id
        ]
        adjustments = [
            *payer.adjustments,
            *(adjustment for each in of_lines for adjustment in each.adjustments),
        ]
        yield (
            _WORDS[payer.payer_id],
            code36(payer.payer_sequence),
            payer.HasField("paid_cents"),
            _bounded(payer.paid_cents),
            bool(adjustments),
            _bounded(sum(each.amount_cents for each in adjustments)),
            any(
                day.strip()
                for day in (
                    payer.adjudication_date,
                    *(each.adjudication_date for each in of_lines),
                )
            ),
        )


def _bounded(cents: int) -> int:
    """Keep absurd amounts within what sums of a few of them can hold; they balance with nothing."""
    return max(-_CENTS_BOUND, min(cents, _CENTS_BOUND))


def _missing(fields: Fields) -> NDArray[np.int8]:
    mask = ~fields.claims["billing_provider"] * np.int8(MISSING_BILLING_PROVIDER)
    mask |= blank(fields.texts["person_id"]) * np.int8(MISSING_PERSON_ID)
    mask |= blank(fields.texts["payer_id"]) * np.int8(MISSING_PAYER_ID)
    return mask


def _sex(codes: Column) -> NDArray[np.int8]:
    known = np.where(codes == _MALE, np.int8(SEX_MALE), np.int8(SEX_UNKNOWN))
    return np.where(codes == _FEMALE, np.int8(SEX_FEMALE), known)


def _days(column: Column) -> Dates:
    return column.view("datetime64[D]")


def _mapped(memory: Mapping[Any, int], values: Sequence[Any], dtype: type[np.generic]) -> Column:
    return np.fromiter(map(memory.__getitem__, values), dtype, len(values))


def _or_default(column: Column, default: str) -> Column:
    return np.where(column == ABSENT, code36(default), column)


def _diagnoses(fields: Fields) -> Diagnoses:
    owner = fields.diagnoses["claim"]
    return Diagnoses(
        claim=owner,
        sequence=_positions(owner),
        code=fields.diagnoses["code"],
        icd9=one_of(fields.diagnoses["qualifier"], _ICD9_QUALIFIERS),
    )


def _icd_procedures(fields: Fields) -> IcdProcedures:
    return IcdProcedures(fields.icd_procedures["claim"], fields.icd_procedures["code"])


def _positions(owner: Ints) -> NDArray[np.int32]:
    """Position from 1 of each row among those of its claim."""
    rows = np.arange(len(owner))
    first = np.ones(len(owner), np.bool_)
    first[1:] = owner[1:] != owner[:-1]
    return (rows - np.maximum.accumulate(np.where(first, rows, 0)) + 1).astype(np.int32)
