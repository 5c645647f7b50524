"""Days as regulations count them."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calendar import (
    completed_years,
    federal_holidays,
    roll_to_business_day,
    same_day_next_year,
)

# Published by the Office of Personnel Management for 2022 and 2025.
OBSERVED_2025 = [
    "2025-01-01",
    "2025-01-20",
    "2025-02-17",
    "2025-05-26",
    "2025-06-19",
    "2025-07-04",
    "2025-09-01",
    "2025-10-13",
    "2025-11-11",
    "2025-11-27",
    "2025-12-25",
]
OBSERVED_2022 = [
    "2021-12-31",
    "2022-01-17",
    "2022-02-21",
    "2022-05-30",
    "2022-06-20",
    "2022-07-04",
    "2022-09-05",
    "2022-10-10",
    "2022-11-11",
    "2022-11-24",
    "2022-12-26",
]


def days(*texts):
    return np.array(texts, "datetime64[D]")


@pytest.mark.parametrize(("year", "observed"), [(2025, OBSERVED_2025), (2022, OBSERVED_2022)])
def test_federal_holidays_are_the_published_ones(year, observed):
    holidays = federal_holidays(year, year)

    assert holidays.astype(str).tolist() == observed


def test_juneteenth_is_a_holiday_from_2021_only():
    holidays = federal_holidays(2019, 2021).astype(str).tolist()

    assert "2021-06-18" in holidays
    assert not {"2019-06-19", "2020-06-19"} & set(holidays)


@pytest.mark.parametrize(
    ("day", "rolled"),
    [
        ("2025-01-10", "2025-01-10"),  # a Friday stays
        ("2025-01-11", "2025-01-13"),  # a Saturday rolls to Monday
        ("2025-01-18", "2025-01-21"),  # a weekend before a Monday holiday
        ("2025-12-25", "2025-12-26"),  # a holiday within the week
        ("2021-12-31", "2022-01-03"),  # New Year observed on the Friday before
    ],
)
def test_deadline_rolls_over_weekends_and_holidays(day, rolled):
    assert roll_to_business_day(days(day)).astype(str).tolist() == [rolled]


def test_same_day_next_year_of_29_february_is_28_february():
    later = same_day_next_year(days("2024-02-29", "2024-02-28", "2023-02-28", "2023-12-31"))

    assert later.astype(str).tolist() == ["2025-02-28", "2025-02-28", "2024-02-28", "2024-12-31"]


def test_year_is_completed_on_the_birthday():
    age = completed_years(
        days("2017-10-15", "2017-10-16", "2025-10-15", "2004-02-29", "2004-02-29"),
        days("2025-10-15", "2025-10-15", "2025-10-15", "2025-02-28", "2025-03-01"),
    )

    assert age.tolist() == [8, 7, 0, 20, 21]


@given(
    birth=st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    lived=st.integers(0, 45_000),
)
def test_completed_years_agree_with_the_calendar(birth, lived):
    day = birth + timedelta(days=lived)

    age = completed_years(days(birth.isoformat()), days(day.isoformat()))

    passed = (day.month, day.day) >= (birth.month, birth.day)
    assert age.tolist() == [day.year - birth.year - (not passed)]
