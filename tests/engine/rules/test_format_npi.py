"""The check digit of providers' numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.rules.format.npi import is_npi


def luhn_with_prefix(npi):
    """The published algorithm, digit by digit, over 80840 and the number."""
    total = 0
    for place, digit in enumerate(reversed(f"80840{npi}")):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


@given(st.lists(st.integers(1_000_000_000, 2_999_999_999), max_size=50))
def test_check_digit_agrees_with_the_published_algorithm(npis):
    found = is_npi(np.array(npis, np.int64)).tolist()

    assert found == [luhn_with_prefix(npi) for npi in npis]


@given(st.integers(100_000_000, 299_999_999))
def test_one_last_digit_of_ten_is_right(stem):
    found = is_npi(np.arange(10) + stem * 10)

    assert found.sum() == 1


@pytest.mark.parametrize("npi", [-1, 0, 123_456_789, 3_000_000_008, 12_345_678_930])
def test_number_of_another_length_or_first_digit_is_refused(npi):
    assert not is_npi(np.array([npi])).any()
