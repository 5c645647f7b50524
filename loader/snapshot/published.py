"""A published file as text: plain or gzipped, walked by records, refused whole where damaged."""

import csv
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Final

from engine.codes import code36

AS_PUBLISHED: Final = "load the file as it was published, not one saved by a spreadsheet program"
OWN_ROW: Final = "correct that row and build again; docs/listings.md describes the tables"

_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?|\.[0-9]+")
_PROCEDURE: Final = re.compile(r"[0-9]{5}|[0-9]{4}[A-Z]|[A-Z][0-9]{4}")
_DATE: Final = re.compile(r"[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ORDINAL_DATE: Final = re.compile(r"[12][0-9]{3}[0-9]{3}")
_MOVED_MAX: Final = Decimal("0.000001")
_NO_DATE: Final = frozenset({"", "0", "00000000"})
_YEAR_MIN: Final = 1900
_SCALED_MAX: Final = 2**31 - 1
_TEXT: Final = "text in UTF-8 or a code page of one byte per character, as published"
_NO_TEXTS: Final = {
    b"PK\x03\x04": "a zip archive or a workbook",
    b"\xd0\xcf\x11\xe0": "a workbook",
    b"\x1f\x8b": "compressed, though its name does not end in .gz",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"%PDF": "a PDF",
}


class ReferenceFileError(Exception):
    """A file of tables cannot be read as what it claims to be; nothing of it is loaded."""

    def __init__(
        self, file: str, row: int, reason: str, expected: str, *, advice: str = AS_PUBLISHED
    ) -> None:
        self.file, self.row, self.reason, self.expected = file, row, reason, expected
        at = f"{file}, row {row}" if row else file
        to_do = f"; {advice}" if row else ""
        super().__init__(f"{at}: {reason}; expected {expected}{to_do}")

    def advising(self, advice: str) -> "ReferenceFileError":
        """Return the same error with other advice on what to do about a row."""
        return ReferenceFileError(self.file, self.row, self.reason, self.expected, advice=advice)


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file of the source folder; `name` is its path inside it and the one that errors show."""

    path: Path
    name: str

    def raw(self) -> bytes:
        """Return the bytes as they lie on disk."""
        if not self.path.is_file():
            raise ReferenceFileError(self.name, 0, "the file is missing", "a file by that name")
        return self.path.read_bytes()

    def content(self) -> bytes:
        """Return the bytes of the file, unpacked."""
        raw = self.raw()
        if self.name.endswith(".gz"):
            try:
                raw = gzip.decompress(raw)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise ReferenceFileError(
                    self.name, 0, f"the compressed file is damaged ({error})", "a whole gzip file"
                ) from error
        self._check_text(raw)
        return raw

    def _check_text(self, content: bytes) -> None:
        """Refuse what is no text of one byte per character, before its rows are misread."""
        for start, what in _NO_TEXTS.items():
            if content.startswith(start):
                raise ReferenceFileError(self.name, 0, f"the file is {what}", _TEXT)
        nul = content.find(b"\0")
        if nul >= 0:
            row = content.count(b"\n", 0, nul) + 1
            raise ReferenceFileError(self.name, row, "there is a NUL character", _TEXT)

    def sha256(self) -> str:
        """Return the hash of the bytes as they lie on disk."""
        return hashlib.sha256(self.raw()).hexdigest()

    def lines(self) -> Iterator["Row"]:
        """Walk the lines of a fixed-width file."""
        for number, line in enumerate(self._text(), start=1):
            yield Row(self.name, number, (line.rstrip("\r\n"),), {})

    def records(self, delimiter: str = ",") -> Iterator["Row"]:
        """Walk the records of a CSV file; a record's number is the line on which it ends."""
        reader = csv.reader(self._text(), delimiter=delimiter, strict=True)
        try:
            for fields in reader:
                yield Row(self.name, reader.line_num, tuple(fields), {})
        except csv.Error as error:
            raise ReferenceFileError(
                self.name, reader.line_num, f"the record cannot be read ({error})", "quoted CSV"
            ) from error

    def table(self, header: Sequence[str]) -> Iterator["Row"]:
        """Walk the records below a first one that has exactly these column names."""
        rows = self.records()
        names = next(rows, Row(self.name, 1, (), {}))
        if [each.strip() for each in names.fields] != list(header):
            raise names.refused("the header is another one", ", ".join(header))
        places = {name: at for at, name in enumerate(header)}
        for row in rows:
            yield row.named(places)

    def _text(self) -> io.TextIOWrapper:
        # Texts are dropped, codes are ASCII: a byte of another encoding in a text must not matter.
        return io.TextIOWrapper(
            io.BytesIO(self.content()), encoding="utf-8-sig", errors="replace", newline=""
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A record: fields read by column name, each refused where it is not what the layout says."""

    file: str
    number: int
    fields: tuple[str, ...]
    places: Mapping[str, int]

    @property
    def blank(self) -> bool:
        """Whether every field is empty."""
        return not any(field.strip() for field in self.fields)

    def named(self, places: Mapping[str, int]) -> "Row":
        """Return the record with column names; refused unless it has one field for each."""
        if len(self.fields) != len(places):
            raise self.refused(f"{len(self.fields)} fields", f"{len(places)} fields")
        return Row(self.file, self.number, self.fields, places)

    def refused(self, reason: str, expected: str) -> ReferenceFileError:
        """Return the error that names this record."""
        return ReferenceFileError(self.file, self.number, reason, expected)

    def text(self, name: str) -> str:
        """Return a field without the blanks around it."""
        return self.fields[self.places[name]].strip()

    def procedure(self, name: str) -> int:
        """Return a procedure code as an integer."""
        return self.procedure_of(self.text(name))

    def procedure_of(self, text: str) -> int:
        """Return a procedure code as an integer."""
        if not _PROCEDURE.fullmatch(text):
            raise self.refused(
                f"{_shown(text)} is no procedure code",
                "five characters such as 00100, 0042T or G0105, leading zeros kept",
            )
        return code36(text)

    def scaled(self, name: str, decimals: int, *, positive: bool = False) -> int:
        """Return a decimal from 0 on, or above 0, as an exact integer of its last place."""
        try:
            value = quantised(self.text(name), decimals)
        except ValueError as error:
            raise self.refused(f"{name}: {error}", f"a number of {decimals} decimals") from error
        if not positive <= value <= _SCALED_MAX:
            raise self.refused(
                f"{name} is {_shown(self.text(name))}",
                f"a number above 0 of {decimals} decimals" if positive else "a number from 0 on",
            )
        return value

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a whole number within bounds."""
        text = self.text(name)
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise self.refused(f"{name} is {_shown(text)}", f"a whole number from {low} to {high}")
        return int(text)

    def choice(self, name: str, choices: Mapping[str, int]) -> int:
        """Return what stands for a field that has few values."""
        text = self.text(name)
        if text not in choices:
            expected = ", ".join(each or "blank" for each in choices)
            raise self.refused(f"{name} is {_shown(text)}", f"one of {expected}")
        return choices[text]

    def dates(self, first: str, last: str) -> tuple[date | None, date | None]:
        """Return the first and the last day of a row; refused where they are the wrong way."""
        days = self.date(first), self.date(last)
        if days[0] and days[1] and days[1] < days[0]:
            raise self.refused(f"{last} {days[1]} is before {first} {days[0]}", f"{first} first")
        return days

    def ordinal_date(self, name: str) -> date | None:
        """Return a date written YYYYDDD, year and day of the year; None for blank and 0."""
        text = self.text(name)
        if text in _NO_DATE:
            return None
        if not _ORDINAL_DATE.fullmatch(text):
            raise self.refused(f"{name} is {_shown(text)}", "a date written YYYYDDD")
        year, day = int(text[:4]), int(text[4:])
        found = date(year, 1, 1) + timedelta(days=day - 1)
        if found.year != year:
            raise self.refused(f"{name} is {_shown(text)}", "a day of that year, YYYYDDD")
        return found

    def date(self, name: str) -> date | None:
        """Return a date written YYYYMMDD or YYYY-MM-DD; None for blank, 0 and 00000000."""
        text = self.text(name)
        if text in _NO_DATE:
            return None
        try:
            found = date.fromisoformat(text if _DATE.fullmatch(text) else "")
        except ValueError as error:
            raise self.refused(f"{name} is {_shown(text)}", "a calendar date") from error
        if found.year < _YEAR_MIN:
            raise self.refused(f"{name} is {_shown(text)}", f"a date from {_YEAR_MIN} on")
        return found


@lru_cache(maxsize=65536)
def quantised(text: str, decimals: int) -> int:
    """Return a decimal as an integer of its last place; ValueError if that moves it over 1e-6."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{_shown(text)} is no decimal number")
    exact = Decimal(text)
    scaled = int(exact.scaleb(decimals).to_integral_value())
    if abs(Decimal(scaled).scaleb(-decimals) - exact) > _MOVED_MAX:
        raise ValueError(f"{_shown(text)} has more than {decimals} decimals")
    return scaled


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 20 else text[:20] + "...")
