"""Listings: read from CSV by their specs, seen by tenant, found by code, plan and day."""

import numpy as np
import pytest

from engine.codes import code36
from engine.reference import Reference
from engine.tables.keys import ZIP_REGION_FIRST
from engine.words import word_key
from loader.snapshot.build import build
from loader.snapshot.published import ReferenceFileError

EXCLUSIONS = (
    "tenant_id,code_from,code_to,plan,place_of_service,diagnosis_from,diagnosis_to,age_from,age_to,"
    "effective_from,effective_to\n"
)
INPATIENT = "tenant_id,code_from,code_to,effective_from,effective_to\n"


@pytest.fixture
def built(source, tmp_path):
    """Build a snapshot with a listing of the given content and open it."""

    def with_content(name: str, content: str) -> Reference:
        (source / "claimgate").mkdir(exist_ok=True)
        (source / "claimgate" / f"{name}.csv").write_text(content)
        build(source, tmp_path / "snapshot")
        return Reference.open(tmp_path / "snapshot")

    return with_content


def rows(listing, code: str, day: str, plan: str | None = None) -> list[int]:
    group = None if plan is None else np.array([word_key(plan)])
    found = listing.match(np.array([code36(code)]), np.array([day], "datetime64[D]"), group)
    return found.row.tolist()


def test_a_listing_that_is_not_brought_is_not_loaded(source, tmp_path):
    (source / "claimgate" / "inpatient_only.csv").unlink(missing_ok=True)
    build(source, tmp_path / "snapshot")

    listing = Reference.open(tmp_path / "snapshot").listing("inpatient_only")

    assert not listing.loaded
    assert rows(listing, "27447", "2025-01-01") == []


def test_rows_are_found_by_code_and_day_both_ends_included(built):
    listing = built("inpatient_only", INPATIENT + ",27440,27449,2024-01-01,2025-12-31\n").listing(
        "inpatient_only"
    )

    for code, day, count in (
        ("27440", "2024-01-01", 1), ("27449", "2025-12-31", 1), ("27445", "2023-12-31", 0),
        ("27445", "2026-01-01", 0), ("27439", "2025-01-01", 0), ("27450", "2025-01-01", 0),
    ):  # fmt: skip
        assert len(rows(listing, code, day)) == count, (code, day)


def test_rows_of_a_plan_and_of_all_plans_are_found(built):
    listing = built(
        "benefit_exclusions",
        EXCLUSIONS + ",15830,,,,,,,,,\n" + ",15820,15840,P1,,,,,,,\n" + ",15830,,P2,,,,,,,\n",
    ).listing("benefit_exclusions")

    assert rows(listing, "15830", "2025-01-01", "p1") == [0, 1]
    assert rows(listing, "15830", "2025-01-01", "P3") == [0]
    assert rows(listing, "15830", "2025-01-01", "") == [0]
    assert rows(listing, "15825", "2025-01-01", "P1") == [1]


def test_a_tenant_sees_rows_for_all_and_its_own_never_anothers(built):
    content = INPATIENT + ",27447,,,\n" + "one,27446,,,\n" + "two,27445,,,\n"
    reference = built("inpatient_only", content)

    def seen(tenant: str) -> set[str]:
        listing = reference.for_tenant(tenant).listing("inpatient_only")
        return {c for c in ("27445", "27446", "27447") if rows(listing, c, "2025-01-01")}

    assert seen("") == {"27447"}
    assert seen("one") == {"27446", "27447"}
    assert seen("two") == {"27445", "27447"}
    assert seen("ONE") == {"27447"}, "tenants are told apart by every letter"


def test_ranges_that_overlap_under_different_keys_are_all_found(built):
    header = (
        "tenant_id,revenue_from,revenue_to,rule,code_from,code_to,effective_from,effective_to\n"
    )
    listing = built(
        "revenue_code_procedures",
        header + ",0360,0369,allowed,10004,69990,,\n" + ",0361,,excluded,99213,,,\n",
    ).listing("revenue_code_procedures")

    assert rows(listing, "0361", "2025-01-01") == [0, 1]
    assert rows(listing, "0362", "2025-01-01") == [0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("tenant_id,code,effective_from,effective_to\n", "header"),
        (INPATIENT + ",2744,,,\n", "row 2: code is '2744'"),
        (INPATIENT + ",27447,27446,,\n", "row 2: code ends before it begins"),
        (INPATIENT + ",27447,,2025-01-01,2024-12-31\n", "row 2: the row ends before it begins"),
        (INPATIENT + ",27447,,,\n,27440,27449,,\n", "row 3: .* with those of row 2"),
        (INPATIENT + ",27447,,,2024-12-31\n,27447,,2024-12-31,\n", "row 3: .* overlap"),
        (INPATIENT + ",27447,,2025-02-30,\n", "row 2: effective_from is '2025-02-30'"),
        (INPATIENT + ",27447,,\n", "row 2: 4 fields"),
        (INPATIENT + ",,,,\n", "row 2: code is ''"),
    ],
)  # fmt: skip
def test_a_listing_at_fault_is_refused_whole(built, content, reason, tmp_path):
    with pytest.raises(ReferenceFileError, match=reason):
        built("inpatient_only", content)

    assert not (tmp_path / "snapshot").exists()


def test_days_that_touch_do_not_overlap(built):
    listing = built(
        "inpatient_only", INPATIENT + ",27447,,,2024-12-31\n,27447,,2025-01-01,\n"
    ).listing("inpatient_only")

    assert rows(listing, "27447", "2024-12-31") == [0]
    assert rows(listing, "27447", "2025-01-01") == [1]


def test_five_digits_of_a_zip_and_three_of_another_are_two_places(built):
    content = (
        "tenant_id,zip,latitude,longitude,effective_from,effective_to\n"
        ",606,41.8400,-87.6800,,\n,00606,18.1800,-66.9800,,\n"
    )
    listing = built("zip_centroids", content).listing("zip_centroids")

    def latitude(zip_number: int) -> list[int]:
        found = listing.match(np.array([zip_number]), np.array(["2025-01-01"], "datetime64[D]"))
        return found["latitude"].tolist()

    assert latitude(606) == [181800]
    assert latitude(ZIP_REGION_FIRST + 606) == [418400]
