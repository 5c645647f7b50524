"""A file of changes, one JSON object a line: each once, whatever ends its writer."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from loader.changes.change import Change, Position

_BLOCK: Final = 65_536


class FileError(ValueError):
    """The file holds something else."""


def as_line(change: Change) -> str:
    """Return a change as one line of JSON."""
    return json.dumps({"position": str(change.position), **change.values})


class ChangesFile:
    """Adds changes at the end of a file; the position of its last whole line is how far it is."""

    def __init__(self, path: Path) -> None:
        """Open the file or make it; a line that was cut off by a crash is removed.

        Raises:
            FileError: Its last line is none of ours.
        """
        with path.open("a+b") as file:
            size = file.seek(0, os.SEEK_END)
            whole, last = _last_line(file, size)
            self.position = _position(last, path) if last else None
            if whole < size:
                file.truncate(whole)
        self._file = path.open("ab")

    def __enter__(self) -> Self:
        """Give the open file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self._file.close()

    def add(self, changes: Iterable[Change]) -> None:
        """Add changes durably: when this returns they are on the disk."""
        for change in changes:
            self._file.write(as_line(change).encode() + b"\n")
            self.position = change.position
        self._file.flush()
        os.fsync(self._file.fileno())


def _last_line(file: Any, size: int) -> tuple[int, bytes]:
    """Return where the last whole line ends, and that line."""
    tail = b""
    at = size
    while at > 0 and tail.count(b"\n") < 2:
        first = max(at - _BLOCK, 0)
        file.seek(first)
        tail = file.read(at - first) + tail
        at = first
    whole = tail.rfind(b"\n") + 1
    return at + whole, tail[:whole].rstrip(b"\n").rpartition(b"\n")[2]


def _position(line: bytes, path: Path) -> Position:
    try:
        return Position.parse(json.loads(line)["position"])
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(
            f"{path}: its last line is no change; expected a JSON object with a position, "
            "as this command writes it: name another file"
        ) from error
