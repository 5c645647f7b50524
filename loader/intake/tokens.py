"""Bytes of an X12 file to segments, chunk by chunk, in bounded memory.

The separators stand in each ISA and may differ from one interchange to the next, so a chunk is cut
at every ISA first and then split at once: that costs less than looking for one segment at a time.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from loader.intake.item import Code, Level

CHUNK_BYTES: Final = 65_536
SEGMENT_BYTES_MAX: Final = 16_384
"""Longest segment that is read; the longest real ones have a few hundred bytes."""

_BLANK: Final = b" \t\r\n\x00\x1a"
_ISA_WIDTHS: Final = (2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1)
_ISA_BYTES: Final = 106
_ISA_BYTES_MAX: Final = 160
_CONTROL: Final = bytes(set(range(0x20)) - set(_BLANK) | {0x00, 0x1A, 0x7F})
_ENVELOPE: Final = re.compile(rb"\b(?:GS|ST|CLM)[^\w\s]")
"""What text outside of an interchange looks like when claims are lost with it."""
_ORDINARY: Final = bytes(set(range(256)) - set(_CONTROL))


@dataclass(frozen=True, slots=True)
class Isa:
    """The header of an interchange: its elements (ISA01 at index 1) and its separators."""

    elements: list[str]
    element: str
    component: str
    terminator: str
    byte_count: int
    fixed_width: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """What the bytes show, at the segment that follows or, if `skipped`, in place of one."""

    level: Level
    code: Code
    message: str
    skipped: bool = False


Token = Isa | list[str] | Fault


def tokenize(stream: BinaryIO) -> Iterator[Token]:
    """Yield headers, lists of segment texts and faults, in file order; a text may be blank."""
    start = stream.read(CHUNK_BYTES)
    if _is_wide(start):
        yield Fault(
            "error",
            Code.ENCODING,
            "the file is UTF-16 or UTF-32; expected UTF-8 or Latin-1: convert it and send it again",
            skipped=True,
        )
        return
    yield from _Tokenizer(stream, start.removeprefix(b"\xef\xbb\xbf")).tokens()


def parse_isa(text: bytes) -> Isa | None:
    """Return the ISA that a text starts with; None where there is none that separates anything."""
    if not text.startswith(b"ISA") or len(text) < _ISA_BYTES - 10:
        return None
    element = text[3:4]
    parts = text[:_ISA_BYTES_MAX].split(element, 16)
    if len(parts) != 17 or len(parts[16]) < 2:
        return None
    component, terminator = parts[16][:1], parts[16][1:2]
    if len({element, component, terminator}) != 3 or not all(
        map(_separates, (element, component, terminator))
    ):
        return None
    return Isa(
        elements=[part.decode("latin-1").strip() for part in parts[:16]],
        element=element.decode("ascii"),
        component=component.decode("ascii"),
        terminator=terminator.decode("ascii"),
        byte_count=len(element.join(parts[:16])) + 3,
        fixed_width=tuple(map(len, parts[1:16])) == _ISA_WIDTHS,
    )


def _separates(character: bytes) -> bool:
    return character.isascii() and not character.isalnum() and character not in b" \x00"


def _is_wide(start: bytes) -> bool:
    """Text in two or four bytes a character has zero bytes at once; X12 text has none."""
    return start[:2] in {b"\xff\xfe", b"\xfe\xff"} or (b"\x00" in start[:4] and b"I" in start[:4])


class _Tokenizer:
    """What is left over between two chunks, and what separates the current interchange."""

    def __init__(self, stream: BinaryIO, buffer: bytes) -> None:
        self.stream = stream
        self.buffer = buffer
        self.at_end = False
        self.isa: Isa | None = None
        self.terminator = b""
        self.ordinary = b""
        self.skipping = False
        self.told_no_isa: Level | None = None
        self.told_latin = False

    def tokens(self) -> Iterator[Token]:
        """Yield the tokens of the whole stream."""
        while True:
            yield from self._interchanges()
            yield from self._segments(self._complete())
            yield from self._overlong()
            if self.at_end:
                break
            more = self.stream.read(CHUNK_BYTES)
            self.at_end = not more
            self.buffer += more
        yield from self._rest()

    def _interchanges(self) -> Iterator[Token]:
        """Hand out everything before each ISA in the buffer, and the ISA."""
        at = self.buffer.find(b"ISA")
        while at >= 0:
            if len(self.buffer) - at < _ISA_BYTES_MAX and not self.at_end:
                return
            isa = parse_isa(self.buffer[at : at + _ISA_BYTES_MAX])
            if isa is not None and (isa.fixed_width or self._starts_segment(at)):
                yield from self._segments(self._cut(at))
                yield self._open(isa)
                at = -1
            at = self.buffer.find(b"ISA", at + 1)

    def _starts_segment(self, at: int) -> bool:
        before = self.buffer[max(0, at - _ISA_BYTES_MAX) : at].rstrip(_BLANK)
        return not before or (self.isa is not None and before.endswith(self.terminator))

    def _open(self, isa: Isa) -> Isa:
        self.isa = isa
        self.skipping = self.told_latin = False
        self.told_no_isa = None
        self.terminator = isa.terminator.encode()
        self.ordinary = _ORDINARY + (isa.element + isa.component + isa.terminator).encode()
        self.buffer = self.buffer[isa.byte_count :]
        return isa

    def _cut(self, at: int) -> bytes:
        """Take the first bytes of the buffer, without what is left of a segment that is skipped."""
        head, self.buffer = self.buffer[:at], self.buffer[at:]
        if self.skipping and head:
            _, end, head = head.partition(self.terminator)
            self.skipping = not end
        return head

    def _complete(self) -> bytes:
        """Take the complete segments of the buffer; what may be the start of an ISA stays."""
        keep_from = len(self.buffer) if self.at_end else len(self.buffer) - _ISA_BYTES_MAX
        if self.isa is None or self.skipping:
            return self._cut(max(0, keep_from))
        header = self.buffer.find(b"ISA", max(0, keep_from))
        end = self.buffer.rfind(self.terminator, 0, header if header >= 0 else None)
        return self._cut(end + 1)

    def _segments(self, text: bytes) -> Iterator[Token]:
        if self.isa is None:
            yield from self._no_isa(text)
        elif text and text.isascii() and not text.translate(None, self.ordinary):
            yield text.decode("ascii").split(self.isa.terminator)
        elif text:
            yield from self._odd_segments(text)

    def _no_isa(self, text: bytes) -> Iterator[Token]:
        level: Level = "error" if _ENVELOPE.search(text) else "warning"
        told = self.told_no_isa in {"error", level}
        if text.strip(_BLANK) and not told:
            self.told_no_isa = level
            yield Fault(
                level,
                Code.ENVELOPE,
                "no ISA segment; expected one of 106 characters at the start: "
                "everything up to the next ISA is skipped",
                skipped=True,
            )

    def _odd_segments(self, text: bytes) -> Iterator[Token]:
        """Yield segments with other than printable ASCII one by one, a fault before its segment."""
        for raw in text.split(self.terminator):
            segment = raw.strip(_BLANK)
            if segment.translate(None, self.ordinary):
                yield _CONTROL_CHARACTERS
            try:
                yield [segment.decode("utf-8")]
            except UnicodeDecodeError:
                if not self.told_latin:
                    self.told_latin = True
                    yield _NOT_UTF8
                yield [segment.decode("latin-1")]

    def _overlong(self) -> Iterator[Token]:
        """Skip a segment that does not end: the buffer must not grow with it."""
        if self.isa is None or self.skipping or len(self.buffer) <= SEGMENT_BYTES_MAX:
            return
        self.skipping = True
        yield Fault(
            "error",
            Code.SEGMENT_SIZE,
            f"the segment is longer than {SEGMENT_BYTES_MAX} bytes; expected the terminator that "
            "ISA names: the segment is skipped",
            skipped=True,
        )

    def _rest(self) -> Iterator[Token]:
        """Hand out a last segment without a terminator."""
        if self.isa is not None and not self.skipping and self.buffer.strip(_BLANK):
            yield _NO_TERMINATOR
            yield from self._odd_segments(self.buffer)


_CONTROL_CHARACTERS: Final = Fault(
    "warning",
    Code.CHARACTERS,
    "the segment holds control characters; expected printable text",
)
_NOT_UTF8: Final = Fault(
    "warning",
    Code.CHARACTERS,
    "the segment is not UTF-8; it and others like it are read as Latin-1: send UTF-8 or ASCII",
)
_NO_TERMINATOR: Final = Fault(
    "warning",
    Code.TRUNCATED,
    "the last segment has no terminator; the file may be cut off",
)
