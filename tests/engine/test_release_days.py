"""Several releases of every dataset in one snapshot: each corner day reads the right one."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.codes import code36
from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.reference import BILLABLE, EXCLUDED, NOT_EXCLUDED, NOT_IN_SET, Reference
from engine.rules.rule import example, line
from loader.snapshot.build import PUBLISHED, build

SAMPLE = Path(__file__).parents[2] / "ops" / "reference-sample"

OLD, NEW, NONE = "OLD", "NEW", ""
OWN, STANDS_IN = False, True

# Each stands in for days on both sides of its own; between and around them nothing serves.
WINDOWS = """
[[release]]
dataset = "{dataset}"
id = "OLD"
files = ["{old}"]
from = 2025-01-01
to = 2025-03-31
stands_in = [2024-12-15, 2025-04-15]

[[release]]
dataset = "{dataset}"
id = "NEW"
files = ["{new}"]
from = 2025-07-01
to = 2025-09-30
stands_in = [2025-06-01, 2025-12-31]
"""
CORNERS = [
    ("2024-12-14", NONE, OWN),
    ("2024-12-15", OLD, STANDS_IN),
    ("2024-12-31", OLD, STANDS_IN),
    ("2025-01-01", OLD, OWN),
    ("2025-03-31", OLD, OWN),
    ("2025-04-01", OLD, STANDS_IN),
    ("2025-04-15", OLD, STANDS_IN),
    ("2025-04-16", NONE, OWN),
    ("2025-05-31", NONE, OWN),
    ("2025-06-01", NEW, STANDS_IN),
    ("2025-06-30", NEW, STANDS_IN),
    ("2025-07-01", NEW, OWN),
    ("2025-09-30", NEW, OWN),
    ("2025-10-01", NEW, STANDS_IN),
    ("2025-12-31", NEW, STANDS_IN),
    ("2026-01-01", NONE, OWN),
]
DAYS = np.array([day for day, _, _ in CORNERS], "datetime64[D]")


def codes(text: str) -> Any:
    return np.full(len(DAYS), code36(text), np.int64)


def numbers(number: int) -> Any:
    return np.full(len(DAYS), number, np.int64)


def alabama(reference: Reference) -> Any:
    return reference.localities.of_locality(numbers(1_011_200), DAYS)


def work(reference: Reference) -> Any:
    table = reference.mpfs
    return table.work_e2[table.rows(codes("99213"), numbers(0), DAYS)]


def cap(reference: Reference) -> Any:
    prices = reference.opps_cap.prices(codes("70496"), codes("TC"), alabama(reference), DAYS)
    return prices[0]


def pair(name: str) -> Callable[[Reference], Any]:
    def read(reference: Reference) -> Any:
        table = getattr(reference, name)
        return table.indicator[table.rows(codes("43239"), codes("43235"), DAYS)]

    return read


def limit(name: str, code: str) -> Callable[[Reference], Any]:
    def read(reference: Reference) -> Any:
        table = getattr(reference, name)
        return table.limit[table.rows(codes(code), DAYS)]

    return read


# File; what NEW says instead; what is read; its value in OLD, in NEW and without a release.
CASES = {
    "mpfs": (
        "mpfs/PPRRVU_sample.csv",
        (
            "99213,,,A,,1.30,1.35,,0.57,,0.10,2.75,1.97",
            "99213,,,A,,1.31,1.35,,0.57,,0.10,2.76,1.98",
        ),
        work,
        (130, 131, 0),
    ),
    "opps_cap": (
        "mpfs/OPPSCAP_sample.csv",
        ("70496,TC,A,10112,00,154.60", "70496,TC,A,10112,00,150.00"),
        cap,
        (15_460, 15_000, -1),
    ),
    "gpci": (
        "gpci/GPCI2025_sample.csv",
        ("0.869", "0.875"),
        lambda reference: reference.localities.pe_e3[alabama(reference)],
        (869, 875, 0),
    ),
    "anesthesia_cf": (
        "gpci/ANES2025_sample.csv",
        ("19.31", "19.50"),
        lambda reference: reference.localities.anesthesia_factor_e4(alabama(reference), DAYS),
        (193_100, 195_000, 0),
    ),
    "zip_locality": (
        "gpci/ZIP5_sample.txt",
        ("AL352011011200", "NY352011320201"),
        lambda reference: reference.localities.locality[
            reference.localities.of_zip(numbers(35_201), DAYS)
        ],
        (1_011_200, 1_320_201, -1),
    ),
    "ncci_ptp_practitioner": (
        "ncci/ccipra_sample.txt",
        ("43239\t43235\t*\t\t*\t0", "43239\t43235\t*\t\t*\t1"),
        pair("ptp_practitioner"),
        (0, 1, 9),
    ),
    "ncci_ptp_hospital": (
        "ncci/ccioph_sample.txt",
        ("43239\t43235\t*\t\t*\t0", "43239\t43235\t*\t\t*\t1"),
        pair("ptp_hospital"),
        (0, 1, 9),
    ),
    "ncci_mue_practitioner": (
        "ncci/MCR_MUE_PractitionerServices_sample.csv",
        ("\r\n97110,6,", "\r\n97110,4,"),
        limit("mue_practitioner", "97110"),
        (6, 4, -1),
    ),
    "ncci_mue_hospital": (
        "ncci/MCR_MUE_OutpatientHospitalServices_sample.csv",
        ("\r\n97110,8,", "\r\n97110,4,"),
        limit("mue_hospital", "97110"),
        (8, 4, -1),
    ),
    "ncci_mue_dme": (
        "ncci/MCR_MUE_DMESupplierServices_sample.csv",
        ("\r\nA4206,0,", "\r\nA4206,4,"),
        limit("mue_dme", "A4206"),
        (0, 4, -1),
    ),
    "ncci_aoc": (
        "ncci/AOC_sample.csv",
        ("11045,1,11042", "11045,1,11044"),
        lambda reference: reference.addons.accepts(codes("11045"), codes("11042"), DAYS),
        (True, False, False),
    ),
    "leie": (
        "leie/UPDATED_sample.csv",
        ('"2000001372","","","SPRINGFIELD"', '"0000000000","","","SPRINGFIELD"'),
        lambda reference: reference.leie.excluded(numbers(2_000_001_372), DAYS),
        (EXCLUDED, NOT_EXCLUDED, NOT_EXCLUDED),
    ),
    "icd10cm": (
        "codes/icd10cm_order_sample.txt",
        (" E119 ", " E11A "),
        lambda reference: reference.icd10cm.state(codes("E119"), DAYS),
        (BILLABLE, NOT_IN_SET, NOT_IN_SET),
    ),
    "hcpcs": (
        "codes/hcpcs_level2_sample.csv",
        ("\nG0101,", "\nG0100,"),
        lambda reference: reference.hcpcs.valid(codes("G0101"), DAYS),
        (True, False, False),
    ),
    "place_of_service": (
        "codes/place_of_service_sample.csv",
        ("11,Non-Facility,Office", "11,Unassigned,Unassigned"),
        lambda reference: reference.place_of_service.assigned(numbers(11), DAYS),
        (True, False, False),
    ),
    "modifiers": (
        "codes/modifiers_sample.csv",
        ("\nLT,", "\nLX,"),
        lambda reference: reference.modifiers.valid(codes("LT"), DAYS),
        (True, False, False),
    ),
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A snapshot with an older and a newer release of every published dataset."""
    folder = tmp_path_factory.mktemp("releases")
    source = folder / "source"
    shutil.copytree(SAMPLE, source)
    entries = []
    for dataset, (name, (old, new), _, _) in CASES.items():
        newer = re.sub("_sample", "_newer", name)
        content = (source / name).read_bytes()
        assert content.count(old.encode()) == 1, (name, content.count(old.encode()))
        (source / newer).write_bytes(content.replace(old.encode(), new.encode()))
        entries.append(WINDOWS.format(dataset=dataset, old=name, new=newer))
    (source / "releases.toml").write_text("".join(entries))
    build(source, folder / "snapshot")
    return Reference.open(folder / "snapshot")


def test_every_published_dataset_has_a_case():
    assert set(CASES) == set(PUBLISHED)


@pytest.mark.parametrize("dataset", CASES)
def test_each_corner_day_reads_its_release(reference, dataset):
    _, _, read, (old, new, none) = CASES[dataset]

    values = read(reference).tolist()

    expected = {OLD: old, NEW: new, NONE: none}
    assert dict(zip(DAYS.astype(str), values, strict=True)) == {
        day: expected[release] for day, release, _ in CORNERS
    }


@pytest.mark.parametrize("dataset", CASES)
def test_each_corner_day_names_its_release(reference, dataset):
    ordinals = reference.dataset_release(dataset, DAYS)

    names = [reference.release_name(dataset, int(each)) for each in ordinals]

    assert names == [release for _, release, _ in CORNERS]


@pytest.mark.parametrize("dataset", CASES)
def test_stand_ins_are_named_on_their_days_alone(reference, dataset):
    masks = reference.stand_ins(DAYS)

    named = [
        [name for name in reference.stand_in_names(int(mask)) if name.split()[0] == dataset]
        for mask in masks
    ]

    assert named == [
        [f"{dataset} {release}"] if stands_in else [] for _, release, stands_in in CORNERS
    ]


@pytest.mark.parametrize(("day", "release", "stands_in"), CORNERS)
def test_an_answer_rests_on_the_release_of_its_day(reference, day, release, stands_in):
    claim = claim_of(example("", line("97110", units=5, day=day), day=day, received="2026-01-10"))
    engine = Engine.with_all_rules(reference)

    [answer] = engine.score(
        engine.read([score_pb2.ClaimBatch(claims=[claim])]),
        Gathered(ModelAnswer.disabled()),
        [score_pb2.VIEW_EVIDENCE],
    )

    [result] = answer.results
    [hits] = [[hit for hit in result.hits if hit.rule_id == "NCCI_MUE"]]
    gaps = {rule: gap.reason for gap in result.not_evaluated for rule in gap.rule_ids}
    expected = ["ncci_mue_practitioner NEW"] if release == NEW else []
    assert [hit.dataset_release for hit in hits] == expected
    assert gaps.get("NCCI_MUE") == ("no_release" if release == NONE else None)
    assert ("ncci_mue_practitioner " + release in answer.provenance.stand_ins) == stands_in


def test_lines_of_one_claim_on_two_sides_of_a_corner_rest_on_two_releases(reference):
    claim = claim_of(
        example(
            "",
            line("97110", units=5, day="2025-04-15"),
            line("97110", units=5, day="2025-06-01"),
            day="2025-04-15",
            received="2025-08-01",
        )
    )
    claim.service_to_date = "2025-06-01"
    engine = Engine.with_all_rules(reference)

    [answer] = engine.score(
        engine.read([score_pb2.ClaimBatch(claims=[claim])]),
        Gathered(ModelAnswer.disabled()),
        [score_pb2.VIEW_EVIDENCE],
    )

    [hit] = [hit for hit in answer.results[0].hits if hit.rule_id == "NCCI_MUE"]
    assert list(hit.line_numbers) == [2]
    assert {"ncci_mue_practitioner OLD", "ncci_mue_practitioner NEW"} <= {
        *answer.provenance.stand_ins
    }


def price_cents(reference: Reference, day: str) -> int | None:
    claim = claim_of(example("", line("99213", day=day), day=day, received="2024-05-01"))
    engine = Engine.with_all_rules(reference)
    [answer] = engine.score(
        engine.read([score_pb2.ClaimBatch(claims=[claim])]),
        Gathered(ModelAnswer.disabled()),
        [score_pb2.VIEW_EVIDENCE],
    )
    [priced] = answer.results[0].lines
    return priced.allowed_cents if priced.HasField("allowed_cents") else None


def test_the_conversion_factor_of_2024_changes_with_the_ninth_of_march(tmp_path):
    """The first quarter has two files: 32.7442 dollars up to 8 March, then 33.2875."""
    source = tmp_path / "source"
    shutil.copytree(SAMPLE, source)
    text = (source / "mpfs" / "PPRRVU_sample.csv").read_bytes()
    entries = (source / "releases.toml").read_text().split("[[release]]")
    kept = [each for each in entries if "RVU24B" not in each and "GPCI2024" not in each]
    toml = "[[release]]".join(kept).replace("2024-07-01, 2025-12-31", "2024-01-01, 2025-12-31")
    toml = toml.replace("[2024-04-01, 2026-12-31]", "[2024-01-01, 2026-12-31]")
    for name, factor, first, last in (
        ("RVU24A", b"32.7442", "2024-01-01", "2024-03-08"),
        ("RVU24AR", b"33.2875", "2024-03-09", "2024-03-31"),
    ):
        (source / "mpfs" / f"{name}.csv").write_bytes(text.replace(b"32.3465", factor))
        toml += (
            f'\n[[release]]\ndataset = "mpfs"\nid = "{name}"\nfiles = ["mpfs/{name}.csv"]\n'
            f"from = {first}\nto = {last}\n"
        )
    (source / "releases.toml").write_text(toml)
    build(source, tmp_path / "snapshot")
    reference = Reference.open(tmp_path / "snapshot")

    prices = [
        price_cents(reference, day)
        for day in ("2023-12-31", "2024-01-01", "2024-03-08", "2024-03-09", "2024-03-31")
    ]

    # 1.30 x 1 + 1.35 x 0.869 + 0.10 x 0.575 = 2.53065 units
    assert prices == [None, 8286, 8286, 8424, 8424]
