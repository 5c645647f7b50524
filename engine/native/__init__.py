"""What is compiled, where it was built for the source beside it; see `ops/build_native.py`."""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).parent
_POINTER, _SIZE, _NUMBER = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32


@dataclass(frozen=True, slots=True)
class Native:
    """One source in C and the library that is built from it."""

    name: str
    does: str
    """What is done in Python where there is no library."""
    arguments: Mapping[str, Sequence[Any]]
    """Types of the arguments of each function that Python calls."""
    brief: bool = False
    """Keeps the interpreter's lock: to get it back would take longer than the work."""

    @property
    def source(self) -> Path:
        """The file in C."""
        return _FOLDER / f"{self.name}.c"

    @property
    def built(self) -> Path:
        """The library, be it there or not."""
        return _FOLDER / f"_{self.name}.so"

    def source_id(self) -> int:
        """Return the number of the source: a library names the one that it was built from."""
        return int.from_bytes(sha256(self.source.read_bytes()).digest()[:7], "big")

    def load(self, built: Path | None = None) -> ctypes.CDLL | None:
        """Return the library; None where there is none, or where its source was another one."""
        try:
            library = (ctypes.PyDLL if self.brief else ctypes.CDLL)(str(built or self.built))
            library.built_from.restype = ctypes.c_int64
            same = library.built_from() == self.source_id()
        except (OSError, AttributeError):
            return None
        if not same:
            return None
        for function, types in self.arguments.items():
            getattr(library, function).argtypes = types
        return library


FIELDS: Final = Native(
    "fields",
    "fields are read",
    {
        "count_rows": [ctypes.c_char_p, _SIZE, _POINTER, _POINTER, _POINTER],
        "fill_columns": [
            *(ctypes.c_char_p, _SIZE, _POINTER, _POINTER),
            *(_NUMBER, _NUMBER),
            *(_POINTER, _POINTER, _POINTER, _POINTER),
        ],
    },
)
"""Takes the fields out of serialized claims."""

ANSWERS: Final = Native(
    "answers",
    "answers are written",
    {
        "write_messages": [
            *(_POINTER, _POINTER, _POINTER),
            *(ctypes.c_char_p, _POINTER, _SIZE),
            *(_SIZE, _SIZE, _POINTER, _SIZE, _POINTER),
        ]
    },
)
"""Writes the bytes of answers."""

CHECKS: Final = Native(
    "checks",
    "messages are checked",
    {
        "check_message": [ctypes.c_char_p, _SIZE, _POINTER, _POINTER, _POINTER],
        "count_entries": [ctypes.c_char_p, _SIZE, _POINTER, _POINTER],
    },
    brief=True,
)
"""Tells serialized claims that are beyond doubt from those that protobuf has to read first."""

ROWS: Final = Native(
    "rows",
    "rows of tables are written",
    {
        "write_rows": [
            *[_POINTER] * 6,
            _SIZE,
            *[_POINTER] * 8,
            *(_SIZE, _POINTER, _SIZE, _POINTER, _SIZE, _POINTER),
        ],
        "read_facts": [_POINTER, _POINTER, _NUMBER, _SIZE, _POINTER, _POINTER, _NUMBER, _POINTER],
    },
)
"""Writes claims and their answers as the rows that COPY takes."""

EVERY: Final = (FIELDS, ANSWERS, CHECKS, ROWS)
