"""Which lines a table speaks of: of its settings, with a code, on days that a release serves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Bools, Dates
from engine.facts import Facts
from engine.rules.rule import NotEvaluated


class ReleasedTable(Protocol):
    """A table of which one release is in force on a day."""

    @property
    def loaded(self) -> bool:
        """Whether the snapshot holds the table."""

    def release_at(self, day: Dates) -> NDArray[np.integer[Any]]:
        """Return the release in force on each day, -1 where there is none."""


@dataclass(frozen=True, slots=True)
class Served:
    """Lines by table, and those that no release serves."""

    by_table: tuple[Bools, ...]
    """A mask over the lines for each table."""
    not_evaluated: tuple[NotEvaluated, ...]

    @property
    def any(self) -> Bools:
        """Lines that some table serves."""
        served: Bools = np.logical_or.reduce(self.by_table)
        return served


def served(
    batch: Batch, facts: Facts, tables: Sequence[tuple[ReleasedTable, tuple[int, ...]]]
) -> Served:
    """Return the lines that each table serves, given the tables with their settings."""
    coded, day = batch.lines.procedure > 0, batch.lines.service_from
    masks, gaps = [], []
    for table, settings in tables:
        asked = coded & np.logical_or.reduce([facts.setting == setting for setting in settings])
        found = asked & (table.release_at(day) >= 0)
        masks.append(found)
        if (missing := asked & ~found).any():
            gaps.append(NotEvaluated("no_release" if table.loaded else "no_dataset", missing))
    return Served(tuple(masks), tuple(gaps))
