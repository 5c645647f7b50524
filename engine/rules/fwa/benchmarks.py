"""What is usual for a service: the row of the benchmarks that fits a line best."""

from typing import Final

import numpy as np

from engine.columns import Batch, Ints
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.listed import rows_of_lines
from engine.tables.keys import KEY_MAX
from engine.tables.listing import ANY, Listing, Matches
from engine.tables.listings import SETTINGS

_CARRIER: Final = 100
"""A locality is its carrier times this and a number."""
_ANY_SETTING: Final = SETTINGS.index("any")
_FACILITY: Final = SETTINGS.index("facility")
_NON_FACILITY: Final = SETTINGS.index("non_facility")


def best_rows(batch: Batch, reference: Reference, facts: Facts, services_min: Ints) -> Matches:
    """Return for each line that has one the benchmark that is nearest to it; places are lines.

    One of the line's own contractor goes before one of all, then its specialty, then its setting;
    one that rests on too few services is none.

    Args:
        batch: The pass.
        reference: The published tables.
        facts: What they say of each line.
        services_min: Fewest services that a benchmark must rest on, shape (claims,).
    """
    listing: Listing = reference.listing("utilization_benchmarks")
    found = rows_of_lines(listing, batch, facts)
    if not len(found):
        return found
    locality = facts.locality[found.place]
    carrier = np.where(locality < 0, -1, reference.localities.locality[locality] // _CARRIER)
    setting = np.where(facts.facility[found.place], _FACILITY, _NON_FACILITY)
    taxonomy = batch.lines.taxonomy[found.place]
    own_carrier = found["carrier"] == carrier
    own_specialty = found["taxonomy_last"] != KEY_MAX
    own_setting = found["setting"] == setting
    fits = (
        (own_carrier | (found["carrier"] == ANY))
        & (~own_specialty | found.within("taxonomy", taxonomy))
        & (own_setting | (found["setting"] == _ANY_SETTING))
        & (found["services"] >= services_min[batch.lines.claim[found.place]])
    )
    nearness = 4 * own_carrier + 2 * own_specialty + own_setting
    found, nearness = found.where(fits), nearness[fits]
    order = np.lexsort((found.row, -nearness, found.place))
    _, first = np.unique(found.place[order], return_index=True)
    return Matches(listing, found.place[order][first], found.row[order][first])
