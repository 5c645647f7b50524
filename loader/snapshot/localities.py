"""Geography of the fee schedule: GPCI, ZIP5, anesthesia factors, caps of imaging."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from engine.codes import code36
from loader.snapshot.published import PublishedFile, Row
from loader.snapshot.table import Gatherer, Table

_GPCI_HEADER_ROWS_MAX: Final = 10
_MAC: Final = "Medicare Administrative Contractor (MAC)"
_LOCALITY: Final = "Locality Number"
_ANESTHESIA_COLUMNS: Final = ("Contractor", "Locality", "Locality Name", "Factor")
_OPPS_CAP_COLUMNS: Final = (
    "HCPCS",
    "MOD",
    "PROCSTAT",
    "CARRIER",
    "LOCALITY",
    "FACILITY PRICE",
    "NON-FACILTY PRICE",
)
_ZIP_LINE_LENGTH: Final = 80

_STATES: Final = (
    "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV "
    "NH NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY AS FM GU MH MP PR PW VI"
)
STATES: Final = frozenset(_STATES.split())
"""Postal letters of states, territories and freely associated states."""
# The file divides two states between their carriers.
_PARTS_OF_STATES: Final = {"EM": "MO", "WM": "MO", "EK": "KS", "WK": "KS"}
_CAP_MODIFIERS: Final = {text: code36(text) for text in ("", "26", "TC")}


def read_gpci(files: Sequence[PublishedFile]) -> Table:
    """Return the geographic indices by locality; foot notes are left out."""
    gatherer = Gatherer(
        {"locality": "int32", "work_e3": "int32", "pe_e3": "int32", "mp_e3": "int32"}
    )
    for file in files:
        for row in _gpci_rows(file):
            if not any(field.strip() for field in row.fields[1:]):
                gatherer.leave_out("blank" if row.blank else "foot_note")
                continue
            locality = _locality(row, row.text(_MAC), row.text(_LOCALITY))
            gatherer.once(row, locality, "locality")
            indices = [row.scaled(name, 3, positive=True) for name in ("work", "pe", "mp")]
            gatherer.add(locality, *indices)
    return gatherer.table()


def _gpci_rows(file: PublishedFile) -> Iterator[Row]:
    rows = file.records()
    for header in islice(rows, _GPCI_HEADER_ROWS_MAX):
        names = [" ".join(each.split()) for each in header.fields]
        if names[:1] == [_MAC]:
            places = {name: at for at, name in enumerate(names)}
            places |= {
                "work": _index(header, names, "PW GPCI"),
                "pe": _index(header, names, "PE GPCI"),
            }
            places["mp"] = _index(header, names, "MP GPCI")
            yield from (_wide(row, len(names), places) for row in rows)
            return
    raise Row(file.name, 1, (), {}).refused(
        f"no header row that begins with {_MAC}", f"one in the first {_GPCI_HEADER_ROWS_MAX} rows"
    )


def _index(header: Row, names: list[str], kind: str) -> int:
    """Return the column of an index; of two work columns the one with the 1.0 floor."""
    found = [at for at, name in enumerate(names) if kind in name]
    floored = [at for at in found if "with 1.0 Floor" in names[at]]
    if len(floored or found) != 1:
        raise header.refused(f"{len(found)} columns of {kind}", "one column of each index")
    return (floored or found)[0]


def _wide(row: Row, width: int, places: dict[str, int]) -> Row:
    if len(row.fields) != width:
        raise row.refused(f"{len(row.fields)} fields", f"{width} fields")
    return Row(row.file, row.number, row.fields, places)


def _locality(row: Row, carrier: str, number: str) -> int:
    if len(carrier) != 5 or len(number) != 2 or not (carrier + number).isdigit():
        raise row.refused(
            f"carrier {carrier!r} and locality {number!r}",
            "five and two digits, leading zeros kept",
        )
    return int(carrier + number)


def read_zip_codes(files: Sequence[PublishedFile]) -> Table:
    """Return the locality of each ZIP code, and whether five digits decide it."""
    gatherer = Gatherer(
        {"zip5": "int32", "locality": "int32", "state": "int16", "plus_four": "bool"}
    )
    for file in files:
        for row in file.lines():
            line = row.fields[0]
            if len(line) != _ZIP_LINE_LENGTH or not line[2:7].isdigit() or line[20] not in "01":
                raise row.refused(
                    f"{len(line)} characters, no ZIP in 3-7 or no flag in 21",
                    f"{_ZIP_LINE_LENGTH} characters in the ZIP5 record layout",
                )
            gatherer.once(row, line[2:7], "ZIP code")
            locality = _locality(row, line[7:12], line[12:14])
            gatherer.add(int(line[2:7]), locality, _state(row, line[:2]), line[20] == "1")
    return gatherer.table()


def _state(row: Row, text: str) -> int:
    if text not in STATES and text not in _PARTS_OF_STATES:
        raise row.refused(f"the state in 1-2 is {text!r}", "the two letters of a state")
    return code36(_PARTS_OF_STATES.get(text, text))


def read_anesthesia(files: Sequence[PublishedFile]) -> Table:
    """Return the anesthesia conversion factor of each locality."""
    gatherer = Gatherer({"locality": "int32", "factor_e4": "int32"})
    places = {name: at for at, name in enumerate(_ANESTHESIA_COLUMNS)}
    for file in files:
        rows = file.records()
        header = next(rows, Row(file.name, 1, (), {}))
        if [each.strip() for each in header.fields[:3]] != list(_ANESTHESIA_COLUMNS[:3]):
            raise header.refused("the header is another one", ", ".join(_ANESTHESIA_COLUMNS[:3]))
        for row in rows:
            if row.blank:
                gatherer.leave_out("blank")
                continue
            named = row.named(places)
            locality = _locality(row, named.text("Contractor"), named.text("Locality"))
            gatherer.once(row, locality, "locality")
            gatherer.add(locality, named.scaled("Factor", 4, positive=True))
    return gatherer.table()


def read_opps_cap(files: Sequence[PublishedFile]) -> Table:
    """Return the capped prices of imaging by procedure and locality."""
    gatherer = Gatherer(
        {
            "code": "int32",
            "modifier": "int16",
            "locality": "int32",
            "facility_cents": "int64",
            "non_facility_cents": "int64",
        }
    )
    for file in files:
        for row in file.table(_OPPS_CAP_COLUMNS):
            if row.blank:
                gatherer.leave_out("blank")
                continue
            code, modifier = row.procedure("HCPCS"), row.choice("MOD", _CAP_MODIFIERS)
            locality = _locality(row, row.text("CARRIER"), row.text("LOCALITY"))
            gatherer.once(row, (code, modifier, locality), "cap of a procedure in a locality")
            gatherer.add(
                code,
                modifier,
                locality,
                row.scaled("FACILITY PRICE", 2),
                row.scaled("NON-FACILTY PRICE", 2),
            )
    return gatherer.table()
