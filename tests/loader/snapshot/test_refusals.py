"""Every way in which a published file can be damaged is refused whole, by file, row and reason."""

import gzip
import re

import pytest

from loader.snapshot.build import build
from loader.snapshot.published import PublishedFile, ReferenceFileError, quantised

MPFS = "mpfs/PPRRVU_sample.csv"
GPCI = "gpci/GPCI2025_sample.csv"
ZIP5 = "gpci/ZIP5_sample.txt"
ANES = "gpci/ANES2025_sample.csv"
CAPS = "mpfs/OPPSCAP_sample.csv"
PAIRS = "ncci/ccipra_sample.txt"
LIMITS = "ncci/MCR_MUE_PractitionerServices_sample.csv"
ADDONS = "ncci/AOC_sample.csv"
EXCLUDED = "leie/UPDATED_sample.csv"
PLACES = "codes/place_of_service_sample.csv"
MODIFIERS = "codes/modifiers_sample.csv"
DIAGNOSES = "codes/icd10cm_order_sample.txt"
LEVEL_2 = "codes/hcpcs_level2_sample.csv"
VISITS = "claimgate/evaluation_management.csv"
GROUPS = "claimgate/ncci_modifiers.csv"
AGES = "claimgate/diagnosis_age_class.csv"


def damage(source, name, old, new):
    """Replace the first match of a pattern and return the number of its line."""
    path = source / name
    text = path.read_bytes().decode()
    match = re.search(old, text, re.MULTILINE)
    assert match, f"{name} no longer holds {old}"
    path.write_bytes((text[: match.start()] + match.expand(new) + text[match.end() :]).encode())
    return text[: match.start()].count("\n") + 1


DAMAGES = [
    pytest.param(MPFS, r"^00100,", "100,", "'100' is no procedure code", id="leading zeros lost"),
    pytest.param(MPFS, r"^(27447,.*),090,", r"\1,90,", "GLOB DAYS is '90'", id="global days cut"),
    pytest.param(MPFS, r"\Z", "\x1a\r\n", "1 fields", id="end-of-file mark as a row"),
    pytest.param(
        MPFS, r"^99213,,,A,,1.30", "99213,,,A,,1.31", "add up to 2.76", id="one RVU changed"
    ),
    pytest.param(
        MPFS, r"^99213,,,A,,1.30", "99213,,,A,,1.3000021", "decimals", id="moved over 1e-6"
    ),
    pytest.param(MPFS, r"^99213,,,A", "99213,,,Z", "STATUS CODE is 'Z'", id="unknown status"),
    pytest.param(MPFS, r"^99213,,", "99213,59,", "MOD is '59'", id="row for another modifier"),
    pytest.param(MPFS, r"^99213,,.*\r\n", r"\g<0>\g<0>", "a second time", id="duplicate key"),
    pytest.param(MPFS, r"^99213,", "99213,,", "32 fields", id="a field too many"),
    pytest.param(MPFS, r"WORK,NON-FAC,NA", "WORKS,NON-FAC,NA", "WORK RVU", id="a column renamed"),
    pytest.param(MPFS, r"^HCPCS,MOD", "CODE,MOD", "no header row", id="no header"),
    pytest.param(GPCI, r"^01112,", "1112,", "carrier '1112'", id="carrier without its zero"),
    pytest.param(
        GPCI, r"^10112,AL,00", "10112,AL,0", "locality '0'", id="locality without its zero"
    ),
    pytest.param(GPCI, r"^10112,AL,.*\r\n", r"\g<0>\g<0>", "a second time", id="locality twice"),
    pytest.param(GPCI, r"^01112,", "O1112,", "carrier 'O1112'", id="letter in a carrier"),
    pytest.param(GPCI, r"0.869", "0.8691", "decimals", id="index of four decimals"),
    pytest.param(GPCI, r"PE GPCI", "XX GPCI", "columns of PE GPCI", id="no practice expense index"),
    pytest.param(ZIP5, r"^NY", "N", "79 characters", id="short line"),
    pytest.param(ZIP5, r"^NY.*\r\n", r"\g<0>\g<0>", "a second time", id="ZIP code twice"),
    pytest.param(ANES, r"19.31", "n/a", "no decimal number", id="factor is no number"),
    pytest.param(ANES, r"^Contractor", "Carrier", "header", id="anesthesia header"),
    pytest.param(CAPS, r"^70496,.*\r\n", r"\g<0>\g<0>", "a second time", id="cap twice"),
    pytest.param(CAPS, r"FACILITY PRICE", "PRICE", "header", id="cap header"),
    pytest.param(PAIRS, r"^43239\t", "3239\t", "not five characters", id="short code in a pair"),
    pytest.param(PAIRS, r"^43239\t", "4-239\t", "no procedure code", id="no code in a pair"),
    pytest.param(PAIRS, r"\t20191231\t", "\t20191331\t", "no calendar date", id="month 13"),
    pytest.param(PAIRS, r"\t20191231\t", "\t2019-12-31\t", "eight digits", id="date of ten"),
    pytest.param(PAIRS, r"^(43239\t43235.*)\t0\t", r"\1\t2\t", "indicator", id="indicator 2"),
    pytest.param(
        PAIRS, r"^43239\t43235.*\r\n", r"\g<0>\g<0>", "live on the same day", id="pair twice"
    ),
    pytest.param(
        PAIRS,
        r"^97150\t97110\t\t\t20191231",
        r"97150\t97110\t\t20200101\t20191231",
        "deleted before",
        id="deleted before effective",
    ),
    pytest.param(
        PAIRS,
        r"^97150\t97110\t\t\t\*",
        r"97150\t97110\t\t20191231\t*",
        "live on the same day",
        id="pair overlaps by a day",
    ),
    pytest.param(
        PAIRS, r"^43239\t43235\t", "43239\t43235\t\t", "number of fields", id="tab too many"
    ),
    pytest.param(PAIRS, r"\r\n\Z", "", "does not end", id="cut off"),
    pytest.param(PAIRS, r"^Column 1\t", "First\t", "no header", id="pairs without header"),
    pytest.param(LIMITS, r"^(27447),1,", r"\1,one,", "limit is 'one'", id="limit in words"),
    pytest.param(LIMITS, r"^(27447),1,2", r"\1,1,4", "adjudication", id="indicator 4"),
    pytest.param(LIMITS, r"^27447,.*\r\n", r"\g<0>\g<0>", "a second time", id="limit twice"),
    pytest.param(LIMITS, r"MUE Values", "Values", "header", id="limit header"),
    pytest.param(ADDONS, r"^(11045),1,", r"\1,4,", "AOC_EDIT_TYPE is '4'", id="type 4"),
    pytest.param(ADDONS, r"^(11045,.*),,,$", r"\1,1999,,", "deleted on 1999", id="years reversed"),
    pytest.param(ADDONS, r"^11045,.*\n", r"\g<0>\g<0>", "a second time", id="add-on row twice"),
    pytest.param(EXCLUDED, r'"20000', '"0000', "ten digits", id="NPI cut"),
    pytest.param(
        EXCLUDED, r'"2\d{7}","0', '"20250431","0', "EXCLDATE is '20250431'", id="31 April"
    ),
    pytest.param(EXCLUDED, r'"EXCLDATE"', '"DATE"', "header", id="exclusion header"),
    pytest.param(PLACES, r"^01,", "1,", "two digits", id="place without its zero"),
    pytest.param(PLACES, r"^01,Non-Facility", "01,Office", "FACILITY_TYPE", id="kind of place"),
    pytest.param(PLACES, r"^11,.*\n", r"\g<0>\g<0>", "a second time", id="place twice"),
    pytest.param(MODIFIERS, r"^25,", "250,", "no modifier", id="modifier of three"),
    pytest.param(DIAGNOSES, r"^(\d{5} )E119 ", r"\1E.119", "no diagnosis code", id="dot"),
    pytest.param(DIAGNOSES, r"^(\d{5} E119 {4})1", r"\g<1>2", "valid is '2'", id="valid flag"),
    pytest.param(
        DIAGNOSES, r"^\d{5} E119.*\r\n", r"\g<0>\g<0>", "order number", id="order repeats"
    ),
    pytest.param(LEVEL_2, r"^G0101,.*\n", r"\g<0>\g<0>", "a second time", id="Level II code twice"),
    pytest.param(
        LEVEL_2, r"^(G0101,.*)-\d\d-\d\d,,", r"\1-13-01,,", "DATE_ADDED", id="Level II date"
    ),
    pytest.param(VISITS, r"^99202,99215", "99202,99299", "overlap", id="ranges of visits overlap"),
    pytest.param(GROUPS, r"^LT,anatomic", "LT,side", "group is 'side'", id="unknown group"),
    pytest.param(AGES, r"^Z38,Z38", "P07,P07", "overlap", id="age classes overlap"),
    pytest.param(AGES, r"newborn", "infant", "class is 'infant'", id="unknown age class"),
]


@pytest.mark.parametrize(("name", "old", "new", "reason"), DAMAGES)
def test_a_damaged_file_is_refused_with_file_row_and_reason(
    source, tmp_path, name, old, new, reason
):
    line = damage(source, name, old, new)

    with pytest.raises(ReferenceFileError) as refused:
        build(source, tmp_path / "snapshot")

    assert refused.value.file == name
    assert reason in refused.value.reason
    assert refused.value.expected
    assert name in str(refused.value)
    assert refused.value.row >= min(line, 1)


def test_the_row_is_the_line_of_the_damage(source, tmp_path):
    line = damage(source, MPFS, r"^(27447,.*),090,", r"\1,90,")

    with pytest.raises(ReferenceFileError) as refused:
        build(source, tmp_path / "snapshot")

    assert refused.value.row == line


def test_the_row_of_a_pair_is_the_line_of_the_damage(source, tmp_path):
    line = damage(source, PAIRS, r"^43239\t", "4-239\t")

    with pytest.raises(ReferenceFileError) as refused:
        build(source, tmp_path / "snapshot")

    assert refused.value.row == line


def test_a_refused_build_leaves_nothing_behind(source, tmp_path):
    damage(source, LEVEL_2, r"^G0101,", "G101,")

    with pytest.raises(ReferenceFileError):
        build(source, tmp_path / "out" / "snapshot")

    assert list((tmp_path / "out").iterdir()) == []


def test_a_missing_file_is_refused_by_its_name(source, tmp_path):
    (source / ADDONS).unlink()

    with pytest.raises(ReferenceFileError, match=r"ncci/AOC_sample\.csv: the file is missing"):
        build(source, tmp_path / "snapshot")


def test_a_missing_list_of_releases_is_refused_with_the_folder_looked_at(tmp_path):
    with pytest.raises(ReferenceFileError, match=re.escape(f"source folder {tmp_path}")):
        build(tmp_path, tmp_path / "snapshot")


@pytest.mark.parametrize("name", ["unit_limits.CSV", "unit_limits.csv.gz", "unit_limits.txt"])
def test_a_table_whose_file_would_be_passed_over_is_refused(source, tmp_path, name):
    own = source / "claimgate"
    (own / "unit_limits.csv").rename(own / name)

    with pytest.raises(ReferenceFileError, match=rf"{re.escape(name)}: .*a file unit_limits\.csv"):
        build(source, tmp_path / "snapshot")


def test_a_folder_in_the_place_of_a_table_is_refused(source, tmp_path):
    own = source / "claimgate" / "unit_limits.csv"
    own.unlink()
    own.mkdir()

    with pytest.raises(ReferenceFileError, match=r"a file unit_limits\.csv"):
        build(source, tmp_path / "snapshot")


def test_a_row_of_ones_own_is_to_be_corrected_not_published_anew(source, tmp_path):
    with (source / "claimgate" / "unit_limits.csv").open("a") as file:
        file.write("short\n")

    with pytest.raises(ReferenceFileError, match="correct that row") as refused:
        build(source, tmp_path / "snapshot")

    assert "published, not" not in str(refused.value)


def test_half_a_gzip_file_is_refused(tmp_path):
    path = tmp_path / "half.csv.gz"
    path.write_bytes(gzip.compress(b"HCPCS,MOD\n" * 1000)[:-20])

    with pytest.raises(ReferenceFileError, match="compressed file is damaged"):
        PublishedFile(path, "half.csv.gz").content()


def test_errors_tell_what_to_do():
    error = ReferenceFileError("a.csv", 7, "code '100'", "five characters")

    assert str(error) == (
        "a.csv, row 7: code '100'; expected five characters; "
        "load the file as it was published, not one saved by a spreadsheet program"
    )


@pytest.mark.parametrize(
    ("text", "decimals", "value"),
    [
        ("1.419", 3, 1419),
        ("1.4189999999999998", 3, 1419),
        ("0.86900000000000011", 3, 869),
        ("1", 3, 1000),
        (".5", 2, 50),
        ("32.3465", 4, 323465),
        ("-0.25", 2, -25),
    ],
)
def test_decimals_become_exact_integers(text, decimals, value):
    assert quantised(text, decimals) == value


@pytest.mark.parametrize("text", ["1.4191", "1e3", "NaN", "", "1,000", " 1", "1.418998"])
def test_what_would_move_or_is_no_decimal_is_refused(text):
    with pytest.raises(ValueError, match=r"decimal"):
        quantised(text, 3)
