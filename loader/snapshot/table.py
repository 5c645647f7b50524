"""What a reader hands to the build: columns of one release, and what it left out, by reason."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from loader.snapshot.published import Row

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one release, in no particular order."""

    columns: Columns
    rows: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    remarks: Mapping[str, int] = field(default_factory=dict)


class Gatherer:
    """Collects rows one by one, refuses a key that comes twice, and counts what is left out."""

    def __init__(self, types: Mapping[str, str]) -> None:
        self._types = types
        self._rows: list[tuple[Any, ...]] = []
        self._seen: dict[Any, int] = {}
        self._left_out: Counter[str] = Counter()
        self._remarks: Counter[str] = Counter()

    def leave_out(self, reason: str, rows: int = 1) -> None:
        """Count rows that are legitimately not loaded."""
        self._left_out[reason] += rows

    def remark(self, what: str, rows: int = 1) -> None:
        """Count loaded rows that a reader of the manifest should know of."""
        self._remarks[what] += rows

    def once(self, row: Row, key: Any, what: str) -> None:
        """Refuse a key that an earlier record has."""
        if key in self._seen:
            raise row.refused(
                f"{what} comes a second time, first in row {self._seen[key]}", f"each {what} once"
            )
        self._seen[key] = row.number

    def add(self, *values: Any) -> None:
        """Take a row: one value per column, in the order of the types."""
        self._rows.append(values)

    def table(self) -> Table:
        """Return what was collected."""
        columns = list(zip(*self._rows, strict=True)) or [() for _ in self._types]
        return Table(
            columns={
                name: np.array(column, dtype)
                for (name, dtype), column in zip(self._types.items(), columns, strict=True)
            },
            rows=len(self._rows),
            left_out=dict(self._left_out),
            remarks=dict(self._remarks),
        )


def joined(tables: Sequence[Table]) -> Table:
    """Return several tables of one release as one."""
    if len(tables) == 1:
        return tables[0]
    left_out: Counter[str] = Counter()
    remarks: Counter[str] = Counter()
    for each in tables:
        left_out.update(each.left_out)
        remarks.update(each.remarks)
    return Table(
        columns={
            name: np.concatenate([each.columns[name] for each in tables])
            for name in tables[0].columns
        },
        rows=sum(each.rows for each in tables),
        left_out=dict(left_out),
        remarks=dict(remarks),
    )
