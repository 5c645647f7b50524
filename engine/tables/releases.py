"""Which release of a dataset is in force on a day, and where it only stands in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.columns import distinct_values
from engine.tables.keys import Int64s
from engine.tables.snapshot import Dataset, Dates, SnapshotError

Ordinals = npt.NDArray[np.int16]

_STAND_INS_MAX = 62
_BEFORE_ALL = np.iinfo(np.int64).min
"""Sorts before every day, and is what NaT looks like as an integer: no date, no release."""
_NONE = np.array([_BEFORE_ALL], np.int64)


@dataclass(frozen=True, slots=True)
class ByDay:
    """A value for each day, laid out day by day: a quarter of what a search for it costs."""

    first: int
    """The day of the first value, which holds for all days before it too, and where none is."""
    values: npt.NDArray[Any]
    """The last one holds for all days after it too."""

    @classmethod
    def of(cls, first_day: Int64s, values: npt.NDArray[Any]) -> "ByDay":
        """Return values that each hold from a day on, the first of them before all."""
        first = int(first_day[1]) - 1 if len(first_day) > 1 else 0
        days = np.diff(first_day[1:], prepend=first, append=first_day[-1] + 1)
        return cls(first, np.repeat(values, days if len(first_day) > 1 else 1))

    def at(self, day: Dates) -> npt.NDArray[Any]:
        """Return the value of each day."""
        days = day.astype("datetime64[D]", copy=False).view(np.int64)
        place = np.maximum(days, self.first)  # NaT is less than any day
        np.minimum(place, self.first + len(self.values) - 1, out=place)
        place -= self.first
        return self.values.take(place)


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases of a dataset by date of service."""

    names: tuple[str, ...]
    ordinals: ByDay

    @classmethod
    def of(cls, dataset: Dataset) -> "Releases":
        """Return the dataset's releases as the manifest has them."""
        return cls(
            names=tuple(each.release_id for each in dataset.releases),
            ordinals=ByDay.of(
                _boundaries(dataset),
                np.array([-1] + [each.release for each in dataset.segments], np.int16),
            ),
        )

    @property
    def loaded(self) -> bool:
        """Whether the snapshot holds the dataset at all."""
        return bool(self.names)

    def at(self, day: Dates) -> Ordinals:
        """Return the ordinal of the release in force on each day, -1 where there is none."""
        return self.ordinals.at(day)

    def name(self, ordinal: int) -> str:
        """Return the publisher's name of a release; empty for -1."""
        return self.names[ordinal] if ordinal >= 0 else ""


@dataclass(frozen=True, slots=True)
class StandIns:
    """The releases that stand in on a day, over all datasets, as one bit mask per day."""

    names: tuple[str, ...]
    masks: ByDay

    @classmethod
    def of(cls, datasets: Sequence[Dataset]) -> "StandIns":
        """Return the stand-ins of all datasets, one bit for each release that stands in at all."""
        names = [
            (dataset.name, ordinal)
            for dataset in datasets
            for ordinal in sorted({each.release for each in dataset.segments if each.stand_in})
        ]
        if len(names) > _STAND_INS_MAX:
            raise SnapshotError(
                f"{len(names)} releases stand in for others, at most {_STAND_INS_MAX} can be told "
                "apart; build the snapshot with fewer releases"
            )
        first_day = distinct_values(
            np.concatenate([_NONE, *(_boundaries(each) for each in datasets)])
        )
        mask = np.zeros(len(first_day), np.int64)
        for dataset in datasets:
            bits = [0] + [
                1 << names.index((dataset.name, each.release)) if each.stand_in else 0
                for each in dataset.segments
            ]
            at = np.searchsorted(_boundaries(dataset), first_day, side="right") - 1
            mask |= np.array(bits, np.int64)[at]
        labels = {each.name: each.releases for each in datasets}
        return cls(
            tuple(f"{name} {labels[name][ordinal].release_id}" for name, ordinal in names),
            ByDay.of(first_day, mask),
        )

    def at(self, day: Dates) -> Int64s:
        """Return the mask of each day."""
        return self.masks.at(day)

    def names_of(self, mask: int) -> tuple[str, ...]:
        """Return dataset and release of each bit of a mask."""
        return tuple(name for bit, name in enumerate(self.names) if mask >> bit & 1)


def _boundaries(dataset: Dataset) -> Int64s:
    days = np.array([each.first_day for each in dataset.segments], "datetime64[D]").view(np.int64)
    return np.concatenate([_NONE, days])
