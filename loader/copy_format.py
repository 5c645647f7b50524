"""Values as PostgreSQL's binary COPY has them: their length, then their bytes."""

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Final, Generic, TypeVar

from loader.source import days

Value = TypeVar("Value")

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"

NULL: Final = b"\xff\xff\xff\xff"
TRUE, FALSE = b"\0\0\0\1\1", b"\0\0\0\1\0"
_TEXT_TYPE, _SMALLINT_TYPE = 25, 21
INTEGER: Final = Struct(">ii")
BIGINT: Final = Struct(">iq")
SMALLINT: Final = Struct(">ih")
_ARRAY_HEAD: Final = Struct(">iiiii")
_NUMERIC_HEAD: Final = Struct(">ihhHH")
_NUMERIC_BASE: Final = 10_000
_NEGATIVE: Final = 0x4000


def sized(content: bytes) -> bytes:
    """Return bytes as a field."""
    return len(content).to_bytes(4, "big") + content


def text_field(text: str) -> bytes:
    """Return a text as a field, made anew; `TEXT` remembers those that repeat."""
    content = text.encode()
    return len(content).to_bytes(4, "big") + content


def _array(element_type: int, elements: Sequence[bytes]) -> bytes:
    if not elements:
        return sized(Struct(">iii").pack(0, 0, element_type))
    head = _ARRAY_HEAD.pack(1, 0, element_type, len(elements), 1)
    return sized(head + b"".join(elements))


def _texts(texts: tuple[str, ...]) -> bytes:
    return _array(_TEXT_TYPE, [text_field(text) for text in texts])


def _smallints(numbers: tuple[int, ...]) -> bytes:
    return _array(_SMALLINT_TYPE, [SMALLINT.pack(2, number) for number in numbers])


def _day(text: str) -> bytes:
    day = days[text]
    return NULL if day is None else INTEGER.pack(4, day.toordinal() - _DAY_0)


_DAY_0: Final = 730_120  # 2000-01-01, from which Postgres counts


def _numeric(value: int, decimals: int) -> bytes:
    """Return an integer that counts the last of (at most four) decimals as a NUMERIC."""
    rest, digits = abs(value) * 10 ** (4 - decimals), list[int]()
    while rest:
        rest, digit = divmod(rest, _NUMERIC_BASE)
        digits.insert(0, digit)
    weight = len(digits) - 2  # the last digit stands right of the point
    while digits and digits[-1] == 0:
        digits.pop()
    sign = _NEGATIVE if value < 0 else 0
    head = _NUMERIC_HEAD.pack(
        8 + 2 * len(digits), len(digits), weight if digits else 0, sign, decimals
    )
    return head + b"".join(digit.to_bytes(2, "big") for digit in digits)


def _thousandths(value: int) -> bytes:
    return _numeric(value, 3)


def _ten_thousandths(value: int) -> bytes:
    return _numeric(value, 4)


class _Memory(dict[Value, bytes], Generic[Value]):
    """The fields of values that repeat, made once; bounded."""

    _ENTRIES_MAX: Final = 100_000

    def __init__(self, make: Callable[[Value], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, value: Value) -> bytes:
        made = self._make(value)
        if len(self) < self._ENTRIES_MAX:
            self[value] = made
        return made


TEXT: Final = _Memory[str](text_field)
TEXTS: Final = _Memory[tuple[str, ...]](_texts)
SMALLINTS: Final = _Memory[tuple[int, ...]](_smallints)
DAY: Final = _Memory[str](_day)
E3: Final = _Memory[int](_thousandths)
E4: Final = _Memory[int](_ten_thousandths)
CENTS: Final = _Memory[int](lambda cents: BIGINT.pack(8, cents))


def enum_names(enum: object, prefix: str) -> dict[int, str]:
    """Return an enum's words as tables hold them: lower case, without the enum's own name."""
    values: Iterable[tuple[str, int]] = enum.items()  # type: ignore[attr-defined]
    return {number: name.removeprefix(prefix).lower() for name, number in values}


def enum_fields(enum: object, prefix: str) -> dict[int, bytes]:
    """Return an enum's words as fields."""
    return {number: text_field(name) for number, name in enum_names(enum, prefix).items()}
