"""Messages to fields, in Python: the authority on what every value means.

One attribute getter runs over all claims, one over all lines: no Python loop per field.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter, methodcaller, not_
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from claimgate.v1 import claim_pb2
from numpy.typing import NDArray

from engine.codes import ABSENT, UNCODABLE, Code36, code36
from engine.columns import POS_ABSENT, POS_INVALID, Bools, Ints, rows_where
from engine.dates import DAYS
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
from engine.messages import Message
from engine.words import word_key

_MEMORY_MAX: Final = 200_000
_ROLE: Final = Field(Kind.ROLE, np.bool_)


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one field as they were sent, and the rows that they belong to."""

    field: Field
    values: Sequence[Any]
    rows: Ints
    count: int
    """Rows of the table, with or without a value."""

    def spread(self, column: Column) -> Column:
        """Return a column of the values as one of all rows; 0 where a row has none."""
        if len(column) == self.count:
            return column
        spread = np.zeros(self.count, column.dtype)
        spread[self.rows] = column
        return spread


@dataclass(frozen=True, slots=True)
class Sent:
    """Claims and lines as they were sent, by field; a provider's fields as `<role>.<field>`."""

    rows: Ints
    """Row of each of these claims among those of the pass."""
    claims: Mapping[str, Values]
    lines: Mapping[str, Values]
    line_owner: Ints
    """Which of these claims each line is of."""


class Memory(dict[str, int]):
    """A bounded memory of one conversion."""

    def __init__(self, convert: Callable[[str], int]) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, text: str) -> int:
        """Convert a text that was not seen yet."""
        value = self._convert(text)
        if len(self) < _MEMORY_MAX:
            self[text] = value
        return value


class _Lookup(Protocol):
    """Anything that turns a text into an integer by subscript."""

    def __getitem__(self, text: str, /) -> int: ...


class _Forgetful:
    """Codes of private fields: nothing is remembered."""

    def __getitem__(self, text: str) -> int:
        return code36(text)


class Read(NamedTuple):
    """What a reader takes out of the messages of a pass."""

    fields: Fields
    sent: Sent
    """Claims as they were sent: all of them, or those that may have a fault."""
    claims_at: Callable[[Ints], list[claim_pb2.Claim]]
    """Gives the claims of some rows as messages."""


def read(messages: Sequence[Message], message: Ints) -> Read:
    """Return the claims' fields as columns, and all claims as they were sent."""
    every = list(chain.from_iterable(each.rows().claims for each in messages))
    sent = sent_of(every, np.arange(len(message)))
    claims = sent.claims
    fields = Fields(
        message=message,
        texts={name: each.values for name, each in claims.items() if each.field.kind is Kind.KEPT},
        claims=_columns(claims),
        lines={"claim": sent.line_owner, **_columns(sent.lines)},
        diagnoses=_nested(claims["diagnoses"], DIAGNOSIS_FIELDS),
        icd_procedures=_nested(claims["icd_procedures"], ICD_PROCEDURE_FIELDS),
    )
    return Read(fields, sent, lambda rows: [every[row] for row in rows.tolist()])


def sent_of(claims: Sequence[claim_pb2.Claim], rows: Ints) -> Sent:
    """Take the fields out of claims, which are in these rows of the pass."""
    of_claims = _values(claims, CLAIM_FIELDS, CLAIM_ROLES)
    lines, owner = _flattened(of_claims["lines"].values)
    return Sent(rows, of_claims, _values(lines, LINE_FIELDS, LINE_ROLES), owner)


def blank(texts: Sequence[str]) -> Bools:
    """Return which texts are empty or nothing but white space."""
    if all(map(str.strip, texts)):
        return np.zeros(len(texts), np.bool_)
    return np.fromiter(map(not_, map(str.strip, texts)), np.bool_, len(texts))


def _values(
    rows: Sequence[Any],
    fields: Mapping[str, Field],
    roles: Mapping[str, Mapping[str, Field]],
) -> dict[str, Values]:
    every = np.arange(len(rows))
    values = {
        name: Values(fields[name], column, every, len(rows))
        for name, column in _read(rows, tuple(fields))
    }
    for role, provider in roles.items():
        has_role = np.fromiter(map(methodcaller("HasField", role), rows), np.bool_, len(rows))
        present, get = rows_where(has_role), attrgetter(role)
        values[role] = Values(_ROLE, (True,) * len(present), present, len(rows))
        providers = [get(rows[index]) for index in present.tolist()]
        for name, column in _read(providers, tuple(provider)):
            values[f"{role}.{name}"] = Values(provider[name], column, present, len(rows))
    return values


def _read(rows: Sequence[Any], names: tuple[str, ...]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Read all fields of all rows at once; a column per field."""
    columns: Any = ((),) * len(names)
    if rows:
        # A getter of one name gives the value itself, not a tuple of one.
        get = attrgetter(*names) if len(names) > 1 else lambda row: (getattr(row, names[0]),)
        columns = zip(*map(get, rows), strict=True)
    return zip(names, columns, strict=True)


def _flattened(lists: Sequence[Sequence[Any]]) -> tuple[list[Any], NDArray[np.int32]]:
    """Return all entries, and the row of the list that each is from."""
    counts = np.fromiter(map(len, lists), np.int32, len(lists))
    owner = np.repeat(np.arange(len(lists), dtype=np.int32), counts)
    return list(chain.from_iterable(lists)), owner


def _nested(lists: Values, fields: Mapping[str, Field]) -> dict[str, Column]:
    """Return the table of a list of messages."""
    rows, owner = _flattened(lists.values)
    return {"claim": owner, **_columns(_values(rows, fields, {}))}


def _columns(values: Mapping[str, Values]) -> dict[str, Column]:
    columns = {
        name: sent.spread(CONVERT[sent.field.kind](sent.values, sent.field))
        for name, sent in values.items()
        if sent.field.kind in CONVERT
    }
    for name, sent in values.items():
        if sent.field.kind in {Kind.CODES, Kind.INTS}:
            columns[f"{name}.count"] = _counts(sent.values, sent.field)
    return columns


def codes(texts: Sequence[str], field: Field) -> Column:
    """Return texts as the integers of `engine.codes`."""
    memory: _Lookup = _FORGETFUL if field.private else _CODES
    wide = np.fromiter(map(memory.__getitem__, texts), np.int64, len(texts))
    if field.dtype is np.int64:
        return wide
    narrow = wide.astype(field.dtype)
    return np.where(narrow == wide, narrow, field.dtype(UNCODABLE))


def _words(texts: Sequence[str], field: Field) -> Column:
    of_text = word_key if field.private else _WORDS.__getitem__
    return np.fromiter(map(of_text, texts), np.int64, len(texts))


def _mapped(memory: _Lookup) -> Callable[[Sequence[str], Field], Column]:
    def convert(texts: Sequence[str], field: Field) -> Column:
        return np.fromiter(map(memory.__getitem__, texts), field.dtype, len(texts))

    return convert


def _numbers(values: Sequence[int], field: Field) -> Column:
    return np.fromiter(values, field.dtype, len(values))


def _filled(texts: Sequence[str], _: Field) -> Column:
    return ~blank(texts)


def _counts(lists: Sequence[Sequence[Any]], _: Field) -> Column:
    return np.fromiter(map(len, lists), np.int32, len(lists))


def _padded(lists: Sequence[Sequence[Any]], field: Field) -> Column:
    flat, row = _flattened(lists)
    values = (codes if field.kind is Kind.CODES else _numbers)(flat, field)
    return padded(values, np.bincount(row, minlength=len(lists)), field)


def padded(values: Column, counts: Ints, field: Field) -> Column:
    """Lists as rows of equal width, padded with 0; what is beyond is a structural fault."""
    row = np.repeat(np.arange(len(counts)), counts)
    entry = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    fits = entry < field.entries
    padded = np.zeros((len(counts), field.entries), field.dtype)
    padded[row[fits], entry[fits]] = values[fits]
    return padded


def _npi(text: str) -> int:
    text = text.strip()
    if not text:
        return ABSENT
    digits = len(text) == 10 and text.isascii() and text.isdigit()
    return int(text) or UNCODABLE if digits else UNCODABLE


def _place(text: str) -> int:
    text = text.strip()
    if not text:
        return POS_ABSENT
    return int(text) if len(text) == 2 and text.isascii() and text.isdigit() else POS_INVALID


def _zip5(text: str) -> int:
    text = text.strip()[:5]
    if not text:
        return ABSENT
    number = int(text) if len(text) == 5 and text.isascii() and text.isdigit() else 0
    return number or UNCODABLE  # 00000 is no ZIP code, and not as good as none at all


_CODES: Final = Code36()
_WORDS: Final = Memory(word_key)
_FORGETFUL: Final = _Forgetful()
CONVERT: Final[Mapping[Kind, Callable[[Sequence[Any], Field], Column]]] = {
    Kind.CODE: codes,
    Kind.DAY: _mapped(DAYS),
    Kind.NPI: _mapped(Memory(_npi)),
    Kind.PLACE: _mapped(Memory(_place)),
    Kind.ZIP5: _mapped(Memory(_zip5)),
    Kind.WORD: _words,
    Kind.INT: _numbers,
    Kind.BOOL: _numbers,
    Kind.FILLED: _filled,
    Kind.COUNT: _counts,
    Kind.CODES: _padded,
    Kind.INTS: _padded,
    Kind.ROLE: _numbers,
}
"""How the values of a field become a column."""
