"""The published files as dicts, one release at a time, read by nobody else's code.

Layouts: domain J.2. Which release serves a day: domain L.1, `releases.toml`.
"""

import csv
import gzip
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

DAY = timedelta(days=1)
CONTRACTOR_DEFINED = "CCCCC"


@dataclass(frozen=True, slots=True, eq=False)
class Release:
    """One release of a dataset: its own days, those on which it may stand in, its rows."""

    first: date
    last: date
    stands_in: tuple[date, date] | None
    rows: dict

    def stands_in_on(self, day: date) -> bool:
        return self.stands_in is not None and self.stands_in[0] <= day <= self.stands_in[1]


@dataclass(frozen=True, slots=True)
class PairEdit:
    """A row of the pair table: column 2 is part of column 1 from `effective` to `deleted`."""

    effective: date
    deleted: date
    indicator: str
    exclusive: bool


@dataclass(frozen=True, slots=True)
class UnitLimit:
    units: Decimal
    mai: int


@dataclass(frozen=True, slots=True)
class AddOn:
    """A row of the add-on table: a primary code that the add-on may stand beside."""

    primary: str
    kind: int
    effective: date
    deleted: date


@dataclass(frozen=True, slots=True)
class Fee:
    """A row of the fee schedule; `pe` and `na` are by setting: facility True or False."""

    status: str
    not_for_payment: bool
    work: Decimal
    pe: dict[bool, Decimal]
    na: dict[bool, bool]
    mp: Decimal
    pctc: str
    global_days: str
    pre: Decimal
    intra: Decimal
    post: Decimal
    multiple: str
    bilateral: str
    base: str
    factor: Decimal
    imaging_family: str
    opps_pe: dict[bool, Decimal]
    opps_mp: Decimal


# --- files


def records(file: Path, delimiter: str = ",") -> Iterator[list[str]]:
    """Yield the records of a delimited file, cells trimmed."""
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="latin-1", newline="") as lines:
        for record in csv.reader(lines, delimiter=delimiter):
            yield [cell.strip() for cell in record]


@cache
def day_of(text: str) -> date:
    """Read a date written YYYYMMDD."""
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))


def read_pairs(file: Path) -> dict[str, dict[str, tuple[PairEdit, ...]]]:
    """Read a pair table: by column 1, by column 2, the rows in the order of their deletion.

    Rows of indicator 9 are dropped first. A blank effective date is the day after the pair's
    previous deletion, else the first day there is (domain L.2).
    """
    found: dict[str, dict[str, tuple]] = defaultdict(dict)
    known: dict[tuple, tuple] = {}
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="latin-1") as lines:
        for line in lines:
            cells = line.rstrip("\r\n").split("\t")
            if len(cells) < 7 or len(cells[0]) != 5 or cells[5] not in ("0", "1"):
                continue
            column1, column2, _, effective, deleted, indicator, rationale = cells[:7]
            row = (deleted, effective, indicator, rationale)
            row = known.setdefault(row, row)
            partners = found[column1]
            partners[column2] = (*partners.get(column2, ()), row)
    dated: dict[tuple, tuple[PairEdit, ...]] = {}
    for partners in found.values():
        for column2, rows in partners.items():
            if rows not in dated:
                dated[rows] = tuple(_dated(rows))
            partners[column2] = dated[rows]
    return dict(found)


def _dated(rows: tuple) -> Iterator[PairEdit]:
    start = date.min
    for deleted, effective, indicator, rationale in sorted(
        rows, key=lambda row: date.max if row[0] == "*" else day_of(row[0])
    ):
        end = date.max if deleted == "*" else day_of(deleted)
        yield PairEdit(
            day_of(effective) if effective.strip() else start,
            end,
            indicator,
            rationale.strip().strip('"') == "Mutually exclusive procedures",
        )
        start = end if end == date.max else end + DAY


def read_limits(file: Path) -> dict[str, UnitLimit]:
    """Read a table of unit limits: the adjudication indicator is the first digit of its text."""
    return {
        cells[0]: UnitLimit(Decimal(cells[1]), int(cells[2][0]))
        for cells in records(file)
        if len(cells) > 2 and len(cells[0]) == 5 and cells[1].isdigit() and cells[2][:1] in "123"
    }


def read_add_ons(file: Path) -> dict[str, list[AddOn]]:
    """Read the add-on table: years begin on 1 January and end on 31 December (domain L.5)."""
    found = defaultdict(list)
    for cells in records(file):
        if len(cells) < 6 or cells[1] not in ("1", "2", "3"):
            continue
        code, kind, primary, effective, *deletions = cells[:6]
        years = [int(year) for year in deletions if year]
        found[code].append(
            AddOn(
                primary,
                int(kind),
                date(int(effective), 1, 1) if effective else date.min,
                date(min(years), 12, 31) if years else date.max,
            )
        )
    return dict(found)


def read_fees(file: Path) -> dict[tuple[str, str], Fee]:
    """Read a fee schedule of 31 columns: by code and modifier."""
    found = {}
    for cells in records(file):
        if len(cells) != 31 or len(cells[0]) != 5 or not cells[24].replace(".", "").isdigit():
            continue
        found[cells[0], cells[1]] = Fee(
            status=cells[3],
            not_for_payment=cells[4] == "+",
            work=Decimal(cells[5]),
            pe={False: Decimal(cells[6]), True: Decimal(cells[8])},
            na={False: cells[7] == "NA", True: cells[9] == "NA"},
            mp=Decimal(cells[10]),
            pctc=cells[13],
            global_days=cells[14],
            pre=Decimal(cells[15]),
            intra=Decimal(cells[16]),
            post=Decimal(cells[17]),
            multiple=cells[18],
            bilateral=cells[19],
            base=cells[23],
            factor=Decimal(cells[24]),
            imaging_family=cells[27],
            opps_pe={False: Decimal(cells[28]), True: Decimal(cells[29])},
            opps_mp=Decimal(cells[30]),
        )
    return found


def read_indices(file: Path) -> dict[str, tuple[Decimal, Decimal, Decimal]]:
    """Read the geographic indices: by contractor and locality, for work, expense, malpractice."""
    return {
        cells[0] + cells[2]: (Decimal(cells[4]), Decimal(cells[5]), Decimal(cells[6]))
        for cells in records(file)
        if len(cells) > 6 and cells[0].isdigit() and cells[2].isdigit()
    }


def read_zips(file: Path) -> dict[str, str]:
    """Read the ZIP file, fixed width: by ZIP the contractor and locality."""
    data = file.read_bytes()
    text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode("latin-1")
    return {line[2:7]: line[7:14] for line in text.splitlines() if len(line) > 20}


def read_caps(file: Path) -> dict[tuple[str, str, str], dict[bool, Decimal]]:
    """Read the outpatient caps: by code, modifier, contractor and locality; True is facility."""
    return {
        (cells[0], cells[1], cells[3] + cells[4]): {
            True: Decimal(cells[5]),
            False: Decimal(cells[6]),
        }
        for cells in records(file)
        if len(cells) > 6 and cells[3].isdigit()
    }


def read_anesthesia_factors(file: Path) -> dict[str, Decimal]:
    """Read the anesthesia conversion factors: by contractor and locality."""
    return {
        cells[0] + cells[1]: Decimal(cells[3])
        for cells in records(file)
        if len(cells) > 3 and cells[0].isdigit() and cells[1].isdigit()
    }


def read_base_units(file: Path) -> dict[str, Decimal]:
    """Read the project's table of base units: by code, for every tenant and day."""
    found = {}
    for cells in records(file):
        if cells[0] != "tenant_id":
            assert cells[0] == cells[2] == cells[4] == cells[5] == ""
            found[cells[1]] = Decimal(cells[3])
    return found


READERS: dict[str, Callable[[Path], dict]] = {
    "mpfs": read_fees,
    "gpci": read_indices,
    "zip_locality": read_zips,
    "opps_cap": read_caps,
    "anesthesia_cf": read_anesthesia_factors,
    "ncci_ptp_practitioner": read_pairs,
    "ncci_ptp_hospital": read_pairs,
    "ncci_mue_practitioner": read_limits,
    "ncci_mue_hospital": read_limits,
    "ncci_mue_dme": read_limits,
    "ncci_aoc": read_add_ons,
}


class Tables:
    """Every table that the oracle reads, each release with the days on which it serves."""

    def __init__(self, source: Path) -> None:
        self.releases: dict[str, list[Release]] = {name: [] for name in READERS}
        entries = tomllib.loads((source / "releases.toml").read_text())["release"]
        for entry in sorted(entries, key=lambda each: each["from"]):
            if entry["dataset"] not in READERS:
                continue
            rows: dict = {}
            for name in entry["files"]:
                rows |= READERS[entry["dataset"]](source / name)
            self.releases[entry["dataset"]].append(
                Release(entry["from"], entry.get("to", date.max), entry.get("stands_in"), rows)
            )
        units = source / "claimgate" / "anesthesia_base_units.csv"
        self.base_units = read_base_units(units) if units.is_file() else {}
        self.memory: dict = {}

    def release(self, dataset: str, day: date) -> Release | None:
        """Return the release that serves a day (domain L.1).

        The one in whose own window it lies; else one that the manifest lets stand in, the latest
        that has begun, else the first to come; else the latest that has begun and has no such end.
        """
        releases = self.releases[dataset]
        begun = [each for each in releases if each.first <= day]
        own = [each for each in begun if day <= each.last]
        if own:
            return own[0]
        standing_in = [each for each in releases if each.stands_in_on(day)]
        if standing_in:
            return ([each for each in standing_in if each in begun] or standing_in[:1])[-1]
        return begun[-1] if begun and begun[-1].stands_in is None else None

    def rows(self, dataset: str, day: date) -> dict | None:
        """Return a table as of a day, or None where no release serves it."""
        known = (dataset, day)
        if known not in self.memory:
            release = self.release(dataset, day)
            self.memory[known] = None if release is None else release.rows
        return self.memory[known]

    def pair_edit(self, dataset: str, day: date, column1: str, column2: str) -> PairEdit | None:
        """Return the edit of an ordered pair that is in force on a day."""
        table = self.rows(dataset, day) or {}
        for row in table.get(column1, {}).get(column2, ()):
            if row.effective <= day <= row.deleted:
                return row
        return None

    def add_ons(self, day: date, code: str) -> list[AddOn]:
        """Return the rows of an add-on code that are in force on a day."""
        table = self.rows("ncci_aoc", day) or {}
        return [row for row in table.get(code, ()) if row.effective <= day <= row.deleted]
