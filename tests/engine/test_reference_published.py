"""The self-tests that every loader must pass, on the tables as CMS and OIG published them."""

import subprocess
import sys
import time
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest

from engine.codes import code36, text36
from engine.reference import EXCLUDED, NOT_EXCLUDED, Reference
from loader.snapshot.build import build

QUARTER = "2024-07-01"
OCTOBER = "2025-10-01"
BUILD_SECONDS_MAX = 60
OPEN_SECONDS_MAX = 1
OPEN_KILOBYTES_MAX = 20_000
PROBES = 40_000


@pytest.fixture(scope="module")
def snapshot(shared_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("published") / "snapshot"
    begun = time.perf_counter()
    build(shared_data, out)
    assert time.perf_counter() - begun < BUILD_SECONDS_MAX
    return out


@pytest.fixture(scope="module")
def reference(snapshot):
    return Reference.open(snapshot)


def codes(*texts):
    return np.array([code36(each) for each in texts], np.int32)


def days(text, count=1):
    return np.full(count, text, "datetime64[D]")


def test_every_row_of_the_files_is_loaded_or_counted(reference):
    loaded = {each.dataset: (each.rows, each.rows_left_out) for each in reference.manifest.releases}

    assert loaded["mpfs"] == (19_090, 0)
    assert loaded["ncci_ptp_practitioner"] == (2_546_017 - 98_853, 98_853)
    assert loaded["ncci_ptp_hospital"][0] + loaded["ncci_ptp_hospital"][1] == 1_775_818
    assert loaded["ncci_mue_practitioner"] == (14_677, 0)
    assert loaded["ncci_mue_hospital"] == (14_628, 0)
    assert loaded["ncci_mue_dme"] == (2_928, 0)
    assert loaded["ncci_aoc"] == (8_186, 0)
    assert loaded["icd10cm"] == (97_296, 0)
    assert loaded["hcpcs"] == (8_033, 0)
    assert loaded["zip_locality"] == (42_956, 0)
    assert loaded["opps_cap"] == (16_100, 1)
    assert loaded["modifiers"] == (426, 7)


def test_the_capped_prices_of_technical_components_recompute(reference):
    """The file holds the practice expense and malpractice for OPPS by locality, rounded once."""
    fees, places, caps = reference.mpfs, reference.localities, reference.opps_cap
    tc = np.flatnonzero((fees.modifier[:-1] == code36("TC")) & (fees.opps_facility_pe_e2[:-1] > 0))
    localities = np.flatnonzero(places.release[:-1] == 0)
    row, place = (each.ravel() for each in np.meshgrid(tc, localities))
    at = days(OCTOBER, len(row))

    facility, _ = caps.prices(fees.code[row], fees.modifier[row], place, at)
    capped = np.flatnonzero(facility >= 0)

    exact = (
        fees.opps_facility_pe_e2[row].astype(np.int64) * places.pe_e3[place]
        + fees.opps_malpractice_e2[row].astype(np.int64) * places.mp_e3[place]
    ) * fees.conversion_factor_e4[row]
    cents = (exact + 5_000_000) // 10_000_000
    assert len(capped) > 5_000
    np.testing.assert_array_equal(cents[capped], facility[capped])


def test_published_amounts_recompute_in_every_locality(reference, shared_data):
    fees, places = reference.mpfs, reference.localities
    lines = (shared_data / "mpfs" / "PFREV25C.txt").read_text().splitlines()
    records = [
        [each.strip('" ') for each in line.split(",")] for line in lines if "TRL" not in line
    ]
    row = int(fees.rows(codes(records[0][3]), codes(""), days(OCTOBER))[0])

    for record in records:
        place = int(places.of_locality(np.array([int(record[1] + record[2])]), days(OCTOBER))[0])
        exact = Decimal(
            int(fees.work_e2[row]) * int(places.work_e3[place])
            + int(fees.non_facility_pe_e2[row]) * int(places.pe_e3[place])
            + int(fees.malpractice_e2[row]) * int(places.mp_e3[place])
        ) * int(fees.conversion_factor_e4[row])
        amount = exact.scaleb(-9).quantize(Decimal("0.01"), ROUND_HALF_UP)
        assert amount == Decimal(record[5])
    assert len(records) == 109


def test_professional_and_technical_component_add_up_to_the_global(reference):
    fees = reference.mpfs
    split = np.flatnonzero(
        (fees.pctc[:-1] == 1) & (fees.modifier[:-1] == 0) & (fees.status[:-1] == ord("A"))
    )
    at = days(OCTOBER, len(split))
    parts = [
        fees.rows(fees.code[split], np.full(len(split), code36(each), np.int16), at)
        for each in ("26", "TC")
    ]

    whole = (parts[0] >= 0) & (parts[1] >= 0)
    assert whole.sum() == 815
    assert [text36(int(each)) for each in fees.code[split[~whole]]] == ["80506"]  # as published
    for column in (fees.work_e2, fees.non_facility_pe_e2, fees.malpractice_e2):
        both = column[parts[0]] + column[parts[1]]
        np.testing.assert_array_equal(both[whole], column[split[whole]])


@pytest.mark.parametrize(
    ("column1", "column2", "indicator"),
    [
        ("45385", "45380", 1),
        ("43239", "43235", 0),
        ("29880", "29881", 1),
        ("29881", "29880", None),
        ("97530", "97116", None),
        ("97150", "97110", 1),
        ("90837", "90834", 0),
        ("20610", "99213", 1),
    ],
)
def test_spot_rows_of_the_pair_edits(reference, column1, column2, indicator):
    table = reference.ptp_practitioner

    row = int(table.rows(codes(column1), codes(column2), days(QUARTER))[0])

    assert (int(table.indicator[row]) if row >= 0 else None) == indicator
    assert np.isnat(table.deletion[row])


def test_a_pair_closed_and_reopened_has_two_rows(reference):
    table = reference.ptp_practitioner
    pair = (code36("20610") << 27) | code36("99213")

    rows = np.flatnonzero((table.dated.key & (1 << 54) - 1) == pair)

    assert table.deletion[rows].astype(str).tolist() == ["2019-12-31", "NaT"]
    assert table.effective[rows].astype(str).tolist() == ["NaT", "2020-01-01"]


@pytest.mark.parametrize("dataset", ["ptp_practitioner", "ptp_hospital"])
def test_no_pair_has_two_rows_on_one_day(reference, dataset):
    dated = getattr(reference, dataset).dated
    again = np.flatnonzero(dated.key[1:-1] == dated.key[:-2]) + 1

    assert len(again) > 0
    assert (dated.effective[again] > dated.deletion[again - 1]).all()


@pytest.mark.parametrize(
    ("code", "limit", "mai"),
    [("27447", 1, 2), ("20610", 2, 3), ("97110", 6, 3), ("J7190", 22_000, 1)],
)
def test_spot_rows_of_the_unit_limits(reference, code, limit, mai):
    table = reference.mue_practitioner

    row = int(table.rows(codes(code), days(QUARTER))[0])

    assert (int(table.limit[row]), int(table.mai[row])) == (limit, mai)


def test_unit_limits_are_by_day_for_nearly_every_code(reference):
    mai = np.bincount(reference.mue_practitioner.mai[:-1])

    assert mai[1] == 41
    assert mai[2] + mai[3] == 14_636


@pytest.mark.parametrize(
    ("addon", "primaries"),
    [("11045", {"11042"}), ("11103", {"11102", "11104", "11106"})],
)
def test_spot_rows_of_the_addons(reference, addon, primaries):
    candidates = np.unique(reference.mpfs.code[:-1])
    count = len(candidates)

    accepted = reference.addons.accepts(
        np.full(count, code36(addon), np.int32), candidates, days("2024-06-30", count)
    )

    assert set(candidates[accepted].tolist()) == {code36(each) for each in primaries}


def test_an_addon_with_five_primaries(reference):
    candidates = np.unique(reference.mpfs.code[:-1])
    count = len(candidates)

    accepted = reference.addons.accepts(
        np.full(count, code36("22614"), np.int32), candidates, days("2024-06-30", count)
    )

    assert accepted.sum() == 5


def test_the_indices_of_alabama(reference):
    places = reference.localities

    row = int(places.of_zip(np.array([35203]), days(OCTOBER))[0])

    assert (places.work_e3[row], places.pe_e3[row], places.mp_e3[row]) == (1000, 869, 575)


def test_every_zip_code_has_indices(reference):
    zips = (reference.localities.zip_keys[:-1] & (1 << 17) - 1).astype(np.int32)

    rows = reference.localities.of_zip(zips, days(OCTOBER, len(zips)))

    assert (rows >= 0).all()


def test_exclusions_and_reinstatements_of_the_public_list(reference):
    """Reinstated 2023-05-23 after exclusions of 2015-06-18 and 2018-04-19."""
    npi = np.full(3, 1_356_339_055, np.int64)
    at = np.array(["2018-04-18", "2023-05-22", "2023-05-23"], "datetime64[D]")

    assert reference.leie.excluded(npi, at).tolist() == [EXCLUDED, EXCLUDED, NOT_EXCLUDED]


def test_the_diagnosis_set_has_as_many_billable_codes_as_published(reference):
    assert int(reference.icd10cm.billable[:-1].sum()) == 74_044


def test_opening_takes_no_time_and_no_memory(snapshot):
    """In a process of its own, where nothing of the tables is in memory yet."""
    program = """
import resource, sys, time
from pathlib import Path
from engine.reference import Reference
begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
Reference.open(Path(sys.argv[1]))
print(time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""

    answer = subprocess.run(
        [sys.executable, "-c", program, str(snapshot)], check=True, capture_output=True, text=True
    )

    seconds, kilobytes = answer.stdout.split()
    assert float(seconds) < OPEN_SECONDS_MAX
    assert int(kilobytes) < OPEN_KILOBYTES_MAX


def test_pairs_that_do_not_exist_are_answered_like_those_that_do(reference):
    """The filter may only save work: with and without it the same rows come out."""
    table = reference.ptp_practitioner
    random = np.random.default_rng(11)
    known = table.dated.key[random.integers(0, len(table.dated.key) - 1, PROBES // 2)]
    column1 = np.concatenate([known >> 27, random.choice(table.codes[:-1], PROBES // 2)])
    column2 = np.concatenate([known & (1 << 27) - 1, random.choice(table.codes[:-1], PROBES // 2)])
    at = days(OCTOBER, len(column1))

    rows = table.rows(column1.astype(np.int32), column2.astype(np.int32), at)

    np.testing.assert_array_equal(rows, table.dated.find((column1 << 27) | column2, at))
