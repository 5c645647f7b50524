"""Rows of Postgres as Arrow tables and back, value by value the same."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import pyarrow as pa

Columns = Sequence[tuple[str, str]]
"""Names and SQL types."""

_TYPES: Final = {
    "text": pa.string(),
    "jsonb": pa.string(),
    "date": pa.date32(),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "smallint": pa.int16(),
    "boolean": pa.bool_(),
    "bytea": pa.binary(),
    "uuid": pa.binary(16),
}
_NUMERIC: Final = re.compile(r"numeric\((\d+),(\d+)\)")
_ARRAY: Final = "[]"


class UnknownTypeError(ValueError):
    """A column has a type that no file of ours can hold."""


def arrow_type(sql_type: str) -> pa.DataType:
    """Return what holds the values of an SQL type.

    Raises:
        UnknownTypeError: Nothing does; a new type of column has to be added here.
    """
    if sql_type.endswith(_ARRAY):
        return pa.list_(arrow_type(sql_type.removesuffix(_ARRAY)))
    if numeric := _NUMERIC.fullmatch(sql_type):
        return pa.decimal128(int(numeric[1]), int(numeric[2]))
    if sql_type not in _TYPES:
        raise UnknownTypeError(f"columns of type {sql_type} cannot be archived")
    return _TYPES[sql_type]


def arrow_schema(columns: Columns) -> pa.Schema:
    """Return the schema of a file of these columns."""
    return pa.schema([pa.field(name, arrow_type(sql_type)) for name, sql_type in columns])


def arrow_table(rows: Sequence[Any], columns: Columns) -> pa.Table:
    """Return rows, which hold these columns in this order, as a table."""
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays = [
        pa.array(_bytes(of_column, sql_type), arrow_type(sql_type))
        for of_column, (_, sql_type) in zip(values, columns, strict=True)
    ]
    return pa.table(arrays, schema=arrow_schema(columns))


def _bytes(values: Sequence[Any], sql_type: str) -> Sequence[Any]:
    if sql_type != "uuid":
        return values
    return [None if value is None else value.bytes for value in values]


def postgres_rows(table: pa.Table, columns: Columns) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table as Postgres takes them."""
    values = [_uuids(table.column(name).to_pylist(), sql_type) for name, sql_type in columns]
    return zip(*values, strict=True)


def _uuids(values: list[Any], sql_type: str) -> list[Any]:
    if sql_type != "uuid":
        return values
    return [None if value is None else UUID(bytes=value) for value in values]
