"""Code strings as integers, so that columns can be compared, sorted and looked up.

A code of up to eleven letters and digits becomes `int("1" + code, 36)`: unique for every length,
never 0 or negative.
Two-character modifiers fit in int16, five-character procedure codes in 27 bits, all of them in
int64.
"""

from string import ascii_uppercase, digits
from typing import Final

ABSENT: Final = 0
"""The field was left out."""

UNCODABLE: Final = -1
"""The field holds something that no code looks like: too long, or not letters and digits."""

_LENGTH_MAX: Final = 11
_DIGITS: Final = digits + ascii_uppercase


def code36(text: str) -> int:
    """Return the integer of a code; ABSENT for blank text, UNCODABLE for what cannot be one."""
    code = text.strip().upper()
    if not code:
        return ABSENT
    if len(code) > _LENGTH_MAX or not (code.isascii() and code.isalnum()):
        return UNCODABLE
    return int("1" + code, 36)


def text36(code: int) -> str:
    """Return the code of an integer; empty for ABSENT and UNCODABLE."""
    if code <= 0:
        return ""
    text = ""
    while code:
        code, digit = divmod(code, 36)
        text = _DIGITS[digit] + text
    return text[1:]


class Code36(dict[str, int]):
    """A memory of codes seen, bounded.

    A dictionary look-up is several times faster than the conversion.
    """

    _ENTRIES_MAX: Final = 200_000

    def __missing__(self, text: str) -> int:
        """Convert a code that was not seen yet."""
        code = code36(text)
        if len(self) < self._ENTRIES_MAX and code != UNCODABLE:
            self[text] = code
        return code
