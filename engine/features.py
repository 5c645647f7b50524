"""What the model sees.

Seven features of a claim (domain F.2). Training and serving use this one function.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.calendar import completed_years
from engine.codes import code36
from engine.columns import Batch, Bools, Ints, one_of
from engine.facts import Facts
from engine.reference import GLOBAL_YYY, Reference

FEATURES: Final = (
    "total_charges_norm",
    "line_item_count",
    "patient_age",
    "insurance_type_encoded",
    "service_duration_days",
    "has_surgery",
    "complexity_score",
)
"""Names of the features, in the order of the columns."""

VERSION: Final = 1
"""Version of these definitions; a model names the one it was trained on."""

AGE_MEDIAN: Final = 63.0
"""Median age of the training claims.

Stands in where the date of birth is missing, and the answer says so.
"""

_CHARGE_MAX: Final = 1e6
_LINES_MAX: Final = 999
_AGE_MAX: Final = 124
_DAYS_MAX: Final = 365
_SURGERY_FIRST, _SURGERY_LAST = code36("10004"), code36("69990")
_DRAWING_FIRST, _DRAWING_LAST = code36("36400"), code36("36416")
_NUMERIC_FIRST, _NUMERIC_LAST = code36("00000"), code36("99999")
_PCS_SECTION_0: Final = (code36("0000000"), code36("0ZZZZZZ"))
_SURGICAL_GLOBALS: Final = (0, 10, 90, GLOBAL_YYY)
_PAYABLE: Final = tuple(ord(letter) for letter in "ART")


@dataclass(frozen=True, slots=True)
class Features:
    """The model's input."""

    values: NDArray[np.float32]
    """Shape (claims, 7)."""
    age_imputed: Bools
    """The date of birth was missing or after the service; shape (claims,)."""

    def __post_init__(self) -> None:
        """Lock the columns: the model and the answer read the same."""
        self.values.flags.writeable = self.age_imputed.flags.writeable = False


def features(batch: Batch, reference: Reference, facts: Facts) -> Features:
    """Return the seven features of each scorable claim."""
    claims = batch.claims
    known = claims.birth_date <= claims.service_from
    age = completed_years(
        np.where(known, claims.birth_date, claims.service_from), claims.service_from
    )
    imputed = ~known
    charge = np.minimum(claims.total_charge_cents / 100.0, _CHARGE_MAX)
    days = (claims.service_to - claims.service_from).astype(np.int64) + 1
    values = np.column_stack(
        (
            np.log1p(charge) / np.log1p(_CHARGE_MAX),
            np.minimum(claims.lines, _LINES_MAX),
            np.where(imputed, AGE_MEDIAN, np.minimum(age, _AGE_MAX)),
            claims.insurance,
            np.minimum(days, _DAYS_MAX),
            _has_surgery(batch, facts),
            _complexity(batch, reference, facts),
        )
    ).astype(np.float32)
    return Features(values, imputed)


def _has_surgery(batch: Batch, facts: Facts) -> Bools:
    """A surgical CPT code that is no blood drawing, or an ICD-10-PCS procedure of section 0."""
    code = batch.lines.procedure
    # Codes compare like their digits; letters sort after 9, so 4-digit codes with a letter fall
    # between numbers.
    numeric = _is_numeric(code)
    range_of_surgery = numeric & (code >= _SURGERY_FIRST) & (code <= _SURGERY_LAST)
    drawing = (code >= _DRAWING_FIRST) & (code <= _DRAWING_LAST)
    has_row = facts.mpfs_code >= 0
    by_row = has_row & one_of(facts.global_days, _SURGICAL_GLOBALS)
    surgical = range_of_surgery & np.where(has_row, by_row, ~drawing)
    section_0 = (batch.icd_procedures.code >= _PCS_SECTION_0[0]) & (
        batch.icd_procedures.code <= _PCS_SECTION_0[1]
    )
    by_pcs = np.bincount(batch.icd_procedures.claim[section_0], minlength=len(batch.claims)) > 0
    return batch.any_line(surgical) | by_pcs


def _is_numeric(code: Ints) -> Bools:
    """Codes of five digits."""
    numeric = (code >= _NUMERIC_FIRST) & (code <= _NUMERIC_LAST)
    rest = code.astype(np.int64)
    for _ in range(5):
        rest, digit = np.divmod(rest, 36)
        numeric &= digit <= 9
    return numeric


def _complexity(batch: Batch, reference: Reference, facts: Facts) -> NDArray[np.float64]:
    """min(10, 0.20 min(W, 30) + 0.50 (K - 1) + 0.25 M + 0.50 D).

    See domain F.2 for W, K, M and D.
    """
    lines, mpfs, count = batch.lines, reference.mpfs, len(batch.claims)
    payable = one_of(mpfs.status[facts.mpfs], _PAYABLE)
    # Hundredths of RVU times thousandths of units, summed as integers: no order of lines changes a
    # bit.
    work_e5 = np.where(payable, mpfs.work_e2[facts.mpfs].astype(np.int64) * lines.units_milli, 0)
    work_e5 = np.minimum(work_e5, 30 * 10**5)
    work = np.bincount(lines.claim, work_e5, count) / 1e5
    codes = _distinct(lines.claim, lines.procedure, count)
    flat = np.repeat(lines.claim, lines.modifiers.shape[1])
    modifiers = _distinct(flat, lines.modifiers.reshape(-1), count)
    major = batch.any_line((facts.mpfs_code >= 0) & (facts.global_days == 90))
    score = (
        0.20 * np.minimum(work, 30)
        + 0.50 * (np.maximum(codes, 1) - 1)
        + 0.25 * modifiers
        + 0.50 * major
    )
    capped: NDArray[np.float64] = np.minimum(score, 10.0)
    return capped


def _distinct(claim: Ints, code: Ints, count: int) -> NDArray[np.int64]:
    """How many different codes each claim has."""
    there = code > 0
    pairs = np.unique(claim[there].astype(np.int64) << 32 | code[there].astype(np.int64))
    return np.bincount(pairs >> 32, minlength=count)
