"""Code sets: what exists on a day, and the small classes that rules need."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.tables import schema
from engine.tables.keys import Int64s, Integers, code_key, diagnosis_key
from engine.tables.releases import Ordinals, Releases
from engine.tables.snapshot import Bools, DatedRows, Dates, Snapshot, find_row

POS_CODES: Final = 100

NOT_IN_SET: Final = 0
HEADER: Final = 1
BILLABLE: Final = 2

AGE_CLASSES: Final = ("", "newborn", "paediatric", "maternity", "adult")
"""Name of each class id; 0 is none."""

_DIAGNOSIS_LENGTH_MAX: Final = 7
_POWERS: Final = np.array([36**n for n in range(9)], np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOfService:
    """Places of service: which are assigned, and which are facilities."""

    releases: Releases
    assigned_by_code: Bools
    facility_by_code: Bools

    @classmethod
    def open(cls, snapshot: Snapshot) -> "PlaceOfService":
        """Open the table of a snapshot."""
        columns = snapshot.columns("place_of_service", schema.PLACES_OF_SERVICE)
        releases = Releases.of(snapshot.dataset("place_of_service"))
        return cls(
            releases=releases,
            assigned_by_code=columns["assigned"],
            facility_by_code=columns["facility"],
        )

    @property
    def loaded(self) -> bool:
        """Whether the snapshot holds the table."""
        return self.releases.loaded

    def release_at(self, day: Dates) -> Ordinals:
        """Return the release in force on each day, -1 where there is none."""
        return self.releases.at(day)

    def assigned(self, pos: Integers, day: Dates) -> Bools:
        """Return which codes (0 to 99) have a place assigned on their day."""
        return self._of(self.assigned_by_code, self.release_at(day), pos)

    def facility(self, pos: Integers) -> Bools:
        """Return which codes are facilities, by the newest release."""
        newest = np.full(len(pos), len(self.releases.names) - 1, np.int16)
        return self._of(self.facility_by_code, newest, pos)

    def _of(self, column: Bools, release: Ordinals, pos: Integers) -> Bools:
        known = (release >= 0) & (pos >= 0) & (pos < POS_CODES)
        return column[np.where(known, release.astype(np.int64) * POS_CODES + pos, -1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedCodes:
    """Codes of up to five characters with the days on which they are valid."""

    releases: Releases
    dated: DatedRows

    @classmethod
    def open(cls, snapshot: Snapshot, dataset: str) -> "DatedCodes":
        """Open one of the tables of a snapshot that have this shape."""
        known = snapshot.dataset(dataset)
        columns = snapshot.columns(dataset, schema.DATED_CODES)
        return cls(releases=Releases.of(known), dated=DatedRows(**columns, depth=known.depth))

    @property
    def loaded(self) -> bool:
        """Whether the snapshot holds the table."""
        return self.releases.loaded

    def release_at(self, day: Dates) -> Ordinals:
        """Return the release in force on each day, -1 where there is none."""
        return self.releases.at(day)

    def valid(self, code: Integers, day: Dates) -> Bools:
        """Return which codes are valid on their day."""
        return self.dated.find(code_key(self.release_at(day), code), day) >= 0


@dataclass(frozen=True, slots=True)
class EvaluationManagement:
    """The codes that count as visits."""

    codes: DatedCodes

    @property
    def loaded(self) -> bool:
        """Whether the snapshot holds the table."""
        return self.codes.loaded

    def contains(self, code: Integers, day: Dates) -> Bools:
        """Return which codes are visits on their day."""
        return self.codes.valid(code, day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Icd10cm:
    """Diagnosis codes of ICD-10-CM."""

    releases: Releases
    key: Int64s
    billable: Bools

    @classmethod
    def open(cls, snapshot: Snapshot) -> "Icd10cm":
        """Open the table of a snapshot."""
        releases = Releases.of(snapshot.dataset("icd10cm"))
        return cls(releases=releases, **snapshot.columns("icd10cm", schema.DIAGNOSES))

    @property
    def loaded(self) -> bool:
        """Whether the snapshot holds the table."""
        return self.releases.loaded

    def release_at(self, day: Dates) -> Ordinals:
        """Return the release in force on each day, -1 where there is none."""
        return self.releases.at(day)

    def state(self, code: Integers, day: Dates) -> npt.NDArray[np.int8]:
        """Return NOT_IN_SET, HEADER or BILLABLE for each code on its day."""
        rows = find_row(self.key, diagnosis_key(self.release_at(day), code))
        return np.where(rows < 0, NOT_IN_SET, HEADER + self.billable[rows]).astype(np.int8)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisAgeClass:
    """The ages at which diagnoses are plausible, by ranges that do not overlap on a day."""

    loaded: bool
    first: Int64s
    last: Int64s
    effective: Dates
    deletion: Dates
    age_class: npt.NDArray[np.int8]
    age_from: npt.NDArray[np.int16]
    age_to: npt.NDArray[np.int16]
    depth: int

    @classmethod
    def open(cls, snapshot: Snapshot) -> "DiagnosisAgeClass":
        """Open the table of a snapshot."""
        known = snapshot.dataset("diagnosis_age_class")
        columns = snapshot.columns("diagnosis_age_class", schema.AGE_CLASSES)
        return cls(loaded=Releases.of(known).loaded, depth=known.depth, **columns)

    def age_range(
        self, code: Integers, day: Dates
    ) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16], npt.NDArray[np.int8]]:
        """Return the first and last plausible age, -1 where any is, and the id in AGE_CLASSES."""
        rows = self._rows(diagnosis_order(code), day)
        return self.age_from[rows], self.age_to[rows], self.age_class[rows]

    def _rows(self, place: Int64s, day: Dates) -> npt.NDArray[np.intp]:
        rows = np.full(len(place), -1, np.intp)
        nearest = self.first.searchsorted(place, side="right") - 1
        for step in range(self.depth):
            at = np.maximum(nearest - step, -1)
            live = (at >= 0) & (self.first[at] <= place) & (place <= self.last[at]) & ~np.isnat(day)
            live &= ~(self.effective[at] > day) & ~(self.deletion[at] < day)
            rows = np.where(live, at, rows)
        return rows


def diagnosis_order(code: Integers) -> Int64s:
    """Return integers that sort diagnosis codes as their texts do; -1 for no code."""
    length = _POWERS.searchsorted(code, side="right") - 1
    usable = (code > 0) & (length >= 1) & (length <= _DIAGNOSIS_LENGTH_MAX)
    length = np.where(usable, length, 1)
    fill = _POWERS[_DIAGNOSIS_LENGTH_MAX - length]
    return np.where(usable, (code - _POWERS[length]) * fill, -1).astype(np.int64)


def diagnosis_order_last(code: Integers) -> Int64s:
    """Return the place of the last code that begins with the given characters."""
    length = _POWERS.searchsorted(code, side="right") - 1
    return diagnosis_order(code) + _POWERS[_DIAGNOSIS_LENGTH_MAX - length] - 1
