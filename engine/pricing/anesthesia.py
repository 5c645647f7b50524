"""Anesthesia: base units, time and risk, times the locality's conversion factor (domain E.8)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.codes import code36
from engine.columns import LOB_MEDICARE_FFS, Bools, Ints, one_of
from engine.pricing.allowed import PriceReason
from engine.pricing.beside import Schedule
from engine.pricing.cents import WHOLE_E5, Int64s, half_up
from engine.pricing.modifiers import by_report, effects_of
from engine.pricing.ranking import best, ranks
from engine.pricing.steps import UNITS, Changes, Step, Units, change, no_changes, no_units

BASE_UNITS: Final = "anesthesia_base_units"
"""The listing of base units."""

# What is not in a published table stands here, and only here.
MINUTES_PER_UNIT: Final = 15
PHYSICAL_UNITS: Final[Mapping[str, int]] = {"P3": 1, "P4": 2, "P5": 3}
"""Units by physical status; P1, P2 and P6 have none [U]."""
QUALIFYING_UNITS: Final[Mapping[str, int]] = {"99100": 1, "99116": 5, "99135": 5, "99140": 2}
"""Units by qualifying circumstance beside the service, each once a session [U]."""
WITHOUT_RISK_UNITS: Final = (LOB_MEDICARE_FFS,)
"""Lines of business that pay none of the two: the fee schedule bundles the circumstances [U]."""
SHARES_E5: Final[Mapping[str, int]] = {"QK": 50_000, "QX": 50_000, "QY": 50_000}
"""Shares where two divide the service by medical direction; AA and QZ are paid in full [U]."""
SUPERVISION: Final = "AD"
SUPERVISED_UNITS: Final = 3
"""All that is paid to who supervises more than four at once, without time or risk [U]."""

_MINUTES: Final = code36("MJ")


def _no_lines() -> Int64s:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Anesthesia:
    """Prices of the anesthesia lines that have one."""

    line: Ints = field(default_factory=_no_lines)
    amount_cents: Int64s = field(default_factory=_no_lines)
    """For the service as a whole."""
    final_cents: Int64s = field(default_factory=_no_lines)
    """What is left of it where two divide it."""
    units: Units = field(default_factory=no_units)
    changes: Changes = field(default_factory=no_changes)


def price_anesthesia(
    schedule: Schedule, line: Ints, factor_e4: Ints | None = None, net: Bools | None = None
) -> tuple[Anesthesia, NDArray[np.int8]]:
    """Price some lines of status J; return also why the others have no price, by line.

    Args:
        schedule: The tables.
        line: Rows of the lines.
        factor_e4: Dollars per unit that a contract sets for each line, -1 for the locality's.
        net: Lines of which a contract says that no direction divides them.
    """
    lines, facts = schedule.batch.lines, schedule.facts
    base = _base_units(schedule, line)
    day, place = lines.service_from[line], facts.locality[line]
    local = schedule.reference.localities.anesthesia_factor_e4(place, day)
    own = np.full(len(line), -1) if factor_e4 is None else factor_e4
    by_contract = own >= 0
    factor = np.where(by_contract, own, local).astype(np.int64)
    reason = np.zeros(len(line), np.int8)
    reason[(factor == 0) & ~by_contract] = PriceReason.ANESTHESIA_FACTOR
    reason[(place < 0) & ~by_contract] = PriceReason.LOCALITY
    reason[lines.unit_basis[line] != _MINUTES] = PriceReason.MINUTES
    reason[base < 0] = PriceReason.ANESTHESIA
    reported = np.isin(line, by_report(effects_of(lines.modifiers, line), facts))
    reason[(reason == PriceReason.NONE) & reported] = PriceReason.REPORT
    priced = reason == PriceReason.NONE
    whole = np.zeros(len(line), np.bool_) if net is None else net
    found = _priced(schedule, line[priced], base[priced], factor[priced], whole[priced])
    return found, reason


def _base_units(schedule: Schedule, line: Ints) -> Int64s:
    """Return the base units of each line's code on its day, -1 for none; a tenant's own first."""
    lines, listing = schedule.batch.lines, schedule.reference.listing(BASE_UNITS)
    matches = listing.match(lines.procedure[line], lines.service_from[line])
    at = best(matches.place, matches["tenant"] != b"", len(line))
    base = np.full(len(line), -1, np.int64)
    found = at >= 0
    base[found] = matches["base_units"][at[found]]
    return base


def _priced(
    schedule: Schedule, line: Ints, base: Int64s, factor_e4: Int64s, whole: Bools
) -> Anesthesia:
    if not len(line):
        return Anesthesia()
    lines = schedule.batch.lines
    modifiers, minutes = lines.modifiers[line], lines.units_milli[line].astype(np.int64)
    supervised = (modifiers == code36(SUPERVISION)).any(axis=1)
    units = np.zeros(len(line), UNITS)
    units["line"], units["factor_e4"] = line, factor_e4
    units["base"] = np.where(supervised, SUPERVISED_UNITS, base)
    units["minutes_milli"] = np.where(supervised, 0, minutes)
    units["time_e1"] = half_up(units["minutes_milli"] * 10, MINUTES_PER_UNIT * 1000)
    units["risk"] = np.where(supervised, 0, _risk_units(schedule, line, base))
    amount = amount_of(units)
    share = np.where(whole, WHOLE_E5, _largest(modifiers, SHARES_E5, WHOLE_E5))
    divided = share != WHOLE_E5
    changes = change(Step.ANESTHESIA_ROLE, line[divided], amount[divided], share[divided])
    final = amount.copy()
    final[divided] = changes["result_cents"]
    return Anesthesia(line, amount, final, units, changes)


def amount_of(units: Units) -> Int64s:
    """Return units times factor, rounded once."""
    units_e1 = (units["base"] + units["risk"]) * 10 + units["time_e1"]
    return half_up(units_e1 * units["factor_e4"], 1000)


def _risk_units(schedule: Schedule, line: Ints, base: Int64s) -> Int64s:
    """Return units of physical status and of the circumstances billed in the same session.

    Circumstances count once, with the service of most base units, of equals the first.
    """
    batch, session = schedule.batch, schedule.facts.session
    physical = _largest(batch.lines.modifiers[line], PHYSICAL_UNITS, 0)
    qualifying = np.zeros(len(line), np.int64)
    first = ranks(session[line], -base, line) == 1
    for code, units in QUALIFYING_UNITS.items():
        billed = session[batch.lines.procedure == code36(code)]
        if len(billed):
            qualifying[first & np.isin(session[line], billed)] += units
    paid = ~one_of(batch.claims.line_of_business[batch.lines.claim[line]], WITHOUT_RISK_UNITS)
    return np.where(paid, physical + qualifying, 0)


def _largest(modifiers: Ints, values: Mapping[str, int], otherwise: int) -> Int64s:
    """Return for each row of modifiers the largest of their values, `otherwise` for none."""
    found = np.full(len(modifiers), -1, np.int64)
    for modifier, value in values.items():
        carried: Bools = (modifiers == code36(modifier)).any(axis=1)
        found[carried] = np.maximum(found[carried], value)
    return np.where(found < 0, otherwise, found)
