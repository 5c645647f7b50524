"""The pair edits of a pass: which pairs of lines a table names, and which are bypassed."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import Batch, Bools, Dates, Ints, Table
from engine.facts import SETTING_DME, SETTING_HOSPITAL, SETTING_PRACTITIONER, Facts
from engine.reference import ANATOMIC, DISTINCT, GLOBAL, OTHER, Reference
from engine.rules.ncci.served import Served, served
from engine.rules.pairs import hits_on_pairs, pair_blocks
from engine.rules.rule import Hits, Kind
from engine.tables.ncci import PairEdits

PAIR_DATASETS: Final = ("ncci_ptp_practitioner", "ncci_ptp_hospital")

PAIR_EVIDENCE: Final = {
    "column1": Kind.CODE,
    "column2": Kind.CODE,
    "modifier_indicator": Kind.COUNT,
    "effective": Kind.DATE,
    "deleted": Kind.DATE,
}
"""The two codes, whether a modifier could have helped (1, never 0), and the days of the edit."""

_BYPASS: Final = 1
_LONG_SESSION: Final = 60
_VISIT_MODIFIERS: Final = (code36("24"), code36("25"), code36("57"))
_EITHER_COLUMN_FROM: Final = np.datetime64("2019-07-01", "D")
"""From this day on 59 and the X modifiers count on either line (CR 11168), before on column 2."""


@dataclass(frozen=True, slots=True)
class LinePairs(Table):
    """Pairs of lines that an edit in force names. Shapes are (pairs,)."""

    column1: Ints
    """Row of the line that is payable."""
    column2: Ints
    """Row of the line that is denied."""
    indicator: Ints
    """0 never bypassed, 1 bypassed by a modifier."""
    mutually_exclusive: Bools
    effective: Dates
    deletion: Dates
    bypassed: Bools
    """The edit allows a modifier, and one is there that separates the two services."""


@dataclass(frozen=True, slots=True)
class FoundPairs:
    """What the edits say of a pass."""

    lines: Served
    """Lines that some table of edits serves."""
    pairs: LinePairs

    def denied(self, lines: int) -> Bools:
        """Return the lines that a pair edit denies, as a mask over `lines` lines."""
        mask = np.zeros(lines, np.bool_)
        mask[self.pairs.column2[~self.pairs.bypassed]] = True
        return mask


def lines_served(batch: Batch, reference: Reference, facts: Facts) -> Served:
    """Return the lines of the practitioner table, then those of the hospital table."""
    return served(
        batch,
        facts,
        (
            (reference.ptp_practitioner, (SETTING_PRACTITIONER, SETTING_DME)),
            (reference.ptp_hospital, (SETTING_HOSPITAL,)),
        ),
    )


def edited_pairs(batch: Batch, reference: Reference, facts: Facts, lines: Served) -> LinePairs:
    """Return every pair of lines of one session that an edit names on its day, bypassed or not.

    Args:
        batch: The pass.
        reference: The published tables.
        facts: What they say of each line.
        lines: Lines by table, of `lines_served`.
    """
    tables = (reference.ptp_practitioner, reference.ptp_hospital)
    found = [
        _pairs_of_table(batch, reference, facts, table, mask)
        for table, mask in zip(tables, lines.by_table, strict=True)
    ]
    return LinePairs(*map(np.concatenate, zip(*found, strict=True)))


def find_pair_edits(batch: Batch, reference: Reference, facts: Facts) -> FoundPairs:
    """Return what the edits say of the pass; several rules read it, so it is found once."""
    lines = lines_served(batch, reference, facts)
    return FoundPairs(lines, edited_pairs(batch, reference, facts, lines))


def find_bundled(batch: Batch, found: FoundPairs, *, mutually_exclusive: bool) -> Hits:
    """Return one hit for each denied line, by the edits with or without the exclusive rationale."""
    lines, pairs = found.lines, found.pairs
    denied = pairs.take(~pairs.bypassed & (pairs.mutually_exclusive == mutually_exclusive))
    procedure = batch.lines.procedure
    return hits_on_pairs(
        batch,
        denied.column2,
        denied.column1,
        rank=denied.indicator,
        evidence={
            "column1": procedure[denied.column1],
            "column2": procedure[denied.column2],
            "modifier_indicator": denied.indicator,
            "effective": denied.effective,
            "deleted": denied.deletion,
        },
        not_evaluated=lines.not_evaluated,
        evaluated=lines.any,
    )


def _pairs_of_table(
    batch: Batch,
    reference: Reference,
    facts: Facts,
    table: PairEdits,
    served_lines: Bools,
) -> tuple[Ints | Dates, ...]:
    """The columns of `LinePairs` for the lines of one table."""
    code, day = batch.lines.procedure, batch.lines.service_from
    known = _worth_probing(code, table, facts.session, np.flatnonzero(served_lines))
    found = [
        (left[some], right[some], row[some])
        for left, right in pair_blocks(facts.session, known, known)
        for row in [table.rows(code[left], code[right], day[left])]
        for some in [np.flatnonzero(row >= 0)]
    ]
    left, right, row = map(np.concatenate, zip(*found, strict=True))
    indicator = table.indicator[row]
    bypassed = indicator == _BYPASS
    may_be = np.flatnonzero(bypassed)
    bypassed[may_be] = _separated(batch, reference, facts, left[may_be], right[may_be])
    return (
        left,
        right,
        indicator,
        table.mutually_exclusive[row],
        table.effective[row],
        table.deletion[row],
        bypassed,
    )


def _worth_probing(code: Ints, table: PairEdits, session: Ints, lines: Ints) -> Ints:
    """Drop the lines of long sessions whose code is in no edit; in short ones pairs are cheaper."""
    sizes = np.bincount(session[lines], minlength=len(session))
    long = np.flatnonzero(sizes[session[lines]] > _LONG_SESSION)
    keep = np.ones(len(lines), np.bool_)
    keep[long] = table.involves(code[lines[long]])
    return lines[keep]


def _separated(
    batch: Batch, reference: Reference, facts: Facts, column1: Ints, column2: Ints
) -> Bools:
    """Pairs whose modifiers say that the services were separate (domain C.9 and L.10).

    A modifier of side or digit on column 2 says so unless column 1 carries the same; 24, 25 and 57
    only on a visit; 59 and the X modifiers only where neither line is a visit.
    """
    # One row per place of a modifier: a reduction over the first axis is ten times as fast.
    one, two = (batch.lines.modifiers[column].T.copy() for column in (column1, column2))
    separated = np.zeros(len(column1), np.bool_)
    some = np.flatnonzero((one | two).any(axis=0))
    separated[some] = _separating(
        reference,
        one.take(some, axis=1),
        two.take(some, axis=1),
        facts.visit[column1[some]],
        facts.visit[column2[some]],
        batch.lines.service_from[column2[some]] >= _EITHER_COLUMN_FROM,
    )
    return separated


def _separating(
    reference: Reference, one: Ints, two: Ints, visit1: Bools, visit2: Bools, either_column: Bools
) -> Bools:
    """The same for the modifiers of column 1 and of column 2, shapes (4, pairs)."""
    group = reference.ncci_modifiers.group
    groups = group(two)
    shared = (two[None] == one[:, None]).any(axis=0)
    anatomic = (groups & ANATOMIC != 0) & ~shared
    surgical = (groups & GLOBAL != 0) & (~np.isin(two, _VISIT_MODIFIERS) | visit2)
    other = (groups & OTHER != 0) & (groups & DISTINCT == 0)
    distinct1 = (group(one) & DISTINCT != 0).any(axis=0)
    distinct2 = (groups & DISTINCT != 0).any(axis=0)
    distinct = distinct2 | (distinct1 & either_column)
    separating: Bools = (anatomic | surgical | other).any(axis=0) | (distinct & ~visit1 & ~visit2)
    return separating
