"""Every published layout is read as it lies in the folder of published files."""

import numpy as np
import pytest

from engine.codes import code36
from loader.snapshot.code_sets import read_hcpcs, read_modifiers
from loader.snapshot.exclusions import read_exclusions
from loader.snapshot.fee_schedule import read_fee_schedule
from loader.snapshot.localities import read_gpci
from loader.snapshot.pair_edits import read_pair_edits
from loader.snapshot.published import PublishedFile, ReferenceFileError
from loader.snapshot.unit_limits import PRACTITIONER, read_unit_limits


def published(folder, *names):
    return [PublishedFile(folder / name, name) for name in names]


def test_fixed_width_and_comma_separated_say_the_same(shared_data):
    comma = read_fee_schedule(published(shared_data, "mpfs/PPRRVU2025_Oct.csv"))
    fixed = read_fee_schedule(published(shared_data, "mpfs/PPRRVU2025_Oct.txt.gz"))

    assert comma.rows == fixed.rows == 19_090
    for name, column in comma.columns.items():
        np.testing.assert_array_equal(column, fixed.columns[name], err_msg=name)


def test_the_thirty_two_columns_of_2026_are_read_by_name(shared_data):
    table = read_fee_schedule(published(shared_data, "mpfs/PPRRVU2026_Jul_nonQPP.excerpt.csv"))

    assert table.rows == 61
    assert set(table.columns["conversion_factor_e4"]) == {334009}
    assert set(table.columns["imaging_family"]) == {99}


def test_a_fee_schedule_that_a_spreadsheet_has_saved_is_refused_whole(shared_data):
    files = published(shared_data, "mpfs/PPRRVU25_JAN1_excel_roundtrip.csv")

    with pytest.raises(ReferenceFileError, match="not one saved by a spreadsheet") as refused:
        read_fee_schedule(files)

    assert refused.value.row > 10


def test_the_indices_of_2026_are_read_below_their_longer_header(shared_data):
    table = read_gpci(published(shared_data, "gpci/GPCI2026.csv"))

    assert table.rows == 109
    assert table.left_out["foot_note"] == 6


def test_pairs_with_effective_dates_keep_them(shared_data):
    table = read_pair_edits(published(shared_data, "ncci/ccipra-v322r0-f1.excerpt.txt"))

    pair = (code36("0001A") << 27) | code36("0591T")
    at = table.columns["pair"] == pair
    assert table.columns["effective"][at] == np.datetime64("2022-01-01")
    assert table.columns["deletion"][at] == np.datetime64("2023-12-31")
    assert "effective_date_blank" not in table.remarks


def test_a_quarter_of_unit_limits_of_2026_is_read(shared_data):
    name = "ncci/MCR_MUE_PractitionerServices_Eff_07-01-2026.excerpt.csv"

    assert read_unit_limits(published(shared_data, name), PRACTITIONER).rows == 44


def test_the_level_ii_file_gives_its_modifiers_with_dates(shared_data):
    files = published(shared_data, "codes/HCPC2026_OCT_ANWEB.excerpt.csv")

    table = read_modifiers(files)

    at = table.columns["code"] == code36("A1")
    assert table.columns["effective"][at] == np.datetime64("2002-07-01")


def test_the_level_ii_file_keeps_modifiers_out_of_the_codes(shared_data):
    files = published(shared_data, "codes/HCPC2026_OCT_ANWEB.excerpt.csv")

    table = read_hcpcs(files)

    assert table.rows == 0
    assert table.left_out["another_kind_of_code"] == 35


def test_a_monthly_supplement_with_an_unquoted_header_is_read(shared_data):
    table = read_exclusions(published(shared_data, "leie/2306EXCL.csv", "leie/2306REIN.csv"))

    assert len(table.columns["npi"]) > 0
    assert len(table.columns["name"]) > 0, "who has no NPI is found by name"


def test_an_undated_list_is_kept_apart(shared_data):
    table = read_exclusions(published(shared_data, "leie/leie_npi_list_2026-01_derived.csv"))

    assert len(table.columns["undated"]) == 8_172
    assert len(table.columns["npi"]) == 0
