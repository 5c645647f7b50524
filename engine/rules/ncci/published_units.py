"""The published unit limit (MUE) of few lines, from the table of their setting."""

import numpy as np

from engine.columns import Batch, Ints, rows_where
from engine.facts import SETTING_DME, SETTING_HOSPITAL, SETTING_PRACTITIONER, Facts
from engine.reference import Reference


def published_units(
    batch: Batch, reference: Reference, facts: Facts, row: Ints
) -> tuple[Ints, Ints]:
    """Return limit and adjudication indicator of each line, -1 where none is published.

    Args:
        batch: The pass.
        reference: The published tables.
        facts: What they say of each line.
        row: Rows of lines, shape (n,).
    """
    limit, indicator = np.full((2, len(row)), -1, np.int64)
    for setting, table in (
        (SETTING_PRACTITIONER, reference.mue_practitioner),
        (SETTING_HOSPITAL, reference.mue_hospital),
        (SETTING_DME, reference.mue_dme),
    ):
        here = rows_where(facts.setting[row] == setting)
        at = row[here]
        found = table.rows(batch.lines.procedure[at], batch.lines.service_from[at])
        limit[here] = np.where(found >= 0, table.limit[found], -1)
        indicator[here] = np.where(found >= 0, table.mai[found], -1)
    return limit, indicator
