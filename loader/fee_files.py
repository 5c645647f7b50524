"""Files of a tenant's fee schedule: rows of columns, or why a row is none.

The fields are those of the listing `contract_rates` and are read by the same readers; a row is
about one procedure code.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

from engine.tenant_fees import SPEC
from loader.member_files import Reject
from loader.snapshot.listings import days_of, field_values
from loader.snapshot.published import ReferenceFileError, Row

CODE: Final = "code"
_FIELDS: Final = SPEC.fields[1:]
_DAYS: Final = ("effective_from", "effective_to")
HEADERS: Final = (CODE, *(each.name for each in _FIELDS), *_DAYS)
"""Columns of a file, in any order."""
REQUIRED: Final = (CODE, *(each.name for each in _FIELDS if not each.optional))
"""Those that a file must have."""
COLUMNS: Final = (CODE, *(each.name for each in _FIELDS), "effective", "deletion")
"""Columns of a row in production, in the order of `FeeRow.values`."""
KEY: Final = (CODE, *(each.name for each in _FIELDS if each.key))
"""Rows that agree in these must not share a day."""

_PLACES: Final = {name: place for place, name in enumerate(HEADERS)}
_RATE_MAX: Final = 10**12


class FeeFileError(ValueError):
    """A file that is refused whole."""


@dataclass(frozen=True, slots=True)
class FeeRow:
    """A good row."""

    row: int
    values: tuple[Any, ...] = field(repr=False)


def read_rows(path: Path) -> Iterator[FeeRow | Reject]:
    """Yield each row of a file, or all that is wrong with it.

    Raises:
        FeeFileError: the header is another, or the file is no CSV file in UTF-8.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            header = [name.strip() for name in next(lines, [])]
            _check_header(path, header)
            for number, cells in enumerate(lines, 2):
                if cells:
                    yield from _row(path.name, header, number, cells)
    except UnicodeDecodeError:
        raise FeeFileError(f"{path.name} is no UTF-8 text; save it as UTF-8") from None
    except csv.Error as error:
        raise FeeFileError(f"{path.name} is no CSV file: {error}") from None


def _check_header(path: Path, header: Sequence[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    unknown = [f"column {n}" for n, name in enumerate(header, 1) if name not in HEADERS]
    if missing or unknown or len(set(header)) != len(header):
        wrong = (["lacks " + ", ".join(missing)] if missing else []) + (
            ["does not know " + ", ".join(unknown)] if unknown else []
        )
        raise FeeFileError(
            f"{path.name}: the header {' and '.join(wrong) or 'names a column twice'}; "
            f"a fee schedule has {', '.join(HEADERS)}"
        )


def _row(
    file: str, header: Sequence[str], number: int, cells: Sequence[str]
) -> Iterator[FeeRow | Reject]:
    if len(cells) != len(header):
        yield Reject(number, "", f"has {len(cells)} cells", f"{len(header)}, as the header")
        return
    given = dict(zip(header, cells, strict=True))
    row = Row(file, number, tuple(given.get(name, "") for name in HEADERS), _PLACES)
    values: dict[str, Any] = {}
    rejects: list[Reject] = []
    for name in (CODE, *(each.name for each in _FIELDS), "effective_to"):
        try:
            values |= _read(row, name)
        except ReferenceFileError as error:
            rejects.append(Reject(number, name, error.reason, error.expected))
    yield from rejects or (FeeRow(number, tuple(values.values())),)


def _read(row: Row, name: str) -> Mapping[str, Any]:
    """Return what a row says in a column of the file, as the columns of production."""
    if name == CODE:
        return {CODE: row.procedure(CODE)}
    if name == "effective_to":
        effective, deletion = days_of(row)
        # Part of a key: an open first day stands as -infinity, which the driver has as this one.
        return {"effective": effective or date.min, "deletion": deletion}
    values = field_values(row, _BY_NAME[name])
    if name == "rate" and values[name] > _RATE_MAX:
        raise row.refused("rate is too large", f"at most {_RATE_MAX // 10_000:,}")
    return values


_BY_NAME: Final = {each.name: each for each in _FIELDS}
