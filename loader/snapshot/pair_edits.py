"""PTP: the procedure-to-procedure edits, tab separated, millions of rows, parsed in bulk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.tables.keys import pair_key
from loader.snapshot.published import PublishedFile, Row
from loader.snapshot.table import Columns, Table, joined

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Days = npt.NDArray[np.datetime64]

_CHUNK_BYTES: Final = 1 << 24
_HEADER_ROWS_MAX: Final = 12
_TABS: Final = 6
_TAB, _NEWLINE, _RETURN, _STAR, _BLANK = (ord(each) for each in "\t\n\r* ")
_NOT_A_DIGIT: Final = 255
_INDICATOR_DEAD: Final = 9
_YEAR_MIN: Final = 1900
_MUTUALLY_EXCLUSIVE: Final = b"Mutually exclusive procedures"

_OPEN_START: Final = np.datetime64("NaT", "D")


def read_pair_edits(files: Sequence[PublishedFile]) -> Table:
    """Return the pairs with their days; rows of indicator 9 left out, blank beginnings filled."""
    parts = [
        _parse(file, chunk, number) for number, file in enumerate(files) for chunk in _chunks(file)
    ]
    table = joined(parts)
    return Table(_dated(table.columns, files), table.rows, table.left_out, table.remarks)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Whole lines of a file; `row` is the number of the first."""

    content: bytes
    row: int


def _chunks(file: PublishedFile) -> Iterator[_Chunk]:
    content = file.content()
    start, row = _data_start(file, content)
    while start < len(content):
        end = content.rfind(b"\n", start, start + _CHUNK_BYTES) + 1
        if not end:
            raise Row(file.name, row, (), {}).refused(
                "the line does not end", "a line break after it"
            )
        yield _Chunk(content[start:end], row)
        row += content.count(b"\n", start, end)
        start = end


def _data_start(file: PublishedFile, content: bytes) -> tuple[int, int]:
    """Return the place and number of the first row below the header, whose own length varies."""
    start, seen = 0, False
    for row in range(1, _HEADER_ROWS_MAX + 1):
        end = content.find(b"\n", start)
        fields = content[start:end].split(b"\t")
        seen = seen or fields[0].strip() == b"Column 1"
        if seen and fields[0].strip() not in {b"", b"Column 1"}:
            return start, row
        if end < 0:
            break
        start = end + 1
    raise Row(file.name, 1, (), {}).refused(
        "no header that begins with Column 1", f"one in the first {_HEADER_ROWS_MAX} rows"
    )


@dataclass(frozen=True, slots=True)
class _Lines:
    """The lines of a chunk by the places of their tabs and ends."""

    file: PublishedFile
    row: int
    content: Bytes
    start: Places
    tabs: Places
    end: Places

    def refuse(self, bad: npt.NDArray[np.bool_], reason: str, expected: str) -> None:
        """Refuse the file at its first bad line, if there is one."""
        if bad.any():
            raise Row(self.file.name, self.row + int(np.argmax(bad)), (), {}).refused(
                reason, expected
            )

    def field(self, number: int) -> tuple[Places, Places]:
        """Return the first place and the length of a field of every line."""
        start = self.start if number == 0 else self.tabs[:, number - 1] + 1
        end = self.end if number == _TABS else self.tabs[:, number]
        return start, end - start

    def matrix(self, start: Places, length: int) -> Bytes:
        """Return `length` bytes of every line from its place on."""
        return self.content[start[:, None] + np.arange(length)]


def _lines(file: PublishedFile, chunk: _Chunk) -> _Lines:
    content = np.frombuffer(chunk.content, np.uint8)
    end = np.flatnonzero(content == _NEWLINE)
    start = np.concatenate([[0], end[:-1] + 1])
    tabs = np.flatnonzero(content == _TAB)
    per_line = np.diff(np.searchsorted(tabs, np.concatenate([start, [len(content)]])))
    end = end - (content[np.maximum(end - 1, 0)] == _RETURN)
    rows = _Lines(file, chunk.row, content, start, np.empty((0, _TABS), np.int64), end)
    rows.refuse(per_line != _TABS, "the line has another number of fields", "seven fields")
    return _Lines(file, chunk.row, content, start, tabs.reshape(-1, _TABS), end)


def _parse(file: PublishedFile, chunk: _Chunk, number: int) -> Table:
    lines = _lines(file, chunk)
    column1, column2 = _codes(lines, 0), _codes(lines, 1)
    effective, deletion = _days(lines, 3), _days(lines, 4)
    indicator = _indicators(lines)
    kept = indicator != _INDICATOR_DEAD
    lines.refuse(
        kept & (deletion < effective),
        "the pair is deleted before it is effective",
        "a deletion date on or after the effective date",
    )
    rows = np.arange(chunk.row, chunk.row + len(column1), dtype=np.int64)
    blank = int(np.count_nonzero(kept & np.isnat(effective)))
    columns: Columns = {
        "column1": column1[kept],
        "column2": column2[kept],
        "effective": effective[kept],
        "deletion": deletion[kept],
        "indicator": indicator[kept],
        "mutually_exclusive": _equal_to(lines, 6, _MUTUALLY_EXCLUSIVE)[kept],
        "row": rows[kept],
        "file": np.full(int(np.count_nonzero(kept)), number, np.uint8),
    }
    dead = len(kept) - int(np.count_nonzero(kept))
    return Table(
        columns,
        rows=len(columns["row"]),
        left_out={"indicator_9": dead} if dead else {},
        remarks={"effective_date_blank": blank} if blank else {},
    )


def _alphabet() -> Bytes:
    values = np.full(256, _NOT_A_DIGIT, np.uint8)
    for value, letter in enumerate(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
        values[letter] = value
    return values


_VALUES: Final = _alphabet()


def _codes(lines: _Lines, number: int) -> npt.NDArray[np.int32]:
    start, length = lines.field(number)
    lines.refuse(
        length != 5,
        f"column {number + 1} is not five characters long",
        "a procedure code such as 00100, leading zeros kept",
    )
    values = _VALUES[lines.matrix(start, 5)]
    lines.refuse(
        (values == _NOT_A_DIGIT).any(axis=1) | (values[:, 1:4] > 9).any(axis=1),
        f"column {number + 1} is no procedure code",
        "a procedure code such as 00100, 0042T or G0105",
    )
    code = np.ones(len(values), np.int32)
    for place in range(5):
        code = code * np.int32(36) + values[:, place]
    return code


def _days(lines: _Lines, number: int) -> Days:
    """Return the dates of a column, NaT for blank and for `*`."""
    start, length = lines.field(number)
    star = (length == 1) & (lines.content[start] == _STAR)
    written = length == 8
    expected = "YYYYMMDD, a star or nothing"
    lines.refuse(~(written | star | (length == 0)), "a date is not eight digits long", expected)
    days = np.full(len(start), _OPEN_START)
    digits = lines.matrix(start[written], 8).astype(np.int32) - ord("0")
    weights = 10 ** np.arange(7, -1, -1, dtype=np.int32)
    bad = np.zeros(len(start), np.bool_)
    bad[written] = ((digits < 0) | (digits > 9)).any(axis=1)
    days[written], impossible = _calendar(digits @ weights)
    bad[written] |= impossible
    lines.refuse(bad, "a date is no calendar date", expected)
    return days


def _calendar(number: npt.NDArray[np.int32]) -> tuple[Days, npt.NDArray[np.bool_]]:
    """Return the dates of numbers like 20240701, and where there is no such date."""
    year, month, day = number // 10000, number // 100 % 100, number % 100
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days: Days = months.astype("datetime64[D]") + (day - 1).astype("timedelta64[D]")
    impossible = (month < 1) | (month > 12) | (day < 1) | (days.astype("datetime64[M]") != months)
    impossible |= year < _YEAR_MIN
    return days, impossible


def _indicators(lines: _Lines) -> npt.NDArray[np.int8]:
    start, length = lines.field(5)
    digit = lines.content[start].astype(np.int8) - ord("0")
    known = (length == 1) & np.isin(digit, (0, 1, _INDICATOR_DEAD))
    lines.refuse(~known, "the modifier indicator is another one", "0, 1 or 9")
    return digit.astype(np.int8)


def _equal_to(lines: _Lines, number: int, text: bytes) -> npt.NDArray[np.bool_]:
    start, length = lines.field(number)
    equal = length == len(text)
    equal[equal] = (lines.matrix(start[equal], len(text)) == np.frombuffer(text, np.uint8)).all(
        axis=1
    )
    return equal


def _dated(columns: Columns, files: Sequence[PublishedFile]) -> Columns:
    """Return the rows with blank beginnings filled, no two rows of a pair live on one day.

    A blank beginning is the day after the pair's previous deletion, else open: files that lack the
    effective dates would otherwise hold two rows of one pair on one day.
    """
    pair = pair_key(columns["column1"], columns["column2"])
    last_day = np.where(
        np.isnat(columns["deletion"]), np.datetime64("9999-12-31", "D"), columns["deletion"]
    )
    order = np.lexsort((last_day, pair))
    pair, last_day = pair[order], last_day[order]
    effective = columns["effective"][order]
    again = np.concatenate([[False], pair[1:] == pair[:-1]])
    previous = np.concatenate([last_day[:1], last_day[:-1]])
    fill = again & np.isnat(effective)
    effective[fill] = previous[fill] + 1
    clash = again & ~(effective > previous) | (effective > last_day)
    if clash.any():
        at = order[np.argmax(clash)]
        raise Row(files[columns["file"][at]].name, int(columns["row"][at]), (), {}).refused(
            "the pair has another row that is live on the same day", "one live row per pair and day"
        )
    kept = {name: column[order] for name, column in columns.items() if name not in _REPLACED}
    return kept | {"pair": pair, "effective": effective}


_REPLACED: Final = frozenset({"column1", "column2", "effective", "row", "file"})
