"""The physician fee schedule: relative values, indicators, geographic indices, caps."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.tables import schema
from engine.tables.keys import Int64s, Integers, fee_key, locality_key, zip_key
from engine.tables.releases import Ordinals, Releases
from engine.tables.snapshot import Bools, Dates, Rows, Snapshot, find_row, find_rows_of_codes

GLOBAL_MMM: Final = -1
"""Maternity: its own rules."""
GLOBAL_XXX: Final = -2
"""The concept does not apply."""
GLOBAL_YYY: Final = -3
"""The contractor decides."""
GLOBAL_ZZZ: Final = -4
"""An add-on: the period of the service it goes with."""

Int8s = npt.NDArray[np.int8]
Int16s = npt.NDArray[np.int16]
Int32s = npt.NDArray[np.int32]

MODIFIER_NONE: Final = 0
"""The row without a modifier: the global service of a split code."""


def _global_key(release: Integers, code: Integers) -> Int64s:
    return fee_key(release, code, np.zeros_like(code))


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeSchedule:
    """Relative values and indicators by row; row -1 reads zeros and 'does not apply'."""

    releases: Releases
    key: Int64s
    release: Int16s
    code: Int32s
    modifier: Int16s
    status: npt.NDArray[np.uint8]
    """ASCII of the status letter; 0 where there is no row."""
    work_e2: Int32s
    non_facility_pe_e2: Int32s
    facility_pe_e2: Int32s
    malpractice_e2: Int32s
    non_facility_na: Bools
    facility_na: Bools
    not_for_payment: Bools
    """The `+` flag: values are informational, Medicare does not pay by them."""
    pctc: Int8s
    global_days: Int16s
    """0, 10, 90, or one of the GLOBAL_ constants."""
    pre_e2: Int32s
    intra_e2: Int32s
    post_e2: Int32s
    multiple: Int8s
    bilateral: Int8s
    assistant: Int8s
    co_surgeon: Int8s
    team: Int8s
    endoscopy_base: Int32s
    conversion_factor_e4: Int32s
    imaging_family: Int8s
    opps_non_facility_pe_e2: Int32s
    opps_facility_pe_e2: Int32s
    opps_malpractice_e2: Int32s

    @classmethod
    def open(cls, snapshot: Snapshot) -> "FeeSchedule":
        """Open the table of a snapshot."""
        releases = Releases.of(snapshot.dataset("mpfs"))
        return cls(releases=releases, **snapshot.columns("mpfs", schema.FEE_SCHEDULE))

    @property
    def loaded(self) -> bool:
        """Whether the snapshot holds the table."""
        return self.releases.loaded

    def release_at(self, day: Dates) -> Ordinals:
        """Return the release in force on each day, -1 where there is none."""
        return self.releases.at(day)

    def rows(self, code: Integers, modifier: Integers, day: Dates) -> Rows:
        """Return the row of each code and modifier (26, TC, 53 or 0) on its day, -1 for none."""
        return find_row(self.key, fee_key(self.release_at(day), code, modifier))

    def rows_of_lines(self, codes: Integers, place: Integers, day: Dates) -> Rows:
        """Return the row without a modifier of each line, given all codes once and its place."""
        return find_rows_of_codes(self.key, _global_key, self.release_at(day), codes, place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Localities:
    """Geographic indices by row, and the locality of each ZIP code; row -1 reads zeros."""

    releases: Releases
    zip_releases: Releases
    key: Int64s
    release: Int16s
    locality: Int32s
    """Carrier * 100 + locality number."""
    work_e3: Int32s
    pe_e3: Int32s
    mp_e3: Int32s
    anesthesia_releases: Releases
    anesthesia_keys: Int64s
    anesthesia_factors_e4: Int32s
    zip_keys: Int64s
    zip_localities: Int32s
    zip_states: Int16s
    zip_plus_four: Bools

    @classmethod
    def open(cls, snapshot: Snapshot) -> "Localities":
        """Open the indices, ZIP codes and anesthesia factors of a snapshot."""
        columns = snapshot.columns("gpci", schema.LOCALITIES)
        zips = snapshot.columns("zip_locality", schema.ZIP_CODES)
        factors = snapshot.columns("anesthesia_cf", schema.ANESTHESIA)
        return cls(
            releases=Releases.of(snapshot.dataset("gpci")),
            zip_releases=Releases.of(snapshot.dataset("zip_locality")),
            anesthesia_releases=Releases.of(snapshot.dataset("anesthesia_cf")),
            anesthesia_keys=factors["key"],
            anesthesia_factors_e4=factors["factor_e4"],
            zip_keys=zips["key"],
            zip_localities=zips["locality"],
            zip_states=zips["state"],
            zip_plus_four=zips["plus_four"],
            **columns,
        )

    @property
    def loaded(self) -> bool:
        """Whether the snapshot holds both the indices and the ZIP codes."""
        return self.releases.loaded and self.zip_releases.loaded

    def release_at(self, day: Dates) -> Ordinals:
        """Return the release of the indices in force on each day, -1 where there is none."""
        return self.releases.at(day)

    def of_zip(self, zip5: Integers, day: Dates) -> Rows:
        """Return the row of the locality of each ZIP code on its day, -1 where there is none."""
        locality = self.zip_localities[self._zip_rows(zip5, day)]
        return self.of_locality(locality, day)

    def of_locality(self, locality: Integers, day: Dates) -> Rows:
        """Return the row of each locality (carrier * 100 + number) on its day, -1 for none."""
        return find_row(self.key, locality_key(self.release_at(day), locality))

    def state(self, zip5: Integers) -> Int16s:
        """Return the state of each ZIP code, its letters as an integer, 0 for none.

        By the newest release: a ZIP code does not change its state.
        """
        newest = np.full(len(zip5), len(self.zip_releases.names) - 1, np.int16)
        return self.zip_states[find_row(self.zip_keys, zip_key(newest, zip5))]

    def anesthesia_factor_e4(self, row: Integers, day: Dates) -> Int32s:
        """Return the dollars per anesthesia unit in a locality on each day, 0 for none."""
        release = self.anesthesia_releases.at(day)
        rows = find_row(self.anesthesia_keys, locality_key(release, self.locality[row]))
        return self.anesthesia_factors_e4[rows]

    def needs_plus_four(self, zip5: Integers, day: Dates) -> Bools:
        """Return where a ZIP code spans localities, so that five digits do not decide."""
        return self.zip_plus_four[self._zip_rows(zip5, day)]

    def label(self, row: int) -> str:
        """Return carrier and locality number of a row, such as `1320201`; empty for -1."""
        locality = int(self.locality[row])
        return f"{locality:07d}" if locality >= 0 else ""

    def _zip_rows(self, zip5: Integers, day: Dates) -> Rows:
        return find_row(self.zip_keys, zip_key(self.zip_releases.at(day), zip5))


@dataclass(frozen=True, slots=True, kw_only=True)
class OppsCap:
    """The outpatient cap of imaging, by procedure and locality."""

    releases: Releases
    localities: Localities
    procedure_key: Int64s
    key: Int64s
    facility_cents: Int64s
    non_facility_cents: Int64s

    @classmethod
    def open(cls, snapshot: Snapshot, localities: Localities) -> "OppsCap":
        """Open the table of a snapshot."""
        return cls(
            releases=Releases.of(snapshot.dataset("opps_cap")),
            localities=localities,
            **snapshot.columns("opps_cap", schema.OPPS_CAP_PROCEDURES),
            **snapshot.columns("opps_cap", schema.OPPS_CAP),
        )

    @property
    def loaded(self) -> bool:
        """Whether the snapshot holds the table."""
        return self.releases.loaded

    def release_at(self, day: Dates) -> Ordinals:
        """Return the release in force on each day, -1 where there is none."""
        return self.releases.at(day)

    def prices(
        self, code: Integers, modifier: Integers, locality_row: Integers, day: Dates
    ) -> tuple[Int64s, Int64s]:
        """Return the facility and the non-facility cap of each line, -1 where there is none."""
        procedure = find_row(self.procedure_key, fee_key(self.release_at(day), code, modifier))
        locality = self.localities.locality[locality_row]
        rows = find_row(self.key, locality_key(procedure, locality))
        return self.facility_cents[rows], self.non_facility_cents[rows]
