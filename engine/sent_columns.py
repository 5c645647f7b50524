"""One message of columns: its bytes, and its columns with the lengths that they must have."""

from typing import Final, NamedTuple

import numpy as np
from claimgate.columns.layout import COLUMNS, ColumnError, Form, Layout, by_field, check_described
from claimgate.v1 import claim_columns_pb2
from claimgate.wire.v1 import columns_pb2 as wire
from google.protobuf.message import DecodeError

CLAIMS: Final = ""
"""The table of the claims themselves."""

PARENTS: Final = {each.path: each.table for each in COLUMNS.values() if each.form is Form.ROWS}
"""The table above each table, by the paths of their lists."""

_TRUTHS: Final = b"\0\1"


def parse(content: bytes) -> wire.ClaimColumns:
    """Read the bytes of a `ClaimColumns`, arrays as bytes.

    What does not lie on the wire as we write it (numbers one by one, a list in several pieces) is
    written anew by the message of the API first.
    """
    try:
        message = wire.ClaimColumns.FromString(content)
        message.DiscardUnknownFields()
        if message.ByteSize() == len(content) and not any(
            column.present.strip(_TRUTHS) for column in message.columns
        ):
            return message
        public = claim_columns_pb2.ClaimColumns.FromString(content)
    except DecodeError:
        raise ColumnError("columns", "a message of claimgate.v1.ClaimColumns") from None
    public.DiscardUnknownFields()
    return wire.ClaimColumns.FromString(public.SerializeToString())


class SentColumn(NamedTuple):
    """One column of one message; arrays as the bytes that they came as."""

    texts: list[str]
    numbers: bytes
    places: bytes
    counts: bytes
    present: bytes
    rows: int
    """Rows of its table."""
    values: int
    """Its values: as many as rows, or as all its lists have entries."""


def checked(message: wire.ClaimColumns) -> tuple[dict[str, SentColumn], dict[str, int]]:
    """Return the columns of a message and the rows of its tables, held against each other.

    Raises:
        ColumnError: They do not fit, as far as numbers of values tell.
    """
    if message.claims < 0:
        raise ColumnError("claims", "a number of claims, 0 or more")
    sent = by_field(message.columns)
    rows = {CLAIMS: message.claims}
    columns: dict[str, SentColumn] = {}
    for path in PARENTS:
        rows[path] = 0
        if path in sent:
            column = _measured(sent[path], COLUMNS[path], rows[PARENTS[path]])
            columns[path] = column
            rows[path] = column.values
        check_described(COLUMNS[path], rows[path], sent)
    for path, unmeasured in sent.items():
        if path not in rows:
            layout = COLUMNS[path]
            columns[path] = _measured(unmeasured, layout, rows[layout.table])
    return columns, rows


def _measured(column: wire.Column, layout: Layout, rows: int) -> SentColumn:
    """Return a column whose lengths fit."""
    texts, numbers, places = column.texts[:], column.numbers, column.places
    counts, present = column.counts, column.present
    form = layout.form
    # What is as it should be is told by few comparisons: a pass has a thousand of these columns.
    if (
        (form is Form.TEXT and places and len(places) == 4 * rows and not numbers)
        or (form is Form.NUMBER and len(numbers) == 8 * rows and not texts and not places)
    ) and not (layout.listed or counts or present):
        return SentColumn(texts, numbers, places, counts, present, rows, rows)
    if len(numbers) % 8 or len(places) % 4 or len(counts) % 4:
        raise ColumnError(layout.path, "whole values of eight or four bytes")
    lengths = {"texts": len(texts), "numbers": len(numbers) // 8, "places": len(places) // 4}
    layout.check_lengths(rows, **lengths, counts=len(counts) // 4, present=len(present))
    values = rows
    if layout.listed or form is Form.ROWS:
        values = int(np.frombuffer(counts, "<u4").sum())
    if layout.listed:
        layout.check_values(values, **lengths)
    return SentColumn(texts, numbers, places, counts, present, rows, values)
