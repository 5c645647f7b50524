"""What the published tables say about each line of a pass.

Looked up once, read by prices, features and rules.
"""

from dataclasses import dataclass

import numpy as np

from engine.codes import code36
from engine.columns import (
    INSTITUTIONAL,
    PROFESSIONAL,
    Batch,
    Bools,
    Dates,
    Ints,
    Table,
    one_of,
    rows_where,
)
from engine.reference import GLOBAL_XXX, Reference
from engine.sessions import sessions

SETTING_NONE, SETTING_PRACTITIONER, SETTING_HOSPITAL, SETTING_DME = -1, 0, 1, 2
"""Which edit tables hold for a line: none for inpatient bills."""

MOD_26, MOD_TC, MOD_53 = code36("26"), code36("TC"), code36("53")

_DME_TAXONOMY_PREFIXES = (code36("332"), code36("335"))
_TAXONOMY_LENGTH = 10
SURGICAL_DAYS = (0, 10, 90)
"""Global periods of surgery."""


@dataclass(frozen=True, slots=True)
class Facts(Table):
    """Columns over the lines. Shapes are (lines,) but where said."""

    mpfs: Ints
    """Row of the fee schedule for code and component (26, TC, 53 or none) on the day; -1 none."""
    mpfs_code: Ints
    """Row of the fee schedule for the code alone: its indicators; -1 none."""
    component: Ints
    """Modifier of the row looked up in `mpfs`: 26, TC, 53 as a code, or 0."""
    mpfs_in_force: Bools
    """Some release of the fee schedule serves the day."""
    facility: Bools
    """The place of service is priced as a facility."""
    setting: Ints
    """SETTING_…: which tables of pairs and units hold."""
    locality: Ints
    """Row of the geographic indices for the service ZIP on the day; -1 none."""
    visit: Bools
    """The code is an evaluation and management visit."""
    global_days: Ints
    """Global period of the code: 0, 10, 90 or GLOBAL_…; GLOBAL_XXX where there is no row."""
    surgical: Bools
    """The code has a global period of 000, 010 or 090."""
    session: Ints
    """Equal for the lines of one claim, one day and one provider: the row of the first."""
    stand_ins: Ints
    """Bit mask of the datasets that stand in on the day."""
    distinct_codes: Ints
    """Every procedure code of the pass once, ascending; shape (codes,). A table is asked for these
    few hundred, and the lines read the answer by `distinct_code`."""
    distinct_code: Ints
    """Place of the line's procedure code in `distinct_codes`."""


def look_up(batch: Batch, reference: Reference) -> Facts:
    """Look up what the tables say about each line on its day of service."""
    lines, mpfs = batch.lines, reference.mpfs
    day = lines.service_from
    component = _component(lines.modifiers)
    distinct_codes, distinct_code = np.unique(lines.procedure, return_inverse=True)
    code_row = mpfs.rows_of_lines(distinct_codes, distinct_code, day)
    row = code_row.copy()
    split = rows_where(component)
    row[split] = mpfs.rows(lines.procedure[split], component[split], day[split])
    # A reduced service (53) has a row of its own for four codes only; elsewhere it is a plain
    # modifier.
    plain = (component == MOD_53) & (row < 0)
    row[plain] = code_row[plain]
    component = np.where(plain, 0, component)
    global_days = _global_days(reference, code_row)
    return Facts(
        mpfs=row,
        mpfs_code=code_row,
        component=component,
        mpfs_in_force=mpfs.release_at(day) >= 0,
        facility=reference.place_of_service.facility(lines.place_of_service),
        setting=_setting(batch),
        locality=reference.localities.of_zip(lines.zip5, day),
        visit=reference.evaluation_management.contains(lines.procedure, day),
        global_days=global_days,
        surgical=one_of(global_days, SURGICAL_DAYS),
        session=sessions(batch),
        stand_ins=reference.stand_ins(day),
        distinct_codes=distinct_codes,
        distinct_code=distinct_code,
    )


def global_days_of(reference: Reference, procedure: Ints, day: Dates) -> Ints:
    """Return the global period of codes on their days, as in `Facts.global_days`."""
    return _global_days(reference, reference.mpfs.rows(procedure, np.zeros_like(procedure), day))


def _global_days(reference: Reference, row: Ints) -> Ints:
    return np.where(row >= 0, reference.mpfs.global_days[row], GLOBAL_XXX)


def _component(modifiers: Ints) -> Ints:
    """The row that a line asks for: 26 or TC, the first of them, else 53; 0 for the whole service.

    A part of a service stays that part when it is stopped (53).
    """
    part = one_of(modifiers, (MOD_26, MOD_TC))
    stopped = modifiers == MOD_53
    wanted = np.where(part.any(axis=1, keepdims=True), part, stopped)
    first = wanted.argmax(axis=1)
    return np.where(wanted.any(axis=1), modifiers[np.arange(len(modifiers)), first], 0).astype(
        np.int16
    )


def _setting(batch: Batch) -> Ints:
    """Domain L.11.

    Practitioner tables on 837P, DME ones for DME suppliers, hospital ones on outpatient 837I.
    """
    claims = batch.claims
    prefix = claims.billing_taxonomy // 36 ** (_TAXONOMY_LENGTH - 3)
    setting = np.full(len(claims), SETTING_NONE, np.int8)
    setting[claims.type == PROFESSIONAL] = SETTING_PRACTITIONER
    setting[(claims.type == PROFESSIONAL) & one_of(prefix, _DME_TAXONOMY_PREFIXES)] = SETTING_DME
    setting[(claims.type == INSTITUTIONAL) & ~claims.inpatient] = SETTING_HOSPITAL
    return batch.of_line(setting)
