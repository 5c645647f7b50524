"""Add-on rows carry days of the year as published, or years alone: then they fill whole years."""

import numpy as np
import pytest

from engine.codes import code36
from engine.tables.ncci import CONTRACTOR_DEFINED, TYPE_1, TYPE_2
from loader.snapshot.addons import read_addons
from loader.snapshot.published import PublishedFile, ReferenceFileError

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


NOTICE = '"Codes are copyright of their owner,\nall rights reserved",,,,,,,\n'
PUBLISHED = (
    "AOC_Edit_Type,Add-On_Code,AOC_DelDT,Primary_Code,Primary_Code_DelDT,AOC_Edit_EffDT,"
    "AOC_Edit_DelDT,Special_Instruction_Notes\n"
)


def read(tmp_path, text):
    (tmp_path / "aoc.txt").write_text(text)
    return read_addons([PublishedFile(tmp_path / "aoc.txt", "aoc.txt")])


@pytest.mark.parametrize(
    ("row", "first", "last"),
    [
        ("1,11045,,11042,,2013001,,", "2013-01-01", "NaT"),
        ("1,11045,,11042,,2024060,2024366,", "2024-02-29", "2024-12-31"),
        ("1,11045,2022365,11042,,2013001,,", "2013-01-01", "2022-12-31"),
        ("1,11045,2022365,11042,2021090,2013001,2021091,", "2013-01-01", "2021-03-31"),
        ("1,11045,,11042,,,,", "NaT", "NaT"),
        ("1,11045,0,11042,0,2013001,0,", "2013-01-01", "NaT"),
    ],
    ids=["open", "leap year", "add-on deleted", "earliest deletion", "no beginning", "zeros"],
)
def test_the_published_layout_has_days_of_the_year(tmp_path, row, first, last):
    columns = read(tmp_path, NOTICE + PUBLISHED + row + "\n").columns

    np.testing.assert_array_equal(columns["effective"], np.array([first], "datetime64[D]"))
    np.testing.assert_array_equal(columns["deletion"], np.array([last], "datetime64[D]"))


def test_columns_of_the_published_layout_are_found_by_name(tmp_path):
    header = (
        "Primary_Code\tAdd_On_Code\tAOC_Edit_Type\tSpecial_Instruction_Notes\tAOC_Del_DT_Julian\t"
        "Primary_Code_Del_DT_Julian\tAOC_Edit_Eff_DT_Julian\tAOC_Edit_Del_DT_Julian\n"
    )
    text = header + '11042\t11045\t1\t\t\t\t2013001\t\nCCCCC\t96376\t2\t"a note"\t\t\t2013001\t\n'

    columns = read(tmp_path, text).columns

    assert columns["addon"].tolist() == [code36("11045"), code36("96376")]
    assert columns["primary"].tolist() == [code36("11042"), code36("CCCCC")]
    assert columns["type_bits"].tolist() == [TYPE_1, TYPE_2 | CONTRACTOR_DEFINED]


def test_both_layouts_say_the_same(tmp_path):
    years = read(tmp_path, HEADER + "11045,1,11042,2013,2021,,\n").columns
    days = read(tmp_path, PUBLISHED + "1,11045,,11042,,2013001,2021365,\n").columns

    for name, column in years.items():
        np.testing.assert_array_equal(column, days[name])


def test_an_edit_may_be_deleted_and_come_back(tmp_path):
    rows = "1,11045,,11042,,2013001,2015365,\n1,11045,,11042,,2016001,,\n"

    assert read(tmp_path, PUBLISHED + rows).rows == 2


@pytest.mark.parametrize(
    ("text", "reason", "row"),
    [
        (PUBLISHED + "1,11045,,11042,,2013366,,\n", "AOC_EDIT_EFFDT is '2013366'", 2),
        (PUBLISHED + "1,11045,,11042,,2013000,,\n", "AOC_EDIT_EFFDT is '2013000'", 2),
        (PUBLISHED + "1,11045,,11042,,20130101,,\n", "AOC_EDIT_EFFDT is '20130101'", 2),
        (PUBLISHED + "1,11045,,11042,,2013001,2012365,\n", "deleted on 2012-12-30", 2),
        (PUBLISHED + "4,11045,,11042,,2013001,,\n", "AOC_EDIT_TYPE is '4'", 2),
        (PUBLISHED + "1,1145,,11042,,2013001,,\n", "'1145' is no procedure code", 2),
        (PUBLISHED + "1,11045,,DDDDD,,2013001,,\n", "'DDDDD' is no procedure code", 2),
        (
            PUBLISHED + "1,11045,,11042,,2013001,2015365,\n1,11045,,11042,,2015365,,\n",
            "in force together with row 2",
            3,
        ),
        (PUBLISHED.replace("AOC_DelDT", "AOC_Date") + "x\n", "AOC_DELDT", 1),
        (PUBLISHED.replace(",Special", ",Extra,Special") + "x\n", "EXTRA", 1),
        ("11045,11042\n", "no header row", 1),
        (PUBLISHED + "1,11045,,11042,,2013001,\n", "7 fields", 2),
    ],
)
def test_a_wrong_add_on_row_is_refused(tmp_path, text, reason, row):
    with pytest.raises(ReferenceFileError) as refused:
        read(tmp_path, text)

    assert reason in refused.value.reason
    assert refused.value.row == row
