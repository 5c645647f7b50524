"""AOC: the add-on code edits, as published with days of the year, or rebuilt with years alone."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import islice
from typing import Final

from engine.codes import code36
from engine.tables.ncci import CONTRACTOR_DEFINED, TYPE_1, TYPE_2, TYPE_3
from loader.snapshot.published import PublishedFile, Row
from loader.snapshot.table import Gatherer, Table

ADDON: Final = "ADD_ON_CODE"
PRIMARY: Final = "PRIMARY_CODE"
TYPE: Final = "AOC_EDIT_TYPE"
EFFECTIVE: Final = "AOC_EDIT_EFFDT"
DELETIONS: Final = ("AOC_EDIT_DELDT", "AOC_DELDT", "PRIMARY_CODE_DELDT")
_NOTES: Final = "SPECIAL_INSTRUCTION_NOTES"
_PUBLISHED: Final = (TYPE, ADDON, PRIMARY, EFFECTIVE, *DELETIONS, _NOTES)

_YEARS_COLUMNS: Final = (
    ADDON,
    TYPE,
    PRIMARY,
    "AOC_EDIT_EFF_YEAR",
    "AOC_EDIT_DEL_YEAR",
    "PRIMARY_OR_ADDON_DEL_YEAR",
    _NOTES,
)
_HEADER_ROWS_MAX: Final = 10
_TYPE: Final = {"1": TYPE_1, "2": TYPE_2, "3": TYPE_3}
_CONTRACTOR: Final = "CCCCC"
_YEARS: Final = (1990, 2100)
_FIRST_LINE_BYTES: Final = 1000

Days = tuple[date | None, date | None]


def read_addons(files: Sequence[PublishedFile]) -> Table:
    """Return add-on and primary codes with type bits, from the first to the last day, both in."""
    gatherer = Gatherer(
        {
            "addon": "int32",
            "primary": "int32",
            "type_bits": "uint8",
            "effective": "datetime64[D]",
            "deletion": "datetime64[D]",
        }
    )
    spans: dict[tuple[int, int, int], list[tuple[date, date, int]]] = {}
    for file in files:
        rows, days = _layout(file)
        for row in rows:
            addon, kind = row.procedure(ADDON), row.choice(TYPE, _TYPE)
            defined = row.text(PRIMARY) == _CONTRACTOR
            primary = code36(_CONTRACTOR) if defined else row.procedure(PRIMARY)
            first, last = days(row)
            _check_apart(row, spans.setdefault((addon, primary, kind), []), (first, last))
            if first is None:
                gatherer.remark("effective_date_blank")
            bits = kind | (CONTRACTOR_DEFINED if defined else 0)
            gatherer.add(addon, primary, bits, first, last)
    return gatherer.table()


def _check_apart(row: Row, taken: list[tuple[date, date, int]], days: Days) -> None:
    """Refuse a row that is in force together with an earlier one of the same codes and type."""
    first, last = days[0] or date.min, days[1] or date.max
    if last < first:
        raise row.refused(
            f"deleted on {last}, effective from {first}", "a deletion on or after the beginning"
        )
    for other_first, other_last, number in taken:
        if first <= other_last and other_first <= last:
            raise row.refused(
                f"the add-on row comes a second time, in force together with row {number}",
                "one row in force for an add-on, a primary and a type",
            )
    taken.append((first, last, row.number))


def _layout(file: PublishedFile) -> tuple[Iterator[Row], Callable[[Row], Days]]:
    head = file.content()[:_FIRST_LINE_BYTES].decode("utf-8-sig", errors="replace")
    if head.startswith(",".join(_YEARS_COLUMNS[:2])):
        return file.table(_YEARS_COLUMNS), _years
    return _published(file), _days_of_year


def _published(file: PublishedFile) -> Iterator[Row]:
    """Walk the records below the header, comma or tab separated; above it is a notice."""
    for delimiter in (",", "\t"):
        rows = file.records(delimiter)
        for header in islice(rows, _HEADER_ROWS_MAX):
            names = [_name(each) for each in header.fields]
            if len(names) > 1 and (ADDON in names or TYPE in names):
                places = _places(header, names)
                yield from (row.named(places) for row in rows if not row.blank)
                return
    raise Row(file.name, 1, (), {}).refused(
        f"no header row with {ADDON} in the first {_HEADER_ROWS_MAX}", ", ".join(_PUBLISHED)
    )


def _name(text: str) -> str:
    """Return a column's name as it stands above: hyphens, blanks and `Julian` come and go."""
    name = re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_").removesuffix("_JULIAN")
    return re.sub(r"_DT$", "DT", re.sub(r"_(DEL|EFF)_?DT$", r"_\1DT", name))


def _places(header: Row, names: Sequence[str]) -> Mapping[str, int]:
    wrong = [name for name in _PUBLISHED if names.count(name) != 1]
    wrong += [name for name in names if name not in _PUBLISHED]
    if wrong:
        raise header.refused(
            f"the header has another column, or no single one, for {wrong[0]}",
            ", ".join(_PUBLISHED),
        )
    return {name: at for at, name in enumerate(names)}


def _days_of_year(row: Row) -> Days:
    deletions = [day for name in DELETIONS if (day := row.ordinal_date(name))]
    return row.ordinal_date(EFFECTIVE), min(deletions, default=None)


def _years(row: Row) -> Days:
    """Return 1 January of the first year, and 31 December of the earlier year of deletion."""
    first = row.integer("AOC_EDIT_EFF_YEAR", *_YEARS)
    names = ("AOC_EDIT_DEL_YEAR", "PRIMARY_OR_ADDON_DEL_YEAR")
    deletions = [row.integer(name, *_YEARS) for name in names if row.text(name)]
    return date(first, 1, 1), date(min(deletions), 12, 31) if deletions else None
