"""Coverage policies that hold for a line: of its code, day, contractor, payer and business."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Bools, rows_where
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.listed import rows_of_lines
from engine.rules.rule import Kind, NotEvaluated
from engine.tables.listing import ANY, NONE, Matches
from engine.tables.listings import POLICY_LEVELS

EVIDENCE: Final[Mapping[str, Kind]] = {
    "policy": Kind.TEXT,
    "version": Kind.TEXT,
    "level": Kind.NAME,
    "carrier": Kind.COUNT,
}
"""What hits say of the policy that they rest on."""
NAMES: Final[Mapping[str, tuple[str, ...]]] = {"level": POLICY_LEVELS}
CAVEAT: Final = (
    "The contractor is that of the service ZIP, also for equipment. A national policy goes before "
    "those of contractors, and these before a payer's own; policies of one level are alternatives."
)

_BEYOND: Final = len(POLICY_LEVELS)
_CARRIER: Final = 100
"""Localities are numbered carrier * 100 + locality."""


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of each line, and the lines of which the contractor is not known."""

    found: Matches
    """Rows of `coverage_policies`; places are lines."""
    not_evaluated: tuple[NotEvaluated, ...]


def policies_of_lines(batch: Batch, reference: Reference, facts: Facts) -> Policies:
    """Return the policies about each line's procedure that are in force for it on its day."""
    listing = reference.listing("coverage_policies")
    found = rows_of_lines(listing, batch, facts)
    if not len(found):
        return Policies(found, ())
    claim = batch.lines.claim[found.place]
    payer, business = found["payer"], found["line_of_business"]
    own = (payer == ANY) | (payer == batch.claims.payer[claim])
    own &= (business == ANY) | (business == batch.claims.line_of_business[claim])
    found = found.where(own)
    row = facts.locality[found.place]
    carrier = np.where(row >= 0, reference.localities.locality[row] // _CARRIER, ANY)
    local = found["carrier"] != ANY
    nowhere = np.zeros(len(batch.lines), np.bool_)
    nowhere[found.place[local & (carrier == ANY)]] = True
    return Policies(
        found.where(~local | (found["carrier"] == carrier)),
        (NotEvaluated("no_locality", nowhere),),
    )


def is_prevailing(found: Matches, speaks: Bools, lines: int) -> Bools:
    """Pairs that speak of a matter and are of the highest level that does, of so many lines."""
    level, place = found["level"], found.place
    best = np.full(lines, _BEYOND, np.int64)
    np.minimum.at(best, place[speaks], level[speaks])
    highest: Bools = speaks & (level == best[place])
    return highest


def policy_evidence(found: Matches, lines: int) -> dict[str, NDArray[Any]]:
    """Return, as columns over so many lines, what the first policy of each is."""
    row = found.first(lines)
    named = rows_where(row >= 0)
    columns: dict[str, NDArray[Any]] = {
        name: np.zeros(lines, found.listing.columns[name].dtype)
        for name in ("policy", "version", "carrier")
    }
    columns["level"] = np.full(lines, NONE)
    for name, column in columns.items():
        column[named] = found.listing.columns[name][row[named]]
    columns["carrier"] = np.where(columns["carrier"] == ANY, NONE, columns["carrier"])
    return columns


def excluded_by_all(found: Matches, excluded: Bools, lines: int) -> Bools:
    """Lines with policies of which every one excludes the patient: alternatives admit by one."""
    admitted = found.where(~excluded).found(lines)
    hit: Bools = found.found(lines) & ~admitted
    return hit
