"""Add-on rows carry years only: they begin on 1 January and end with the earlier deletion year."""

import numpy as np
import pytest

from loader.snapshot.addons import read_addons
from loader.snapshot.published import PublishedFile

HEADER = (
    "ADD_ON_CODE,AOC_EDIT_TYPE,PRIMARY_CODE,AOC_EDIT_EFF_YEAR,AOC_EDIT_DEL_YEAR,"
    "PRIMARY_OR_ADDON_DEL_YEAR,SPECIAL_INSTRUCTION_NOTES\n"
)


@pytest.mark.parametrize(
    ("years", "first", "last"),
    [
        ("2013,,", "2013-01-01", "NaT"),
        ("2013,2021,", "2013-01-01", "2021-12-31"),
        ("2013,,2022", "2013-01-01", "2022-12-31"),
        ("2014,2022,2018", "2014-01-01", "2018-12-31"),
        ("2013,2013,2013", "2013-01-01", "2013-12-31"),
    ],
)
def test_the_days_of_a_row(tmp_path, years, first, last):
    (tmp_path / "aoc.csv").write_text(f"{HEADER}11045,1,11042,{years},\n")

    columns = read_addons([PublishedFile(tmp_path / "aoc.csv", "aoc.csv")]).columns

    np.testing.assert_array_equal(columns["effective"], np.array([first], "datetime64[D]"))
    np.testing.assert_array_equal(columns["deletion"], np.array([last], "datetime64[D]"))
