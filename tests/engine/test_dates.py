"""Date texts: three forms, real days only, nothing guessed."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dates import ABSENT_DAY, parse_day

DAYS = st.dates(date(1900, 1, 1), date(2100, 12, 31))


@given(DAYS, st.sampled_from(["%Y-%m-%d", "%Y%m%d", "%m/%d/%Y"]))
def test_all_forms_name_the_same_day(day: date, form: str) -> None:
    assert parse_day(day.strftime(form)) == (day - date(1970, 1, 1)).days


@pytest.mark.parametrize(
    "text",
    [
        *("", "2025-02-29", "31/12/2025", "1899-12-31", "2101-01-01", "2025-1-01", "2025/01/01"),
        "\N{ARABIC-INDIC DIGIT TWO}0250101",
    ],
)
def test_other_texts_are_no_date(text: str) -> None:
    assert parse_day(text) == ABSENT_DAY
