"""What was committed before about the members and providers of a pass, as the server gathers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self, TypeVar

import numpy as np

from engine.columns import MODIFIERS_MAX, POINTERS_MAX, Bools, Dates, Ints, Table

T = TypeVar("T", bound=Table)

LOOK_BACK_DAYS: Final = 400
"""Earlier claims that ended longer before a claim began are not looked at (domain C.18)."""


@dataclass(frozen=True, slots=True)
class EarlierLines(Table):
    """Service lines of other claims. Shapes are (lines,) but where said."""

    member: Ints
    """Number of the member within the pass, as in `Claims.member`."""
    claim: Ints
    """Row of the line's claim in `EarlierClaims`."""
    number: Ints
    """Number of the line on its claim."""
    procedure: Ints
    modifiers: Ints
    """Shape (lines, 4)."""
    revenue: Ints
    ndc: Ints
    service_from: Dates
    service_to: Dates
    units_milli: Ints
    unit_basis: Ints
    charge_cents: Ints
    place_of_service: Ints
    rendering_npi: Ints
    specialty: Ints
    """Specialty code, else taxonomy, of who rendered the line; 0 unknown."""
    diagnoses: Ints
    """Diagnoses that the line points to, as codes; shape (lines, 4)."""
    is_rental: Bools
    denied: Bools
    """The line was denied for certain: it counts for duplicates only."""


@dataclass(frozen=True, slots=True)
class EarlierClaims(Table):
    """The claims of those lines. Shapes are (claims,)."""

    member: Ints
    type: Ints
    """PROFESSIONAL or INSTITUTIONAL."""
    type_of_bill: Ints
    frequency: Ints
    version: Ints
    billing_npi: Ints
    service_from: Dates
    service_to: Dates
    received_date: Dates
    total_charge_cents: Ints
    in_process: Bools
    """Not decided for good: it counts for duplicates only."""


@dataclass(frozen=True, slots=True)
class ProviderMonths(Table):
    """What a biller has billed by month of service. Shapes are (provider months,)."""

    billing_npi: Ints
    month: Dates
    """First day of the month."""
    claims: Ints
    lines: Ints
    distinct_lines: Ints
    """Lines with 59 or an X modifier."""


@dataclass(frozen=True, slots=True)
class PeerRates(Table):
    """How often peers use 59 and the X modifiers. Shapes are (taxonomies,)."""

    taxonomy: Ints
    distinct_p95_e4: Ints
    """Share of lines that 95 of 100 billers of the taxonomy stay below, in ten-thousandths."""
    billers: Ints


@dataclass(frozen=True, slots=True)
class History:
    """What was committed up to the watermark about the members and providers of a pass.

    Claims are in their latest version; voided and replaced ones are left out.
    """

    watermark: int
    """The last commit that was read, a `commit_seq` of the tenant."""
    claim_ids: Sequence[str] = field(repr=False)
    """Id of each earlier claim."""
    claims: EarlierClaims
    lines: EarlierLines
    provider_months: ProviderMonths
    peer_rates: PeerRates

    @classmethod
    def of_strangers(cls, watermark: int) -> Self:
        """Return the history of members and providers of whom nothing was committed."""
        return cls(
            watermark,
            (),
            no_rows(EarlierClaims),
            no_rows(EarlierLines),
            no_rows(ProviderMonths),
            no_rows(PeerRates),
        )


_WIDTHS: Final = {"modifiers": MODIFIERS_MAX, "diagnoses": POINTERS_MAX}
_TYPES: Final[Mapping[Any, str]] = {Ints: "int64", Bools: "bool", Dates: "datetime64[D]"}


def no_rows(table: type[T]) -> T:
    """Return a table without rows."""
    columns = (
        np.empty((0, _WIDTHS[each.name]) if each.name in _WIDTHS else 0, _TYPES[each.type])
        for each in fields(table)
    )
    return table(*columns)
