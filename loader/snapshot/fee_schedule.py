"""PPRRVU: the relative value file of the physician fee schedule, comma separated or fixed width."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from engine.codes import code36
from engine.tables.fees import GLOBAL_MMM, GLOBAL_XXX, GLOBAL_YYY, GLOBAL_ZZZ
from engine.tables.schema import FEE_SCHEDULE
from loader.snapshot.published import PublishedFile, Row
from loader.snapshot.table import Gatherer, Table

_HEADER_ROWS_MAX: Final = 15
_NAME_ROWS: Final = 5
_COLUMN_COUNTS: Final = (31, 32)

CODE: Final = "HCPCS"
MODIFIER: Final = "MOD"
STATUS: Final = "STATUS CODE"
NOT_FOR_PAYMENT: Final = "NOT USED FOR MEDICARE PAYMENT"
WORK: Final = "WORK RVU"
NON_FACILITY_PE: Final = "NON-FAC PE RVU"
NON_FACILITY_NA: Final = "NON-FAC NA INDICATOR"
FACILITY_PE: Final = "FACILITY PE RVU"
FACILITY_NA: Final = "FACILITY NA INDICATOR"
MALPRACTICE: Final = "MP RVU"
NON_FACILITY_TOTAL: Final = "NON-FACILITY TOTAL"
FACILITY_TOTAL: Final = "FACILITY TOTAL"
PCTC: Final = "PCTC IND"
GLOBAL_DAYS: Final = "GLOB DAYS"
PRE: Final = "PRE OP"
INTRA: Final = "INTRA OP"
POST: Final = "POST OP"
MULTIPLE: Final = "MULT PROC"
BILATERAL: Final = "BILAT SURG"
ASSISTANT: Final = "ASST SURG"
CO_SURGEON: Final = "CO- SURG"
TEAM: Final = "TEAM SURG"
ENDOSCOPY_BASE: Final = "ENDO BASE"
CONVERSION_FACTOR: Final = "CONV FACTOR"
IMAGING_FAMILY: Final = "DIAGNOSTIC IMAGING FAMILY INDICATOR"
OPPS_NON_FACILITY_PE: Final = "NON-FACILITY PE USED FOR OPPS PAYMENT AMOUNT"
OPPS_FACILITY_PE: Final = "FACILITY PE USED FOR OPPS PAYMENT AMOUNT"
OPPS_MALPRACTICE: Final = "MP USED FOR OPPS PAYMENT AMOUNT"

# First and last position of each column of the fixed-width file, from 1 as in its layout.
_POSITIONS: Final[Mapping[str, tuple[int, int]]] = {
    CODE: (1, 5),
    MODIFIER: (6, 7),
    STATUS: (58, 58),
    NOT_FOR_PAYMENT: (59, 59),
    WORK: (60, 65),
    NON_FACILITY_PE: (66, 72),
    NON_FACILITY_NA: (73, 74),
    FACILITY_PE: (75, 81),
    FACILITY_NA: (82, 83),
    MALPRACTICE: (84, 89),
    NON_FACILITY_TOTAL: (90, 96),
    FACILITY_TOTAL: (97, 102),
    PCTC: (103, 103),
    GLOBAL_DAYS: (104, 106),
    PRE: (107, 109),
    INTRA: (110, 112),
    POST: (113, 115),
    MULTIPLE: (116, 116),
    BILATERAL: (117, 117),
    ASSISTANT: (118, 118),
    CO_SURGEON: (119, 119),
    TEAM: (120, 120),
    ENDOSCOPY_BASE: (128, 132),
    CONVERSION_FACTOR: (133, 140),
    IMAGING_FAMILY: (146, 147),
    OPPS_NON_FACILITY_PE: (148, 157),
    OPPS_FACILITY_PE: (158, 164),
    OPPS_MALPRACTICE: (165, 171),
}
_LINE_LENGTHS: Final = (171, 172)

_MODIFIERS: Final = {text: code36(text) for text in ("", "26", "TC", "53")}
_STATUSES: Final = {letter: ord(letter) for letter in "ABCDEFGHIJLMNPQRTX"}
_PLUS: Final = {"": 0, "+": 1}
_NA: Final = {"": 0, "NA": 1}
_DIGITS: Final = {digit: int(digit) for digit in "0123456789"}
_GLOBAL: Final = {
    "000": 0,
    "010": 10,
    "090": 90,
    "MMM": GLOBAL_MMM,
    "XXX": GLOBAL_XXX,
    "YYY": GLOBAL_YYY,
    "ZZZ": GLOBAL_ZZZ,
}

_TYPES: Final = {
    name: column.dtype for name, column in FEE_SCHEDULE.items() if name not in {"key", "release"}
}


def read_fee_schedule(files: Sequence[PublishedFile]) -> Table:
    """Return the rows of a release; the layout is told by the first line."""
    gatherer = Gatherer(_TYPES)
    for file in files:
        fixed = file.content().startswith(b"HDR")
        for row in _fixed_width(file) if fixed else _comma_separated(file):
            values = _values(row)
            gatherer.once(row, values[:2], "pair of code and modifier")
            gatherer.add(*values)
    return gatherer.table()


def _values(row: Row) -> tuple[Any, ...]:
    """Return a record's columns in the order of the schema."""
    work, malpractice = row.scaled(WORK, 2), row.scaled(MALPRACTICE, 2)
    non_facility_pe, facility_pe = row.scaled(NON_FACILITY_PE, 2), row.scaled(FACILITY_PE, 2)
    _check_total(row, NON_FACILITY_TOTAL, work + non_facility_pe + malpractice)
    _check_total(row, FACILITY_TOTAL, work + facility_pe + malpractice)
    base = row.text(ENDOSCOPY_BASE)
    return (
        row.procedure(CODE),
        row.choice(MODIFIER, _MODIFIERS),
        row.choice(STATUS, _STATUSES),
        work,
        non_facility_pe,
        facility_pe,
        malpractice,
        row.choice(NON_FACILITY_NA, _NA),
        row.choice(FACILITY_NA, _NA),
        row.choice(NOT_FOR_PAYMENT, _PLUS),
        row.choice(PCTC, _DIGITS),
        row.choice(GLOBAL_DAYS, _GLOBAL),
        row.scaled(PRE, 2),
        row.scaled(INTRA, 2),
        row.scaled(POST, 2),
        row.choice(MULTIPLE, _DIGITS),
        row.choice(BILATERAL, _DIGITS),
        row.choice(ASSISTANT, _DIGITS),
        row.choice(CO_SURGEON, _DIGITS),
        row.choice(TEAM, _DIGITS),
        row.procedure_of(base) if base else 0,
        row.scaled(CONVERSION_FACTOR, 4, positive=True),
        row.integer(IMAGING_FAMILY, 0, 99),
        row.scaled(OPPS_NON_FACILITY_PE, 2),
        row.scaled(OPPS_FACILITY_PE, 2),
        row.scaled(OPPS_MALPRACTICE, 2),
    )


def _check_total(row: Row, name: str, sum_e2: int) -> None:
    if row.scaled(name, 2) != sum_e2:
        raise row.refused(
            f"{name} is {row.text(name)}, its parts add up to {sum_e2 / 100:.2f}",
            "a total that is the sum of work, practice expense and malpractice",
        )


def _comma_separated(file: PublishedFile) -> Iterator[Row]:
    rows = file.records()
    places = _places(file, list(islice(_until_header(rows), _HEADER_ROWS_MAX)))
    for row in rows:
        yield row.named(places)


def _until_header(rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        yield row
        if row.fields[:2] == (CODE, MODIFIER):
            return


def _places(file: PublishedFile, head: list[Row]) -> dict[str, int]:
    """Return the columns by name: names are spread over five rows, the last begins with HCPCS."""
    last = head[-1] if head else Row(file.name, 1, (), {})
    if last.fields[:2] != (CODE, MODIFIER) or len(head) < _NAME_ROWS:
        raise last.refused(
            "no header row that begins with HCPCS, MOD", f"one in the first {_HEADER_ROWS_MAX} rows"
        )
    width = len(last.fields)
    if width not in _COLUMN_COUNTS:
        raise last.refused(f"the header has {width} columns", "31 columns, or 32 from 2026 on")
    spread = zip(*(each.fields for each in head[-_NAME_ROWS:]), strict=False)
    names = [" ".join(" ".join(parts).split()) for parts in spread]
    missing = [name for name in _POSITIONS if names.count(name) != 1]
    if missing:
        raise last.refused(f"the header has no single column {missing[0]}", "the published names")
    return {name: at for at, name in enumerate(names)} | _unnamed(names)


def _unnamed(names: list[str]) -> dict[str, int]:
    """Return a place for every column whose name repeats: a record's width is checked by it."""
    return {f"column {at}": at for at, name in enumerate(names) if names.count(name) > 1}


def _fixed_width(file: PublishedFile) -> Iterator[Row]:
    places = {name: at for at, name in enumerate(_POSITIONS)}
    for row in file.lines():
        line = row.fields[0]
        if line.startswith("HDR"):
            continue
        if len(line) not in _LINE_LENGTHS:
            raise row.refused(f"{len(line)} characters", "171 characters, and a blank at the end")
        fields = tuple(line[first - 1 : last] for first, last in _POSITIONS.values())
        yield Row(row.file, row.number, fields, places)
