"""The compiled reader, where it was built for the source beside it; see `ops/build_native.py`."""

import ctypes
from hashlib import sha256
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("fields.c")
BUILT: Final = Path(__file__).with_name("_fields.so")


def source_id(source: Path = SOURCE) -> int:
    """Return the number of a source: a library names the one that it was built from."""
    return int.from_bytes(sha256(source.read_bytes()).digest()[:7], "big")


def load(built: Path = BUILT) -> ctypes.CDLL | None:
    """Return the library; None where there is none, or where it was built from another source."""
    try:
        library = ctypes.CDLL(str(built))
        library.built_from.restype = ctypes.c_int64
        same = library.built_from() == source_id()
    except (OSError, AttributeError):
        return None
    if not same:
        return None
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    library.count_rows.argtypes = [ctypes.c_char_p, size, pointer, pointer, pointer]
    library.fill_columns.argtypes = [
        *(ctypes.c_char_p, size, pointer, pointer),
        *(ctypes.c_int32, ctypes.c_int32),
        *(pointer, pointer, pointer, pointer),
    ]
    return library
