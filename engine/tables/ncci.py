"""The correct coding edits: pairs, unit limits, add-on codes, and the modifiers they know."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.codes import code36
from engine.columns import distinct_values, rows_where
from engine.tables import schema
from engine.tables.keys import (
    Int64s,
    Integers,
    code_key,
    code_of,
    pair_bit,
    pair_key,
    released_pair_key,
)
from engine.tables.releases import Ordinals, Releases
from engine.tables.snapshot import (
    Bools,
    DatedRows,
    Dates,
    Rows,
    Snapshot,
    find_row,
    find_rows_of_codes,
)

TYPE_1: Final = 1
"""A closed list of primary codes."""
TYPE_2: Final = 2
"""No list: the contractor decides."""
TYPE_3: Final = 4
"""An open list of primary codes."""
CONTRACTOR_DEFINED: Final = 8
"""A live row names `CCCCC`, any primary code that the contractor accepts."""

PRIMARY_CONTRACTOR_DEFINED: Final = code36("CCCCC")

ANATOMIC: Final = 1
GLOBAL: Final = 2
OTHER: Final = 4
DISTINCT: Final = 8
REPEAT: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEdits:
    """Procedure-to-procedure edits: ordered pairs with dates; row -1 reads indicator 9."""

    releases: Releases
    dated: DatedRows
    indicator: npt.NDArray[np.int8]
    """0 never bypassed, 1 may be bypassed by a modifier."""
    mutually_exclusive: Bools
    filter: npt.NDArray[np.uint8]
    codes: npt.NDArray[np.int32]

    @classmethod
    def open(cls, snapshot: Snapshot, dataset: str) -> "PairEdits":
        """Open one of the two tables of a snapshot."""
        columns = snapshot.columns(dataset, schema.PAIR_EDITS)
        known = snapshot.dataset(dataset)
        return cls(
            releases=Releases.of(known),
            dated=DatedRows(columns["key"], columns["effective"], columns["deletion"], known.depth),
            indicator=columns["indicator"],
            mutually_exclusive=columns["mutually_exclusive"],
            **snapshot.columns(dataset, schema.PAIR_FILTER),
            **snapshot.columns(dataset, schema.PAIR_CODES),
        )

    @property
    def loaded(self) -> bool:
        """Whether the snapshot holds the table."""
        return self.releases.loaded

    @property
    def effective(self) -> Dates:
        """First day of each row, NaT where it has no beginning."""
        return self.dated.effective

    @property
    def deletion(self) -> Dates:
        """Last day of each row, NaT where it is open."""
        return self.dated.deletion

    def release_at(self, day: Dates) -> Ordinals:
        """Return the release in force on each day, -1 where there is none."""
        return self.releases.at(day)

    def rows(self, column1: Integers, column2: Integers, day: Dates) -> Rows:
        """Return the live row of each ordered pair on its day, -1 where there is none."""
        pair = pair_key(column1, column2)
        rows = np.full(len(pair), -1, np.int32)
        # Most probes of a claim's lines miss: one byte of a bit-set answers them, where the binary
        # search through 2.4 million keys touches twenty cache lines.
        some = rows_where(self._may_hold(pair))
        release = self.release_at(day[some])
        rows[some] = self.dated.find(released_pair_key(release, pair[some]), day[some])
        return rows

    def involves(self, code: Integers) -> Bools:
        """Return which codes occur in any pair, in either column, on any day."""
        found: Bools = self.codes[self.codes.searchsorted(code)] == code
        return found

    def _may_hold(self, pair: Int64s) -> Bools:
        bits = (len(self.filter) - 1).bit_length() + 3
        if bits <= 3:
            return np.zeros(len(pair), np.bool_)
        bit = pair_bit(pair, bits)
        hit: Bools = (
            self.filter[bit >> np.uint64(3)] >> (bit & np.uint64(7)).astype(np.uint8)
        ) & 1 != 0
        return hit


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitLimits:
    """Medically unlikely edits of one setting; row -1 reads limit -1."""

    releases: Releases
    key: Int64s
    limit: npt.NDArray[np.int32]
    """Most units; 0 means that any unit is over."""
    mai: npt.NDArray[np.int8]
    """1 by line, 2 by day (absolute), 3 by day (clinical)."""

    @classmethod
    def open(cls, snapshot: Snapshot, dataset: str) -> "UnitLimits":
        """Open one of the three tables of a snapshot."""
        releases = Releases.of(snapshot.dataset(dataset))
        return cls(releases=releases, **snapshot.columns(dataset, schema.UNIT_LIMITS))

    @property
    def loaded(self) -> bool:
        """Whether the snapshot holds the table."""
        return self.releases.loaded

    def release_at(self, day: Dates) -> Ordinals:
        """Return the release in force on each day, -1 where there is none."""
        return self.releases.at(day)

    def rows(self, code: Integers, day: Dates) -> Rows:
        """Return the row of each code on its day, -1 where no limit is published."""
        return find_row(self.key, code_key(self.release_at(day), code))

    def rows_of_lines(self, codes: Integers, place: Integers, day: Dates) -> Rows:
        """Return the row of each line on its day, given all codes once and each line's place."""
        return find_rows_of_codes(self.key, code_key, self.release_at(day), codes, place)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOns:
    """Add-on codes and the primary codes that they may stand beside."""

    releases: Releases
    pairs: DatedRows
    types_by_code: DatedRows
    type_bits: npt.NDArray[np.uint8]
    codes: Int64s
    """The codes that are add-ons in any release."""

    @classmethod
    def open(cls, snapshot: Snapshot) -> "AddOns":
        """Open the table of a snapshot."""
        known = snapshot.dataset("ncci_aoc")
        pairs = snapshot.columns("ncci_aoc", schema.ADDON_PAIRS)
        types = snapshot.columns("ncci_aoc", schema.ADDON_TYPES)
        return cls(
            releases=Releases.of(known),
            pairs=DatedRows(
                pairs["pair_key"], pairs["pair_effective"], pairs["pair_deletion"], known.depth
            ),
            types_by_code=DatedRows(
                types["type_key"], types["type_effective"], types["type_deletion"], known.depth
            ),
            type_bits=types["type_bits"],
            codes=distinct_values(code_of(types["type_key"])),
        )

    @property
    def loaded(self) -> bool:
        """Whether the snapshot holds the table."""
        return self.releases.loaded

    def release_at(self, day: Dates) -> Ordinals:
        """Return the release in force on each day, -1 where there is none."""
        return self.releases.at(day)

    def hold(self, code: Integers) -> Bools:
        """Return which codes are add-ons in any release."""
        return np.isin(code, self.codes)

    def types(self, code: Integers, day: Dates) -> npt.NDArray[np.uint8]:
        """Return the TYPE_ and CONTRACTOR_DEFINED bits of each code's live rows; 0: no add-on."""
        bits = np.zeros(len(code), np.uint8)
        for place, row in self.types_by_code.live(code_key(self.release_at(day), code), day):
            bits[place] |= self.type_bits[row]
        return bits

    def accepts(self, addon: Integers, primary: Integers, day: Dates) -> Bools:
        """Return where a live row lists the primary code for the add-on."""
        pair = released_pair_key(self.release_at(day), pair_key(addon, primary))
        return self.pairs.find(pair, day) >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NcciModifiers:
    """The modifiers that the edits know, by group."""

    loaded: bool
    groups: npt.NDArray[np.uint8]

    @classmethod
    def open(cls, snapshot: Snapshot) -> "NcciModifiers":
        """Open the table of a snapshot."""
        loaded = Releases.of(snapshot.dataset("ncci_modifiers")).loaded
        return cls(loaded=loaded, **snapshot.columns("ncci_modifiers", schema.MODIFIER_GROUPS))

    def group(self, modifier: Integers) -> npt.NDArray[np.uint8]:
        """Return the group bits of each modifier: ANATOMIC, GLOBAL, OTHER, DISTINCT, REPEAT."""
        last = len(self.groups) - 1
        return self.groups[np.where((modifier > 0) & (modifier < last), modifier, last)]

    def of_group(self, group: int) -> tuple[int, ...]:
        """Return the modifiers of a group."""
        return tuple(rows_where(self.groups & group).tolist())
