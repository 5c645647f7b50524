"""Prices of professional lines by the physician fee schedule, in exact integers."""

import numpy as np
from numpy.typing import NDArray

from engine.columns import PROFESSIONAL, Batch, Bools, Ints
from engine.facts import Facts
from engine.policy import Policy
from engine.pricing.allowed import Allowed, PriceReason, PriceStatus
from engine.reference import Reference

_LETTER = {letter: ord(letter) for letter in "ABCEIJMNPRTX"}
_BUNDLED = (_LETTER["B"], _LETTER["P"])
_NOT_PAYABLE = tuple(_LETTER[letter] for letter in "EIMNX")
_ONE_GPCI_E3 = 1000
_CENTS_SCALE = 10**7
"""RVU (2 decimals) x GPCI (3) x conversion factor (4) is dollars with 9 decimals: cents with 7."""


def price(batch: Batch, reference: Reference, facts: Facts, policy: Policy) -> Allowed:
    """Return what each line is worth before edits."""
    lines, mpfs = batch.lines, reference.mpfs
    row = facts.mpfs
    simple = policy.price_formula == "simple"
    localities = reference.localities
    locality = facts.locality
    rvu_e5 = _rvus_e5(reference, facts, simple=simple)
    factor_e4 = (
        np.full(len(row), policy.legacy_cf_e4)
        if simple
        else mpfs.conversion_factor_e4[row].astype(np.int64)
    )
    fee = _half_up(rvu_e5 * factor_e4, _CENTS_SCALE)
    reason = _reason(batch, reference, facts, rvu_e5, needs_locality=not simple)
    status = _status(reason)
    letter = mpfs.status[row]
    bundled = (reason == PriceReason.NONE) & (
        np.isin(letter, _BUNDLED) | _bundled_beside_others(batch, reason, letter, fee)
    )
    status = np.where(bundled, PriceStatus.BUNDLED, status).astype(np.int8)
    payable = status == PriceStatus.PRICED
    fee = np.where(payable, fee, 0)
    capped = fee if simple else _capped(batch, reference, facts, fee)
    amount = _half_up(capped * lines.units_milli, 1000)
    return Allowed(
        status=status,
        reason=reason,
        fee_cents=fee,
        capped_cents=capped.copy(),
        amount_cents=amount,
        allowed_cents=np.minimum(amount, lines.charge_cents),
        rvu_total_e4=np.where(payable, _half_up(rvu_e5, 10), 0),
        locality=np.where(payable, locality, -1) if localities.loaded else np.full(len(row), -1),
    )


def _half_up(value: NDArray[np.int64], scale: int) -> NDArray[np.int64]:
    """Divide and round half up: the amounts are never negative."""
    return (value + scale // 2) // scale


def _rvus_e5(reference: Reference, facts: Facts, *, simple: bool) -> NDArray[np.int64]:
    """Total relative values in the line's setting and locality.

    Two decimals of RVU, three of index.
    """
    mpfs, row = reference.mpfs, facts.mpfs
    practice = np.where(facts.facility, mpfs.facility_pe_e2[row], mpfs.non_facility_pe_e2[row])
    work, malpractice = mpfs.work_e2[row], mpfs.malpractice_e2[row]
    if simple:
        total: NDArray[np.int64] = (work + practice + malpractice).astype(np.int64) * _ONE_GPCI_E3
        return total
    places, place = reference.localities, facts.locality
    weighted: NDArray[np.int64] = (
        work.astype(np.int64) * places.work_e3[place]
        + practice.astype(np.int64) * places.pe_e3[place]
        + malpractice.astype(np.int64) * places.mp_e3[place]
    )
    return weighted


def _reason(
    batch: Batch, reference: Reference, facts: Facts, rvu_e5: Ints, *, needs_locality: bool
) -> NDArray[np.int8]:
    """Why a line has no price, in the order in which an examiner would ask (domain E.3)."""
    lines, mpfs, row = batch.lines, reference.mpfs, facts.mpfs
    letter = mpfs.status[row]
    not_applicable = np.where(facts.facility, mpfs.facility_na[row], mpfs.non_facility_na[row])
    bundled = np.isin(letter, _BUNDLED)
    restricted = letter == _LETTER["R"]
    reasons = (
        (lines.procedure == 0, PriceReason.NO_CODE),
        (batch.of_line(batch.claims.type) != PROFESSIONAL, PriceReason.INSTITUTIONAL),
        (~facts.mpfs_in_force, PriceReason.NO_RELEASE),
        (row < 0, PriceReason.NO_ROW),
        (np.isin(letter, _NOT_PAYABLE), PriceReason.STATUS),
        (letter == _LETTER["C"], PriceReason.CONTRACTOR),
        (letter == _LETTER["J"], PriceReason.ANESTHESIA),
        (bundled, PriceReason.NONE),
        (mpfs.not_for_payment[row], PriceReason.NOT_FOR_PAYMENT),
        (not_applicable, PriceReason.NA),
        ((facts.locality < 0) & needs_locality, PriceReason.LOCALITY),
        (restricted & (rvu_e5 == 0), PriceReason.REPORT),
        (rvu_e5 == 0, PriceReason.ZERO),
    )
    return np.select(
        [mask for mask, _ in reasons], [np.int8(reason) for _, reason in reasons], np.int8(0)
    )


def _status(reason: Ints) -> NDArray[np.int8]:
    status = np.where(reason == PriceReason.NONE, PriceStatus.PRICED, PriceStatus.NO_PRICE)
    return np.where(reason == PriceReason.REPORT, PriceStatus.BY_REPORT, status).astype(np.int8)


def _bundled_beside_others(batch: Batch, reason: Ints, letter: Ints, fee: Ints) -> Bools:
    """Status T: paid only where the same provider bills nothing else payable that day.

    Of several T lines alone on their day the one with the highest fee stays, the first of equals.
    """
    lines = batch.lines
    only_alone = (reason == PriceReason.NONE) & (letter == _LETTER["T"])
    bundled = np.zeros(len(lines), np.bool_)
    if not only_alone.any():
        return bundled
    concerned = np.isin(lines.claim, lines.claim[only_alone])
    rows = np.flatnonzero(concerned & (reason == PriceReason.NONE) & ~np.isin(letter, _BUNDLED))
    day, provider = lines.service_from.astype(np.int64), lines.provider
    rows = rows[
        np.lexsort(
            (rows, -fee[rows], only_alone[rows], provider[rows], day[rows], lines.claim[rows])
        )
    ]
    later = (
        (lines.claim[rows[1:]] == lines.claim[rows[:-1]])
        & (day[rows[1:]] == day[rows[:-1]])
        & (provider[rows[1:]] == provider[rows[:-1]])
    )
    bundled[rows[1:][later]] = True
    return bundled & only_alone


def _capped(
    batch: Batch, reference: Reference, facts: Facts, fee: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Imaging is not paid above the outpatient price (domain L.23).

    The lower of both, where the cap lists it.
    """
    if not reference.opps_cap.loaded:
        return fee.copy()
    facility, non_facility = reference.opps_cap.prices(
        batch.lines.procedure, facts.component, facts.locality, batch.lines.service_from
    )
    cap = np.where(facts.facility, facility, non_facility)
    return np.where(cap >= 0, np.minimum(fee, cap), fee)
