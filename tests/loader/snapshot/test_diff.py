"""Two snapshots of which each difference is known: exactly these rows and days come out."""

import json
import re
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from engine.reference import Reference
from engine.tables.listings import LISTINGS
from engine.tables.snapshot import Snapshot, SnapshotError
from loader.reference_commands import reference_diff
from loader.snapshot.build import OWN, PUBLISHED, build
from loader.snapshot.contents import TABLES
from loader.snapshot.diff import Period, difference

SAMPLE = Path(__file__).parents[3] / "ops" / "reference-sample"
WIDE = (Period(date(2024, 4, 1), date(2026, 12, 31)),)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A snapshot of the sample tables."""
    folder = tmp_path_factory.mktemp("first") / "snapshot"
    build(SAMPLE, folder)
    return folder


@pytest.fixture
def compared(first, source, tmp_path):
    """Build the source folder, which a test has changed, and compare a dataset with the sample."""

    def compare(dataset, rows_max=20):
        folder = tmp_path / "second"
        if not folder.exists():
            build(source, folder)
        return difference(Snapshot.open(first), Snapshot.open(folder), dataset, rows_max=rows_max)

    return compare


def edit(source, name, old, new, count=1):
    """Replace a pattern in a file as often as it is said to occur."""
    path = source / name
    text, found = re.subn(old, new, path.read_bytes().decode(), flags=re.MULTILINE)
    assert found == count, f"{name} holds {old} {found} times"
    path.write_bytes(text.encode())


def rows_of(difference):
    """Return kind, row, before and after of every row, by period and table."""
    return [
        (each.kind, dict(each.row), dict(each.before), dict(each.after))
        for pair in difference.in_force
        for table in pair.tables
        for each in table.rows
    ]


def counts(difference):
    return tuple(difference.rows(kind) for kind in ("added", "removed", "changed"))


def test_every_dataset_can_be_compared():
    assert set(TABLES) == {*PUBLISHED, *OWN, *LISTINGS}


@pytest.mark.parametrize("dataset", TABLES)
def test_equal_snapshots_do_not_differ(first, tmp_path, dataset):
    shutil.copytree(first, tmp_path / "copy")

    found = difference(Snapshot.open(first), Snapshot.open(tmp_path / "copy"), dataset, rows_max=9)

    assert not found.differs


@pytest.mark.parametrize("dataset", TABLES)
def test_every_row_of_a_release_is_counted(first, dataset):
    snapshot = Snapshot.open(first)
    for ordinal, release in enumerate(snapshot.dataset(dataset).releases):
        rows = [len(table.rows(snapshot, dataset, ordinal).key) for table in TABLES[dataset]]

        if dataset == "ncci_aoc":
            assert rows[0] == release.rows
        elif dataset == "leie":
            assert rows == [release.rows - 20, 10, 1, 10]
        elif dataset == "place_of_service":
            assert rows == [52]  # assigned
        elif dataset == "ncci_modifiers":
            assert rows == [46]  # modifiers; some are in two groups
        else:
            assert rows == [release.rows]


def test_a_limit_that_changed(source, compared):
    edit(source, "ncci/MCR_MUE_PractitionerServices_sample.csv", r"^97110,6,", "97110,4,")

    found = compared("ncci_mue_practitioner")

    assert rows_of(found) == [("changed", {"code": "97110"}, {"limit": 6}, {"limit": 4})]
    assert [pair.periods for pair in found.in_force] == [WIDE]
    assert found.releases_changed == ("2024Q3",)
    assert counts(found) == (0, 0, 1)


def test_a_limit_that_is_new_and_one_that_is_gone(source, compared):
    name = "ncci/MCR_MUE_PractitionerServices_sample.csv"
    edit(source, name, r"^97110,6,(.*)$", r"97114,3,\1")

    found = compared("ncci_mue_practitioner")

    assert rows_of(found) == [
        ("added", {"code": "97114"}, {}, {"limit": 3, "mai": 3}),
        ("removed", {"code": "97110"}, {"limit": 6, "mai": 3}, {}),
    ]


def test_a_quarter_shows_what_it_changes_from_its_first_day_on(source, compared):
    name = "ncci/MCR_MUE_PractitionerServices_sample.csv"
    newer = name.replace("sample", "2025Q4")
    shutil.copy(source / name, source / newer)
    edit(source, newer, r"^97110,6,", "97110,4,")
    with (source / "releases.toml").open("a") as toml:
        toml.write(
            '\n[[release]]\ndataset = "ncci_mue_practitioner"\nid = "2025Q4"\n'
            f'files = ["{newer}"]\nfrom = 2025-10-01\nto = 2025-12-31\n'
        )

    found = compared("ncci_mue_practitioner")

    assert found.releases_added == ("2025Q4",)
    assert found.releases_changed == ()
    [within, after] = found.in_force
    assert (within.before, within.after) == ("2024Q3", "2025Q4")
    assert within.periods == (Period(date(2025, 10, 1), date(2025, 12, 31)),)
    assert [(each.added, each.removed, each.changed) for each in within.tables] == [(0, 0, 1)]
    # The newest release serves without end where no word of the manifest ends it.
    assert (after.before, after.after) == ("", "2025Q4")
    assert after.periods == (Period(date(2027, 1, 1), None),)
    assert [(each.added, each.removed, each.changed) for each in after.tables] == [(471, 0, 0)]


def test_a_release_that_is_gone(source, compared):
    entries = (source / "releases.toml").read_text().split("[[release]]")
    kept = [each for each in entries if "GPCI2026" not in each]
    (source / "releases.toml").write_text("[[release]]".join(kept))

    found = compared("gpci")

    assert found.releases_removed == ("GPCI2026",)
    assert counts(found) == (0, 22, 0)
    assert [(pair.before, pair.after, pair.periods) for pair in found.in_force] == [
        ("GPCI2026", "", (Period(date(2026, 1, 1), None),))
    ]


def test_a_window_that_moved_is_a_release_that_changed(source, compared):
    edit(
        source,
        "releases.toml",
        r'(dataset = "hcpcs"\n(?:.*\n){4}stands_in = \[2024-)04',
        r"\g<1>06",
    )

    found = compared("hcpcs")

    assert found.releases_changed == ("2024-07",)
    assert [(pair.before, pair.after, pair.periods) for pair in found.in_force] == [
        ("2024-07", "", (Period(date(2024, 4, 1), date(2024, 5, 31)),))
    ]
    assert counts(found) == (0, 253, 0)


def test_a_pair_that_is_deleted_and_comes_back_is_told_by_its_days(source, compared):
    edit(
        source,
        "ncci/ccipra_sample.txt",
        "^45385\t45380\t\t\t\\*\t1(.*)$",
        "45385\t45380\t\t\t20251015\t1\\1\n45385\t45380\t\t20251201\t*\t0\\1",
    )

    found = compared("ncci_ptp_practitioner")

    pair = {"column_1": "45385", "column_2": "45380"}
    assert rows_of(found) == [
        (
            "changed",
            pair | {"effective": None},
            {"deletion": None},
            {"deletion": "2025-10-15"},
        ),
        (
            "added",
            pair | {"effective": "2025-12-01"},
            {},
            {"deletion": None, "indicator": 0, "mutually_exclusive": False},
        ),
    ]


def test_a_fee_row(source, compared):
    edit(source, "mpfs/PPRRVU_sample.csv", r"^99213,,,A,,1.30,1.35,,0.57,,0.10,2.75,1.97",
         "99213,,,A,,1.31,1.35,,0.57,,0.10,2.76,1.98")  # fmt: skip

    found = compared("mpfs")

    assert rows_of(found) == [
        ("changed", {"code": "99213", "modifier": ""}, {"work_e2": 130}, {"work_e2": 131})
    ]
    assert [pair.periods for pair in found.in_force] == [
        (Period(date(2024, 7, 1), date(2026, 12, 31)),)
    ]


def test_words_of_values(source, compared):
    edit(source, "mpfs/PPRRVU_sample.csv", r"^99213,,,A,", "99213,,,N,")

    assert rows_of(compared("mpfs"))[0][2:] == ({"status": "A"}, {"status": "N"})


def test_indices_caps_and_factors_are_named_by_locality(source, compared):
    edit(source, "gpci/GPCI2025_sample.csv", r"0\.869", "0.868")
    edit(source, "gpci/ANES2025_sample.csv", r"^(10112 *,00 *,.*?)19\.31", r"\g<1>19.32")
    edit(source, "mpfs/OPPSCAP_sample.csv", r"^(70496,TC,.,10112,00,[^,]*),.*$", r"\1,1.00")

    indices, factors, caps = (compared(each) for each in ("gpci", "anesthesia_cf", "opps_cap"))

    assert rows_of(indices) == [
        ("changed", {"locality": "1011200"}, {"pe_e3": 869}, {"pe_e3": 868})
    ]
    assert rows_of(factors) == [
        ("changed", {"locality": "1011200"}, {"factor_e4": 193100}, {"factor_e4": 193200})
    ]
    [(kind, row, _, after)] = rows_of(caps)
    assert (kind, row) == (
        "changed", {"code": "70496", "modifier": "TC", "locality": "1011200"},
    )  # fmt: skip
    assert after == {"non_facility_cents": 100}


def test_zip_codes_and_places(source, compared):
    edit(source, "gpci/ZIP5_sample.txt", r"^NY100011320201", "PA100011250201")
    edit(source, "codes/place_of_service_sample.csv", r"^11,Non-Facility", "11,Facility")

    zips, places = compared("zip_locality"), compared("place_of_service")

    assert rows_of(zips) == [
        (
            "changed",
            {"zip5": "10001"},
            {"locality": "1320201", "state": "NY"},
            {"locality": "1250201", "state": "PA"},
        )
    ]
    assert rows_of(places) == [
        ("changed", {"place_of_service": "11"}, {"facility": False}, {"facility": True})
    ]


def test_add_ons_by_primary_and_by_type(source, compared):
    edit(source, "ncci/AOC_sample.csv", r"^11045,1,11042,2013,,", "11045,1,11042,2013,2024,")

    found = compared("ncci_aoc")

    assert [
        (table.table, table.added, table.removed, table.changed)
        for pair in found.in_force
        for table in pair.tables
    ] == [("primaries", 0, 0, 1), ("types", 0, 0, 1)]
    assert rows_of(found)[0] == (
        "changed",
        {"add_on": "11045", "primary": "11042", "pair_effective": "2013-01-01"},
        {"pair_deletion": None},
        {"pair_deletion": "2024-12-31"},
    )


def test_exclusions_and_waivers(source, compared):
    edit(source, "leie/UPDATED_sample.csv", r'"20250420","00000000","00000000",""',
         '"20250420","20250901","20250601","NY"')  # fmt: skip

    found = compared("leie")

    assert rows_of(found) == [
        (
            "changed",
            {"npi": "2000001000", "excluded": "2025-04-20"},
            {"reinstated": None},
            {"reinstated": "2025-09-01"},
        ),
        (
            "added",
            {"npi": "2000001000", "waiver_state": "NY", "waiver_first": "2025-06-01"},
            {},
            {"waiver_after": "2025-09-01"},
        ),
    ]


def test_codes(source, compared):
    edit(source, "codes/icd10cm_order_sample.txt", r"^(\d{5}) E119 ", r"\1 E11A ")
    edit(source, "codes/modifiers_sample.csv", r"^LT,", "LX,")
    edit(source, "claimgate/ncci_modifiers.csv", r"^LT,anatomic", "LT,global")
    edit(source, "claimgate/evaluation_management.csv", r"^99202,99215", "99202,99214")

    assert rows_of(compared("icd10cm")) == [
        ("added", {"code": "E11A"}, {}, {"billable": True}),
        ("removed", {"code": "E119"}, {"billable": True}, {}),
    ]
    assert [each[:2] for each in rows_of(compared("modifiers"))] == [
        ("added", {"code": "LX", "effective": None}),
        ("removed", {"code": "LT", "effective": None}),
    ]
    assert rows_of(compared("ncci_modifiers")) == [
        ("changed", {"modifier": "LT"}, {"groups": 1}, {"groups": 2})
    ]
    assert [each[:2] for each in rows_of(compared("evaluation_management"))] == [
        ("removed", {"code": "99215", "effective": None})
    ]


def test_age_classes_are_named_by_the_range(source, compared):
    edit(
        source, "claimgate/diagnosis_age_class.csv", r"^Z38,Z38,newborn,0,0", "Z38,Z38,newborn,0,1"
    )

    [(kind, row, before, after)] = rows_of(compared("diagnosis_age_class"))

    assert (kind, row["first"], before, after) == (
        "changed",
        "Z380000",
        {"age_to": 0},
        {"age_to": 1},
    )


CONTRACTS = (
    "tenant_id,code_from,code_to,contract,plan,billing_npi,billing_tin,modifier,setting,rate_kind,"
    "rate,net,effective_from,effective_to\n"
)


def test_listings_are_named_by_tenant_codes_and_first_day(source, tmp_path):
    path = source / "claimgate" / "contract_rates.csv"
    path.write_text(
        CONTRACTS
        + "one,99213,99215,C1,,,987654321,26,any,cents_per_unit,80,no,2025-01-01,\n"
        + ",45380,,,,1234567893,,,facility,percent_of_fee,1.1,yes,,\n"
    )
    build(source, tmp_path / "one")
    path.write_text(path.read_text().replace(",80,", ",81.5,").replace("45380", "45385"))
    build(source, tmp_path / "two")

    found = difference(
        Snapshot.open(tmp_path / "one"), Snapshot.open(tmp_path / "two"), "contract_rates",
        rows_max=5,
    )  # fmt: skip

    changed, added, removed = rows_of(found)
    contract = changed[1].pop("contract")
    assert re.fullmatch("#[0-9a-f]{8}", contract)
    assert changed == (
        "changed",
        {
            "code_first": "99213", "tenant": "one", "code_last": "99215", "plan": "",
            "billing_npi": 0, "billing_tin": "given", "modifier": "26", "setting": "any",
            "effective": "2025-01-01",
        },
        {"rate": 800_000},
        {"rate": 815_000},
    )  # fmt: skip
    assert (added[0], added[1]["code_first"]) == ("added", "45385")
    assert (removed[0], removed[1]["code_first"]) == ("removed", "45380")
    assert added[2] == removed[3] == {}
    assert added[3] == removed[2]
    assert added[3] == {
        "rate_kind": "percent_of_fee", "rate": 11_000, "net": True, "deletion": None,
    }  # fmt: skip
    assert len(found.releases_added) == len(found.releases_removed) == 1


def test_a_listing_that_is_new(source, tmp_path):
    listing = source / "claimgate" / "inpatient_only.csv"
    listing.unlink()
    build(source, tmp_path / "without")
    listing.write_text("tenant_id,code_from,code_to,effective_from,effective_to\n,27440,27449,,\n")
    build(source, tmp_path / "with")

    before, after = (Snapshot.open(tmp_path / name) for name in ("without", "with"))
    found = difference(before, after, "inpatient_only", rows_max=20)

    assert rows_of(found) == [
        (
            "added",
            {"code_first": "27440", "tenant": "", "code_last": "27449", "effective": None},
            {},
            {"deletion": None},
        )
    ]
    assert [(pair.before, pair.periods) for pair in found.in_force] == [("", (Period(None, None),))]


def test_the_listing_is_bounded_and_the_counts_are_not(source, compared):
    edit(source, "gpci/GPCI2026_sample.csv", r",(\d\.\d{3})(\s*)$", r",9.999\2", count=22)

    found = compared("gpci", rows_max=5)

    assert counts(found) == (0, 0, 22)
    assert len(rows_of(found)) == 5


def test_a_row_that_comes_twice_is_counted_twice(tmp_path, source, first):
    """Add-ons of two types name the same primary from the same day on."""
    edit(source, "ncci/AOC_sample.csv", r"^(11045),1,(.*)$", r"\1,1,\2\n\1,3,\2")
    build(source, tmp_path / "second")

    found = difference(
        Snapshot.open(first), Snapshot.open(tmp_path / "second"), "ncci_aoc", rows_max=5
    )

    assert counts(found) == (2, 0, 0)  # the primary, and the type


def test_the_command_tells_rows_and_money(source, first, tmp_path, capsys):
    edit(source, "ncci/MCR_MUE_PractitionerServices_sample.csv", r"^97110,6,", "97110,1,")
    build(source, tmp_path / "second")

    status = reference_diff(first, tmp_path / "second", as_json=True)

    facts = json.loads(capsys.readouterr().out)
    assert status == 0
    assert facts["before"] == Reference.open(first).release
    assert facts["after"] == Reference.open(tmp_path / "second").release
    assert set(facts["datasets"]) == {"ncci_mue_practitioner"}
    assert facts["datasets"]["ncci_mue_practitioner"]["rows_changed"] == 1
    assert facts["datasets"]["ncci_mue_practitioner"]["in_force"] == [
        {
            "before": "2024Q3",
            "after": "2024Q3",
            "periods": [{"from": "2024-04-01", "to": "2026-12-31"}],
            "tables": [
                {
                    "table": "",
                    "added": 0,
                    "removed": 0,
                    "changed": 1,
                    "rows": [
                        {
                            "kind": "changed",
                            "row": {"code": "97110"},
                            "before": {"limit": 6},
                            "after": {"limit": 1},
                        }
                    ],
                }
            ],
        }
    ]
    assert facts["impact"]["hits_appeared"] == {"NCCI_MUE": 1}


def test_the_command_says_where_nothing_differs(first, capsys):
    assert reference_diff(first, first) == 0

    told = capsys.readouterr().out
    assert "the tables are the same" in told
    assert "0 answered otherwise" in told


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"dataset": "mfps"}, ValueError, "no dataset 'mfps'; expected one of mpfs"),
        ({"rows": -1}, ValueError, "--rows is -1"),
        ({"after": Path("nowhere")}, SnapshotError, "no snapshot in nowhere"),
        ({"claims": [Path("nowhere.837")]}, FileNotFoundError, "nowhere.837 is not there"),
        ({"claims": [SAMPLE / "claimgate"]}, FileNotFoundError, "holds no file of claims"),
    ],
)
def test_wrong_input_of_the_command_is_named(first, changes, error, reason):
    given = {"before": first, "after": first} | changes

    with pytest.raises(error, match=reason):
        reference_diff(given.pop("before"), given.pop("after"), **given)


def test_columns_are_read_only(first):
    rows = TABLES["mpfs"][0].rows(Snapshot.open(first), "mpfs", 0)

    with pytest.raises(ValueError, match="read-only"):
        rows.values["work_e2"][0] = np.int32(1)
