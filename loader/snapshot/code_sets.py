"""Small code sets: places of service, modifiers, HCPCS Level II, ICD-10-CM."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from engine.codes import code36
from loader.snapshot.published import PublishedFile, Row
from loader.snapshot.table import Gatherer, Table

_POS_COLUMNS: Final = ("POS_CODE", "FACILITY_TYPE", "NAME", "DESCRIPTION")
_POS_KINDS: Final = {"Facility": 1, "Non-Facility": 0, "Unassigned": 0}
_UNASSIGNED: Final = "Unassigned"

_MODIFIER_COLUMNS: Final = ("MODIFIER", "LEVEL", "CATEGORY", "DESCRIPTION")
_LEVELS: Final = {"CPT": 1, "HCPCS": 2}

_HCPCS_COLUMNS: Final = (
    "HCPCS_CODE",
    "PRICE",
    "MULTI",
    "COV",
    "BETOS",
    "TOS",
    "ACTION",
    "CIM",
    "MCM",
    "STATUTE",
    "LAB",
    "XREF",
    "ASC_GRP",
    "PROC",
    "ANES",
    "DATE_TERM",
    "DATE_ADDED",
    "DATE_ASC",
    "DATE_ACTION",
)
_ANWEB_FIRST: Final = ("HCPC", "SEQNUM", "RECID")
_ANWEB_DATES: Final = ("ADD DT", "TERM DT")
_RECORD_PROCEDURE: Final = 3
_RECORD_MODIFIER: Final = 7
_RECORDS: Final = {
    "3": _RECORD_PROCEDURE,
    "4": 4,
    "7": _RECORD_MODIFIER,
    "8": 8,
}
_CONTINUATIONS: Final = frozenset({4, 8})

_MODIFIER: Final = re.compile(r"[0-9A-Z]{2}")
_DIAGNOSIS: Final = re.compile(r"[A-Z][0-9][0-9A-Z]{1,5}")
_ICD_TEXT_FROM: Final = 16
_BILLABLE: Final = {"0": 0, "1": 1}

_DATED: Final = {"code": "int32", "effective": "datetime64[D]", "deletion": "datetime64[D]"}


def read_places_of_service(files: Sequence[PublishedFile]) -> Table:
    """Return which codes are assigned (named other than Unassigned) and which are facilities."""
    gatherer = Gatherer({"pos": "int8", "assigned": "bool", "facility": "bool"})
    for file in files:
        for row in file.table(_POS_COLUMNS):
            pos = row.integer("POS_CODE", 0, 99)
            if len(row.text("POS_CODE")) != 2:
                raise row.refused("the code is not two digits long", "01 to 99, leading zeros kept")
            gatherer.once(row, pos, "code")
            facility = row.choice("FACILITY_TYPE", _POS_KINDS)
            gatherer.add(pos, row.text("NAME") not in {"", _UNASSIGNED}, facility)
    return gatherer.table()


def read_modifiers(files: Sequence[PublishedFile]) -> Table:
    """Return the modifiers, from a plain list without dates or from the Level II file with them."""
    gatherer = Gatherer(_DATED)
    for file in files:
        if _is_anweb(file):
            _add_anweb(gatherer, file, _RECORD_MODIFIER)
        else:
            _add_modifier_list(gatherer, file)
    return gatherer.table()


def read_hcpcs(files: Sequence[PublishedFile]) -> Table:
    """Return the Level II codes with their first and last valid day."""
    gatherer = Gatherer(_DATED)
    for file in files:
        if _is_anweb(file):
            _add_anweb(gatherer, file, _RECORD_PROCEDURE)
        else:
            _add_hcpcs_list(gatherer, file)
    return gatherer.table()


def read_diagnoses(files: Sequence[PublishedFile]) -> Table:
    """Return the codes of the ICD-10-CM order file and whether they are valid for billing."""
    gatherer = Gatherer({"code": "int64", "billable": "bool"})
    for file in files:
        for row in _order_file(file):
            code = row.text("code")
            if not _DIAGNOSIS.fullmatch(code):
                raise row.refused(f"{code!r} is no diagnosis code", "a code such as E119, no dot")
            gatherer.once(row, code, "code")
            gatherer.add(code36(code), row.choice("valid", _BILLABLE))
    return gatherer.table()


def _order_file(file: PublishedFile) -> Iterator[Row]:
    """Walk the lines: order number 1-5, code 7-13, valid flag 15, texts from 17 on."""
    places = {"order": 0, "code": 1, "valid": 2}
    last = 0
    for row in file.lines():
        line = row.fields[0]
        if len(line) < _ICD_TEXT_FROM or not line[:5].isdigit() or int(line[:5]) <= last:
            raise row.refused(
                "no order number in 1-5, or not above the one before", "the ICD-10-CM order layout"
            )
        last = int(line[:5])
        yield Row(row.file, row.number, (line[:5], line[6:13], line[14]), places)


def _is_anweb(file: PublishedFile) -> bool:
    return file.content().startswith(",".join(_ANWEB_FIRST).encode())


def _add_anweb(gatherer: Gatherer, file: PublishedFile, wanted: int) -> None:
    """Take the first record of each code of one kind; long texts continue on further records."""
    rows = file.records()
    header = next(rows)
    names = [each.strip() for each in header.fields]
    missing = [name for name in (*_ANWEB_FIRST, *_ANWEB_DATES) if names.count(name) != 1]
    if missing:
        raise header.refused(f"no single column {missing[0]}", "the columns of the ANWEB file")
    places = {name: at for at, name in enumerate(names)}
    for each in rows:
        row = each.named(places)
        kind = row.choice("RECID", _RECORDS)
        if kind != wanted:
            gatherer.leave_out("continuation" if kind in _CONTINUATIONS else "another_kind_of_code")
            continue
        code = _modifier(row, "HCPC") if wanted == _RECORD_MODIFIER else row.procedure("HCPC")
        gatherer.once(row, code, "code")
        gatherer.add(code, *row.dates(*_ANWEB_DATES))


def _add_modifier_list(gatherer: Gatherer, file: PublishedFile) -> None:
    seen = set()
    for row in file.table(_MODIFIER_COLUMNS):
        row.choice("LEVEL", _LEVELS)
        code = _modifier(row, "MODIFIER")
        if code in seen:
            gatherer.leave_out("repeated")
            continue
        seen.add(code)
        gatherer.add(code, None, None)


def _modifier(row: Row, name: str) -> int:
    text = row.text(name)
    if not _MODIFIER.fullmatch(text):
        raise row.refused(f"{text!r} is no modifier", "two letters or digits, leading zeros kept")
    return code36(text)


def _add_hcpcs_list(gatherer: Gatherer, file: PublishedFile) -> None:
    for row in file.table(_HCPCS_COLUMNS):
        code = row.procedure("HCPCS_CODE")
        gatherer.once(row, code, "code")
        gatherer.add(code, *row.dates("DATE_ADDED", "DATE_TERM"))
