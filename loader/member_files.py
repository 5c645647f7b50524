"""Files of what a payer keeps on file about members: rows of columns, or why a row is none."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.codes import ABSENT, code36
from engine.members import BASES
from engine.words import word_key

MEMBER_ID: Final = "member_id"
REMOVE: Final = "remove"
_YEARS: Final = range(1900, 2101)
_MILLI_MAX: Final = 10**15
_NPI_DIGITS: Final = 10
_CODE_LENGTH: Final = 5
_RANKS: Final = range(1, 12)
_YES_NO: Final = {"yes": True, "no": False, "": False}


class MemberFileError(ValueError):
    """A file that is refused whole."""


class Reject(NamedTuple):
    """Why a row was not loaded; it holds no value of the row."""

    row: int
    """Number of the row in the file, from 2: the header is 1."""
    field: str
    reason: str
    expected: str


def write_rejects(path: Path, rejects: Sequence[Reject]) -> None:
    """Write why rows were not loaded as CSV, a row of the file for each."""
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(("row", "field", "reason", "expected"))
        lines.writerows(rejects)


class _BadCellError(Exception):
    """A cell that cannot be read: reason and what was expected."""


Value = int | bool | date | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file, and what of the table it becomes."""

    name: str
    """In the table."""
    read: Callable[[str], Value]
    header: str = ""
    """In the file, where it has another name."""
    required: bool = False

    @property
    def title(self) -> str:
        """The name in the file."""
        return self.header or self.name


@dataclass(frozen=True, slots=True)
class MemberTable:
    """A table of member data: what a file has to hold."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """With the member, what a row is found by: another row of the same key takes its place."""
    span: tuple[str, str]
    """First and last day; rows that agree in the rest of the key must not overlap."""

    @property
    def stored(self) -> str:
        """Name of the table in production."""
        return f"member_{self.name}"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stored columns."""
        return tuple(column.name for column in self.columns)

    @property
    def group(self) -> tuple[str, ...]:
        """What rows have in common that must not overlap, besides the member."""
        return tuple(name for name in self.key if name not in self.span)


def _word(limit: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if len(text) > limit:
            raise _BadCellError("is too long", f"at most {limit} characters")
        return word_key(text)

    return read


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day.year not in _YEARS or len(text) != len("2025-01-31"):
        raise _BadCellError("is no day", "a calendar day from 1900 to 2100 as YYYY-MM-DD")
    return day


def _code(text: str) -> int:
    code = code36(text)
    if code != ABSENT and (code < 0 or len(text) != _CODE_LENGTH):
        raise _BadCellError("is no procedure code", "five letters and digits, or nothing for any")
    return code


def _npi(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) == _NPI_DIGITS and int(text)):
        raise _BadCellError("is no NPI", "ten digits, or nothing for any provider")
    return int(text or 0)


def _milli(text: str) -> int:
    try:
        amount = Decimal(text or "0") * 1000
        whole = int(amount)
    except (InvalidOperation, ValueError, OverflowError):
        amount, whole = Decimal(1), 0
    if amount != whole or not 0 <= whole < _MILLI_MAX:
        raise _BadCellError("is no amount", "a number from 0 with at most three decimals")
    return whole


def _limit(text: str) -> int:
    return _milli(text) if text else -1


def _yes(text: str) -> bool:
    answer = _YES_NO.get(text.lower())
    if answer is None:
        raise _BadCellError("is neither yes nor no", "yes or no")
    return answer


def _rank(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) in _RANKS):
        raise _BadCellError("is no rank", "a number from 1, which pays first, to 11")
    return int(text)


def _basis(text: str) -> int:
    name = text.lower() or BASES[0]
    if name not in BASES:
        raise _BadCellError("is no known basis", f"one of {', '.join(BASES)}")
    return BASES.index(name)


_SPAN: Final = (
    Column("effective", _day, required=True),
    Column("termination", _day),
)
_CODES: Final = (Column("code_first", _code), Column("code_last", _code))

TABLES: Final[Mapping[str, MemberTable]] = {
    table.name: table
    for table in (
        MemberTable(
            "eligibility",
            (
                Column("payer", _word(80), "payer_id", required=True),
                Column("plan", _word(100), "plan_id"),
                *_SPAN,
            ),
            ("payer", "plan", "effective"),
            ("effective", "termination"),
        ),
        MemberTable(
            "accumulators",
            (
                Column("benefit", _word(100), required=True),
                Column("period_from", _day),
                Column("period_to", _day),
                Column("used_milli", _milli, "used", required=True),
                Column("as_of", _day),
            ),
            ("benefit", "period_from"),
            ("period_from", "period_to"),
        ),
        MemberTable(
            "authorizations",
            (
                Column("number", _word(50), required=True),
                *_CODES,
                Column("npi", _npi),
                *_SPAN,
                Column("approved", _yes, required=True),
                Column("units_milli", _limit, "units"),
                Column("used_milli", _milli, "used"),
                Column("decided", _day),
            ),
            ("number", "code_first", "code_last", "npi", "effective"),
            ("effective", "termination"),
        ),
        MemberTable(
            "coverages",
            (
                Column("payer", _word(80), "payer_id", required=True),
                Column("rank", _rank, required=True),
                Column("basis", _basis),
                *_SPAN,
            ),
            ("payer", "effective"),
            ("effective", "termination"),
        ),
        MemberTable(
            "documents",
            (Column("document", _word(100), required=True), *_CODES, *_SPAN),
            ("document", "code_first", "code_last", "effective"),
            ("effective", "termination"),
        ),
    )
}
"""Every table of member data, as `engine.members` has it."""


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A good row."""

    row: int
    member_id: str = field(repr=False)
    remove: bool
    """Take what is on file under the key away."""
    values: tuple[Value, ...] = field(repr=False)


def read_rows(table: MemberTable, path: Path) -> Iterator[MemberRow | Reject]:
    """Yield each row of a file, or all that is wrong with it.

    Raises:
        MemberFileError: the header is another, or the file is no UTF-8 text.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            header = [name.strip() for name in next(lines, [])]
            _check_header(table, path, header)
            seen: dict[tuple[Any, ...], int] = {}
            for number, cells in enumerate(lines, 2):
                if cells:
                    yield from _row(table, header, number, cells, seen)
    except UnicodeDecodeError:
        raise MemberFileError(f"{path.name} is no UTF-8 text; save it as UTF-8") from None
    except csv.Error as error:
        raise MemberFileError(f"{path.name} is no CSV file: {error}") from None


def _check_header(table: MemberTable, path: Path, header: Sequence[str]) -> None:
    known = [MEMBER_ID, *(column.title for column in table.columns), REMOVE]
    required = [MEMBER_ID, *(column.title for column in table.columns if column.required)]
    missing = [name for name in required if name not in header]
    unknown = [f"column {n}" for n, name in enumerate(header, 1) if name not in known]
    if missing or unknown or len(set(header)) != len(header):
        wrong = (["lacks " + ", ".join(missing)] if missing else []) + (
            ["does not know " + ", ".join(unknown)] if unknown else []
        )
        raise MemberFileError(
            f"{path.name}: the header {' and '.join(wrong) or 'names a column twice'}; "
            f"{table.name} has {', '.join(known)}"
        )


def _row(
    table: MemberTable,
    header: Sequence[str],
    number: int,
    cells: Sequence[str],
    seen: dict[tuple[Any, ...], int],
) -> Iterator[MemberRow | Reject]:
    if len(cells) != len(header):
        yield Reject(number, "", f"has {len(cells)} cells", f"{len(header)}, as the header")
        return
    texts = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    values, rejects = _values(table, number, texts)
    remove = False
    try:
        remove = _yes(texts.get(REMOVE, ""))
    except _BadCellError as bad:
        rejects.append(Reject(number, REMOVE, *bad.args))
    if not texts[MEMBER_ID]:
        rejects.append(Reject(number, MEMBER_ID, "is left out", "the member's id"))
    rejects += () if rejects else _contradictions(table, number, values)
    if not rejects:
        key = (texts[MEMBER_ID], *(values[name] for name in table.key))
        first = seen.setdefault(key, number)
        if first != number:
            rejects.append(
                Reject(number, "", f"has the key of row {first}", "each key once: "
                       + ", ".join((MEMBER_ID, *table.key)))
            )  # fmt: skip
    yield from rejects or (MemberRow(number, texts[MEMBER_ID], remove, tuple(values.values())),)


def _values(
    table: MemberTable, number: int, texts: Mapping[str, str]
) -> tuple[dict[str, Value], list[Reject]]:
    values: dict[str, Value] = {}
    rejects = []
    for column in table.columns:
        text = texts.get(column.title, "")
        if column.required and not text:
            rejects.append(Reject(number, column.title, "is left out", "a value"))
            continue
        try:
            values[column.name] = column.read(text)
        except _BadCellError as bad:
            rejects.append(Reject(number, column.title, *bad.args))
    return values, rejects


def _contradictions(table: MemberTable, number: int, values: Mapping[str, Any]) -> Iterator[Reject]:
    first, last = (values[name] for name in table.span)
    if first and last and last < first:
        yield Reject(number, table.span[1], "is before the first day", "that day or a later one")
    if last and not first:
        yield Reject(number, table.span[0], "is left out", "the first day of the period that ends")
    code_first, code_last = values.get("code_first", 0), values.get("code_last", 0)
    if bool(code_first) != bool(code_last) or code_last < code_first:
        yield Reject(
            number, "code_last", "ends no range", "both codes, the second not before the first"
        )
