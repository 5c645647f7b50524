"""Pairs of rows against plain loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.joins import equal_in, equal_rows, in_runs

SMALL = st.integers(0, 6)


@given(st.lists(SMALL).map(sorted), st.lists(SMALL))
def test_equal_values_are_paired_in_the_order_of_the_probe(ordered, probe):
    place, at = equal_in(np.array(ordered, np.int64), np.array(probe, np.int64))

    assert list(zip(place.tolist(), at.tolist(), strict=True)) == [
        (one, other)
        for one, value in enumerate(probe)
        for other, each in enumerate(ordered)
        if each == value
    ]


@given(st.lists(st.tuples(SMALL, SMALL)))
def test_runs_are_walked_one_after_the_other(runs):
    begin, width = (np.array([each[n] for each in runs], np.int64) for n in (0, 1))

    run, place = in_runs(begin, width)

    assert list(zip(run.tolist(), place.tolist(), strict=True)) == [
        (number, first + step)
        for number, (first, count) in enumerate(runs)
        for step in range(count)
    ]


ROWS = st.lists(st.tuples(*[SMALL | st.integers(0, 2**60)] * 4), max_size=8)


@given(ROWS, ROWS)
def test_rows_are_paired_that_are_equal_in_every_column(probe, held):
    held = [*held, *probe[:2]]
    columns = [np.array(rows, np.int64).reshape(-1, 4).T for rows in (probe, held)]

    place, at = equal_rows(*columns)

    assert list(zip(place.tolist(), at.tolist(), strict=True)) == [
        (one, other)
        for one, row in enumerate(probe)
        for other, each in enumerate(held)
        if each == row
    ]


def test_rows_of_very_many_values_are_paired():
    """The product of the numbers of values would not fit an integer."""
    values = np.arange(70_000, dtype=np.int64)

    place, at = equal_rows([values] * 5, [values[::-1]] * 5)

    assert np.array_equal(place, values)
    assert np.array_equal(at, values[::-1])


def test_no_day_is_equal_to_no_day():
    days = np.array(["2025-01-01", "NaT", "2025-01-02"], "datetime64[D]")

    place, at = equal_rows([days], [days[1:]])

    assert list(zip(place.tolist(), at.tolist(), strict=True)) == [(1, 0), (2, 1)]
