"""Prices of professional lines by the physician fee schedule, in exact integers."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.codes import code36
from engine.columns import PROFESSIONAL, Batch, Bools, Ints
from engine.facts import Facts
from engine.policy import Policy
from engine.pricing.adjust import adjust, unadjusted
from engine.pricing.allowed import Allowed, PriceReason
from engine.pricing.anesthesia import BASE_UNITS, price_anesthesia
from engine.pricing.beside import Schedule
from engine.pricing.cents import Int64s, half_up
from engine.pricing.contract import Rates
from engine.pricing.contracted import price_by_contract
from engine.pricing.fees import Values, capped_cents, not_applicable
from engine.pricing.sheet import Sheet
from engine.reference import Reference
from engine.tenant_fees import NO_FEES, TenantFees

_LETTER: Final = {letter: ord(letter) for letter in "ABCEIJMNPRTX"}
_MINUTES: Final = code36("MJ")
_BUNDLED: Final = np.isin(np.arange(256), [_LETTER[letter] for letter in "BP"])
_INCIDENT_TO: Final = 5
"""PC/TC indicator."""

_REASON_OF_LETTER: Final = np.zeros(256, np.int8)
"""By ASCII of the status letter; both tables hold 0 for a row that may have a price."""
_REASON_OF_LETTER[0] = PriceReason.NO_ROW
_REASON_OF_LETTER[[_LETTER[letter] for letter in "EIMNX"]] = PriceReason.STATUS
_REASON_OF_LETTER[_LETTER["C"]] = PriceReason.CONTRACTOR
_REASON_OF_LETTER[_LETTER["J"]] = PriceReason.ANESTHESIA


def price(
    batch: Batch,
    reference: Reference,
    facts: Facts,
    policy: Policy,
    fees: TenantFees = NO_FEES,
) -> Allowed:
    """Return what each line is worth before edits.

    Args:
        batch: The lines.
        reference: The tables, with the contract rates that the tenant sees.
        facts: What the tables say of the lines.
        policy: By the simple formula no rate of contract or tenant is read.
        fees: The tenant's own fee schedule, as far as it could be had.
    """
    schedule = Schedule.of(batch, reference, facts)
    simple = policy.price_formula == "simple"
    reason = _reason_of_row(schedule)
    bundled = (reason == PriceReason.NONE) & _BUNDLED[reference.mpfs.status[facts.mpfs]]
    line: Ints = np.flatnonzero((reason == PriceReason.NONE) & ~bundled)
    values = (
        Values.simple(reference, facts.mpfs[line], facts.facility[line], policy.legacy_cf_e4)
        if simple
        else schedule.values(line, facts.mpfs[line])
    )
    reason[line] = _reason_of_values(schedule, line, values, needs_locality=not simple)
    line, values = _where(reason[line] == PriceReason.NONE, line, values)
    beside = _bundled_beside_others(schedule, line, values.fee_cents)
    bundled[line[beside]] = True
    line, values = _where(~beside, line, values)
    fee = values.fee_cents
    capped = fee if simple else _capped(schedule, line, fee)
    sheet = Sheet(reason, bundled)
    sheet.write_fees(line, fee, capped, half_up(values.total_e5, 10))
    if reference.localities.loaded:
        sheet.write_places(line, facts.locality[line])
    if simple:
        sheet.write_adjusted(line, unadjusted(line, capped, batch.lines.units_milli))
    else:
        _work_out(schedule, sheet, line, capped, fees)
    return sheet.allowed(batch.lines.charge_cents)


def _work_out(
    schedule: Schedule, sheet: Sheet, line: Ints, capped: Int64s, fees: TenantFees
) -> None:
    """Write what lines come to, from what a unit costs by the fee schedule or by a rate."""
    withheld = _unknown(schedule, fees)
    if withheld.any():
        sheet.withhold(withheld, PriceReason.FEES_UNAVAILABLE)
        known = ~withheld[line]
        line, capped = line[known], capped[known]
    rates = Rates.of(schedule, fees.listing)
    if rates is not None and len(rates):
        price_by_contract(schedule, sheet, rates.take(~withheld[rates.line]), line, capped)
        return
    sheet.write_adjusted(line, adjust(schedule, line, capped))
    if schedule.reference.listing(BASE_UNITS).loaded:
        anesthesia = np.flatnonzero(sheet.reason == PriceReason.ANESTHESIA)
        if len(anesthesia):
            found, why_not = price_anesthesia(schedule, anesthesia)
            sheet.write_anesthesia(anesthesia, found, why_not)
            sheet.write_places(found.line, schedule.facts.locality[found.line])


def _unknown(schedule: Schedule, fees: TenantFees) -> Bools:
    """Lines that may have a fee of the tenant's own, and those of their sessions.

    What a line beside them comes to may rest on that fee: several procedures are ranked by it.
    """
    facts = schedule.facts
    if not len(fees.unknown):
        return np.zeros(len(schedule.batch.lines), np.bool_)
    unknown = np.isin(facts.distinct_codes, fees.unknown)[facts.distinct_code]
    unknown &= schedule.batch.lines.procedure > 0
    if not unknown.any():
        return unknown
    beside: Bools = np.isin(facts.session, facts.session[unknown])
    return beside & (schedule.batch.lines.procedure > 0)


def _where(keep: Bools, line: Ints, values: Values) -> tuple[Ints, Values]:
    return (line, values) if keep.all() else (line[keep], values.take(keep))


def _reason_of_row(schedule: Schedule) -> NDArray[np.int8]:
    """Why a line has no price, as far as code and status of its row say (domain E.3)."""
    batch, facts = schedule.batch, schedule.facts
    reason = _REASON_OF_LETTER[schedule.reference.mpfs.status[facts.mpfs]]
    # What an examiner would ask first is written last.
    reason[~facts.mpfs_in_force] = PriceReason.NO_RELEASE
    reason[batch.of_line(batch.claims.type != PROFESSIONAL)] = PriceReason.INSTITUTIONAL
    reason[batch.lines.procedure == 0] = PriceReason.NO_CODE
    return reason


def _reason_of_values(
    schedule: Schedule, line: Ints, values: Values, *, needs_locality: bool
) -> NDArray[np.int8]:
    """Why a line with a payable status has no price all the same."""
    mpfs, facts = schedule.reference.mpfs, schedule.facts
    row, worthless = facts.mpfs[line], values.total_e5 == 0
    facility = facts.facility[line]
    reason = np.zeros(len(line), np.int8)
    reason[worthless] = PriceReason.ZERO
    reason[worthless & (mpfs.status[row] == _LETTER["R"])] = PriceReason.REPORT
    if needs_locality:
        reason[facts.locality[line] < 0] = PriceReason.LOCALITY
    # A fee is per service: times minutes it would be a multiple of what is owed.
    reason[schedule.batch.lines.unit_basis[line] == _MINUTES] = PriceReason.MINUTES
    reason[facility & (mpfs.pctc[row] == _INCIDENT_TO)] = PriceReason.INCIDENT_TO
    reason[not_applicable(mpfs, row, facility)] = PriceReason.NA
    reason[mpfs.not_for_payment[row]] = PriceReason.NOT_FOR_PAYMENT
    return reason


def _bundled_beside_others(schedule: Schedule, line: Ints, fee: Ints) -> Bools:
    """Status T: paid only where the same provider bills nothing else payable that day.

    Of several T lines alone on their day the one with the highest fee stays, the first of equals.
    """
    letter = schedule.reference.mpfs.status[schedule.facts.mpfs[line]]
    only_alone = letter == _LETTER["T"]
    bundled = np.zeros(len(line), np.bool_)
    if not only_alone.any():
        return bundled
    session = schedule.facts.session[line]
    rows = np.flatnonzero(np.isin(session, session[only_alone]))
    rows = rows[np.lexsort((rows, -fee[rows], only_alone[rows], session[rows]))]
    later = session[rows[1:]] == session[rows[:-1]]
    bundled[rows[1:][later]] = True
    return bundled & only_alone


def _capped(schedule: Schedule, line: Ints, fee: Int64s) -> Int64s:
    """Imaging is not paid above the outpatient price (domain L.23)."""
    lines, facts = schedule.batch.lines, schedule.facts
    return capped_cents(
        schedule.reference,
        fee,
        lines.procedure[line],
        facts.component[line],
        facts.facility[line],
        facts.locality[line],
        lines.service_from[line],
    )
