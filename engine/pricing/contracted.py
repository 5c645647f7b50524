"""Prices of a pass in which some lines have the rate of a contract."""

import numpy as np

from engine.columns import Ints
from engine.pricing.adjust import adjust
from engine.pricing.allowed import PriceBasis, PriceReason
from engine.pricing.anesthesia import price_anesthesia
from engine.pricing.beside import Schedule
from engine.pricing.cents import Int64s, half_up, times
from engine.pricing.contract import RateKind, Rates
from engine.pricing.sheet import Sheet
from engine.pricing.steps import Step, change

_E5_OF_E4 = 10


def price_by_contract(
    schedule: Schedule, sheet: Sheet, rates: Rates, line: Ints, capped: Int64s
) -> None:
    """Write what lines come to, those of contracts by their rates, the others by the schedule.

    Args:
        schedule: The tables.
        sheet: Where it is written.
        rates: The lines with a rate.
        line: Rows of the lines that the fee schedule prices.
        capped: What a unit of each costs by it.
    """
    anesthesia = sheet.reason == PriceReason.ANESTHESIA
    dollars = rates.kind == RateKind.CENTS_PER_UNIT
    by_unit = rates.take(dollars & ~anesthesia[rates.line])
    by_charge = rates.take(rates.kind == RateKind.PERCENT_OF_CHARGE)
    by_fee = rates.take(rates.kind == RateKind.PERCENT_OF_FEE)

    count = len(sheet.reason)
    unit, ranked, apart = np.zeros(count, np.int64), np.zeros(count, bool), np.zeros(count, bool)
    unit[line], ranked[line] = capped, True
    net_fee = by_fee.take(by_fee.net & ranked[by_fee.line])
    unit[by_unit.line], ranked[by_unit.line], apart[by_unit.line] = by_unit.cents, True, True
    _settle(schedule, sheet, unit, net_fee, by_unit.take(by_unit.net), by_charge)
    ranked[net_fee.line] = ranked[by_unit.line[by_unit.net]] = ranked[by_charge.line] = False
    open_units = by_unit.take(~by_unit.net)
    sheet.write_rates(open_units.line, open_units.cents, open_units.row, PriceBasis.CONTRACT)
    adjusting = np.flatnonzero(ranked)
    sheet.write_adjusted(adjusting, adjust(schedule, adjusting, unit[adjusting], apart))

    anesthesia[by_charge.line] = False
    _price_anesthesia(schedule, sheet, np.flatnonzero(anesthesia), rates.take(dollars))
    _share(sheet, by_fee.take(~(by_fee.net & np.isin(by_fee.line, net_fee.line))))


def _settle(
    schedule: Schedule, sheet: Sheet, unit: Int64s, by_fee: Rates, by_unit: Rates, by_charge: Rates
) -> None:
    """Write the rates that no modifier and no other line changes."""
    units, charge = schedule.batch.lines.units_milli, schedule.batch.lines.charge_cents
    whole = half_up(unit[by_fee.line] * units[by_fee.line], 1000)
    shared = times(whole, by_fee.rate_e4 * _E5_OF_E4)
    sheet.write_basis(by_fee.line, by_fee.row, PriceBasis.CONTRACT)
    sheet.write_amounts(by_fee.line, shared, shared)
    sheet.write_changes(change(Step.CONTRACT, by_fee.line, whole, by_fee.rate_e4 * _E5_OF_E4))
    sheet.write_rates(by_unit.line, by_unit.cents, by_unit.row, PriceBasis.CONTRACT)
    amount = half_up(by_unit.cents * units[by_unit.line], 1000)
    sheet.write_amounts(by_unit.line, amount, amount)
    amount = times(charge[by_charge.line], by_charge.rate_e4 * _E5_OF_E4)
    sheet.write_rates(by_charge.line, amount, by_charge.row, PriceBasis.CHARGE)
    sheet.write_amounts(by_charge.line, amount, amount)


def _price_anesthesia(schedule: Schedule, sheet: Sheet, line: Ints, dollars: Rates) -> None:
    """Price anesthesia; a contract's rate in dollars is for a unit of it."""
    if not len(line):
        return
    factor, net = np.full(len(line), -1, np.int64), np.zeros(len(line), bool)
    own = dollars.take(np.isin(dollars.line, line))
    at = np.searchsorted(line, own.line)
    factor[at], net[at] = own.rate_e4, own.net
    found, reason = price_anesthesia(schedule, line, factor, net)
    sheet.write_anesthesia(line, found, reason)
    priced = own.take(np.isin(own.line, found.line))
    sheet.write_basis(priced.line, priced.row, PriceBasis.CONTRACT)


def _share(sheet: Sheet, by_fee: Rates) -> None:
    """Take a contract's share of what the fee schedule came to in the end."""
    priced = by_fee.take(
        (sheet.reason[by_fee.line] == PriceReason.NONE) & ~sheet.bundled[by_fee.line]
    )
    share = priced.rate_e4 * _E5_OF_E4
    amount, final = sheet.amounts(priced.line)
    changes = change(Step.CONTRACT, priced.line, final, share)
    sheet.write_amounts(priced.line, times(amount, share), changes["result_cents"])
    sheet.write_changes(changes)
    sheet.write_basis(priced.line, priced.row, PriceBasis.CONTRACT)
