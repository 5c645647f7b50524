"""Pairs of rows against plain loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.joins import equal_in, in_runs

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
