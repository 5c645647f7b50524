"""Reads listings from CSV by their specs: every field as its form says, or the file is refused."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final

import numpy as np

from engine.codes import code36
from engine.tables.code_sets import diagnosis_order, diagnosis_order_last
from engine.tables.keys import KEY_MAX, ZIP_REGION_FIRST
from engine.tables.listing import (
    ANY,
    ANY_PLACE,
    NONE,
    RANGES,
    TENANT_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    Form,
    ListingField,
    ListingSpec,
)
from engine.tables.listings import LINES_OF_BUSINESS, SEXES
from engine.words import word_key
from loader.snapshot.published import PublishedFile, Row, quantised
from loader.snapshot.table import Table

Read = Callable[[Row, ListingField], Any]

_COUNT_MAX: Final = 10**9
_PATTERNS: Final[Mapping[Form, tuple[str, str]]] = {
    Form.PROCEDURES: (r"[0-9]{5}|[0-9]{4}[A-Z]|[A-Z][0-9]{4}", "five characters such as 00100"),
    Form.REVENUE_CODES: (r"[0-9]{4}", "four digits"),
    Form.GROUPS: (r"[0-9]{3}", "three digits"),
    Form.DIAGNOSES: (r"[A-Z]([0-9][0-9A-Z]{0,5})?", "the beginning of a code, without the dot"),
    Form.ICD_PROCEDURES: (r"[0-9A-HJ-NP-Z]{1,7}", "the beginning of a code"),
    Form.TAXONOMIES: (r"[0-9A-Z]{1,10}", "the beginning of a taxonomy code"),
    Form.PROCEDURE: (r"[0-9]{5}|[0-9]{4}[A-Z]|[A-Z][0-9]{4}", "five characters such as 00100"),
    Form.REVENUE_CODE: (r"[0-9]{4}", "four digits"),
    Form.MODIFIER: (r"[0-9A-Z]{2}", "two letters or digits"),
    Form.PLACE: (r"[0-9]{2}", "two digits"),
    Form.NPI: (r"[0-9]{10}", "ten digits"),
    Form.TIN: (r"[0-9]{9}", "nine digits"),
    Form.ZIP: (r"[0-9]{3}|[0-9]{5}", "five digits, or three"),
    Form.CARRIER: (r"[0-9]{1,5}", "up to five digits"),
}
_COMPILED: Final = {form: re.compile(pattern) for form, (pattern, _) in _PATTERNS.items()}
_TAXONOMY_LENGTH: Final = 10
_ICD_PROCEDURE_LENGTH: Final = 7
_ZIP_LENGTH: Final = 5


def read_listing(spec: ListingSpec, files: Sequence[PublishedFile]) -> Table:
    """Return the rows of a listing; ReferenceFileError names the row and field at fault."""
    rows = [(row, _values(row, spec)) for file in files for row in file.table(spec.headers)]
    _refuse_overlaps(spec, rows)
    columns = list(zip(*(each.values() for _, each in rows), strict=True))
    columns = columns or [()] * len(spec.columns)
    return Table(
        columns={
            name: np.array(values, column.dtype)
            for (name, column), values in zip(spec.columns.items(), columns, strict=True)
        },
        rows=len(rows),
    )


def _values(row: Row, spec: ListingSpec) -> dict[str, Any]:
    """Return a row's value for each column, in the order of the spec's columns."""
    tenant = row.text("tenant_id")
    if len(tenant) > TENANT_LENGTH_MAX or not tenant.isascii():
        raise row.refused(
            "tenant_id is no tenant", f"up to {TENANT_LENGTH_MAX} characters of ASCII"
        )
    values: dict[str, Any] = {"tenant": tenant.encode()}
    for each in spec.fields:
        values |= field_values(row, each)
    effective, deletion = days_of(row)
    return values | {"effective": effective, "deletion": deletion}


def field_values(row: Row, each: ListingField) -> dict[str, Any]:
    """Return what a row says in a field, by column.

    Raises:
        ReferenceFileError: names the row and the field at fault.
    """
    if each.form in RANGES:
        return dict(zip(each.columns, _range(row, each), strict=True))
    values = {each.name: _scalar(row, each)}
    return values | {each.key_column: _word(row, each)} if each.key_column else values


def days_of(row: Row) -> tuple[date | None, date | None]:
    """Return the first and the last day of a row, None for open.

    Raises:
        ReferenceFileError: one is no day, or the last is before the first.
    """
    effective, deletion = row.date("effective_from"), row.date("effective_to")
    if effective and deletion and deletion < effective:
        raise row.refused("the row ends before it begins", "effective_from up to effective_to")
    return effective, deletion


def _range(row: Row, each: ListingField) -> tuple[int, int]:
    texts = [row.text(header) for header in each.headers]
    if not any(texts) and each.optional:
        return 0, KEY_MAX
    first_text, last_text = texts[0], texts[-1] or texts[0]
    for text in (first_text, last_text):
        _check(row, each, text)
    first, last = _ends(each.form, first_text, last_text)
    if last < first:
        raise row.refused(f"{each.name} ends before it begins", " up to ".join(each.headers))
    return first, last


def _ends(form: Form, first: str, last: str) -> tuple[int, int]:
    if form is Form.DIAGNOSES:
        codes = np.array([code36(first), code36(last)], np.int64)
        return int(diagnosis_order(codes)[0]), int(diagnosis_order_last(codes)[1])
    if form is Form.TAXONOMIES:
        return _filled(first, _TAXONOMY_LENGTH, "0"), _filled(last, _TAXONOMY_LENGTH, "Z")
    if form is Form.ICD_PROCEDURES:
        return _filled(first, _ICD_PROCEDURE_LENGTH, "0"), _filled(last, _ICD_PROCEDURE_LENGTH, "Z")
    return code36(first), code36(last)


def _filled(text: str, length: int, filler: str) -> int:
    return code36(text.ljust(length, filler))


def _check(row: Row, each: ListingField, text: str) -> None:
    if not _COMPILED[each.form].fullmatch(text):
        shown = ascii(text[:20]) if each.form is not Form.TIN else "another value"
        raise row.refused(f"{each.name} is {shown}", _PATTERNS[each.form][1])


def _scalar(row: Row, each: ListingField) -> Any:
    text = row.text(each.name)
    if not text:
        if not each.optional:
            raise row.refused(f"{each.name} is blank", f"a value: {each.about}")
        return each.columns[each.name].none
    return _SCALARS[each.form](row, each)


def _code(row: Row, each: ListingField) -> int:
    text = row.text(each.name)
    _check(row, each, text)
    return code36(text)


def _number(row: Row, each: ListingField) -> int:
    text = row.text(each.name)
    _check(row, each, text)
    return int(text)


def _zip(row: Row, each: ListingField) -> int:
    region = 0 if len(row.text(each.name)) == _ZIP_LENGTH else ZIP_REGION_FIRST
    return region + _number(row, each)


def _word(row: Row, each: ListingField) -> int:
    return word_key(row.text(each.name))


def _text(row: Row, each: ListingField) -> bytes:
    text = row.text(each.name)
    if len(text) > TEXT_LENGTH_MAX or not (text.isascii() and text.isprintable()):
        raise row.refused(f"{each.name} is no text", f"up to {TEXT_LENGTH_MAX} characters of ASCII")
    return text.encode()


def _scaled(decimals: int, *, signed: bool = False) -> Read:
    def read(row: Row, each: ListingField) -> int:
        try:
            number = quantised(row.text(each.name), decimals)
        except ValueError as error:
            raise row.refused(
                f"{each.name}: {error}", f"a number of {decimals} decimals"
            ) from error
        if number < 0 and not signed:
            raise row.refused(f"{each.name} is below 0", "0 or more")
        return number

    return read


def _choice(choices: Sequence[str]) -> Mapping[str, int]:
    return {name: number for number, name in enumerate(choices) if name}


_FLAGS: Final = {"yes": True, "no": False}
_SCALARS: Final[Mapping[Form, Read]] = {
    Form.PROCEDURE: _code,
    Form.REVENUE_CODE: _code,
    Form.MODIFIER: _code,
    Form.PLACE: _number,
    Form.NPI: _number,
    Form.TIN: _code,
    Form.ZIP: _zip,
    Form.CARRIER: _number,
    Form.WORD: _word,
    Form.TEXT: _text,
    Form.LABEL: _text,
    Form.COUNT: lambda row, each: row.integer(each.name, 0, _COUNT_MAX),
    Form.UNITS: _scaled(3),
    Form.CENTS: _scaled(2),
    Form.RATIO_E4: _scaled(4),
    Form.DEGREES_E4: _scaled(4, signed=True),
    Form.FLAG: lambda row, each: row.choice(each.name, _FLAGS),
    Form.CHOICE: lambda row, each: row.choice(each.name, _choice(each.choices)),
    Form.LINE_OF_BUSINESS: lambda row, each: row.choice(each.name, _choice(LINES_OF_BUSINESS)),
    Form.SEX: lambda row, each: row.choice(each.name, _choice(SEXES)),
}
assert {*_SCALARS} | RANGES == {*Form}  # noqa: S101 - a form without a reader is no form
assert (ANY, ANY_PLACE, NONE) == (0, -1, -1)  # noqa: S101 - what blanks mean stands in the columns


_Span = tuple[int, int, date, date, Row]
"""First and last value of the axis, first and last day, and the row itself."""


def _refuse_overlaps(spec: ListingSpec, rows: Sequence[tuple[Row, Mapping[str, Any]]]) -> None:
    """Refuse a row that speaks of codes and days that another with the same key speaks of."""
    first, last = next(iter(spec.axis.columns)), list(spec.axis.columns)[-1]
    keys = ("tenant", *(c for f in spec.fields[1:] if f.key for c in f.columns))
    by_key: dict[tuple[Any, ...], list[_Span]] = defaultdict(list)
    for row, values in rows:
        days = values["effective"] or date.min, values["deletion"] or date.max
        span = (values[first], values[last], *days, row)
        by_key[tuple(values[name] for name in keys)].append(span)
    for spans in by_key.values():
        open_spans: list[_Span] = []
        for span in sorted(spans, key=lambda each: (each[0], each[4].number)):
            open_spans = [each for each in open_spans if each[1] >= span[0]]
            for other in open_spans:
                if span[2] <= other[3] and other[2] <= span[3]:
                    early, late = sorted((span[4], other[4]), key=lambda each: each.number)
                    raise late.refused(
                        f"{spec.axis.name} and days overlap with those of row {early.number}",
                        "one row for each code and day, or another value in a key field",
                    )
            open_spans.append(span)
