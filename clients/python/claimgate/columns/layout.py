"""Which columns there can be of a claim: one for each field of the API, by its path.

The fields come from the API's descriptors, so a field that is added to a message is a column too.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from claimgate.v1 import claim_pb2

_BOUNDS: Final = {
    FieldDescriptor.CPPTYPE_BOOL: (0, 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
}


NO_SUCH_FIELD: Final = "a field of claimgate.v1.Claim"
ONCE: Final = "each field once"
UNIQUE_KEYS: Final = "each key once in a claim"
ABSENT_IS_EMPTY: Final = "nothing in rows that do not have the field"


class Form(Enum):
    """What a column holds."""

    TEXT = "texts"
    NUMBER = "numbers"
    ROWS = "counts"
    """How many entries a list of messages or a map has."""
    PART = "present"
    """Whether there is a message that is no list, such as a provider."""


class ColumnError(ValueError):
    """A column contradicts itself, the others or the API. No value of it is repeated."""

    def __init__(self, column: str, expected: str) -> None:
        super().__init__(f"column {column}: expected {expected}")
        self.column = column
        """Path of the field; as `columns[3]` where it is no field of a claim."""
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Layout:
    """One column: a field of a claim, or of the entries of one of its lists."""

    path: str
    name: str
    """Name of the field in its message."""
    form: Form
    table: str = ""
    """Path of the list whose entries are the rows; empty for claims."""
    part: str = ""
    """Path of the provider that the field is of; empty where it is of the row itself."""
    listed: bool = False
    """A list of texts or numbers: the rows have counts, the values are those of all entries."""
    optional: bool = False
    """May be left out of a row, which is not the same as empty."""
    keyed: bool = False
    """A map: its entries have a `key` and a `value`."""
    bounds: tuple[int, int] = (0, 0)
    """Least and largest number."""
    boolean: bool = False
    fields: "Mapping[str, Layout]" = field(default_factory=dict, repr=False)
    """Of a list of messages or a provider: the columns of its fields by name."""

    def check_lengths(
        self, rows: int, *, texts: int, numbers: int, places: int, counts: int, present: int
    ) -> None:
        """Hold the lengths of a column against the rows of its table, but for what counts say.

        Raises:
            ColumnError: It holds what the field is not, or not one of each row.
        """
        if texts and self.form is not Form.TEXT:
            raise ColumnError(self.path, f"{self.form.value}, no texts")
        if places and self.form is not Form.TEXT:
            raise ColumnError(self.path, f"{self.form.value}, no places")
        if numbers and self.form is not Form.NUMBER:
            raise ColumnError(self.path, f"{self.form.value}, no numbers")
        if counts != (rows if self.listed or self.form is Form.ROWS else 0):
            raise ColumnError(self.path, self._expected_counts(rows))
        if present and not (self.optional and present == rows):
            raise ColumnError(self.path, self._expected_present(rows))
        if not self.listed:
            self.check_values(rows, texts=texts, numbers=numbers, places=places)

    def check_values(self, values: int, *, texts: int, numbers: int, places: int) -> None:
        """Hold a column against how many values it must have: one a row, or one an entry."""
        if self.form is Form.NUMBER and numbers != values:
            raise ColumnError(self.path, f"{values} numbers, one for each {self._of_what}")
        if self.form is Form.TEXT and (places or texts) != values:
            raise ColumnError(self.path, f"{values} places, one for each {self._of_what}")

    def check_places(self, largest: int, texts: int) -> None:
        """Hold the largest place against how many texts there are."""
        if largest >= texts:
            raise ColumnError(
                self.path, f"places from 0 to {texts - 1}, as there are {texts} texts"
            )

    def check_bounds(self, least: int, largest: int) -> None:
        """Hold the least and the largest number against what the field can hold."""
        low, high = self.bounds
        if not low <= least <= largest <= high:
            raise ColumnError(self.path, f"numbers from {low} to {high}")

    @property
    def _of_what(self) -> str:
        if self.listed:
            return "entry that counts say"
        return f"entry of {self.table}" if self.table else "claim"

    def _expected_counts(self, rows: int) -> str:
        if self.listed or self.form is Form.ROWS:
            return f"{rows} counts, one for each entry of {self.table or 'the message'}"
        return "no counts, since the field is no list"

    def _expected_present(self, rows: int) -> str:
        if self.optional:
            return f"no present, or {rows}, one for each entry of {self.table or 'the message'}"
        return "no present, since the field is never left out"


def _layouts(message: Descriptor, table: str, part: str, prefix: str) -> dict[str, Layout]:
    return {each.name: _layout(each, table, part, prefix + each.name) for each in message.fields}


def _layout(each: FieldDescriptor, table: str, part: str, path: str) -> Layout:
    inner = each.message_type
    if inner and each.is_repeated:
        keyed = inner.GetOptions().map_entry
        within = _layouts(inner, path, "", f"{path}.")
        return Layout(path, each.name, Form.ROWS, table, part, keyed=keyed, fields=within)
    if inner:
        within = _layouts(inner, table, path, f"{path}.")
        return Layout(path, each.name, Form.PART, table, part, optional=True, fields=within)
    text = each.cpp_type == FieldDescriptor.CPPTYPE_STRING
    return Layout(
        path,
        each.name,
        Form.TEXT if text else Form.NUMBER,
        table,
        part,
        listed=each.is_repeated,
        optional=each.has_presence,
        bounds=(0, 0) if text else _BOUNDS[each.cpp_type],
        boolean=each.cpp_type == FieldDescriptor.CPPTYPE_BOOL,
    )


def _walk(layouts: Mapping[str, Layout]) -> Iterator[Layout]:
    """Yield columns, each before those that are within it."""
    for each in layouts.values():
        yield each
        yield from _walk(each.fields)


CLAIM: Final[Mapping[str, Layout]] = _layouts(claim_pb2.Claim.DESCRIPTOR, "", "", "")
"""The columns of the fields of a claim by name."""

COLUMNS: Final[Mapping[str, Layout]] = {each.path: each for each in _walk(CLAIM)}
"""Every column by path; lists and providers stand before what is within them."""


class _Sent(Protocol):
    """A column as it was sent."""

    @property
    def field(self) -> str:
        """Path of its field."""


Sent = TypeVar("Sent", bound=_Sent)


def by_field(columns: Iterable[Sent]) -> dict[str, Sent]:
    """Return columns by the path of their field.

    Raises:
        ColumnError: There is no such field, or one comes twice.
    """
    found: dict[str, Sent] = {}
    for place, column in enumerate(columns):
        path = column.field
        if path not in COLUMNS:
            raise ColumnError(f"columns[{place}]", NO_SUCH_FIELD)
        if path in found:
            raise ColumnError(path, ONCE)
        found[path] = column
    return found


def check_described(layout: Layout, entries: int, sent: Container[str]) -> None:
    """Refuse a list with entries that no column says anything of.

    So the bytes of a message bound how many rows it can ask for.
    """
    if entries and not any(
        each.path in sent for each in _walk(layout.fields) if _fills(layout, each)
    ):
        raise ColumnError(layout.path, f"a column of what its entries hold, as {layout.path}.…")


def _fills(layout: Layout, each: Layout) -> bool:
    """Whether a column within a list has something for each of its entries."""
    return each.table == layout.path and each.form is not Form.PART
