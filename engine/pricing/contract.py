"""Rates of contracts, which come before the fee schedule: which one holds for which line."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from engine.columns import PROFESSIONAL, Bools, Ints, Table, one_of
from engine.facts import MOD_26, MOD_TC
from engine.pricing.beside import Schedule
from engine.pricing.cents import Int64s, half_up
from engine.pricing.ranking import best
from engine.tables.listing import ANY, Listing, Matches
from engine.tenant_fees import CONTRACT_RATES

_ANYWHERE, _FACILITY, _NON_FACILITY = range(3)
_E4_OF_CENT: Final = 100


class RateKind(IntEnum):
    """What a rate is; numbers as in the listing."""

    CENTS_PER_UNIT = 0
    """Dollars for a unit; for a unit of anesthesia where minutes are billed."""
    PERCENT_OF_FEE = 1
    """A share of what the fee schedule comes to."""
    PERCENT_OF_CHARGE = 2
    """A share of the line's charge, whatever was done."""


@dataclass(frozen=True, slots=True)
class Rates(Table):
    """The lines that a contract speaks of, in the order of the pass, and what it says."""

    line: Ints
    kind: Ints
    rate_e4: Ints
    """Dollars, or a share."""
    net: Bools
    """The rate is final: no modifier and no other line changes it."""
    row: Ints
    """Row of the listing; rows of the tenant's fee schedule are counted on from its last."""

    @classmethod
    def of(cls, schedule: Schedule, own: Listing | None = None) -> Self | None:
        """Return the rate of each line that has one; None where no rate is on file.

        Args:
            schedule: The lines, and the tables with the listing of rates.
            own: The rows of the tenant's fee schedule.
        """
        listed = schedule.reference.listing(CONTRACT_RATES)
        sources = [(listed, 0)] if listed.loaded else []
        if own is not None:
            sources.append((own, len(listed)))
        if not sources:
            return None
        found = [_candidates(schedule, listing, first_row) for listing, first_row in sources]
        line, score, *columns = (np.concatenate(each) for each in zip(*found, strict=True))
        # Of equals the first holds: that of the listing.
        at = best(line, score, len(schedule.batch.lines))
        return cls(*(each[at[at >= 0]] for each in (line, *columns)))

    @property
    def cents(self) -> Int64s:
        """Rates in dollars, as cents."""
        return half_up(self.rate_e4, _E4_OF_CENT)


def _candidates(schedule: Schedule, listing: Listing, first_row: int) -> tuple[Ints, ...]:
    """Return all rates about lines: line, precedence, and the columns of `Rates` after the line."""
    batch, facts = schedule.batch, schedule.facts
    lines, claims = batch.lines, batch.claims
    known = listing.covers(facts.distinct_codes)
    coded = np.flatnonzero((lines.procedure > 0) & known[facts.distinct_code])
    contract = claims.contract[lines.claim[coded]]
    matches = listing.match(lines.procedure[coded], lines.service_from[coded], contract)
    matches = matches.where(_about(matches, coded[matches.place], schedule))
    line = coded[matches.place]
    # Reductions are those of professional services: a facility's rate stays as it is.
    net = matches["net"] | (claims.type[lines.claim[line]] != PROFESSIONAL)
    kind, rate_e4, row = matches["rate_kind"], matches["rate"], matches.row + first_row
    return line, _precedence(matches), kind, rate_e4, net, row


def _about(matches: Matches, line: Ints, schedule: Schedule) -> Bools:
    """Return which rows are about their line: plan, biller, modifier and setting."""
    batch, facts = schedule.batch, schedule.facts
    claims, claim = batch.claims, batch.lines.claim[line]
    about: Bools = _is(matches["plan"], claims.plan[claim])
    about &= _is(matches["billing_npi"], claims.billing_npi[claim])
    about &= _is(matches["billing_tin"], claims.billing_tin[claim])
    about &= _carried(matches, batch.lines.modifiers[line], facts.component[line])
    here = np.where(facts.facility[line], _FACILITY, _NON_FACILITY)
    setting = matches["setting"]
    about &= (setting == _ANYWHERE) | (setting == here)
    return about


def _is(wanted: Ints, given: Ints) -> Bools:
    same: Bools = (wanted == ANY) | (wanted == given)
    return same


def _carried(matches: Matches, modifiers: Ints, component: Ints) -> Bools:
    """A rate with a modifier is for lines that carry it, one without for whole services.

    A share without a modifier is for the parts of a service too: the fee is that of the part.
    """
    wanted = matches["modifier"]
    carries = (modifiers == wanted[:, None]).any(axis=1)
    part = one_of(component, (MOD_26, MOD_TC))
    dollars = matches["rate_kind"] == RateKind.CENTS_PER_UNIT
    carried: Bools = np.where(wanted == ANY, ~(part & dollars), carries)
    return carried


def _precedence(matches: Matches) -> NDArray[np.int64]:
    """Score rows: what names more of contract, biller, plan, modifier and setting comes first."""
    named = (
        matches["contract"] != ANY,
        matches["billing_npi"] != ANY,
        matches["billing_tin"] != ANY,
        matches["plan"] != ANY,
        matches["modifier"] != ANY,
        matches["setting"] != _ANYWHERE,
        matches["tenant"] != b"",
    )
    score = np.zeros(len(matches), np.int64)
    for each in named:
        score = 2 * score + each
    return score
