"""A tenant's own fee schedule for the codes of one pass: rows of rates as the database keeps them.

The rows say the same as those of the listing `contract_rates`, but each is about a single code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.columns import Ints
from engine.tables.listing import Listing, Listings, ListingSpec
from engine.tables.listings import LISTINGS

CONTRACT_RATES: Final = "contract_rates"
"""The listing whose fields and meaning the rows share."""
SPEC: Final[ListingSpec] = LISTINGS[CONTRACT_RATES]

FORMAT: Final = 1
"""Number of the layout below: with another layout it rises."""
FEE: Final = np.dtype(
    [
        ("code", "<i8"),
        ("contract", "<i8"),
        ("plan", "<i8"),
        ("billing_npi", "<i8"),
        ("billing_tin", "<i8"),
        ("rate", "<i8"),
        ("effective", "<i4"),  # days since 1970, NO_DAY for open
        ("deletion", "<i4"),
        ("modifier", "<i2"),
        ("setting", "i1"),
        ("rate_kind", "i1"),
        ("net", "?"),
    ]
)
"""A row of a fee schedule; ids and choices as in the listing's columns."""
NO_DAY: Final = np.iinfo(np.int32).min

Fees = NDArray[np.void]
"""Records of `FEE`."""

_DAYS: Final = ("effective", "deletion")
_OWN: Final = "own"
"""Stands for the tenant in the listing of its rows: of equals the tenant's own row holds."""


def no_fees() -> Fees:
    """Return no row."""
    return np.empty(0, FEE)


def _no_codes() -> Ints:
    return np.empty(0, np.int64)


@dataclass(frozen=True, repr=False, eq=False)
class TenantFees:
    """What a tenant's fee schedule says of the codes of a pass, all of it of one version."""

    version: int = 0
    """Number of the version; 0 where the tenant has none, or where it could not be asked for."""
    rows: Fees = field(default_factory=no_fees)
    """Every row about a code of the pass."""
    unknown: Ints = field(default_factory=_no_codes)
    """Codes of the pass whose rows could not be had: what has them may have a rate, or none."""

    @cached_property
    def listing(self) -> Listing | None:
        """The rows as a listing, to be looked up as the snapshot's; None where there are none."""
        if not len(self.rows):
            return None
        listings = Listings.of({CONTRACT_RATES: (SPEC, _columns(self.rows))})
        return listings.for_tenant(_OWN)[CONTRACT_RATES]


NO_FEES: Final = TenantFees()
"""What a tenant without a fee schedule has."""


def _columns(rows: Fees) -> Mapping[str, NDArray[Any]]:
    """Return the rows as the columns of the listing."""
    code, codes = rows["code"], SPEC.axis.columns
    columns = {name: code.astype(column.dtype) for name, column in codes.items()}
    for name, column in SPEC.columns.items():
        if name in _DAYS:
            days = rows[name].astype(np.int64)
            days[rows[name] == NO_DAY] = np.iinfo(np.int64).min
            columns[name] = days.view("datetime64[D]")
        elif name not in columns:
            given = np.full(len(rows), _OWN.encode()) if name == "tenant" else rows[name]
            columns[name] = given.astype(column.dtype)
    return columns
