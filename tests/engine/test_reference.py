"""Every look-up by date of service, on a snapshot of the sample tables."""

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from engine.codes import ABSENT, UNCODABLE, code36
from engine.reference import (
    AGE_CLASSES,
    ANATOMIC,
    BILLABLE,
    CONTRACTOR_DEFINED,
    DISTINCT,
    EXCLUDED,
    GLOBAL,
    GLOBAL_XXX,
    GLOBAL_ZZZ,
    HEADER,
    LISTED_WITHOUT_DATE,
    NOT_EXCLUDED,
    NOT_IN_SET,
    OTHER,
    REPEAT,
    TYPE_1,
    TYPE_2,
    Reference,
    describe,
)
from loader.snapshot.build import build

SAMPLE = Path(__file__).parents[2] / "ops" / "reference-sample"
DEMO = "2025-11-03"


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "snapshot"
    build(SAMPLE, out)
    return Reference.open(out)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A snapshot of a source folder that publishes nothing."""
    folder = tmp_path_factory.mktemp("bare")
    source = folder / "source"
    source.mkdir()
    (source / "releases.toml").write_text("")
    shutil.copytree(SAMPLE / "claimgate", source / "claimgate")
    build(source, folder / "snapshot")
    return Reference.open(folder / "snapshot")


def codes(*texts):
    return np.array([code36(each) for each in texts], np.int32)


def modifiers(*texts):
    return np.array([code36(each) for each in texts], np.int16)


def diagnoses(*texts):
    return np.array([code36(each) for each in texts], np.int64)


def days(*texts):
    return np.array(texts, "datetime64[D]")


def test_a_fee_row_is_found_by_code_modifier_and_day(reference):
    table = reference.mpfs

    rows = table.rows(
        codes("99213", "70496", "70496"), modifiers("", "26", "TC"), days(*[DEMO] * 3)
    )

    assert (rows >= 0).all()
    assert table.work_e2[rows].tolist() == [130, 175, 0]
    assert table.non_facility_pe_e2[rows].tolist() == [135, 63, 593]
    assert table.facility_na[rows].tolist() == [False, False, True]
    assert table.status[rows].tolist() == [ord("A")] * 3
    assert table.conversion_factor_e4[rows].tolist() == [323465] * 3
    assert table.global_days[rows].tolist() == [GLOBAL_XXX] * 3
    assert table.imaging_family[rows].tolist() == [99, 88, 88]
    assert table.opps_facility_pe_e2[rows].tolist() == [0, 0, 548]


def test_the_day_of_service_picks_the_release(reference):
    at = days("2024-03-31", "2024-04-01", "2024-06-30", "2024-07-01", DEMO, "2027-01-01")
    code, none = np.repeat(codes("99213"), 6), np.zeros(6, np.int16)

    rows = reference.mpfs.rows(code, none, at)

    assert (rows >= 0).tolist() == [False, True, True, True, True, False]
    assert reference.mpfs.conversion_factor_e4[rows[1:5]].tolist() == [
        332875,
        332875,
        323465,
        323465,
    ]
    assert [
        reference.release_name("mpfs", int(each)) for each in reference.mpfs.release_at(at)
    ] == [
        "",
        "RVU24B-worked-examples",
        "RVU24B-worked-examples",
        "RVU25D",
        "RVU25D",
        "",
    ]


def test_an_unknown_code_has_no_row(reference):
    at = days(DEMO)

    assert reference.mpfs.rows(codes("99998"), modifiers(""), at).tolist() == [-1]
    assert reference.mpfs.rows(codes("99213"), modifiers("26"), at).tolist() == [-1]
    assert reference.mue_practitioner.rows(codes("99998"), at).tolist() == [-1]


@pytest.mark.parametrize("code", [ABSENT, UNCODABLE])
def test_no_code_finds_nothing_anywhere(reference, code):
    code, none, at = np.array([code], np.int32), modifiers(""), days(DEMO)

    assert reference.mpfs.rows(code, none, at).tolist() == [-1]
    assert reference.mpfs.rows(codes("99213"), np.array([UNCODABLE], np.int16), at).tolist() == [-1]
    assert reference.ptp_practitioner.rows(code, codes("45380"), at).tolist() == [-1]
    assert reference.ptp_practitioner.rows(codes("45385"), code, at).tolist() == [-1]
    assert reference.ptp_practitioner.involves(code).tolist() == [False]
    assert reference.mue_practitioner.rows(code, at).tolist() == [-1]
    assert reference.addons.types(code, at).tolist() == [0]
    assert reference.icd10cm.state(code.astype(np.int64), at).tolist() == [NOT_IN_SET]
    assert reference.hcpcs.valid(code, at).tolist() == [False]
    assert reference.modifiers.valid(code, at).tolist() == [False]
    assert reference.evaluation_management.contains(code, at).tolist() == [False]
    assert reference.ncci_modifiers.group(code).tolist() == [0]
    assert reference.diagnosis_age_class.age_range(code.astype(np.int64), at)[2].tolist() == [0]
    assert reference.leie.excluded(code.astype(np.int64), at).tolist() == [NOT_EXCLUDED]
    assert reference.localities.of_zip(np.array([-1]), at).tolist() == [-1]
    assert reference.place_of_service.assigned(
        np.array([-2, -1], np.int8), days(DEMO, DEMO)
    ).tolist() == [
        False,
        False,
    ]


def test_no_date_finds_nothing_anywhere(reference):
    at = days("NaT")

    assert reference.mpfs.rows(codes("99213"), modifiers(""), at).tolist() == [-1]
    assert reference.ptp_practitioner.rows(codes("45385"), codes("45380"), at).tolist() == [-1]
    assert reference.mue_practitioner.rows(codes("27447"), at).tolist() == [-1]
    assert reference.addons.types(codes("11045"), at).tolist() == [0]
    assert reference.localities.of_zip(np.array([10001]), at).tolist() == [-1]
    assert reference.leie.excluded(np.array([2000001000]), at).tolist() == [NOT_EXCLUDED]
    assert reference.icd10cm.state(diagnoses("I10"), at).tolist() == [NOT_IN_SET]
    assert reference.diagnosis_age_class.age_range(diagnoses("P073"), at)[0].tolist() == [-1]
    assert reference.evaluation_management.contains(codes("99213"), at).tolist() == [False]
    assert reference.dataset_release("mpfs", at).tolist() == [-1]
    assert reference.stand_ins(at).tolist() == [0]


def test_row_minus_one_reads_harmless_values(reference):
    fees, row = reference.mpfs, np.array([-1])

    assert fees.status[row].tolist() == [0]
    assert fees.work_e2[row].tolist() == [0]
    assert fees.non_facility_na[row].tolist() == [False]
    assert [
        int(column[-1]) for column in (fees.pctc, fees.multiple, fees.bilateral, fees.team)
    ] == [9] * 4
    assert fees.endoscopy_base[row].tolist() == [0]
    assert reference.localities.work_e3[row].tolist() == [0]
    assert reference.mue_practitioner.limit[row].tolist() == [-1]
    assert reference.ptp_practitioner.indicator[row].tolist() == [9]


def test_columns_cannot_be_written(reference):
    with pytest.raises(ValueError, match="read-only"):
        reference.mpfs.work_e2[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        reference.localities.anesthesia_factors_e4[0] = 1


def test_a_zip_code_gives_the_indices_of_the_year(reference):
    zips, at = np.array([10001, 10001, 35203]), days("2025-12-31", "2026-01-01", "2025-12-31")

    rows = reference.localities.of_zip(zips, at)

    table = reference.localities
    assert [table.label(int(each)) for each in rows] == ["1320201", "1320201", "1011200"]
    assert table.pe_e3[rows].tolist()[2] == 869
    assert table.mp_e3[rows].tolist()[2] == 575
    assert rows[0] != rows[1]


def test_anesthesia_factor_is_that_of_the_locality_on_the_day(reference):
    table, at = reference.localities, days("2025-12-31", "2024-03-31", "2025-12-31")
    rows = table.of_zip(np.array([35203, 35203, 99999]), days(*["2025-12-31"] * 3))

    assert table.anesthesia_factor_e4(rows, at).tolist() == [193100, 0, 0]


def test_an_unknown_zip_code_has_no_locality(reference):
    rows = reference.localities.of_zip(np.array([0, 99999]), days(DEMO, DEMO))

    assert rows.tolist() == [-1, -1]
    assert reference.localities.label(-1) == ""


def test_zip_codes_that_span_localities_are_flagged(reference):
    table, at = reference.localities, days(DEMO)
    flagged = np.flatnonzero(table.zip_plus_four[:-1])[0]
    zip5 = np.array([int(table.zip_keys[flagged]) & 0x1FFFF])

    assert table.needs_plus_four(zip5, at).tolist() == [True]
    assert table.needs_plus_four(np.array([10001]), at).tolist() == [False]


def test_the_cap_of_imaging_depends_on_the_locality(reference):
    at = days(DEMO, DEMO, DEMO)
    rows = reference.localities.of_zip(np.array([10001, 35203, 10001]), at)

    facility, non_facility = reference.opps_cap.prices(
        codes("70496", "70496", "99213"), modifiers("", "", ""), rows, at
    )

    assert facility[0] > facility[1] > 0
    assert non_facility[0] == facility[0]
    assert facility[2] == non_facility[2] == -1


def test_no_locality_no_cap(reference):
    facility, _ = reference.opps_cap.prices(
        codes("70496"), modifiers(""), np.array([-1]), days(DEMO)
    )

    assert facility.tolist() == [-1]


def test_pairs_are_ordered_and_dated(reference):
    table = reference.ptp_practitioner
    column1 = codes("45385", "45380", "43239", "97530", "20610", "20610", "20610")
    column2 = codes("45380", "45385", "43235", "97116", "99213", "99213", "99213")
    at = days(DEMO, DEMO, DEMO, DEMO, "2024-05-01", DEMO, "2024-03-31")

    rows = table.rows(column1, column2, at)

    assert (rows >= 0).tolist() == [True, False, True, False, True, True, False]
    assert table.indicator[rows[[0, 2]]].tolist() == [1, 0]
    assert table.effective[rows[4]] == np.datetime64("2020-01-01")
    assert np.isnat(table.deletion[rows[4]])


def test_mutually_exclusive_pairs_are_told_apart(reference):
    table, at = reference.ptp_practitioner, days(DEMO, DEMO)

    rows = table.rows(codes("97150", "45385"), codes("97110", "45380"), at)

    assert table.mutually_exclusive[rows].tolist() == [True, False]


def test_the_filter_never_hides_a_pair(reference):
    table = reference.ptp_hospital
    key = table.dated.key[:-1]
    column1, column2 = (key >> 27).astype(np.int32), (key & (1 << 27) - 1).astype(np.int32)
    live = ~(table.deletion[:-1] < np.datetime64(DEMO))

    rows = table.rows(column1, column2, np.full(len(key), DEMO, "datetime64[D]"))

    assert (rows[live] >= 0).all()


def test_codes_in_pairs_are_known(reference):
    assert reference.ptp_practitioner.involves(codes("45385", "45380", "99999")).tolist() == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("code", "limit", "mai"),
    [("27447", 1, 2), ("20610", 2, 3), ("97110", 6, 3), ("J7190", 22000, 1)],
)
def test_unit_limits_of_practitioners(reference, code, limit, mai):
    table = reference.mue_practitioner

    row = table.rows(codes(code), days(DEMO))

    assert (table.limit[row].item(), table.mai[row].item()) == (limit, mai)


def test_addons_have_types_and_primaries(reference):
    addon, at = codes("11045", "11045", "99213", "0054T"), days(*[DEMO] * 4)

    types = reference.addons.types(addon, at)
    accepted = reference.addons.accepts(addon, codes("11042", "11043", "11042", "11042"), at)

    assert types.tolist() == [TYPE_1, TYPE_1, 0, TYPE_2 | CONTRACTOR_DEFINED]
    assert accepted.tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("npi", "day", "state"),
    [
        (2000001000, DEMO, EXCLUDED),
        (2000001000, "2025-04-19", NOT_EXCLUDED),  # listed because of its exclusion of the next day
        (2000090029, "2022-05-15", EXCLUDED),
        (2000090029, "2022-05-16", NOT_EXCLUDED),
        (2000090011, "2020-01-01", EXCLUDED),
        (2000090011, "2023-01-01", NOT_EXCLUDED),  # between two exclusions, the later one lasts
        (2000090011, DEMO, EXCLUDED),
        (2000090037, DEMO, NOT_EXCLUDED),
        (2000090045, "2025-11-19", NOT_EXCLUDED),
        (2000090045, "2025-11-20", EXCLUDED),
        (2000090201, DEMO, LISTED_WITHOUT_DATE),
        (1234567893, DEMO, NOT_EXCLUDED),
    ],
)
def test_a_provider_is_excluded_from_exclusion_to_reinstatement(reference, npi, day, state):
    assert reference.leie.excluded(np.array([npi]), days(day)).tolist() == [state]


def test_places_of_service(reference):
    table = reference.place_of_service
    pos = np.array([11, 22, 29, 2, 10, 6, 8, 99, 0], np.int8)
    at = np.repeat(days(DEMO), len(pos))

    assigned, facility = table.assigned(pos, at), table.facility(pos)

    assert assigned.tolist() == [True, True, False, True, True, True, True, True, False]
    assert facility.tolist() == [False, True, False, True, False, True, True, False, False]


def test_facilities_are_those_of_the_definitions(reference):
    pos = np.arange(100, dtype=np.int8)

    facilities = np.flatnonzero(reference.place_of_service.facility(pos)).tolist()

    assert facilities == [2, 6, 8, 19, 21, 22, 23, 24, 26, 31, 34, 41, 42, 51, 52, 53, 56, 61]


def test_modifiers(reference):
    valid = reference.modifiers.valid(modifiers("25", "LT", "9Z"), days(DEMO, DEMO, DEMO))

    assert valid.tolist() == [True, True, False]


def test_diagnosis_codes_are_billable_headers_or_unknown(reference):
    state = reference.icd10cm.state(diagnoses("E119", "E11", "E11XX", "I10"), days(*[DEMO] * 4))

    assert state.tolist() == [BILLABLE, HEADER, NOT_IN_SET, BILLABLE]


def test_level_ii_codes_end_with_their_last_day(reference):
    dated = reference.hcpcs.dated
    at = int(np.flatnonzero(~np.isnat(dated.deletion) & (dated.deletion > days("2024-04-01")))[0])
    code = (dated.key[at : at + 1] & (1 << 27) - 1).astype(np.int32)
    last = dated.deletion[at : at + 1]

    assert reference.hcpcs.valid(code, last).tolist() == [True]
    assert reference.hcpcs.valid(code, last + 1).tolist() == [False]


def test_visits_are_the_ranges_of_the_table(reference):
    inside = codes("99213", "92014", "99499", "99220", "36415", "G0463")

    visits = reference.evaluation_management.contains(inside, np.repeat(days(DEMO), 6))

    assert visits.tolist() == [True, True, False, False, False, False]


def test_modifier_groups(reference):
    groups = reference.ncci_modifiers.group(modifiers("LT", "25", "59", "XE", "91", "76", "26"))

    assert groups.tolist() == [
        ANATOMIC,
        GLOBAL,
        OTHER | DISTINCT,
        OTHER | DISTINCT,
        OTHER | REPEAT,
        REPEAT,
        0,
    ]


@pytest.mark.parametrize(
    ("code", "first", "last", "name"),
    [
        ("P0700", 0, 0, "newborn"),
        ("P96", 0, 0, "newborn"),
        ("P99", -1, -1, ""),
        ("O0990", 9, 64, "maternity"),
        ("O9A", 9, 64, "maternity"),
        ("Z00129", 0, 17, "paediatric"),
        ("Z00110", 0, 0, "newborn"),
        ("Z0000", 15, 124, "adult"),
        ("Z0002", -1, -1, ""),
        ("N401", 15, 124, "adult"),
        ("E119", -1, -1, ""),
    ],
)
def test_ages_at_which_a_diagnosis_is_plausible(reference, code, first, last, name):
    age_from, age_to, kind = reference.diagnosis_age_class.age_range(diagnoses(code), days(DEMO))

    assert (age_from.item(), age_to.item(), AGE_CLASSES[kind.item()]) == (first, last, name)


def test_stand_ins_are_named_by_day(reference):
    own, after = days("2025-12-31"), days("2026-01-01")

    named = [reference.stand_in_names(int(reference.stand_ins(day)[0])) for day in (own, after)]

    assert "mpfs RVU25D" not in named[0]
    assert "ncci_ptp_practitioner 2024Q3" in named[0]
    assert "mpfs RVU25D" in named[1]
    assert "gpci GPCI2026" not in named[1]


def test_absent_datasets_say_so_and_find_nothing(bare):
    at, code, none = days(DEMO), codes("99213"), modifiers("")

    assert not bare.mpfs.loaded
    assert not bare.ptp_practitioner.loaded
    assert not bare.leie.loaded
    assert bare.evaluation_management.loaded
    assert bare.mpfs.rows(code, none, at).tolist() == [-1]
    assert bare.ptp_practitioner.rows(code, code, at).tolist() == [-1]
    assert bare.ptp_practitioner.involves(code).tolist() == [False]
    assert bare.mue_dme.rows(code, at).tolist() == [-1]
    assert bare.addons.types(code, at).tolist() == [0]
    assert bare.localities.of_zip(np.array([10001]), at).tolist() == [-1]
    assert bare.opps_cap.prices(code, none, np.array([-1]), at)[0].tolist() == [-1]
    assert bare.leie.excluded(np.array([2000001000]), at).tolist() == [NOT_EXCLUDED]
    assert bare.place_of_service.assigned(np.array([11]), at).tolist() == [False]
    assert bare.place_of_service.facility(np.array([22])).tolist() == [False]
    assert bare.icd10cm.state(diagnoses("I10"), at).tolist() == [NOT_IN_SET]
    assert bare.dataset_release("mpfs", at).tolist() == [-1]
    assert bare.stand_ins(at).tolist() == [0]


def test_an_empty_batch_is_answered_with_an_empty_one(reference):
    none = np.array([], np.int32)
    at = np.array([], "datetime64[D]")

    assert len(reference.mpfs.rows(none, none, at)) == 0
    assert len(reference.ptp_practitioner.rows(none, none, at)) == 0
    assert len(reference.addons.types(none, at)) == 0
    assert len(reference.leie.excluded(none, at)) == 0
    assert len(reference.diagnosis_age_class.age_range(none, at)[0]) == 0


def test_a_procedure_is_described_in_words(reference):
    facts = describe(reference, "11045", date(2025, 11, 3))

    assert facts.fee is not None
    assert (facts.fee.release, facts.fee.status, facts.fee.global_days) == ("RVU25D", "A", "ZZZ")
    assert facts.addon_types == ("1",)
    assert [each.setting for each in facts.unit_limits] == ["practitioner", "hospital"]
    assert facts.in_pair_edits == ("practitioner", "hospital")
    assert "ncci_aoc 2024Q2" in facts.stand_ins
    assert not facts.evaluation_management
    assert reference.mpfs.global_days[
        reference.mpfs.rows(codes("11045"), modifiers(""), days(DEMO))
    ].tolist() == [GLOBAL_ZZZ]


def test_a_code_without_a_row_is_described_without_a_fee(reference):
    facts = describe(reference, "99999", date(2025, 11, 3))

    assert facts.fee is None
    assert facts.unit_limits == ()
