"""Exclusions become intervals exactly as the ruling on the OIG list has it."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.snapshot.exclusions import intervals, passes_luhn

DAYS = st.integers(0, 40).map(lambda n: date(2020, 1, 1) + timedelta(n))


def excluded_by_ruling(excluded, reinstated, day):
    """A row with EXCLDATE <= day that has no reinstatement d with EXCLDATE <= d <= day."""
    return any(
        first <= day and not any(first <= back <= day for back in reinstated) for first in excluded
    )


@given(st.sets(DAYS, max_size=6), st.sets(DAYS, max_size=6))
def test_intervals_say_on_every_day_what_the_ruling_says(excluded, reinstated):
    spans = list(intervals(excluded, reinstated))

    for offset in range(-1, 45):
        day = date(2020, 1, 1) + timedelta(offset)
        by_spans = any(first <= day and (back is None or day < back) for first, back in spans)
        assert by_spans == excluded_by_ruling(excluded, reinstated, day)


@given(st.sets(DAYS, max_size=6), st.sets(DAYS, max_size=6))
def test_intervals_do_not_overlap(excluded, reinstated):
    spans = list(intervals(excluded, reinstated))

    for (_, back), (first, _) in pairwise(spans):
        assert back is not None
        assert back <= first


@pytest.mark.parametrize(("npi", "right"), [(1234567893, True), (1234567890, False)])
def test_the_check_digit_of_an_npi(npi, right):
    assert passes_luhn(npi) is right
