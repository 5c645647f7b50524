"""A file of claims, whatever its form: 837 or JSON lines, plain or gzip."""

import gzip
import zlib
from collections.abc import Iterator
from datetime import date
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final, cast

from claimgate.v1 import claim_pb2
from google.protobuf import json_format

from loader.intake.item import Code, IntakeClaim, IntakeError, IntakeItem, IntakeProblem
from loader.intake.reader import read_837
from loader.intake.tokens import parse_isa

_GZIP: Final = b"\x1f\x8b"
_SNIFFED_BYTES: Final = 4096
_LINE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Longest line of JSON: the longest message that the service accepts."""


def read_claims(path: Path, *, ingest_date: date) -> Iterator[IntakeItem]:
    """Yield the claims and problems of a file: 837 or one JSON claim per line, plain or gzip.

    Args:
        path: The file.
        ingest_date: The day on which claims count as received where an 837 says none.

    Raises:
        IntakeError: The file is neither, or cannot be decompressed.
    """
    with path.open("rb") as plain, _decompressed(plain) as stream:
        try:
            yield from _read(stream, path.name, ingest_date)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            message = f"{path.name}: the gzip file is damaged or cut off; send it again"
            raise IntakeError(message) from error


def _decompressed(plain: BufferedReader) -> BufferedReader:
    if plain.peek(2).startswith(_GZIP):
        return BufferedReader(cast("BufferedReader", gzip.GzipFile(fileobj=plain)))
    return plain


def _read(stream: BufferedReader, name: str, ingest_date: date) -> Iterator[IntakeItem]:
    start = stream.peek(_SNIFFED_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"{"):
        return _read_json_lines(stream)
    if _is_837(start):
        return read_837(stream, file_name=name, ingest_date=ingest_date)
    raise IntakeError(
        f"{name}: neither an 837 nor JSON lines; expected ISA or {{ as the first character"
    )


def _is_837(start: bytes) -> bool:
    """Whether an 837 starts here, be it one that the reader only refuses, with a reason."""
    if start.startswith((b"ISA", b"GS", b"\xff\xfe", b"\xfe\xff", b"I\x00S\x00A\x00")):
        return True
    at = start.find(b"ISA")
    isa = parse_isa(start[at:]) if at >= 0 else None
    return isa is not None and isa.fixed_width


def _read_json_lines(stream: BinaryIO) -> Iterator[IntakeItem]:
    number = 0
    while line := stream.readline(_LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > _LINE_BYTES_MAX:
            raise IntakeError(
                f"line {number} is longer than {_LINE_BYTES_MAX} bytes; expected one claim per line"
            )
        if line.strip():
            yield _claim_of_json(line.removeprefix(b"\xef\xbb\xbf"), number)


def _claim_of_json(line: bytes, number: int) -> IntakeItem:
    try:
        return IntakeClaim(json_format.Parse(line.decode(), claim_pb2.Claim()), number)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError):
        message = "the line is not the JSON of a claim; expected a claimgate.v1.Claim in UTF-8"
        return IntakeProblem(number, "error", Code.JSON, message)
