"""LEIE: the OIG list of excluded providers with its reinstatements, and undated lists of NPIs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Final

import numpy as np

from loader.snapshot.published import PublishedFile, Row
from loader.snapshot.table import Gatherer, Table

_COLUMNS: Final = (
    "LASTNAME",
    "FIRSTNAME",
    "MIDNAME",
    "BUSNAME",
    "GENERAL",
    "SPECIALTY",
    "UPIN",
    "NPI",
    "DOB",
    "ADDRESS",
    "CITY",
    "STATE",
    "ZIP",
    "EXCLTYPE",
    "EXCLDATE",
    "REINDATE",
    "WAIVERDATE",
    "WVRSTATE",
)
_NPI: Final = "NPI"
_NO_NPI: Final = frozenset({"", "0", "0000000000"})
_NPI_LENGTH: Final = 10


def read_exclusions(files: Sequence[PublishedFile]) -> Table:
    """Return the days of exclusion per provider; kinds of rows are told by columns, not names."""
    gatherer = Gatherer(
        {"npi": "int64", "excluded": "datetime64[D]", "reinstated": "datetime64[D]"}
    )
    excluded: defaultdict[int, set[date]] = defaultdict(set)
    reinstated: defaultdict[int, set[date]] = defaultdict(set)
    undated: set[int] = set()
    for file in files:
        for row in _rows(file):
            npi = _npi(row)
            if npi is None:
                gatherer.leave_out("no_npi")
            elif len(row.places) == 1:
                undated.add(npi)
            else:
                excluded[npi].add(_excluded_on(row))
                if back := row.date("REINDATE"):
                    reinstated[npi].add(back)
                if not passes_luhn(npi):
                    gatherer.remark("npi_check_digit_wrong")
                if row.date("WAIVERDATE"):
                    gatherer.remark("waiver_in_one_state")
    for npi, days in sorted(excluded.items()):
        for first, back in intervals(days, reinstated[npi]):
            gatherer.add(npi, first, back)
    table = gatherer.table()
    columns = table.columns | {"undated": np.array(sorted(undated), np.int64)}
    return Table(columns, table.rows + len(undated), table.left_out, table.remarks)


def intervals(
    excluded: Iterable[date], reinstated: Iterable[date]
) -> Iterator[tuple[date, date | None]]:
    """Return the exclusions as intervals without overlap: first day, first day after or None.

    Excluded on a day is who has an exclusion up to that day and no reinstatement between the two:
    an exclusion lasts to the first reinstatement on or after it, and one on its own day undoes it.
    """
    backs = sorted(reinstated)
    taken: date | None = None
    for first in sorted(excluded):
        if taken is not None and first < taken:
            continue
        back = next((day for day in backs if day >= first), None)
        if back != first:
            yield first, back
        if back is None:
            return
        taken = back


def passes_luhn(npi: int) -> bool:
    """Return whether the check digit of an NPI is right, counted as if 80840 stood in front."""
    digits = [int(each) for each in reversed(f"{npi:010d}")]
    doubled = [2 * each - 9 * (each > 4) for each in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled) + 24) % 10 == 0


def _rows(file: PublishedFile) -> Iterator[Row]:
    rows = file.records()
    header = next(rows, Row(file.name, 1, (), {}))
    names = tuple(each.strip() for each in header.fields)
    if names not in {_COLUMNS, (_NPI,)}:
        raise header.refused(
            "the header is another one", "the 18 columns of the LEIE, or NPI alone"
        )
    places: Mapping[str, int] = {name: at for at, name in enumerate(names)}
    for row in rows:
        yield row.named(places)


def _npi(row: Row) -> int | None:
    text = row.text(_NPI)
    if text in _NO_NPI:
        return None
    if len(text) != _NPI_LENGTH or not (text.isascii() and text.isdigit()):
        raise row.refused("the NPI is not ten digits long", "ten digits, or 0 for none")
    return int(text)


def _excluded_on(row: Row) -> date:
    day = row.date("EXCLDATE")
    if day is None:
        raise row.refused("EXCLDATE is blank", "the day of exclusion, YYYYMMDD")
    return day
