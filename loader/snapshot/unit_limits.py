"""MUE: the medically unlikely edits of one setting and quarter."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from loader.snapshot.published import PublishedFile, Row
from loader.snapshot.table import Gatherer, Table

_HEADER_ROWS_MAX: Final = 10
_LIMIT_MAX: Final = 10_000_000
_PLACES: Final = {"code": 0, "limit": 1, "mai": 2, "rationale": 3}
_MAI_DIGITS: Final = "123"
_CODE: Final = "HCPCS/ CPT Code"


PRACTITIONER: Final = "Practitioner Services"
HOSPITAL: Final = "Outpatient Hospital Services"
DME: Final = "DME Supplier Services"


def read_unit_limits(files: Sequence[PublishedFile], setting: str) -> Table:
    """Return the limit and the adjudication indicator of each code; refused for another setting."""
    gatherer = Gatherer({"code": "int32", "limit": "int32", "mai": "int8"})
    for file in files:
        for row in _rows(file, setting):
            code = row.procedure("code")
            gatherer.once(row, code, "code")
            gatherer.add(code, row.integer("limit", 0, _LIMIT_MAX), _mai(row))
    return gatherer.table()


def _rows(file: PublishedFile, setting: str) -> Iterator[Row]:
    """Walk the records below the header; above it is a notice of several lines in one record."""
    expected = [_CODE, f"{setting} MUE Values", "MUE Adjudication Indicator", "MUE Rationale"]
    rows = file.records()
    for header in islice(rows, _HEADER_ROWS_MAX):
        names = [" ".join(each.split()) for each in header.fields]
        if names[:1] == [_CODE]:
            if names != expected:
                raise header.refused("the header is another one", ", ".join(expected))
            yield from (row.named(_PLACES) for row in rows)
            return
    raise Row(file.name, 1, (), {}).refused(
        "no header row that begins with HCPCS/CPT Code", f"one in the first {_HEADER_ROWS_MAX}"
    )


def _mai(row: Row) -> int:
    digit = row.text("mai")[:1]
    if digit not in _MAI_DIGITS or not digit:
        raise row.refused("the adjudication indicator does not begin with 1, 2 or 3", "1, 2 or 3")
    return int(digit)
