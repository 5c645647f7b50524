"""Structural validation.

What makes a claim unscorable (V01 to V19). Every fault is collected; no value is repeated.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np

from engine.codes import ABSENT, code36
from engine.columns import (
    INSTITUTIONAL,
    PROFESSIONAL,
    Bools,
    Claims,
    Diagnoses,
    IcdProcedures,
    Ints,
    Lines,
    Violation,
    one_of,
)
from engine.dates import ABSENT_DAY, DAYS
from engine.fields import CLAIM_FIELDS, LINE_FIELDS, Fields, Kind
from engine.fields_python import Sent, Values, blank
from engine.words import BLANK

LINES_MAX: Final = {PROFESSIONAL: 50, INSTITUTIONAL: 999}
DIAGNOSES_MAX: Final = {PROFESSIONAL: 12, INSTITUTIONAL: 25}
ICD_PROCEDURES_MAX: Final = 25
LINE_NUMBER_MAX: Final = 999
CENTS_MAX: Final = 99_999_999_999
UNITS_MILLI_MAX: Final = 999_999_999_999
VERSION_MAX: Final = 10_000

_EXPECTED_DATE: Final = "is no calendar date from 1900 to 2100; write it as YYYY-MM-DD"
_ICD9_LAST_DAY: Final = np.datetime64("2015-09-30", "D")
_FREQUENCIES_WITH_ORIGINAL: Final = (code36("7"), code36("8"))
_CHECKED_TEXTS: Final = frozenset(
    {Kind.CODE, Kind.NPI, Kind.PLACE, Kind.ZIP5, Kind.TEXT, Kind.FILLED, Kind.KEPT, Kind.WORD}
)
_COUNTED: Final = {
    name: field.limit for name, field in CLAIM_FIELDS.items() if field.kind is Kind.COUNT
}
_LISTS, _LINE_LISTS = (
    {name: field.entries for name, field in table.items() if field.kind in {Kind.CODES, Kind.INTS}}
    for table in (CLAIM_FIELDS, LINE_FIELDS)
)


_Add = Callable[[Bools, str, str, str], None]


class Faults:
    """Violations by claim, in the order in which they are found."""

    def __init__(self, line_owner: Ints) -> None:
        self.by_claim: dict[int, list[Violation]] = defaultdict(list)
        self._owner = line_owner

    def claim(self, mask: Bools, field: str, code: str, message: str) -> None:
        """Add a fault of a claim field for every claim of the mask."""
        for row in np.flatnonzero(mask):
            self.by_claim[int(row)].append(Violation(field, code, message))

    def line(self, mask: Bools, field: str, code: str, message: str) -> None:
        """Add a fault of a line field for every line of the mask."""
        for row in np.flatnonzero(mask):
            owner = self._owner[row]
            position = row - np.searchsorted(self._owner, owner)
            violation = Violation(f"lines[{int(position)}].{field}", code, message)
            self.by_claim[int(owner)].append(violation)


@dataclass(frozen=True, slots=True)
class Tables:
    """The columns of all claims that came in, scorable or not."""

    claims: Claims
    lines: Lines
    diagnoses: Diagnoses
    icd_procedures: IcdProcedures


def validate(
    fields: Fields, sent: Sent, tables: Tables, *, allow_zero_charge: bool
) -> dict[int, list[Violation]]:
    """Return every structural fault by row of the claim; claims without faults are not in it."""
    claims, lines, diagnoses = tables.claims, tables.lines, tables.diagnoses
    faults = Faults(lines.claim)
    _identity(faults, fields, claims)
    _order_of_dates(faults, claims, lines)
    _money_and_units(faults, claims, lines, allow_zero_charge=allow_zero_charge)
    _line_numbers(faults, claims, lines)
    _counts(faults, fields, tables)
    _pointers(faults, claims, lines, diagnoses)
    _form(faults, fields, claims)
    _icd9(faults, claims, diagnoses)
    for row, found in _text_faults(sent).items():
        faults.by_claim[int(sent.rows[row])] += found
    return dict(faults.by_claim)


def _text_faults(sent: Sent) -> dict[int, list[Violation]]:
    """Return what no column shows: dates that are missing or none, faulty texts."""
    faults = Faults(sent.line_owner)
    _dates(faults, sent)
    _texts(faults, sent)
    return faults.by_claim


def _identity(faults: Faults, fields: Fields, claims: Claims) -> None:
    missing = "is missing; it is required"
    faults.claim(blank(fields.texts["claim_id"]), "claim_id", "V01", missing)
    for field, code in (("facility_id", "V02"), ("patient_account_number", "V03")):
        faults.claim(~fields.claims[field], field, code, missing)
    faults.claim(
        _repeats(fields, claims),
        "claim_id",
        "V01",
        "repeats an earlier claim and version of the same message",
    )
    faults.claim(
        (claims.version < 1) | (claims.version > VERSION_MAX),
        "claim_version",
        "V01",
        f"is not from 1 to {VERSION_MAX}",
    )


def _repeats(fields: Fields, claims: Claims) -> Bools:
    ids = fields.texts["claim_id"]
    if len(set(ids)) == len(ids):
        return np.zeros(len(ids), np.bool_)
    keys = zip(claims.message.tolist(), ids, claims.version.tolist(), strict=True)
    first: dict[tuple[int, str, int], int] = {}
    repeats = [first.setdefault(key, row) != row for row, key in enumerate(keys)]
    return np.array(repeats, np.bool_)


def _order_of_dates(faults: Faults, claims: Claims, lines: Lines) -> None:
    message = "is before service_from_date"
    faults.claim(claims.service_from > claims.service_to, "service_to_date", "V04", message)
    faults.line(lines.service_from > lines.service_to, "service_to_date", "V04", message)


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


def _counts(faults: Faults, fields: Fields, tables: Tables) -> None:
    claims = tables.claims
    diagnoses = np.bincount(tables.diagnoses.claim, minlength=len(claims))
    procedures = np.bincount(tables.icd_procedures.claim, minlength=len(claims))
    for form, most in LINES_MAX.items():
        over = (claims.type == form) & (claims.lines > most)
        faults.claim(over, "lines", "V12", f"has more than {most} lines; split the claim")
    for form, most in DIAGNOSES_MAX.items():
        over = (claims.type == form) & (diagnoses > most)
        faults.claim(over, "diagnoses", "V18", f"has more than {most} diagnoses")
    for field, most in _COUNTED.items():
        over = fields.claims[field] > most
        faults.claim(over, field, "V18", f"has more than {most} entries")
    most = ICD_PROCEDURES_MAX
    faults.claim(procedures > most, "icd_procedures", "V18", f"has more than {most} entries")
    for field, most in _LISTS.items():
        over = fields.claims[f"{field}.count"] > most
        faults.claim(over, field, "V18", f"has more than {most} entries")
    for field, most in _LINE_LISTS.items():
        over = fields.lines[f"{field}.count"] > most
        faults.line(over, field, "V18", f"has more than {most} entries")


def _pointers(faults: Faults, claims: Claims, lines: Lines, diagnoses: Diagnoses) -> None:
    diagnosis_count = np.bincount(diagnoses.claim, minlength=len(claims))[lines.claim]
    # Column by column: three times as fast as any() over rows of four.
    beyond = np.zeros(len(lines), np.bool_)
    later = np.zeros(len(lines), np.bool_)
    for position, pointers in enumerate(lines.pointers.T):
        beyond |= (pointers > diagnosis_count) | (pointers < 0)
        if position:
            later |= pointers != 0
    gap = (lines.pointers[:, 0] == 0) & later
    faults.line(
        beyond | gap,
        "diagnosis_pointers",
        "V11",
        "names a diagnosis that the claim does not have; positions count from 1",
    )


def _form(faults: Faults, fields: Fields, claims: Claims) -> None:
    known = (claims.type == PROFESSIONAL) | (claims.type == INSTITUTIONAL)
    faults.claim(
        ~known,
        "claim_type",
        "V15",
        "is neither CLAIM_TYPE_PROFESSIONAL nor CLAIM_TYPE_INSTITUTIONAL",
    )
    has_bill_type = claims.type_of_bill != ABSENT
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
        one_of(claims.frequency, _FREQUENCIES_WITH_ORIGINAL)
        & (fields.claims["payer_claim_control_number"] == BLANK),
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


def _dates(faults: Faults, sent: Sent) -> None:
    for field in ("service_from_date", "service_to_date"):
        missing = blank(sent.claims[field].values)
        faults.claim(missing, field, "V04", "is missing; it is required")
    for table, add in ((sent.claims, faults.claim), (sent.lines, faults.line)):
        for field, dates in table.items():
            if dates.field.kind is Kind.DAY:
                add(_impossible(dates.values), field, "V13", _EXPECTED_DATE)


def _impossible(texts: Sequence[str]) -> Bools:
    """Return which texts are there and are no date."""
    days = np.fromiter(map(DAYS.__getitem__, texts), np.int64, len(texts))
    bad = days == ABSENT_DAY
    if np.count_nonzero(bad) == texts.count(""):
        return np.zeros(len(texts), np.bool_)
    return bad & ~blank(texts)


def _texts(faults: Faults, sent: Sent) -> None:
    for table, add in ((sent.claims, faults.claim), (sent.lines, faults.line)):
        for field, texts in table.items():
            if texts.field.kind in _CHECKED_TEXTS:
                _text(add, texts, field)
            if texts.field.kind is Kind.CODES:
                _list(add, texts, field)


def _text(add: _Add, texts: Values, field: str) -> None:
    """Look at all texts of a field at once; only where something is odd, at each."""
    limit = texts.field.limit
    if not _suspect(texts.values, limit):
        return
    bad = np.array([_faulty(text, limit) for text in texts.values], np.bool_)
    add(texts.spread(bad), field, "V17", _text_message(limit))


def _list(add: _Add, lists: Values, field: str) -> None:
    limit = lists.field.limit
    if not _suspect(list(chain.from_iterable(lists.values)), limit):
        return
    bad = [any(_faulty(text, limit) for text in texts) for texts in lists.values]
    add(np.array(bad, np.bool_), field, "V17", _text_message(limit))


def _suspect(texts: Sequence[str], limit: int) -> bool:
    return max(map(len, texts), default=0) > limit or not "".join(texts).isprintable()


def _faulty(text: str, limit: int) -> bool:
    return len(text) > limit or any(unicodedata.category(character) == "Cc" for character in text)


def _text_message(limit: int) -> str:
    return f"is longer than {limit} characters or has control characters"
