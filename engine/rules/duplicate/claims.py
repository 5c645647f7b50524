"""Claims that repeat an earlier one in full."""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.codes import code36
from engine.columns import PROFESSIONAL, Batch, Bools, Dates, Ints, rows_where
from engine.joins import in_runs
from engine.past import Past

_REPLACEMENT, _VOID = code36("7"), code36("8")
_ALIKE: Final = ("billing_npi", "service_from", "total_charge_cents")

IN_PROCESS: Final = ("decided", "in process")
"""What became of an earlier claim, by its `in_process`."""


class ClaimPairs(NamedTuple):
    """Claims, each with an earlier one that it repeats. Shapes are (pairs,)."""

    claim: Ints
    """Row of the claim in the pass, ascending."""
    earlier: Ints
    """Row of the earlier claim in `Past.claims`."""


def repeated_claims(batch: Batch, past: Past) -> ClaimPairs:
    """Return the claims that repeat an earlier one: biller, form, days, charge and every line.

    A void repeats nothing, and a replacement only another replacement: it may equal the claim that
    it corrects, whatever control number that has at the payer.
    """
    if not len(past):
        return ClaimPairs(np.empty(0, np.int64), np.empty(0, np.int64))
    claim, earlier = past.claim_pairs(batch, np.arange(len(batch.claims)), alike=_ALIKE)
    repeats = are_repeated(batch, past, claim, earlier)
    return ClaimPairs(claim[repeats], earlier[repeats])


def are_repeated(batch: Batch, past: Past, claim: Ints, earlier: Ints) -> Bools:
    """Return which claims repeat the earlier one that they are paired with.

    Args:
        batch: The pass.
        past: Its past.
        claim: Rows of claims of the pass, shape (pairs,).
        earlier: Rows of `Past.claims` that they see.
    """
    same = _same_head(batch, past, claim, earlier)
    some = rows_where(same)
    if len(some):
        same[some] = _same_lines(batch, past, claim[some], earlier[some])
    return same


def _same_head(batch: Batch, past: Past, claim: Ints, earlier: Ints) -> Bools:
    own, other = batch.claims, past.claims
    original = own.frequency[claim] != _VOID
    replaces = (own.frequency[claim] == _REPLACEMENT) & (own.control_number[claim] != 0)
    same: Bools = (own.billing_npi[claim] > 0) & original
    for name in (*_ALIKE, "type", "service_to"):
        same &= getattr(own, name)[claim] == getattr(other, name)[earlier]
    # The last place of a type of bill is the frequency.
    same &= own.type_of_bill[claim] // 36 == other.type_of_bill[earlier] // 36
    same &= own.lines[claim] == past.line_count[earlier]
    return same & (~replaces | (other.frequency[earlier] == _REPLACEMENT))


def _same_lines(batch: Batch, past: Past, claim: Ints, earlier: Ints) -> Bools:
    """Pairs of claims with equally many lines that are the same in any order."""
    own, place = np.unique(claim, return_inverse=True)
    other, there = np.unique(earlier, return_inverse=True)
    counts = batch.claims.lines[own], past.line_count[other]
    professional = batch.claims.type[own] == PROFESSIONAL, past.claims.type[other] == PROFESSIONAL
    owner, row = in_runs(batch.claims.line_start[own], counts[0])
    owner_there, row_there = in_runs(past.line_start[other], counts[1])
    keys = [
        np.concatenate(both)
        for both in zip(
            _keys(batch.lines, row, professional[0][owner]),
            _keys(past.lines, row_there, professional[1][owner_there]),
            strict=True,
        )
    ]
    # Lines with the same content have the same number, and each claim's are in order.
    numbers = np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)[1]
    number, number_there = np.split(numbers, [len(row)])
    number = number[np.lexsort((number, owner))]
    number_there = number_there[np.lexsort((number_there, owner_there))]
    begins, begins_there = (np.cumsum(count) - count for count in counts)
    pair, at = in_runs(begins[place], counts[0][place])
    _, at_there = in_runs(begins_there[there], counts[1][there])
    differs = number[at] != number_there[at_there]
    same: Bools = np.bincount(pair[differs], minlength=len(claim)) == 0
    return same


def _keys(lines: Any, row: Ints, professional: Bools) -> list[NDArray[np.int64]]:
    """What has to be equal in two lines, for lines of the pass or of the past."""
    place = np.where(professional, lines.place_of_service[row], lines.revenue[row])
    return [
        lines.procedure[row].astype(np.int64),
        *np.sort(lines.modifiers[row], axis=1).T.astype(np.int64),
        place.astype(np.int64),
        lines.units_milli[row].astype(np.int64),
        lines.charge_cents[row].astype(np.int64),
        lines.ndc[row].astype(np.int64),
        _number(lines.service_from[row]),
        _number(lines.service_to[row]),
    ]


def _number(day: Dates) -> NDArray[np.int64]:
    """Days as integers, so that an absent one is equal to an absent one."""
    return day.astype("datetime64[D]").view(np.int64)
