"""Benefits of the plan that a line falls under."""

import numpy as np

from engine.columns import Batch, Ints, rows_where
from engine.facts import Facts
from engine.members import Members, holds_on, rows_about
from engine.rules.listed import rows_of_lines
from engine.tables.listing import ANY, Listing, Matches


def rows_by_plan(listing: Listing, batch: Batch, facts: Facts, members: Members) -> Matches:
    """Return the rows about each line's procedure, of its plan or of all; places are lines."""
    if not listing.covers(facts.distinct_codes).any():
        return Matches(listing, np.empty(0, np.int64), np.empty(0, np.int64))
    return rows_of_lines(listing, batch, facts, plans_of_lines(batch, members))


def plans_of_lines(batch: Batch, members: Members) -> Ints:
    """Return each line's plan: the claim's, else the one that the member is in on the day."""
    plan = batch.of_line(batch.claims.plan).astype(np.int64)
    spans = members.eligibility
    unstated = rows_where(plan == ANY)
    if spans is None or not len(unstated):
        return plan
    claim = batch.lines.claim[unstated]
    place, row = rows_about(spans.member, batch.claims.member[claim])
    own = (spans.payer[row] == ANY) | (spans.payer[row] == batch.claims.payer[claim[place]])
    day = batch.lines.service_from[unstated[place]]
    own &= holds_on(spans.effective[row], spans.termination[row], day)
    own &= spans.plan[row] != ANY
    # Of several spans on a day the first in the table counts: it is written last.
    plan[unstated[place[own]][::-1]] = spans.plan[row[own]][::-1]
    return plan
