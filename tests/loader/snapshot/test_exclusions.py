"""Exclusions become intervals exactly as the ruling on the OIG list has it."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.codes import code36
from loader.snapshot.exclusions import intervals, passes_luhn, read_exclusions, waived
from loader.snapshot.published import PublishedFile, ReferenceFileError

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


STATES = st.sampled_from(["AL", "NY"])
EXCLUSIONS = st.dictionaries(
    st.tuples(DAYS, st.sampled_from(["1128a1", "1128b4"])),
    st.dictionaries(STATES, DAYS, max_size=2),
    max_size=4,
)


@given(EXCLUSIONS, st.sets(DAYS, max_size=4))
def test_a_state_is_waived_while_each_exclusion_in_force_is(exclusions, reinstated):
    spans = list(waived(exclusions, reinstated))

    for state in ("AL", "NY"):
        mine = [(first, back) for each, first, back in spans if each == state]
        for offset in range(-1, 45):
            day = date(2020, 1, 1) + timedelta(offset)
            in_force = [
                by_state
                for (first, _), by_state in exclusions.items()
                if first <= day and not any(first <= back <= day for back in reinstated)
            ]
            expected = bool(in_force) and all(
                state in each and each[state] <= day for each in in_force
            )
            assert expected == any(
                first <= day and (back is None or day < back) for first, back in mine
            )


HEADER = (
    "LASTNAME,FIRSTNAME,MIDNAME,BUSNAME,GENERAL,SPECIALTY,UPIN,NPI,DOB,ADDRESS,CITY,STATE,ZIP,"
    "EXCLTYPE,EXCLDATE,REINDATE,WAIVERDATE,WVRSTATE"
)


def read(tmp_path, *rows, header=HEADER):
    text = "".join(f",,,,,,,2000090052,,,,,,{row}\r\n" for row in rows)
    (tmp_path / "leie.csv").write_text(f"{header}\r\n{text}")
    return read_exclusions([PublishedFile(tmp_path / "leie.csv", "leie.csv")])


def waivers_of(table):
    names = ("waiver_state", "waiver_first", "waiver_after")
    columns = [table.columns[name].astype(str).tolist() for name in names]
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["1128a1,20170119,0,20180301,NY"], [("NY", "2018-03-01", "NaT")]),
        (["1128a1,20170119,20201210,20180301,NY"], [("NY", "2018-03-01", "2020-12-10")]),
        (["1128a1,20170119,0,20160301,NY"], [("NY", "2017-01-19", "NaT")]),
        (["1128a1,20170119,0,0,", "1128a1,20170119,0,20180301,NY"], [("NY", "2018-03-01", "NaT")]),
        (["1128a1,20170119,0,0,", "1128b4,20170119,0,20180301,NY"], []),
        (
            ["1128a1,20170119,0,20180301,NY", "1128b4,20190101,0,0,"],
            [("NY", "2018-03-01", "2019-01-01")],
        ),
        (
            ["1128a1,20170119,0,20180301,NY", "1128a1,20170119,0,20170601,AL"],
            [("AL", "2017-06-01", "NaT"), ("NY", "2018-03-01", "NaT")],
        ),
        (
            ["1128a1,20170119,0,20180301,NY", "1128a1,20170119,0,20170601,NY"],
            [("NY", "2017-06-01", "NaT")],
        ),
    ],
    ids=[
        "open",
        "until the reinstatement",
        "before the exclusion",
        "told by a later file",
        "two grounds on one day, one waived",
        "excluded again",
        "in two states",
        "told twice",
    ],
)
def test_the_days_of_a_waiver(tmp_path, rows, expected):
    table = read(tmp_path, *rows)

    assert waivers_of(table) == [
        (str(code36(state)), first, after) for state, first, after in expected
    ]


def test_a_copy_that_calls_the_state_otherwise_is_read(tmp_path):
    other = HEADER.replace("WVRSTATE", "WAIVERSTATE")

    assert len(waivers_of(read(tmp_path, "1128a1,20170119,0,20180301,NY", header=other))) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1128a1,20170119,20170118,0,", "reinstated on 2017-01-18, excluded on 2017-01-19"),
        ("1128a1,20170119,0,20180301,", "a waiver of 2018-03-01 in no state"),
        ("1128a1,20170119,0,0,NY", "a waiver of no day in NY"),
        ("1128a1,20170119,0,20180301,XX", "in XX"),
        ("1128a1,0,0,0,", "EXCLDATE is blank"),
    ],
)
def test_dates_that_cannot_be_are_refused(tmp_path, row, reason):
    with pytest.raises(ReferenceFileError) as refused:
        read(tmp_path, "1128a1,20160101,0,0,", row)

    assert reason in refused.value.reason
    assert refused.value.row == 3
