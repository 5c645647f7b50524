"""What holds on a day, against a plain search."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.tables.releases import ByDay

BEFORE_ALL = np.iinfo(np.int64).min
NO_DAY = np.datetime64("NaT", "D")
DAYS = st.integers(-200, 200)


@given(st.sets(DAYS), st.lists(DAYS | st.sampled_from([-(10**6), 10**6])))
def test_each_day_reads_the_last_value_that_began(boundaries, asked):
    first_day = np.array([BEFORE_ALL, *sorted(boundaries)], np.int64)
    values = np.arange(-1, len(boundaries), dtype=np.int16)
    days = np.array(asked, np.int64)

    found = ByDay.of(first_day, values).at(days.view("datetime64[D]"))

    assert found.tolist() == [int(values[sum(first_day <= day) - 1]) for day in asked]


@given(st.sets(DAYS))
def test_no_day_reads_what_is_before_all(boundaries):
    first_day = np.array([BEFORE_ALL, *sorted(boundaries)], np.int64)
    values = np.arange(-1, len(boundaries), dtype=np.int16)

    assert ByDay.of(first_day, values).at(np.array([NO_DAY])).tolist() == [-1]
