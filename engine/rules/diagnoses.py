"""Diagnoses that a line rests on: those it points to; on a facility's bill, all of the claim."""

import numpy as np

from engine.columns import INSTITUTIONAL, Batch, Bools, Ints, rows_where
from engine.joins import in_runs
from engine.tables.code_sets import diagnosis_order
from engine.tables.keys import KEY_MAX
from engine.tables.listing import Matches


def diagnoses_of_lines(batch: Batch, line: Ints) -> tuple[Ints, Ints]:
    """Return the diagnoses that lines rest on, as pairs of a place in `line` and a diagnosis row.

    Pairs are in the order of the places, and of the diagnoses on the claim.
    """
    claims, lines, diagnoses = batch.claims, batch.lines, batch.diagnoses
    count = np.bincount(diagnoses.claim, minlength=len(claims))
    start = np.cumsum(count) - count
    claim = lines.claim[line]
    width = count[claim]
    place, row = in_runs(start[claim], width)
    pointed = (lines.pointers[line[place]] == diagnoses.sequence[row][:, None]).any(axis=1)
    rests = pointed | (claims.type[claim[place]] == INSTITUTIONAL)
    return place[rests], row[rests]


def with_diagnosis(found: Matches, batch: Batch) -> Bools:
    """Pairs of a line and a row of a listing, whose diagnoses hold one that the line rests on.

    A row without diagnoses is about all.
    """
    first, last = found["diagnosis_first"], found["diagnosis_last"]
    meets: Bools = (first == 0) & (last == KEY_MAX)
    asked = rows_where(~meets)
    if len(asked):
        place, row = diagnoses_of_lines(batch, found.place[asked])
        code = diagnosis_order(batch.diagnoses.code[row])
        pair = asked[place]
        meets[pair[(first[pair] <= code) & (code <= last[pair])]] = True
    return meets
