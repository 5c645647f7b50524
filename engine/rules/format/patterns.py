"""What codes look like: patterns over the integers of `engine.codes`, whole columns at a time."""

from string import ascii_uppercase, digits
from typing import Final

import numpy as np

from engine.columns import Bools, Ints, rows_where

_CHARACTERS: Final = digits + ascii_uppercase


Pattern = tuple[Bools, ...]
"""For each position of a code of fixed length, which of the 36 characters it may have."""


def _pattern(*positions: str) -> Pattern:
    """Return the pattern of codes with these characters, first position to last."""
    return tuple(
        np.array([character in allowed for character in _CHARACTERS]) for allowed in positions
    )


def matches(codes: Ints, pattern: Pattern) -> Bools:
    """Return which codes are written like the pattern."""
    first = 36 ** len(pattern)
    good: Bools = (codes >= first) & (codes < 2 * first)
    rest = codes
    for allowed in reversed(pattern):
        if allowed.all():
            rest = rest // 36
            continue
        rest, character = np.divmod(rest, 36)
        good &= allowed[character]
    return good


_LETTER: Final = ascii_uppercase
_DIGIT: Final = digits
_ANY: Final = _CHARACTERS
_PCS: Final = "".join(character for character in _CHARACTERS if character not in "IO")
_LEVEL_II: Final = "ABCDEFGHIJKLMNOPQRSTUV"

CATEGORY_I: Final[Pattern] = _pattern(*[_DIGIT] * 5)
CATEGORY_OTHER: Final[Pattern] = _pattern(*[_DIGIT] * 4, "AFMTU")
LEVEL_II: Final[Pattern] = _pattern(_LEVEL_II, *[_DIGIT] * 4)
DENTAL: Final[Pattern] = _pattern("D", *[_DIGIT] * 4)
MODIFIER: Final[Pattern] = _pattern(_ANY, _ANY)
REVENUE: Final[Pattern] = _pattern(*[_DIGIT] * 4)
TYPE_OF_BILL: Final[Pattern] = _pattern("0", _ANY, _ANY, _ANY)
DRG: Final[Pattern] = _pattern(*[_DIGIT] * 3)
NDC: Final[Pattern] = _pattern(*[_DIGIT] * 11)
TAXONOMY: Final[Pattern] = _pattern(*[_ANY] * 9, "X")
ICD_PROCEDURE: Final[Pattern] = _pattern(*[_PCS] * 7)
_DIAGNOSIS_CATEGORY: Final[Pattern] = _pattern(_LETTER, _DIGIT, _ANY)

_DIAGNOSIS_LENGTH: Final = (3, 7)
_POWERS: Final = np.array([36**n for n in range(10)], np.int64)


def is_procedure(codes: Ints) -> Bools:
    """Return which codes are written like a CPT or HCPCS code."""
    good = matches(codes, CATEGORY_I)
    rest = rows_where(~good)
    good[rest] = matches(codes[rest], CATEGORY_OTHER) | matches(codes[rest], LEVEL_II)
    return good


def is_diagnosis(codes: Ints) -> Bools:
    """Return which codes are written like an ICD-10-CM code: a category and up to four more."""
    shortest, longest = _DIAGNOSIS_LENGTH
    length = _POWERS.searchsorted(codes, side="right") - 1
    category = codes // _POWERS[np.clip(length - shortest, 0, None)]
    return (length <= longest) & matches(category, _DIAGNOSIS_CATEGORY)
