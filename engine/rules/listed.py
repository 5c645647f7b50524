"""Lines whose procedure a listing speaks of: where rules that rest on listings start from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Ints
from engine.facts import Facts
from engine.rules.rule import NotEvaluated
from engine.tables.listing import Listing, Matches


def rows_of_lines(
    listing: Listing, batch: Batch, facts: Facts, group: NDArray[Any] | None = None
) -> Matches:
    """Return the rows about each line's procedure on its day; places are rows of lines.

    Args:
        listing: A listing whose axis is procedure codes.
        batch: The pass.
        facts: What the tables say of it.
        group: The group of each line, such as its plan, where the listing has groups.
    """
    known = listing.covers(facts.distinct_codes)
    line: Ints = (
        np.flatnonzero(known[facts.distinct_code]) if known.any() else np.empty(0, np.int64)
    )
    lines = batch.lines
    found = listing.match(
        lines.procedure[line], lines.service_from[line], None if group is None else group[line]
    )
    return Matches(listing, line[found.place], found.row)


def gap_of(*listings: Listing, reason: str = "no_dataset") -> tuple[NotEvaluated, ...]:
    """Return that a rule judges nothing where one of the listings that it rests on is empty."""
    return () if all(each.loaded for each in listings) else (NotEvaluated(reason),)
