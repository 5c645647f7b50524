"""Messages of columns to fields: the same columns as the row readers', without a loop over rows.

A text is converted once for each message that it stands in, by the very functions that read rows in
Python; the rows take the outcome by its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any, Final

import numpy as np

from engine.columns import Bools, rows_where
from engine.dates import ABSENT_DAY
from engine.fields import (
    CLAIM_FIELDS,
    CLAIM_ROLES,
    DIAGNOSIS_FIELDS,
    ICD_PROCEDURE_FIELDS,
    LINE_FIELDS,
    LINE_ROLES,
    Column,
    Field,
    Fields,
    Kind,
)
from engine.fields_python import CONVERT, Sent, codes, padded, sent_of
from engine.packed import Packed, join
from engine.validate import CHECKED_TEXTS, faulty, impossible, suspect
from engine.words import word_keys

_LISTS: Final = frozenset({Kind.CODES, Kind.INTS})
_WITHOUT_TEXT: Final = frozenset({Kind.INT, Kind.BOOL, Kind.ROLE, Kind.COUNT, *_LISTS})
_WITHOUT_COLUMN: Final = frozenset({Kind.TEXT, Kind.ROWS, Kind.KEPT})


def _with_roles(
    fields: Mapping[str, Field], roles: Mapping[str, Mapping[str, Field]]
) -> dict[str, Field]:
    """Return the fields of a table with those of its providers, `<role>.<field>`."""
    every = dict(fields)
    for role, provider in roles.items():
        every[role] = Field(Kind.ROLE, np.bool_)
        every |= {f"{role}.{name}": each for name, each in provider.items()}
    return every


_CLAIM: Final = _with_roles(CLAIM_FIELDS, CLAIM_ROLES)
_LINE: Final = _with_roles(LINE_FIELDS, LINE_ROLES)


def read(contents: Sequence[bytes]) -> tuple[Fields, Sent, Packed]:
    """Return the claims' fields, those claims as sent that may have a faulty text, and the columns.

    Args:
        contents: Serialized `ClaimColumns`, one or more.

    Raises:
        ColumnError: The columns of a message contradict each other or the API.
    """
    packed = join(contents)
    message = np.repeat(np.arange(len(contents), dtype=np.int32), packed.message_claims)
    claims = _Table(packed, "", _CLAIM)
    lines = _Table(packed, "lines", _LINE)
    fields = Fields(
        message=message,
        texts={name: claims.kept(name) for name, each in _CLAIM.items() if each.kind is Kind.KEPT},
        claims=claims.columns(),
        lines=lines.columns(),
        diagnoses=_Table(packed, "diagnoses", DIAGNOSIS_FIELDS).columns(),
        icd_procedures=_Table(packed, "icd_procedures", ICD_PROCEDURE_FIELDS).columns(),
    )
    rows = rows_where(_doubtful(fields, claims, lines))
    return fields, sent_of(packed.claims(rows), rows), packed


def _doubtful(fields: Fields, claims: "_Table", lines: "_Table") -> Bools:
    """Return which claims have a text at fault, or a date that is none, in themselves or a line."""
    dated = fields.claims["service_from_date"], fields.claims["service_to_date"]
    doubtful = (dated[0] == ABSENT_DAY) | (dated[1] == ABSENT_DAY) | claims.faulty()
    doubtful[fields.lines["claim"][lines.faulty()]] = True
    return doubtful


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of a pass and what is read of it."""

    packed: Packed
    path: str
    fields: Mapping[str, Field]
    _empty: dict[tuple[Any, ...], Column] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.packed.rows[self.path]

    def columns(self) -> dict[str, Column]:
        """Return every column that is read, with the row of the claim where it is not claims."""
        columns: dict[str, Column] = {}
        if self.path:
            columns["claim"] = self.packed.owner(self.path)
        for name, each in self.fields.items():
            if each.kind not in _WITHOUT_COLUMN:
                columns[name] = self._column(name, each)
            if each.kind in _LISTS:
                columns[f"{name}.count"] = self._column(name, Field(Kind.COUNT))
        return columns

    def kept(self, name: str) -> list[str]:
        """Return a text of each row as it was sent."""
        sent = self.packed.columns.get(self._path(name))
        if sent is None:
            return [""] * self.rows
        if sent.places is None:
            return list(sent.texts)
        return list(map(sent.texts.__getitem__, sent.places.tolist()))

    def faulty(self) -> Bools:
        """Return which rows have a text that is too long, or has control characters, or no date."""
        rows = np.zeros(self.rows, np.bool_)
        for name, each in self.fields.items():
            sent = self.packed.columns.get(self._path(name))
            if sent is None or not sent.texts:
                continue
            bad = _faulty(sent.texts, each)
            if bad is None or not bad.any():
                continue
            values = sent.spread(bad)
            if sent.counts is not None:
                values = np.repeat(np.arange(self.rows), sent.counts)[values]
            rows[values] = True
        return rows

    def _column(self, name: str, each: Field) -> Column:
        sent = self.packed.columns.get(self._path(name))
        if sent is None:
            return self._without(each)
        kind = each.kind
        if kind is Kind.ROLE:
            there = sent.present
            return np.ones(self.rows, np.bool_) if there is None else there
        if sent.counts is not None:
            if kind is Kind.COUNT:
                return sent.counts.astype(each.dtype)
            values: Any = sent.numbers
            if kind is Kind.CODES:
                values = sent.spread(codes(sent.texts, each))
            return padded(values.astype(each.dtype), sent.counts, each)
        if sent.numbers is not None:
            return sent.numbers.astype(each.dtype)
        if kind is Kind.WORD:
            return sent.spread(word_keys(sent.texts))
        if each.private:
            return sent.spread(_at_once(sent.texts, each))
        return sent.spread(CONVERT[kind](sent.texts, each))

    def _without(self, each: Field) -> Column:
        """Return a column that nobody sent; those alike are one array, since none is written to."""
        shape = (self.rows, each.entries) if each.kind in _LISTS else (self.rows,)
        blank = _blank(each)
        key = (each.dtype, blank, shape)
        if key not in self._empty:
            self._empty[key] = np.full(shape, blank, each.dtype)
        return self._empty[key]

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


@cache
def _blank(each: Field) -> int:
    """Return what stands for a field that was left out."""
    if each.kind in _WITHOUT_TEXT:
        return 0
    return int(CONVERT[each.kind]([""], each)[0])


def _at_once(texts: Sequence[str], each: Field) -> Column:
    """Convert texts that no reader remembers, those of all messages once."""
    places = dict(zip(dict.fromkeys(texts), count(), strict=False))
    converted = CONVERT[each.kind](list(places), each)
    return converted[np.fromiter(map(places.__getitem__, texts), np.intp, len(texts))]


def _faulty(texts: Sequence[str], each: Field) -> Bools | None:
    """Return which texts of a field are at fault; None where none can be."""
    if each.kind is Kind.DAY:
        return impossible(texts)
    checked = each.kind in CHECKED_TEXTS or each.kind is Kind.CODES
    if not checked or not suspect(texts, each.limit):
        return None
    return np.fromiter((faulty(text, each.limit) for text in texts), np.bool_, len(texts))
