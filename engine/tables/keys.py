"""Sort keys of the tables: integers packed into one int64, so that a look-up is one binary search.

The build sorts by these keys and the look-ups search by them; both import them from here. A release
of -1 (none in force) gives a negative key, which no table holds.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Integers = npt.NDArray[np.integer]

KEY_MAX: Final = np.iinfo(np.int64).max
"""Ends every key column, so that a search always lands on an element."""

RELEASES_MAX: Final = 511
"""Most releases of one dataset: the nine bits that a pair of procedure codes leaves."""

CODE_BITS: Final = 27
MODIFIER_BITS: Final = 12
LOCALITY_BITS: Final = 24
DIAGNOSIS_BITS: Final = 44
ZIP_BITS: Final = 17
DAY_BITS: Final = 17
NPI_BITS: Final = 34
ZIP_REGION_FIRST: Final = 100_000
"""The first three digits of ZIP codes are numbers from here on: 00601 is no place of 601."""
DAY_FIRST: Final = np.datetime64("1900-01-01", "D").astype(np.int64)
"""The day that counts as 0 in a key."""
_HASH_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)


def code_key(release: Integers, code: Integers) -> Int64s:
    """Return the key of a procedure code, or of a modifier, in a release."""
    return (release.astype(np.int64) << CODE_BITS) | code


def code_of(key: Int64s) -> Int64s:
    """Return the code of such a key."""
    return key & ((1 << CODE_BITS) - 1)


def fee_key(release: Integers, code: Integers, modifier: Integers) -> Int64s:
    """Return the key of a fee schedule row."""
    return (code_key(release, code) << MODIFIER_BITS) | modifier


def pair_key(column1: Integers, column2: Integers) -> Int64s:
    """Return the key of an ordered pair of procedure codes, without a release."""
    return (column1.astype(np.int64) << CODE_BITS) | column2


def released_pair_key(release: Integers, pair: Int64s) -> Int64s:
    """Return the key of an ordered pair in a release."""
    return (release.astype(np.int64) << (2 * CODE_BITS)) | pair


def pair_bit(pair: Int64s, bits: int) -> npt.NDArray[np.uint64]:
    """Return the place of a pair in a filter of 2**bits bits: multiply-shift hashing."""
    return (pair.view(np.uint64) * _HASH_FACTOR) >> np.uint64(64 - bits)


def locality_key(release: Integers, locality: Integers) -> Int64s:
    """Return the key of a locality (carrier * 100 + number) in a release, or for a procedure."""
    return (release.astype(np.int64) << LOCALITY_BITS) | locality


def diagnosis_key(release: Integers, code: Integers) -> Int64s:
    """Return the key of a diagnosis code in a release."""
    return (release.astype(np.int64) << DIAGNOSIS_BITS) | code


def zip_key(release: Integers, zip5: Integers) -> Int64s:
    """Return the key of a ZIP code in a release."""
    return (release.astype(np.int64) << ZIP_BITS) | zip5


def npi_key(release: Integers, npi: Integers) -> Int64s:
    """Return the key of a provider in a release."""
    return (release.astype(np.int64) << NPI_BITS) | npi


def npi_day_key(release: Integers, npi: Integers, day: npt.NDArray[np.datetime64]) -> Int64s:
    """Return the key of a provider on a day in a release; days before 1900 count as 1900-01-01."""
    since = np.clip(day.astype(np.int64) - DAY_FIRST, 0, (1 << DAY_BITS) - 1)
    return (npi_key(release, npi) << DAY_BITS) | since


def same_npi(key: Int64s, other: Int64s) -> npt.NDArray[np.bool_]:
    """Return where two keys of provider and day have the release and provider in common."""
    same: npt.NDArray[np.bool_] = (key >> DAY_BITS) == (other >> DAY_BITS)
    return same
