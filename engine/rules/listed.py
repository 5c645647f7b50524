"""Lines whose procedure a listing speaks of: where rules that rest on listings start from."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Bools, Ints, distinct_values, rows_where
from engine.facts import Facts
from engine.joins import equal_in
from engine.rules.pairs import pairs_within
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
    line: Ints = rows_where(known[facts.distinct_code]) if known.any() else np.empty(0, np.int64)
    lines = batch.lines
    found = listing.match(
        lines.procedure[line], lines.service_from[line], None if group is None else group[line]
    )
    return Matches(listing, line[found.place], found.row)


@dataclass(frozen=True, slots=True)
class ListedPairs:
    """Lines that a listing speaks of, each with another line of its group and a row of its own."""

    line: Ints
    other: Ints
    row: Matches
    """The row of each pair; its places are pairs."""

    def where(self, mask: Bools) -> "ListedPairs":
        """Keep the pairs of the mask."""
        row = self.row.row[mask]
        return ListedPairs(
            self.line[mask], self.other[mask], Matches(self.row.listing, np.arange(len(row)), row)
        )


def pairs_with_rows(found: Matches, group: Ints, others: Ints) -> ListedPairs:
    """Return each line that was found with each other line of its group, once for each of its rows.

    Args:
        found: Rows by line, in the order of the lines.
        group: Group of every line of the pass, from 0 and below the number of lines.
        others: Rows of the lines that may be the other one.
    """
    left, right = pairs_within(group, distinct_values(found.place), others)
    pair, at = equal_in(found.place, left)
    row = found.row[at]
    return ListedPairs(
        left[pair],
        right[pair],
        Matches(found.listing, np.arange(len(row)), row),
    )


class _Loadable(Protocol):
    @property
    def loaded(self) -> bool:
        """Whether there is anything to look up."""


def gap_of(*tables: _Loadable, reason: str = "no_dataset") -> tuple[NotEvaluated, ...]:
    """Return that a rule judges nothing where one of the tables that it rests on is empty."""
    return () if all(each.loaded for each in tables) else (NotEvaluated(reason),)
