"""Free texts as integers, so that ids of plans, payers and contracts can be compared in columns.

Ids have no form of their own, so unlike codes (`engine.codes`) they are hashed: 64-bit FNV-1a over
the trimmed text in capital letters, the sign bit cleared. Two of a million ids share a number with
a chance of one in ten million.
"""

from typing import Final

BLANK: Final = 0
"""The key of a text that was left out."""

_OFFSET: Final = 0xCBF29CE484222325
_PRIME: Final = 0x100000001B3
_MASK: Final = 0xFFFFFFFFFFFFFFFF
_POSITIVE: Final = 0x7FFFFFFFFFFFFFFF


def word_key(text: str) -> int:
    """Return the integer of a text: BLANK for blanks, else positive; letter case does not count."""
    word = text.strip()
    if not word:
        return BLANK
    value = _OFFSET
    for byte in word.encode():
        capital = byte - 32 if 97 <= byte <= 122 else byte
        value = ((value ^ capital) * _PRIME) & _MASK
    return (value & _POSITIVE) or 1
