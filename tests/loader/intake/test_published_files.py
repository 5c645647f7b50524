"""Real 837 files of other projects: what is valid loads whole, what is not is reported."""

import csv
import io
from collections import defaultdict
from datetime import date

import pytest

from loader.intake import IntakeClaim, IntakeProblem, read_837

ICD9_AFTER_2015 = "x12/imsweb/x12_writer_test.txt"
"""Valid by its source, but with an ICD-9 code on services of 2020, which no payer accepts."""

DEFECTS = {
    "x12/oopfactory/ST1309-XX.txt": (1, "separators", 1),
    "x12/oopfactory/UnicodeExample.txt": (1, "encoding", 0),
    "x12/imsweb/x12_ambiguous_loop.txt": (25, "hierarchy", 1),
    "x12/imsweb/x12_bad_first_line.txt": (1, "separators", 2),
    "x12/imsweb/x12_bad_valid_code.txt": (9, "entity_code", 0),
    "x12/imsweb/x12_loop_errors1_exceeds_max_1_parent.txt": (15, "repeated_loop", 0),
    "x12/imsweb/x12_loop_errors2_exceeds_max_repeats_multiple_parents.txt": (
        34,
        "repeated_loop",
        1,
    ),
    "x12/imsweb/x12_loop_errors3_missing_loops.txt": (16, "missing_loop", 0),
    "x12/imsweb/x12_missing_required_loop_in_one_repeat.txt": (21, "missing_loop", 1),
    "x12/imsweb/x12_missing_required_loops_mult_repeats.txt": (33, "missing_segment", 5),
    "x12/imsweb/x12_no_isa_line.txt": (1, "envelope", 0),
    "x12/imsweb/x12_segment_errors.txt": (12, "repeated_segment", 1),
    "x12/databricks/malformed_CC_837I_EDI.txt": (1, "envelope", 0),
}
"""The defect of each malformed file: segment, code, and how many claims load all the same."""


@pytest.fixture(scope="module")
def files(shared_data):
    """The rows of the manifest by class, each with the items that its file gives."""
    folder = shared_data / "claims"
    by_class = defaultdict(list)
    with (folder / "x12" / "MANIFEST.csv").open(newline="") as manifest:
        for row in csv.DictReader(manifest):
            content = io.BytesIO((folder / row["file"]).read_bytes())
            items = list(read_837(content, file_name="x", ingest_date=date(2025, 11, 21)))
            by_class[row["class"]].append((row, items))
    return by_class


def counts(items):
    claims = [item.claim for item in items if isinstance(item, IntakeClaim)]
    return len(claims), sum(len(claim.lines) for claim in claims)


def problems(items):
    return [item for item in items if isinstance(item, IntakeProblem)]


def test_every_claim_and_line_of_a_valid_file_loads(files):
    off = {
        row["file"]: counts(items)
        for row, items in files["valid-by-source"]
        if counts(items) != (int(row["claims"]), int(row["service_lines"]))
    }

    assert off == {}
    assert len(files["valid-by-source"]) == 64


def test_icd9_on_services_of_2020_is_said(files):
    items = next(i for row, i in files["valid-by-source"] if row["file"] == ICD9_AFTER_2015)

    assert "icd9" in [p.code for p in problems(items) if p.level == "warning"]


def test_claim_ids_are_unique_in_every_file(files):
    for row, items in (pair for pairs in files.values() for pair in pairs):
        ids = [item.claim.claim_id for item in items if isinstance(item, IntakeClaim)]
        assert len(ids) == len(set(ids)), row["file"]


def test_the_defect_of_every_malformed_file_is_found_where_it_stands(files):
    found = {
        row["file"]: {(p.segment, p.code, counts(items)[0]) for p in problems(items)}
        for row, items in files["malformed"]
    }

    assert set(found) == set(DEFECTS)
    assert {file for file, defect in DEFECTS.items() if defect not in found[file]} == set()


@pytest.mark.parametrize("kind", ["4010", "other-guide"])
def test_other_guides_are_refused_by_name(files, kind):
    assert files[kind]
    for row, items in files[kind]:
        (refusal,) = [p for p in problems(items) if p.level == "error"]
        assert counts(items) == (0, 0)
        assert row["guide"] in refusal.message
        assert f"{row['claims']} in number" in refusal.message
