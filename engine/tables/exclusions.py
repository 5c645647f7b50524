"""The OIG list of excluded providers."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.columns import rows_where
from engine.tables import schema
from engine.tables.keys import Int64s, Integers, npi_day_key, npi_key, same_npi
from engine.tables.releases import Ordinals, Releases
from engine.tables.snapshot import Dates, Snapshot, find_row

NOT_EXCLUDED: Final = 0
EXCLUDED: Final = 1
LISTED_WITHOUT_DATE: Final = 2

NOT_WAIVED: Final = 0
WAIVED: Final = 1
WAIVED_ELSEWHERE: Final = 2

_LAST_DAY: Final = np.datetime64("2200-01-01", "D")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusions:
    """Intervals of exclusion per provider, without overlap, and an undated list beside them."""

    releases: Releases
    key: Int64s
    """Provider and first day of exclusion."""
    reinstated: Dates
    """First day after the exclusion, NaT while it lasts."""
    undated_key: Int64s
    waiver_key: Int64s
    """Provider, as often as there are waivers."""
    waiver_state: npt.NDArray[np.int16]
    waiver_first: Dates
    waiver_after: Dates
    """First day after the waiver, NaT while it lasts."""
    name: Int64s
    """Name of somebody without an NPI, as an integer of `engine.words`."""
    name_release: Ordinals
    name_state: npt.NDArray[np.int32]
    name_specialty: Int64s
    """Specialty in the list's words, as such an integer."""
    name_excluded: Dates
    name_reinstated: Dates
    depth: int
    """Most waivers of one provider, or most exclusions of one name."""

    @classmethod
    def open(cls, snapshot: Snapshot) -> "Exclusions":
        """Open the table of a snapshot."""
        known = snapshot.dataset("leie")
        return cls(
            releases=Releases.of(known),
            depth=known.depth,
            **snapshot.columns("leie", schema.EXCLUSIONS),
            **snapshot.columns("leie", schema.UNDATED_EXCLUSIONS),
            **snapshot.columns("leie", schema.WAIVERS),
            **snapshot.columns("leie", schema.NAMED_EXCLUSIONS),
        )

    @property
    def loaded(self) -> bool:
        """Whether the snapshot holds the table."""
        return self.releases.loaded

    def release_at(self, day: Dates) -> Ordinals:
        """Return the release in force on each day, -1 where there is none."""
        return self.releases.at(day)

    def excluded(self, npi: Integers, day: Dates) -> npt.NDArray[np.int8]:
        """Return NOT_EXCLUDED, EXCLUDED, or LISTED_WITHOUT_DATE.

        A listing without a date counts only where no dated exclusion that lasts explains it.
        """
        release = self.release_at(day)
        probe = npi_day_key(release, npi, day)
        at = self.key.searchsorted(probe, side="right") - 1
        dated = (at >= 0) & same_npi(self.key[at], probe) & ~(self.reinstated[at] <= day)
        last_key = npi_day_key(release, npi, np.full(len(day), _LAST_DAY))
        last = self.key.searchsorted(last_key, side="right") - 1
        lasts = (last >= 0) & same_npi(self.key[last], last_key) & np.isnat(self.reinstated[last])
        listed = (find_row(self.undated_key, npi_key(release, npi)) >= 0) & ~lasts
        return np.where(dated, EXCLUDED, np.where(listed, LISTED_WITHOUT_DATE, 0)).astype(np.int8)

    def waiver(self, npi: Integers, state: Integers, day: Dates) -> npt.NDArray[np.int8]:
        """Return WAIVED where every exclusion in force is waived for the state of service.

        WAIVED_ELSEWHERE: for another state, or the state is not known (0).
        """
        key = npi_key(self.release_at(day), npi)
        found = np.full(len(key), NOT_WAIVED, np.int8)
        first = self.waiver_key.searchsorted(key)
        for step in range(self.depth):
            row = np.minimum(first + step, len(self.waiver_key) - 1)
            live = (self.waiver_key[row] == key) & ~(self.waiver_first[row] > day)
            live &= ~(self.waiver_after[row] <= day)
            here = live & (state > 0) & (self.waiver_state[row] == state)
            found = np.where(here, WAIVED, np.where(live & (found == 0), WAIVED_ELSEWHERE, found))
        return found.astype(np.int8)

    def of_name(
        self, name: Integers, state: Integers, day: Dates
    ) -> tuple[npt.NDArray[np.intp], Int64s]:
        """Return the places whose name is excluded in the state on the day, with the specialty.

        A name alone proves nothing: the specialty has to be compared, and then a person decides.
        """
        release = self.release_at(day)
        places, specialties = [np.empty(0, np.intp)], [np.empty(0, np.int64)]
        first = self.name.searchsorted(name)
        for step in range(self.depth):
            row = np.minimum(first + step, len(self.name) - 1)
            live = (self.name[row] == name) & (name > 0) & (self.name_release[row] == release)
            live &= (self.name_state[row] == state) & ~(self.name_excluded[row] > day)
            live &= ~(self.name_reinstated[row] <= day)
            places.append(rows_where(live))
            specialties.append(self.name_specialty[row[places[-1]]])
        return np.concatenate(places), np.concatenate(specialties)
