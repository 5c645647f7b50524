"""A build is whole or absent, and its id depends on the content alone."""

import gzip
import json
import shutil
from datetime import date

import numpy as np
import pytest

from engine.codes import code36
from engine.reference import Reference
from engine.tables.snapshot import SnapshotError
from loader.snapshot.build import build


def release(manifest, dataset):
    return manifest.datasets[dataset].releases[-1]


def test_the_same_files_give_the_same_id_wherever_they_lie(source, tmp_path):
    elsewhere = tmp_path / "a longer path" / "of files"
    shutil.copytree(source, elsewhere)

    one = build(source, tmp_path / "one")
    other = build(elsewhere, tmp_path / "deeper" / "other")

    assert one.snapshot == other.snapshot


def test_another_figure_gives_another_id(source, tmp_path):
    before = build(source, tmp_path / "before")
    path = source / "gpci" / "GPCI2025_sample.csv"
    path.write_text(path.read_text().replace("0.869", "0.868"))

    after = build(source, tmp_path / "after")

    assert before.snapshot != after.snapshot


def test_another_window_gives_another_id(source, tmp_path):
    before = build(source, tmp_path / "before")
    path = source / "releases.toml"
    path.write_text(path.read_text().replace("2026-12-31", "2027-12-31"))

    after = build(source, tmp_path / "after")

    assert before.snapshot != after.snapshot


def test_the_manifest_on_disk_is_the_one_returned(source, tmp_path):
    manifest = build(source, tmp_path / "snapshot")

    assert Reference.open(tmp_path / "snapshot").manifest == manifest


def test_the_manifest_tells_what_was_read_and_what_was_left_out(source, tmp_path):
    manifest = build(source, tmp_path / "snapshot")

    pairs = release(manifest, "ncci_ptp_practitioner")
    fees = release(manifest, "mpfs")
    assert pairs.left_out == {"indicator_9": 196}
    assert pairs.rows_left_out == 196
    assert pairs.remarks == {"effective_date_blank": pairs.rows}
    assert release(manifest, "leie").left_out == {}, "who has no NPI is found by name"
    assert (fees.release_id, fees.from_date, fees.to_date) == (
        "RVU25D",
        date(2025, 10, 1),
        date(2025, 12, 31),
    )
    assert (fees.serves_from_date, fees.serves_to_date) == (date(2024, 7, 1), date(2026, 12, 31))
    assert [each.name for each in fees.files] == ["mpfs/PPRRVU_sample.csv"]
    assert len(fees.files[0].sha256) == 64


def test_tables_that_the_source_lacks_are_the_shipped_ones_and_said_to_be(source, tmp_path):
    shutil.rmtree(source / "claimgate")

    manifest = build(source, tmp_path / "snapshot")

    assert release(manifest, "evaluation_management").origin == "claimgate"
    assert release(manifest, "ncci_modifiers").origin == "claimgate"


def test_tables_of_the_source_go_first(source, tmp_path):
    manifest = build(source, tmp_path / "snapshot")

    assert release(manifest, "diagnosis_age_class").origin == "source"


def test_a_gzipped_file_is_read_like_a_plain_one(source, tmp_path):
    plain = build(source, tmp_path / "plain")
    name = "mpfs/PPRRVU_sample.csv"
    (source / (name + ".gz")).write_bytes(gzip.compress((source / name).read_bytes()))
    toml = source / "releases.toml"
    toml.write_text(toml.read_text().replace(name, name + ".gz"))

    packed = build(source, tmp_path / "packed")

    assert packed.arrays == plain.arrays


def test_a_snapshot_is_never_overwritten(source, tmp_path):
    build(source, tmp_path / "snapshot")

    with pytest.raises(FileExistsError, match="name a new folder"):
        build(source, tmp_path / "snapshot")


def test_a_cut_off_column_is_refused_on_opening(source, tmp_path):
    build(source, tmp_path / "snapshot")
    column = tmp_path / "snapshot" / "mpfs" / "work_e2.npy"
    column.write_bytes(column.read_bytes()[:-1])

    with pytest.raises(SnapshotError, match="damaged"):
        Reference.open(tmp_path / "snapshot")


def test_a_snapshot_of_another_format_is_refused(source, tmp_path):
    build(source, tmp_path / "snapshot")
    manifest = tmp_path / "snapshot" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 0}))

    with pytest.raises(SnapshotError, match="format 0"):
        Reference.open(tmp_path / "snapshot")


def test_a_folder_without_a_snapshot_is_refused(tmp_path):
    with pytest.raises(SnapshotError, match="claimgate reference build"):
        Reference.open(tmp_path)


def add_quarter(source, dataset, name, old, new):
    """Add a fourth quarter of 2025 to a dataset: its only file with one thing changed."""
    newer = name.replace("_sample", "_newer")
    text = (source / name).read_bytes().decode()
    assert old in text
    (source / newer).write_bytes(text.replace(old, new).encode())
    with (source / "releases.toml").open("a") as toml:
        toml.write(
            f'[[release]]\ndataset = "{dataset}"\nid = "2025Q4"\nfiles = ["{newer}"]\n'
            "from = 2025-10-01\nto = 2025-12-31\n"
        )


def test_each_quarter_of_the_limits_answers_for_its_own_days(source, tmp_path):
    name = "ncci/MCR_MUE_PractitionerServices_sample.csv"
    add_quarter(source, "ncci_mue_practitioner", name, "\r\n20610,2,", "\r\n20610,5,")
    build(source, tmp_path / "snapshot")
    table = Reference.open(tmp_path / "snapshot").mue_practitioner
    at = np.array(["2025-09-30", "2025-10-01", "2025-12-31", "2026-01-01"], "datetime64[D]")

    rows = table.rows(np.full(4, code36("20610"), np.int32), at)

    assert table.limit[rows].tolist() == [2, 5, 5, 2]
    assert [table.releases.name(int(each)) for each in table.release_at(at)] == [
        "2024Q3",
        "2025Q4",
        "2025Q4",
        "2024Q3",
    ]


def test_each_quarter_of_the_pairs_answers_for_its_own_days(source, tmp_path):
    add_quarter(
        source,
        "ncci_ptp_practitioner",
        "ncci/ccipra_sample.txt",
        "45385\t45380\t\t\t*\t1",
        "45385\t45380\t\t20251015\t*\t0",
    )
    build(source, tmp_path / "snapshot")
    table = Reference.open(tmp_path / "snapshot").ptp_practitioner
    at = np.array(["2025-09-30", "2025-10-14", "2025-10-15"], "datetime64[D]")
    column1, column2 = (np.full(3, code36(each), np.int32) for each in ("45385", "45380"))

    rows = table.rows(column1, column2, at)

    assert (rows >= 0).tolist() == [True, False, True]
    assert table.indicator[rows[[0, 2]]].tolist() == [1, 0]
