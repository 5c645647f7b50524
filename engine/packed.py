"""Messages of columns, checked, and joined column by column: one pass as few arrays.

Texts stay as they are, each different one of a message once, with the place of each row's text
beside them; what they mean is worked out by `engine.fields_columns`.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

import numpy as np
from claimgate.columns.layout import (
    ABSENT_IS_EMPTY,
    COLUMNS,
    UNIQUE_KEYS,
    ColumnError,
    Form,
    Layout,
)
from claimgate.columns.unpacking import Values, fill
from claimgate.v1 import claim_pb2
from numpy.typing import NDArray

from engine.columns import Bools, Ints, distinct_values
from engine.sent_columns import CLAIMS, PARENTS, SentColumn, checked, parse


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a pass: a value for each row of its table, or for each entry of its lists."""

    texts: Sequence[str] = ()
    """Of a text: the texts of all messages, one after the other."""
    places: NDArray[np.intp] | None = None
    """Place in `texts` of each value; None where they are the values themselves, in order."""
    numbers: NDArray[np.int64] | None = None
    counts: NDArray[np.int64] | None = None
    present: Bools | None = None
    """Whether each row has the field; None where all have."""

    def spread(self, of_texts: NDArray[Any]) -> NDArray[Any]:
        """Return what was worked out of each text as one of each value."""
        return of_texts if self.places is None else of_texts[self.places]

    @property
    def filled(self) -> Bools:
        """Which values are not empty."""
        if self.numbers is not None:
            return self.numbers != 0
        filled, at = np.ones(len(self.texts), np.bool_), -1
        for _ in range(self.texts.count("")):
            at = self.texts.index("", at + 1)
            filled[at] = False
        return self.spread(filled)

    def values(self, rows: Ints) -> list[Any]:
        """Return some of the values."""
        if self.numbers is not None:
            return self.numbers[rows].tolist()
        places = rows if self.places is None else self.places[rows]
        return list(map(self.texts.__getitem__, places.tolist()))


@dataclass(frozen=True, slots=True)
class Packed:
    """The columns of a pass."""

    message_claims: Sequence[int]
    columns: Mapping[str, Column]
    rows: Mapping[str, int]
    """How many rows each table has, by the path of its list; the claims under an empty one."""

    def owner(self, table: str) -> NDArray[np.int32]:
        """Return the row above each row of a table."""
        column = self.columns.get(table)
        if column is None or column.counts is None:
            return np.zeros(0, np.int32)
        return np.repeat(np.arange(len(column.counts), dtype=np.int32), column.counts)

    def claims(self, rows: Ints, *, lists: Sequence[str] = ()) -> list[claim_pb2.Claim]:
        """Return some claims as rows: whole, or nothing but the named lists."""
        claims = [claim_pb2.Claim() for _ in range(len(rows))]
        wanted = [path for path in self.columns if not lists or _leads_to(path, lists)]
        fill(claims, self._of(np.asarray(rows, np.intp), frozenset(wanted)))
        return claims

    def _of(self, rows: NDArray[np.intp], wanted: Container[str]) -> dict[str, Values]:
        """Return columns of some claims."""
        of_table, taken = {CLAIMS: rows}, {}
        for path, layout in COLUMNS.items():
            if path not in wanted:
                if layout.form is Form.ROWS:
                    of_table[path] = rows[:0]
                continue
            column = self.columns[path]
            of_row = of_table[layout.table]
            counts: list[int] = []
            of_value = of_row
            if column.counts is not None:
                counts = column.counts[of_row].tolist()
                of_value = _entries(column.counts, of_row)
            if layout.form is Form.ROWS:
                of_table[path] = of_value
            has_values = layout.form in {Form.TEXT, Form.NUMBER}
            taken[path] = Values(
                column.values(of_value) if has_values else (),
                counts,
                () if column.present is None else column.present[of_row].tolist(),
            )
        return taken


def _leads_to(path: str, lists: Sequence[str]) -> bool:
    """Whether a column is of one of the lists, or counts what one of them is in."""
    return any(f"{path}.".startswith(f"{each}.") or each.startswith(f"{path}.") for each in lists)


def _entries(counts: NDArray[np.int64], rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the places of the entries of some rows among those of all."""
    starts = (np.cumsum(counts) - counts)[rows]
    taken = counts[rows]
    ends = np.cumsum(taken)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - taken), taken)


def join(contents: Sequence[bytes]) -> Packed:
    """Return the columns of all messages, one message after the other.

    Args:
        contents: Serialized `ClaimColumns`.

    Raises:
        ColumnError: The columns of a message contradict each other or the API.
    """
    messages = [checked(parse(content)) for content in contents]
    every = {path for columns, _ in messages for path in columns}
    columns: dict[str, Column] = {}
    for path, layout in COLUMNS.items():
        if path in every and layout.form is not Form.PART:
            columns[path] = _joined(
                layout,
                [columns.get(path) or _empty(layout, rows) for columns, rows in messages],
            )
    for path, layout in COLUMNS.items():
        if layout.form is Form.PART:
            there = _part(layout, messages, columns)
            if there is not None:
                columns[path] = there
    packed = Packed(
        [rows[CLAIMS] for _, rows in messages],
        columns,
        {table: sum(rows[table] for _, rows in messages) for table in (CLAIMS, *PARENTS)},
    )
    _check_absent(columns)
    _check_keys(packed)
    return packed


def _empty(layout: Layout, rows_of: Mapping[str, int]) -> SentColumn:
    """Return a column for a message that has none of the field."""
    rows = rows_of[layout.table]
    if layout.listed or layout.form is Form.ROWS:
        return SentColumn([], b"", b"", bytes(4 * rows), b"", rows, 0)
    present = bytes(rows) if layout.optional else b""
    if layout.form is Form.TEXT:
        return SentColumn([""][:rows], b"", bytes(4 * rows), b"", present, rows, rows)
    return SentColumn([], bytes(8 * rows), b"", b"", present, rows, rows)


def _joined(layout: Layout, sent: Sequence[SentColumn]) -> Column:
    counts = numbers = None
    if layout.listed or layout.form is Form.ROWS:
        counts = np.frombuffer(b"".join([each.counts for each in sent]), "<u4").astype(np.int64)
    texts: Sequence[str] = ()
    places = None
    if layout.form is Form.TEXT:
        texts, places = _joined_texts(layout, sent)
    if layout.form is Form.NUMBER:
        numbers = np.frombuffer(b"".join([each.numbers for each in sent]), "<i8")
        if len(numbers):
            layout.check_bounds(int(numbers.min()), int(numbers.max()))
    return Column(texts, places, numbers, counts, _present(sent) if layout.optional else None)


def _joined_texts(
    layout: Layout, sent: Sequence[SentColumn]
) -> tuple[Sequence[str], NDArray[np.intp] | None]:
    """Return the texts of all messages, and the places of all values among them."""
    if len(sent) == 1:
        [only] = sent
        if not only.places:
            return only.texts, None
        places = np.frombuffer(only.places, "<u4")
        layout.check_places(int(places.max()), len(only.texts))
        return only.texts, places.astype(np.intp)
    texts = list(chain.from_iterable([each.texts for each in sent]))
    if not any(each.places for each in sent):
        return texts, None
    of_message = np.frombuffer(b"".join([each.places or _places(each) for each in sent]), "<u4")
    values = [each.values for each in sent]
    sizes = [len(each.texts) for each in sent]
    if of_message.max() >= min(sizes):
        beyond = of_message >= np.repeat(sizes, values)
        if beyond.any():
            worst = int(np.argmax(beyond))
            number = int(np.searchsorted(np.cumsum(values), worst, side="right"))
            layout.check_places(int(of_message[worst]), sizes[number])
    return texts, of_message + np.repeat([0, *accumulate(sizes[:-1])], values)


def _places(sent: SentColumn) -> bytes:
    """Return the places of a message's values where they were left out."""
    return np.arange(sent.values, dtype="<u4").tobytes()


def _present(sent: Sequence[SentColumn]) -> Bools | None:
    """Return which rows have a field that may be left out; None where all have."""
    if not any(each.present for each in sent):
        return None
    return np.frombuffer(b"".join([each.present or b"\1" * each.rows for each in sent]), np.bool_)


def _part(
    layout: Layout,
    messages: Sequence[tuple[Mapping[str, SentColumn], Mapping[str, int]]],
    columns: Mapping[str, Column],
) -> Column | None:
    """Return which rows have a provider; None where no message says anything of one.

    Where a message does not say it, a row has the provider that a field of is filled.
    """
    within = [columns[each.path] for each in layout.fields.values() if each.path in columns]
    sent = [columns.get(layout.path) for columns, _ in messages]
    if not within and not any(sent):
        return None
    filled: Bools = np.zeros(0, np.bool_)
    if not all(sent):
        filled = np.logical_or.reduce(
            [each.filled for each in within]
            or [np.zeros(sum(rows[layout.table] for _, rows in messages), np.bool_)]
        )
    parts, at = [], 0
    for each, (_, rows) in zip(sent, messages, strict=True):
        end = at + rows[layout.table]
        if each is None:
            parts.append(filled[at:end])
        elif each.present:
            parts.append(np.frombuffer(each.present, np.bool_))
        else:
            parts.append(np.ones(each.rows, np.bool_))
        at = end
    present = np.concatenate(parts)
    return Column(present=None if present.all() else present)


def _check_absent(columns: Mapping[str, Column]) -> None:
    """Refuse values in rows that do not have the field."""
    for path, column in columns.items():
        layout = COLUMNS[path]
        present = column.present
        if layout.part and layout.form is not Form.PART:
            present = columns[layout.part].present
        if layout.form is Form.PART or present is None:
            continue
        if (column.filled > present).any():
            raise ColumnError(path, ABSENT_IS_EMPTY)


def _check_keys(packed: Packed) -> None:
    """Refuse a key that comes twice in one map."""
    for path in packed.columns:
        layout = COLUMNS[path]
        if not layout.keyed or not packed.rows[path]:
            continue
        key = layout.fields["key"].path
        owner, keys = packed.owner(path), np.zeros(packed.rows[path], np.int64)
        if key in packed.columns:
            texts = packed.columns[key].texts
            numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
            of_text = np.fromiter(map(numbers.__getitem__, texts), np.int64, len(texts))
            keys = packed.columns[key].spread(of_text)
        pairs = owner.astype(np.int64) << 32 | keys
        if len(distinct_values(pairs)) < len(pairs):
            raise ColumnError(key, UNIQUE_KEYS)
