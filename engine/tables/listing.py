"""Listings: tables of the project's own, with rows about codes, for all tenants or one, with dates.

One language describes them (`ListingSpec`), one reader loads them from CSV, one look-up finds their
rows. A row is about a range of codes, the listing's axis, and may be about one plan, its group.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.columns import distinct_values, rows_where
from engine.joins import equal_in, in_runs
from engine.tables.keys import KEY_MAX, Int64s, Integers
from engine.tables.schema import Schema
from engine.tables.snapshot import Bools, Column, Dates, Snapshot

TEXT_LENGTH_MAX: Final = 60
TENANT_LENGTH_MAX: Final = 64

ANY: Final = 0
"""What a word, code, provider or line of business is where a row is about all of them."""
ANY_PLACE: Final = -1
"""What a place of service is where a row is about all of them."""
NONE: Final = -1
"""What a count, an amount or a choice is where a row gives none."""


class Form(Enum):
    """How a field is written in CSV, and what it is as a column."""

    PROCEDURES = "procedures"
    """`<name>_from` and `<name>_to`, five characters each, the latter blank for one code."""
    REVENUE_CODES = "revenue codes"
    """The same with four digits."""
    GROUPS = "groups"
    """The same with three digits: diagnosis related groups."""
    DIAGNOSES = "diagnoses"
    """The same with beginnings of ICD-10-CM codes: all codes that begin so are meant."""
    ICD_PROCEDURES = "ICD procedures"
    """The same with beginnings of ICD-10-PCS codes."""
    TAXONOMIES = "taxonomies"
    """The beginning of a provider taxonomy code."""
    PROCEDURE = "procedure"
    REVENUE_CODE = "revenue code"
    MODIFIER = "modifier"
    PLACE = "place of service"
    NPI = "NPI"
    TIN = "tax id"
    ZIP = "ZIP"
    """Five digits, or the first three."""
    CARRIER = "carrier"
    """Number of a Medicare administrative contractor, as in the localities."""
    WORD = "id"
    """A text that is compared, never shown; upper and lower case are the same."""
    TEXT = "text"
    """A text that evidence may show, up to 60 characters of ASCII."""
    LABEL = "name"
    """Such a text by which other tables name the row: `<name>`, and `<name>_key` as a WORD."""
    COUNT = "count"
    UNITS = "units"
    """A number with up to three decimals, in thousandths."""
    CENTS = "amount"
    """A number with up to two decimals, in hundredths."""
    RATIO_E4 = "ratio"
    """A number with up to four decimals, in ten-thousandths."""
    DEGREES_E4 = "degrees"
    """The same with a sign."""
    FLAG = "yes or no"
    CHOICE = "choice"
    LINE_OF_BUSINESS = "line of business"
    SEX = "sex"


RANGES: Final = frozenset(
    {
        Form.PROCEDURES,
        Form.REVENUE_CODES,
        Form.GROUPS,
        Form.DIAGNOSES,
        Form.ICD_PROCEDURES,
        Form.TAXONOMIES,
    }
)
"""Forms with two columns, `<name>_first` and `<name>_last`, both included."""

_COLUMNS: Final[Mapping[Form, Column]] = {
    Form.PROCEDURE: Column("int64", ANY),
    Form.REVENUE_CODE: Column("int64", ANY),
    Form.MODIFIER: Column("int16", ANY),
    Form.PLACE: Column("int16", ANY_PLACE),
    Form.NPI: Column("int64", ANY),
    Form.TIN: Column("int64", ANY),
    Form.ZIP: Column("int64", ANY),
    Form.CARRIER: Column("int64", ANY),
    Form.WORD: Column("int64", ANY),
    Form.TEXT: Column(f"S{TEXT_LENGTH_MAX}", b""),
    Form.LABEL: Column(f"S{TEXT_LENGTH_MAX}", b""),
    Form.COUNT: Column("int64", NONE),
    Form.UNITS: Column("int64", NONE),
    Form.CENTS: Column("int64", NONE),
    Form.RATIO_E4: Column("int64", NONE),
    Form.DEGREES_E4: Column("int64", 0),
    Form.FLAG: Column("bool", none=False),
    Form.CHOICE: Column("int8", NONE),
    Form.LINE_OF_BUSINESS: Column("int8", ANY),
    Form.SEX: Column("int8", ANY),
}


@dataclass(frozen=True, slots=True)
class ListingField:
    """One field of a listing."""

    name: str
    form: Form
    about: str
    optional: bool = False
    """It may be blank: any, or none."""
    key: bool = False
    """Two rows that differ in it may be about the same codes and days."""
    choices: tuple[str, ...] = ()
    """What a CHOICE may be; the column holds the place among them."""

    @property
    def headers(self) -> tuple[str, ...]:
        """Names of the field's columns in CSV."""
        if self.form in RANGES and self.form is not Form.TAXONOMIES:
            return f"{self.name}_from", f"{self.name}_to"
        return (self.name,)

    @property
    def columns(self) -> Schema:
        """The field's columns in a snapshot."""
        if self.form in RANGES:
            first, last = Column("int64", KEY_MAX), Column("int64", NONE)
            return {f"{self.name}_first": first, f"{self.name}_last": last}
        own = {self.name: _COLUMNS[self.form]}
        return own | {self.key_column: _COLUMNS[Form.WORD]} if self.key_column else own

    @property
    def key_column(self) -> str:
        """The column that holds a LABEL as a word; empty for other forms."""
        return f"{self.name}_key" if self.form is Form.LABEL else ""


@dataclass(frozen=True, slots=True)
class ListingSpec:
    """What a listing holds."""

    name: str
    about: str
    fields: tuple[ListingField, ...]
    """The first one is the axis: what a row is looked up by."""
    group: str = ""
    """A field of form WORD by which rows are looked up too; a row without one is about all."""
    outlined: bool = False
    """What the rows of a group say apart from their axis is looked up too."""

    @property
    def axis(self) -> ListingField:
        """The field that rows are looked up by."""
        return self.fields[0]

    @property
    def headers(self) -> tuple[str, ...]:
        """The column names of the CSV file, in order."""
        own = (header for each in self.fields for header in each.headers)
        return ("tenant_id", *own, "effective_from", "effective_to")

    @property
    def columns(self) -> Schema:
        """The columns in a snapshot."""
        own = {name: column for each in self.fields for name, column in each.columns.items()}
        return {
            "tenant": Column(f"S{TENANT_LENGTH_MAX}", b""),
            **own,
            "effective": Column("datetime64[D]", "NaT"),
            "deletion": Column("datetime64[D]", "NaT"),
        }


@dataclass(frozen=True, slots=True)
class Matches:
    """Rows that were found: pairs of a place in what was asked and a row, in this order."""

    listing: "Listing"
    place: Integers
    row: Integers

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self.row)

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return a column of the rows that were found."""
        return self.listing.columns[column][self.row]

    def where(self, mask: Bools) -> "Matches":
        """Keep the pairs of the mask."""
        return Matches(self.listing, self.place[mask], self.row[mask])

    def on(self, day: Dates) -> "Matches":
        """Keep the pairs whose row is live on the day of their place."""
        asked = day[self.place]
        live = ~np.isnat(asked) & ~(self["effective"] > asked) & ~(self["deletion"] < asked)
        return self.where(live)

    def within(self, field: str, value: Integers) -> Bools:
        """Pairs whose range in the field holds the value, given for each pair."""
        held: Bools = (self[f"{field}_first"] <= value) & (value <= self[f"{field}_last"])
        return held

    def found(self, count: int) -> Bools:
        """Return which of `count` places have a pair."""
        mask = np.zeros(count, np.bool_)
        mask[self.place] = True
        return mask

    def first(self, count: int) -> Integers:
        """Return the first row of each of `count` places, -1 where it has none."""
        rows = np.full(count, -1, np.int64)
        rows[self.place[::-1]] = self.row[::-1]
        return rows


@dataclass(frozen=True, slots=True)
class _Cells:
    """Where rows are: the axis cut at every end of a range, and the rows of each cell by group."""

    cuts: Int64s
    """Axis values at which cells begin, ascending."""
    groups: Int64s
    used: Bools
    """Cells with a row of any group; the last element is for values before all cuts."""
    key: Int64s
    """Group and cell, ascending, with an end mark."""
    start: Int64s
    count: Int64s
    row: Int64s

    @classmethod
    def of(cls, first: Int64s, last: Int64s, group: Int64s) -> "_Cells":
        """Cut the axis for these rows."""
        beyond = np.where(last == KEY_MAX, KEY_MAX, last + 1)
        cuts = distinct_values(np.concatenate([first, beyond])).astype(np.int64)
        groups = distinct_values(group)
        begin, end = cuts.searchsorted(first), cuts.searchsorted(beyond)
        # A range that ends with the largest value there is holds its last cell too.
        end = np.where(last == KEY_MAX, len(cuts), end)
        width = np.maximum(end - begin, 0)
        row = np.repeat(np.arange(len(first)), width)
        cell = np.arange(len(row)) - np.repeat(np.cumsum(width) - width, width) + begin[row]
        key = groups.searchsorted(group[row]) * (len(cuts) + 1) + cell
        order = np.lexsort((row, key))
        keys, start, count = np.unique(key[order], return_index=True, return_counts=True)
        used = np.zeros(len(cuts) + 1, np.bool_)
        used[cell] = True
        return cls(
            cuts, groups, used, np.append(keys, KEY_MAX), np.append(start, 0),
            np.append(count, 0), row[order],
        )  # fmt: skip

    def cell(self, value: Integers) -> Int64s:
        """Return the cell of each value, -1 before all."""
        return self.cuts.searchsorted(value, side="right") - 1

    def pairs(self, value: Integers, group: Int64s) -> tuple[Int64s, Int64s]:
        """Return (place, row) for all rows of the cell of each value and of exactly its group."""
        cell = self.cell(value)
        at = self.groups.searchsorted(group)
        at = np.where(at < len(self.groups), at, 0)
        known = (cell >= 0) & (self.groups[at] == group) if len(self.groups) else cell >= 0
        places = rows_where(known & self.used[cell])
        key = at[places] * (len(self.cuts) + 1) + cell[places]
        found = self.key.searchsorted(key)
        hit = self.key[found] == key
        places, found = places[hit], found[hit]
        run, rows = in_runs(self.start[found], self.count[found])
        return places[run].astype(np.int64), self.row[rows]


@dataclass(frozen=True, slots=True)
class _Outline:
    """By group, one row for all that differ in nothing but their axis; groups ascending."""

    group: Int64s
    row: Int64s

    @classmethod
    def of(cls, spec: ListingSpec, columns: Mapping[str, npt.NDArray[Any]]) -> "_Outline":
        """Sort the rows by group and drop repetitions."""
        apart = {"tenant", *spec.axis.columns}
        rest = [columns[name] for name in columns if name not in apart and name != spec.group]
        # Days are compared as numbers, where an open end equals another.
        said = [c.astype(np.int64) if c.dtype.kind == "M" else c for c in rest]
        said.append(columns[spec.group])
        order = np.lexsort(said)
        differs = np.zeros(len(order), np.bool_)
        differs[:1] = True
        for column in said:
            differs[1:] |= column[order[1:]] != column[order[:-1]]
        rows = order[differs]
        return cls(columns[spec.group][rows].astype(np.int64), rows)


@dataclass(frozen=True, slots=True, repr=False)
class Listing:
    """The rows of a listing that one tenant sees: those for all tenants, and its own."""

    spec: ListingSpec
    columns: Mapping[str, npt.NDArray[Any]]
    cells: _Cells
    outline: _Outline | None = None
    """Where the spec asks for it."""

    def __repr__(self) -> str:
        """Name the listing, not its rows."""
        return f"Listing({self.spec.name}, {len(self)} rows)"

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.columns["effective"])

    @property
    def loaded(self) -> bool:
        """Whether there is anything to look up; without it what rests on it is not evaluated."""
        return len(self) > 0

    def covers(self, value: Integers) -> Bools:
        """Return which values of the axis have a row of any group and day."""
        return self.cells.used[self.cells.cell(value)]

    def match(self, value: Integers, day: Dates, group: Integers | None = None) -> Matches:
        """Return the rows about each value that are live on its day, of its group or of all.

        Args:
            value: Axis values, shape (n,).
            day: Day of each, shape (n,); NaT finds nothing.
            group: Group of each, where the listing has groups; ANY finds rows about all.
        """
        every = np.zeros(len(value), np.int64)
        found = [self.cells.pairs(value, every)]
        if group is not None:
            own = rows_where(group != ANY)
            place, row = self.cells.pairs(value[own], group[own].astype(np.int64))
            found.append((own[place], row))
        place, row = (np.concatenate(each) for each in zip(*found, strict=True))
        found_on_day = Matches(self, place, row).on(day)
        order = np.lexsort((found_on_day.row, found_on_day.place))
        return Matches(self, found_on_day.place[order], found_on_day.row[order])

    def outlined(self, group: Integers, day: Dates) -> Matches:
        """Return what the rows of each group say apart from their axis, live on its day.

        Of rows that differ in nothing else one stands for all.
        """
        outline = self.outline
        assert outline is not None  # noqa: S101 - a rule asks only listings that are outlined
        place, at = equal_in(outline.group, group)
        return Matches(self, place, outline.row[at]).on(day)


@dataclass(frozen=True, slots=True, repr=False)
class Listings:
    """All listings of a snapshot, as one tenant sees them."""

    tenants: Mapping[str, tuple[ListingSpec, Mapping[str, npt.NDArray[Any]]]]
    """Every row of each listing."""
    for_all: Mapping[str, Listing] = field(default_factory=dict)
    """What a tenant without rows of its own sees."""
    seen: Mapping[str, Listing] = field(default_factory=dict)

    @classmethod
    def open(cls, snapshot: Snapshot, specs: Mapping[str, ListingSpec]) -> "Listings":
        """Open the listings of a snapshot; what is for all tenants is seen."""
        stored = {
            name: (spec, _without_last(snapshot.columns(name, spec.columns)))
            for name, spec in specs.items()
        }
        return cls.of(stored)

    @classmethod
    def of(
        cls, tenants: Mapping[str, tuple[ListingSpec, Mapping[str, npt.NDArray[Any]]]]
    ) -> "Listings":
        """Return listings of these rows; what is for all tenants is seen."""
        for_all = {name: _seen(spec, columns, "") for name, (spec, columns) in tenants.items()}
        return cls(tenants, for_all, for_all)

    def for_tenant(self, tenant: str) -> "Listings":
        """Return what the tenant sees: rows for all tenants and its own, never another's.

        A listing in which the tenant has no rows is the one of all, not another of the same.
        """
        own = {
            name: _seen(spec, columns, tenant)
            for name, (spec, columns) in self.tenants.items()
            if (columns["tenant"] == tenant.encode()).any()
        }
        if not own and self.seen is self.for_all:
            return self
        return Listings(
            self.tenants, self.for_all, {**self.for_all, **own} if own else self.for_all
        )

    def __getitem__(self, name: str) -> Listing:
        """Return a listing by name."""
        return self.seen[name]

    def __iter__(self) -> Iterator[str]:
        """Walk the names."""
        return iter(self.seen)


def _without_last(columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Drop the element that row -1 of other tables reads: rows of listings come in pairs."""
    return {name: column[:-1] for name, column in columns.items()}


def _seen(spec: ListingSpec, columns: Mapping[str, npt.NDArray[Any]], tenant: str) -> Listing:
    of_tenant = columns["tenant"]
    rows = rows_where((of_tenant == b"") | (of_tenant == tenant.encode()))
    seen = columns if len(rows) == len(of_tenant) else {n: c[rows] for n, c in columns.items()}
    axis = spec.axis
    names = (f"{axis.name}_first", f"{axis.name}_last") if axis.form in RANGES else (axis.name,) * 2
    first, last = (seen[name].astype(np.int64) for name in names)
    group = seen[spec.group] if spec.group else np.zeros(len(first), np.int64)
    outline = _Outline.of(spec, seen) if spec.outlined else None
    return Listing(spec, seen, _Cells.of(first, last, group.astype(np.int64)), outline)
