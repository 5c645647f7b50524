"""Services billed for both sides: a line with 50, or lines with LT and RT."""

from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import Batch, rows_where
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.pairs import codes_of_sessions
from engine.rules.rule import Hits, Kind
from engine.rules.surgical.roles import without_indicator

BOTH_SIDES: Final = code36("50")
_LEFT, _RIGHT = code36("LT"), code36("RT")

SIDES_EVIDENCE: Final = {"bilateral_indicator": Kind.COUNT, "billed_as": Kind.NAME}
SIDES_NAMES: Final = {"billed_as": ("lines with LT and RT", "modifier 50")}


def find_sides(batch: Batch, reference: Reference, facts: Facts, indicator: int) -> Hits:
    """Return one hit for each code of the indicator that a session bills for both sides."""
    fifty, left, right = (batch.has_modifier(side) for side in (BOTH_SIDES, _LEFT, _RIGHT))
    sided = batch.professional & (batch.lines.procedure > 0) & (fifty | left | right)
    of_indicator = reference.mpfs.bilateral[facts.mpfs_code] == indicator
    rows = rows_where(sided & (facts.mpfs_code >= 0) & of_indicator)
    group = codes_of_sessions(batch, rows, facts.session)
    has_fifty, has_left, has_right = (
        np.bincount(group, side[rows]) > 0 for side in (fifty, left, right)
    )
    billed = (has_fifty | (has_left & has_right))[group]
    return Hits.on_groups(
        batch,
        rows[billed],
        group[billed],
        evidence={
            "bilateral_indicator": np.full(len(fifty), indicator),
            "billed_as": fifty.astype(np.int64),
        },
        not_evaluated=without_indicator(facts, sided & fifty),
    )
