"""The amounts of all lines while they are worked out; in the end what has no price is blank."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.columns import Bools, Ints
from engine.pricing.adjust import Adjusted
from engine.pricing.allowed import Allowed, PriceBasis, PriceReason, PriceStatus
from engine.pricing.anesthesia import Anesthesia
from engine.pricing.cents import Int64s
from engine.pricing.steps import Changes, joined, no_units

_STATUS: Final = np.full(len(PriceReason), PriceStatus.NO_PRICE, np.int8)
_STATUS[PriceReason.NONE] = PriceStatus.PRICED
_STATUS[PriceReason.REPORT] = PriceStatus.BY_REPORT


class Sheet:
    """Columns over all lines of a pass, written line by line as prices become known."""

    def __init__(self, reason: NDArray[np.int8], bundled: Bools) -> None:
        """Take why lines have no price, as far as the fee schedule says."""
        count = len(reason)
        self.reason, self.bundled = reason, bundled
        self._line: list[Ints] = []
        self._fee, self._capped, self._amount, self._final, self._rvu_e4 = (
            np.zeros(count, np.int64) for _ in range(5)
        )
        self._locality, self._contract = (np.full(count, -1, np.int64) for _ in range(2))
        self._basis = np.zeros(count, np.int8)
        self._basis[bundled] = PriceBasis.FEE_SCHEDULE
        self._changes: list[Changes] = []
        self._units = no_units()

    def write_fees(self, line: Ints, fee: Int64s, capped: Int64s, rvu_e4: Ints) -> None:
        """Write what a unit costs by the fee schedule."""
        self._line.append(line)
        self._fee[line], self._capped[line], self._rvu_e4[line] = fee, capped, rvu_e4
        self._basis[line] = PriceBasis.FEE_SCHEDULE

    def withhold(self, lines: Bools, reason: PriceReason) -> None:
        """Leave lines without a price, whatever the fee schedule says of them."""
        self.reason[lines] = reason
        self.bundled[lines] = False

    def write_places(self, line: Ints, locality: Ints | int) -> None:
        """Write the locality that prices are for, -1 for none."""
        self._locality[line] = locality

    def write_rates(self, line: Ints, cents: Ints, row: Ints, basis: PriceBasis) -> None:
        """Write rates of contracts, which stand before the fee schedule and its gate."""
        self._line.append(line)
        self._fee[line] = self._capped[line] = cents
        self._rvu_e4[line] = 0
        self._locality[line] = -1
        self.write_basis(line, row, basis)
        self.reason[line] = PriceReason.NONE
        self.bundled[line] = False

    def write_basis(self, line: Ints, row: Ints, basis: PriceBasis) -> None:
        """Write which rate of a contract prices rest on."""
        self._contract[line] = row
        self._basis[line] = basis

    def write_own(self, line: Ints) -> None:
        """Write down that rates are those of the tenant's own fee schedule."""
        by_contract = self._basis[line] == PriceBasis.CONTRACT
        self._basis[line[by_contract]] = PriceBasis.TENANT_FEE

    def write_amounts(self, line: Ints, amount: Int64s, final: Int64s) -> None:
        """Write amounts before and after what other lines and roles leave of them."""
        self._amount[line], self._final[line] = amount, final

    def write_adjusted(self, line: Ints, adjusted: Adjusted) -> None:
        """Write amounts after every step, and what has none."""
        self.write_amounts(line, adjusted.amount_cents, adjusted.final_cents)
        self.write_changes(adjusted.changes)
        self.reason[adjusted.unknown] = PriceReason.REDUCTION
        self.reason[adjusted.by_report] = PriceReason.REPORT

    def write_anesthesia(self, line: Ints, found: Anesthesia, reason: NDArray[np.int8]) -> None:
        """Write prices of anesthesia, and why some lines have none."""
        self.reason[line] = reason
        self._line.append(found.line)
        self._fee[found.line] = self._capped[found.line] = found.amount_cents
        self._basis[found.line] = PriceBasis.FEE_SCHEDULE
        self.write_amounts(found.line, found.amount_cents, found.final_cents)
        self.write_changes(found.changes)
        self._units = found.units

    def write_changes(self, changes: Changes) -> None:
        """Write down how amounts changed."""
        self._changes.append(changes)

    def amounts(self, line: Ints) -> tuple[Int64s, Int64s]:
        """Return what was written of some lines."""
        return self._amount[line], self._final[line]

    def allowed(self, charge_cents: Ints) -> Allowed:
        """Return the prices, none above its charge."""
        status = _STATUS[self.reason]
        status[self.bundled] = PriceStatus.BUNDLED
        for line in self._line:
            self._blank(line[status[line] != PriceStatus.PRICED], status)
        return Allowed(
            status=status,
            reason=self.reason,
            basis=self._basis,
            fee_cents=self._fee,
            capped_cents=self._capped,
            amount_cents=self._amount,
            allowed_cents=np.minimum(self._final, charge_cents),
            rvu_total_e4=self._rvu_e4,
            locality=self._locality,
            contract=self._contract,
            units=self._units,
            changes=joined(self._changes),
        )

    def _blank(self, line: Ints, status: NDArray[np.int8]) -> None:
        """Take back what was written of lines that came to no price."""
        if not len(line):
            return
        for column in (self._fee, self._capped, self._amount, self._final, self._rvu_e4):
            column[line] = 0
        self._locality[line] = self._contract[line] = -1
        self._basis[line] = np.where(
            status[line] == PriceStatus.BUNDLED, PriceBasis.FEE_SCHEDULE, PriceBasis.NONE
        )
