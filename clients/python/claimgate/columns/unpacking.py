"""Columns back to the claims that they hold, as rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any

from claimgate.columns.layout import (
    ABSENT_IS_EMPTY,
    CLAIM,
    COLUMNS,
    UNIQUE_KEYS,
    ColumnError,
    Form,
    Layout,
    by_field,
    check_described,
)
from claimgate.v1 import claim_pb2
from claimgate.v1.claim_columns_pb2 import ClaimColumns, Column
from claimgate.v1.score_pb2 import ClaimBatch


@dataclass(frozen=True, slots=True)
class Values:
    """One column, a value for each row of its table or for each entry of its lists."""

    values: Sequence[Any] = ()
    """Texts or numbers."""
    counts: Sequence[int] = ()
    present: Sequence[bool] = ()
    """Whether each row has the field; empty where all have."""


def unpack(columns: ClaimColumns) -> ClaimBatch:
    """Return the claims as rows.

    Raises:
        ColumnError: The columns contradict each other or the API.
    """
    if columns.claims < 0:
        raise ColumnError("claims", "a number of claims, 0 or more")
    checked = _checked(columns)
    batch = ClaimBatch()
    rows = [batch.claims.add() for _ in range(columns.claims)]
    fill(rows, checked)
    return batch


def fill(rows: Sequence[claim_pb2.Claim], columns: Mapping[str, Values]) -> None:
    """Fill empty claims from columns that were checked."""
    _fill(rows, CLAIM.values(), columns)


def _fill(rows: Sequence[Any], fields: Iterable[Layout], columns: Mapping[str, Values]) -> None:
    for each in fields:
        if each.form is Form.PART:
            _fill_part(rows, each, columns)
        elif column := columns.get(each.path):
            _fill_field(rows, each, column, columns)


def _fill_field(
    rows: Sequence[Any], each: Layout, column: Values, columns: Mapping[str, Values]
) -> None:
    name = each.name
    if each.keyed:
        keys, values = (_entries_of(each, key, column.counts, columns) for key in each.fields)
        for row, count in zip(rows, column.counts, strict=True):
            getattr(row, name).update(zip(islice(keys, count), islice(values, count), strict=True))
    elif each.form is Form.ROWS:
        entries = [
            entries.add()
            for row, count in zip(rows, column.counts, strict=True)
            if count
            for entries in repeat(getattr(row, name), count)
        ]
        _fill(entries, each.fields.values(), columns)
    elif each.listed:
        remaining = iter(column.values)
        for row, count in zip(rows, column.counts, strict=True):
            if count:
                getattr(row, name).extend(islice(remaining, count))
    else:
        everywhere = (1,) * len(rows) if each.optional else column.values
        has = column.present or everywhere
        for row, value, there in zip(rows, column.values, has, strict=True):
            if there:
                setattr(row, name, value)


def _fill_part(rows: Sequence[Any], each: Layout, columns: Mapping[str, Values]) -> None:
    """Fill a provider where it is, be it that any of its fields says so."""
    if column := columns.get(each.path):
        has = column.present or (1,) * len(rows)
        for row, there in zip(rows, has, strict=True):
            if there:
                getattr(row, each.name).SetInParent()
    for inner in each.fields.values():
        if column := columns.get(inner.path):
            for row, value in zip(rows, column.values, strict=True):
                if value:
                    setattr(getattr(row, each.name), inner.name, value)


# Columns that callers sent, checked.
# --------------------------------------------------------------------------------------------------


def _checked(columns: ClaimColumns) -> dict[str, Values]:
    sent = by_field(columns.columns)
    rows, checked = {"": columns.claims}, {}
    for path, layout in COLUMNS.items():
        column = sent.get(path)
        if column is not None:
            checked[path] = _values(layout, column, rows[layout.table])
        if layout.form is Form.ROWS:
            rows[path] = sum(column.counts) if column else 0
            check_described(layout, rows[path], sent)
    for path, values in checked.items():
        _check_part(COLUMNS[path], values, checked)
        if COLUMNS[path].keyed:
            _check_keys(COLUMNS[path], values, checked)
    return checked


def _values(layout: Layout, column: Column, rows: int) -> Values:
    """Return what a column holds, held against its layout and the rows of its table."""
    lengths = {
        "texts": len(column.texts),
        "numbers": len(column.numbers),
        "places": len(column.places),
    }
    counts = column.counts[:]
    layout.check_lengths(rows, **lengths, counts=len(counts), present=len(column.present))
    if layout.listed:
        layout.check_values(sum(counts), **lengths)
    values: Sequence[Any] = column.numbers[:]
    if layout.form is Form.TEXT:
        values = column.texts[:]
        if column.places:
            layout.check_places(max(column.places), len(values))
            values = list(map(values.__getitem__, column.places))
    elif values:
        layout.check_bounds(min(values), max(values))
    return Values(values, counts, column.present[:])


def _check_part(layout: Layout, values: Values, columns: Mapping[str, Values]) -> None:
    """Refuse values in rows that do not have the field."""
    present = values.present
    if layout.form is not Form.PART and layout.part in columns:
        present = columns[layout.part].present
    if any(value and not there for value, there in zip(values.values, present, strict=False)):
        raise ColumnError(layout.path, ABSENT_IS_EMPTY)


def _check_keys(layout: Layout, values: Values, columns: Mapping[str, Values]) -> None:
    """Refuse a key that comes twice in one map."""
    keys = _entries_of(layout, "key", values.counts, columns)
    if any(len(set(islice(keys, count))) < count for count in values.counts):
        raise ColumnError(layout.fields["key"].path, UNIQUE_KEYS)


def _entries_of(
    layout: Layout, name: str, counts: Sequence[int], columns: Mapping[str, Values]
) -> Iterator[str]:
    """Return a field of all entries of a map; empty texts where no column is sent for it."""
    column = columns.get(layout.fields[name].path)
    return iter(column.values if column else [""] * sum(counts))
