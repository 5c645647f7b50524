"""Columns put together field by field, for callers that hold columns themselves."""

import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import count

from claimgate.columns.layout import COLUMNS, NO_SUCH_FIELD, ONCE, ColumnError, Form, Layout
from claimgate.v1.claim_columns_pb2 import ClaimColumns
from claimgate.wire.v1 import columns_pb2 as wire

_NUMBER, _PLACE, _FLAG = "q", "I", "B"


class Columns:
    """Collects the columns of some claims: each field once, in any order.

    Fields are named by their path: `claim_id`, `billing_provider.npi`, `lines.charge_cents`. What
    every row leaves empty need not be added. The service holds the columns against each other;
    here only the field, its form and its numbers are looked at.
    """

    def __init__(self, claims: int) -> None:
        self._message = wire.ClaimColumns(claims=claims)
        self._added: set[str] = set()

    def texts(
        self, field: str, values: Sequence[str], *, counts: Iterable[int] | None = None
    ) -> None:
        """Add a text: a value of each row, or all entries of a list and each row's count of them.

        Raises:
            ColumnError: There is no such text, or it was added before.
        """
        column = self._column(self._layout(field, Form.TEXT, listed=counts is not None))
        self._count(column, counts)
        put_texts(column, values)

    def numbers(
        self,
        field: str,
        values: Iterable[int],
        *,
        counts: Iterable[int] | None = None,
        present: Iterable[bool] | None = None,
    ) -> None:
        """Add a number, an enum or a truth value, as `texts` does.

        Args:
            field: Path of the field.
            values: Value of each row, 0 where it has none.
            counts: Of a list: entries of each row.
            present: Of a field that may be left out: whether each row has it.

        Raises:
            ColumnError: There is no such number, it is beyond its bounds, or was added before.
        """
        layout = self._layout(field, Form.NUMBER, listed=counts is not None)
        numbers = _packed(layout, _NUMBER, values, layout.bounds)
        if numbers:
            layout.check_bounds(min(numbers), max(numbers))
        column = self._column(layout)
        self._count(column, counts)
        column.numbers = _little(numbers)
        if present is not None:
            column.present = bytes(map(bool, present))

    def counts(self, field: str, values: Iterable[int]) -> None:
        """Add how many entries of a list of messages, or of a map, each row has.

        Raises:
            ColumnError: There is no such list, a count is none, or it was added before.
        """
        column = self._column(self._layout(field, Form.ROWS, listed=False))
        self._count(column, values)

    def present(self, field: str, values: Iterable[bool]) -> None:
        """Add whether each row has a provider.

        Raises:
            ColumnError: There is no such provider, or it was added before.
        """
        column = self._column(self._layout(field, Form.PART, listed=False))
        flags = bytes(map(bool, values))
        column.present = b"" if all(flags) else flags

    def message(self) -> ClaimColumns:
        """Return the columns as the message of the API."""
        return ClaimColumns.FromString(self._message.SerializeToString())

    def _layout(self, field: str, form: Form, *, listed: bool) -> Layout:
        layout = COLUMNS.get(field)
        if layout is None:
            raise ColumnError(field, NO_SUCH_FIELD)
        if layout.form is not form:
            raise ColumnError(field, layout.form.value)
        if layout.listed is not listed:
            raise ColumnError(field, "counts" if layout.listed else "no counts")
        return layout

    def _column(self, layout: Layout) -> wire.Column:
        if layout.path in self._added:
            raise ColumnError(layout.path, ONCE)
        self._added.add(layout.path)
        return self._message.columns.add(field=layout.path)

    def _count(self, column: wire.Column, counts: Iterable[int] | None) -> None:
        if counts is not None:
            layout = COLUMNS[column.field]
            column.counts = _little(_packed(layout, _PLACE, counts, (0, 2**32 - 1)))


def put_texts(column: wire.Column, values: Sequence[str]) -> None:
    """Fill a column with texts: each different one once, where some come again."""
    different = dict.fromkeys(values)
    column.texts.extend(different)
    if len(different) < len(values):
        places = dict(zip(different, count(), strict=False))
        column.places = _little(array(_PLACE, map(places.__getitem__, values)))


def put_numbers(column: wire.Column, values: Iterable[int]) -> None:
    """Fill a column with numbers that are known to be within their bounds."""
    column.numbers = _little(array(_NUMBER, values))


def put_counts(column: wire.Column, values: Iterable[int]) -> None:
    """Fill a column with counts."""
    column.counts = _little(array(_PLACE, values))


def put_present(column: wire.Column, values: Sequence[bool]) -> None:
    """Say which rows have a field; nothing where all have."""
    column.present = b"" if all(values) else bytes(values)


def _packed(
    layout: Layout, code: str, values: Iterable[int], bounds: tuple[int, int]
) -> "array[int]":
    try:
        return array(code, values)
    except OverflowError:
        low, high = bounds
        raise ColumnError(layout.path, f"numbers from {low} to {high}") from None


def _little(values: "array[int]") -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
