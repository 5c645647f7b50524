"""Telehealth lines, and which of them a list for their line of business and day speaks of."""

from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import PROFESSIONAL, Batch, Bools, Dates, Ints, rows_where
from engine.tables.listing import ANY, Listing, Matches

PLACE_AWAY: Final = 2
"""Telehealth, the patient not at home."""
PLACE_HOME: Final = 10
"""Telehealth, the patient at home."""
AUDIO_VIDEO: Final = code36("GT")

_MODIFIERS: Final = tuple(map(code36, ("93", "95", "GT", "GQ", "FQ")))
_DAY_BITS: Final = 32


def telehealth_lines(batch: Batch) -> Ints:
    """Return the rows of coded lines that place or modifier say were given as telehealth."""
    lines = batch.lines
    place = lines.place_of_service
    remote = (place == PLACE_AWAY) | (place == PLACE_HOME)
    if remote.any():
        remote &= batch.of_line(batch.claims.type) == PROFESSIONAL
    return rows_where((remote | batch.has_modifier(*_MODIFIERS)) & (lines.procedure > 0))


def is_listed_for(listing: Listing, business: Ints, day: Dates) -> Bools:
    """Return where the listing has any row for the line of business on the day.

    Without one it says nothing of that payer's services, and what it lacks is not refused.
    """
    key = (business.astype(np.int64) << _DAY_BITS) + day.astype(np.int64)
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    columns = listing.columns
    asked, asked_day = business[first, None], day[first, None]
    live = ~(columns["effective"] > asked_day) & ~(columns["deletion"] < asked_day)
    own = columns["line_of_business"]
    theirs = (own == ANY) | (own == asked)
    listed: Bools = (live & theirs).any(axis=1)[place]
    return listed


def of_business(found: Matches, business: Ints) -> Matches:
    """Keep the rows for a line of business, given for each place; its own go before rows for all.

    Args:
        found: Rows by place.
        business: Line of business of each place.
    """
    own = found["line_of_business"]
    found = found.where((own == ANY) | (own == business[found.place]))
    order = np.lexsort((found.row, found["line_of_business"] == ANY, found.place))
    return Matches(found.listing, found.place[order], found.row[order])
