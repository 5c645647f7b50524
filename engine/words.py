"""Free texts as integers, so that ids of plans, payers and contracts can be compared in columns.

Ids have no form of their own, so unlike codes (`engine.codes`) they are hashed: 64-bit FNV-1a over
the trimmed text in capital letters, the sign bit cleared. Two of a million ids share a number with
a chance of one in ten million.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

BLANK: Final = 0
"""The key of a text that was left out."""

_OFFSET: Final = 0xCBF29CE484222325
_PRIME: Final = 0x100000001B3
_MASK: Final = 0xFFFFFFFFFFFFFFFF
_POSITIVE: Final = 0x7FFFFFFFFFFFFFFF
_NAME_FACTOR: Final = 31
_BLANKS: Final = " \t\n\v\f\r\x1c\x1d\x1e\x1f"


def word_key(text: str) -> int:
    """Return the integer of a text: BLANK for blanks, else positive; letter case does not count.

    Blanks around it and letter case are those of ASCII: the compiled reader sees bytes alone.
    """
    word = text.strip(_BLANKS)
    if not word:
        return BLANK
    value = _OFFSET
    for byte in word.encode():
        capital = byte - 32 if 97 <= byte <= 122 else byte
        value = ((value ^ capital) * _PRIME) & _MASK
    return (value & _POSITIVE) or 1


def name_keys(last: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one integer for two words that make a name; BLANK where there is no last one."""
    joined = (last.view(np.uint64) * np.uint64(_NAME_FACTOR) + first.view(np.uint64)).view(np.int64)
    return np.where(last == BLANK, BLANK, joined & np.int64(_POSITIVE))
