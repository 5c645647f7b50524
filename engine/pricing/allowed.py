"""What a price is: one row per line, with the amounts that its steps left."""

from dataclasses import dataclass, field
from enum import IntEnum

from engine.columns import Bools, Ints, Table
from engine.pricing.steps import Changes, Units, no_changes, no_units


class PriceStatus(IntEnum):
    """Whether a line has a price; numbers as in the API."""

    PRICED = 1
    BUNDLED = 2
    BY_REPORT = 3
    NO_PRICE = 4


class PriceBasis(IntEnum):
    """What a price rests on; numbers as in the API."""

    NONE = 0
    """There is no price."""
    FEE_SCHEDULE = 1
    CONTRACT = 2
    """A rate of a contract: dollars, or a share of the fee."""
    CHARGE = 3
    """A contract's share of the charge."""
    TENANT_FEE = 4
    """The tenant's own fee schedule: dollars, or a share of the fee."""


class PriceReason(IntEnum):
    """Why a line has no price."""

    NONE = 0
    NO_CODE = 1
    """The line has no procedure code."""
    NO_RELEASE = 2
    """No fee schedule serves the day."""
    NO_ROW = 3
    """The fee schedule has no row for code and component."""
    STATUS = 4
    """The status says not payable by the schedule: N, X, E, I, M."""
    CONTRACTOR = 5
    """Priced by the contractor: status C."""
    ANESTHESIA = 6
    """Priced by base units and minutes: status J; the tables have no base units of the code."""
    NOT_FOR_PAYMENT = 7
    """The relative values are informational."""
    NA = 8
    """Not priced in this setting."""
    ZERO = 9
    """All relative values are zero."""
    LOCALITY = 10
    """The service ZIP is unknown."""
    INSTITUTIONAL = 11
    """Facility bills are not priced by the physician fee schedule."""
    REDUCTION = 12
    """The line is subject to a reduction, and the tables lack what that needs.

    The base of an endoscopy, the parts of a test, or how the care of a surgery divides.
    """
    REPORT = 13
    """Priced from the report."""
    INCIDENT_TO = 14
    """Incident to a physician's service (PC/TC indicator 5): not paid apart in a facility."""
    MINUTES = 15
    """Anesthesia whose units are not minutes (unit basis MJ), another service whose units are."""
    ANESTHESIA_FACTOR = 16
    """No anesthesia conversion factor for the locality on the day."""
    FEES_UNAVAILABLE = 17
    """The tenant's fee schedule could not be asked about the line, or about one of its session."""


@dataclass(frozen=True, slots=True)
class Allowed(Table):
    """Prices of the lines. Amounts are 0 where `status` is not PRICED.

    Shapes are (lines,), but for `units` and `changes`.
    """

    status: Ints
    reason: Ints
    basis: Ints
    """What the price rests on, `PriceBasis`."""
    fee_cents: Ints
    """Published fee of one unit in the locality; a contract's rate; the whole of anesthesia."""
    capped_cents: Ints
    """The same after the outpatient cap of imaging."""
    amount_cents: Ints
    """After line modifiers, both sides and units (domain E.2 step 9).

    What charges are compared with.
    """
    allowed_cents: Ints
    """After reductions across lines and roles, and not above the charge (steps 10 to 12)."""
    rvu_total_e4: Ints
    """Total relative value units, adjusted for the locality."""
    locality: Ints
    """Row of the geographic indices; -1 none."""
    contract: Ints
    """Row of the listing of contract rates, counted on into the tenant's schedule; -1 none."""
    units: Units = field(default_factory=no_units)
    """What the prices of anesthesia were made of, a record per line."""
    changes: Changes = field(default_factory=no_changes)
    """How amounts changed after the fee, a record per change in the order of the steps.

    Lines that a person prices in the end are among them.
    """

    @property
    def priced(self) -> Bools:
        """Lines with an amount, zero where bundled."""
        return (self.status == PriceStatus.PRICED) | (self.status == PriceStatus.BUNDLED)
