"""AOC: the add-on code edits, by years."""

from collections.abc import Sequence
from datetime import date
from typing import Final

from engine.codes import code36
from engine.tables.ncci import CONTRACTOR_DEFINED, TYPE_1, TYPE_2, TYPE_3
from loader.snapshot.published import PublishedFile, Row
from loader.snapshot.table import Gatherer, Table

_COLUMNS: Final = (
    "ADD_ON_CODE",
    "AOC_EDIT_TYPE",
    "PRIMARY_CODE",
    "AOC_EDIT_EFF_YEAR",
    "AOC_EDIT_DEL_YEAR",
    "PRIMARY_OR_ADDON_DEL_YEAR",
    "SPECIAL_INSTRUCTION_NOTES",
)
_TYPE: Final = {"1": TYPE_1, "2": TYPE_2, "3": TYPE_3}
_CONTRACTOR: Final = "CCCCC"
_YEARS: Final = (1990, 2100)


def read_addons(files: Sequence[PublishedFile]) -> Table:
    """Return add-on and primary codes with type bits, from 1 January to 31 December."""
    gatherer = Gatherer(
        {
            "addon": "int32",
            "primary": "int32",
            "type_bits": "uint8",
            "effective": "datetime64[D]",
            "deletion": "datetime64[D]",
        }
    )
    for file in files:
        for row in file.table(_COLUMNS):
            addon, kind = row.procedure("ADD_ON_CODE"), row.choice("AOC_EDIT_TYPE", _TYPE)
            defined = row.text("PRIMARY_CODE") == _CONTRACTOR
            primary = code36(_CONTRACTOR) if defined else row.procedure("PRIMARY_CODE")
            first, last = _days(row)
            gatherer.once(row, (addon, primary, kind, first), "add-on row")
            bits = kind | (CONTRACTOR_DEFINED if defined else 0)
            gatherer.add(addon, primary, bits, first, last)
    return gatherer.table()


def _days(row: Row) -> tuple[date, date | None]:
    first = row.integer("AOC_EDIT_EFF_YEAR", *_YEARS)
    names = ("AOC_EDIT_DEL_YEAR", "PRIMARY_OR_ADDON_DEL_YEAR")
    deletions = [row.integer(name, *_YEARS) for name in names if row.text(name)]
    if deletions and min(deletions) < first:
        raise row.refused(
            f"deleted in {min(deletions)}, effective from {first}", "a deletion after the beginning"
        )
    return date(first, 1, 1), date(min(deletions), 12, 31) if deletions else None
