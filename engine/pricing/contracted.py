"""Prices of a pass in which some lines have the rate of a contract."""

from typing import Final

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
from engine.tenant_fees import CONTRACT_RATES

_E5_OF_E4: Final = 10


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
    by_unit = rates.take((rates.kind == RateKind.CENTS_PER_UNIT) & ~anesthesia[rates.line])
    net_units, open_units = by_unit.take(by_unit.net), by_unit.take(~by_unit.net)
    by_charge = rates.take(rates.kind == RateKind.PERCENT_OF_CHARGE)
    by_fee = rates.take(rates.kind == RateKind.PERCENT_OF_FEE)

    count = len(sheet.reason)
    unit, ranked, apart = np.zeros(count, np.int64), np.zeros(count, bool), np.zeros(count, bool)
    unit[line], ranked[line] = capped, True
    net = by_fee.net & ranked[by_fee.line]
    _settle(schedule, sheet, unit, by_fee.take(net), net_units, by_charge)
    for settled in (by_fee.take(net), net_units, by_charge):
        ranked[settled.line] = False
    sheet.write_rates(open_units.line, open_units.cents, open_units.row, PriceBasis.CONTRACT)
    unit[open_units.line] = open_units.cents
    ranked[open_units.line] = apart[open_units.line] = True
    adjusting = np.flatnonzero(ranked)
    sheet.write_adjusted(adjusting, adjust(schedule, adjusting, unit[adjusting], apart))

    anesthesia[by_charge.line] = False
    _price_anesthesia(schedule, sheet, np.flatnonzero(anesthesia), rates)
    _share(sheet, by_fee.take(~net))
    listed = len(schedule.reference.listing(CONTRACT_RATES))
    sheet.write_own(rates.line[rates.row >= listed])


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


def _price_anesthesia(schedule: Schedule, sheet: Sheet, line: Ints, rates: Rates) -> None:
    """Price anesthesia; a contract's rate in dollars is for a unit of it."""
    if not len(line):
        return
    factor, net = np.full(len(line), -1, np.int64), np.zeros(len(line), bool)
    own = rates.take(np.isin(rates.line, line))
    net[np.searchsorted(line, own.line)] = own.net
    dollars = own.take(own.kind == RateKind.CENTS_PER_UNIT)
    factor[np.searchsorted(line, dollars.line)] = dollars.rate_e4
    found, reason = price_anesthesia(schedule, line, factor, net)
    sheet.write_anesthesia(line, found, reason)
    sheet.write_places(found.line, schedule.facts.locality[found.line])
    priced = dollars.take(np.isin(dollars.line, found.line))
    sheet.write_basis(priced.line, priced.row, PriceBasis.CONTRACT)
    sheet.write_places(priced.line, -1)


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
