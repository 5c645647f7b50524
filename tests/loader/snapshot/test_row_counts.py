"""A table that is suddenly much larger or smaller needs somebody's word."""

import pytest

from loader.commands import reference_build
from loader.snapshot.build import build
from loader.snapshot.row_counts import RowCountError

LIMITS = "ncci/MCR_MUE_PractitionerServices_sample.csv"
ROWS = 471


@pytest.fixture
def previous(source, tmp_path):
    """What the sample tables give."""
    return build(source, tmp_path / "previous")


def drop(source, rows):
    """Take the last rows away from the unit limits."""
    path = source / LIMITS
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-rows]))


@pytest.mark.parametrize("rows", [1, 23])  # 23 of 471 are 4.9 %
def test_a_small_move_is_none(source, tmp_path, previous, rows):
    drop(source, rows)

    manifest = build(source, tmp_path / "out", previous=previous)

    assert manifest.datasets["ncci_mue_practitioner"].releases[-1].rows == ROWS - rows


def test_a_large_move_is_refused_and_nothing_written(source, tmp_path, previous):
    drop(source, 24)

    with pytest.raises(
        RowCountError,
        match=r"ncci_mue_practitioner from 471 to 447; .* --approve ncci_mue_practitioner",
    ):
        build(source, tmp_path / "folder" / "out", previous=previous)

    assert list((tmp_path / "folder").iterdir()) == []


def test_a_large_move_can_be_approved(source, tmp_path, previous):
    drop(source, 24)

    build(source, tmp_path / "out", previous=previous, approved=["ncci_mue_practitioner"])

    assert (tmp_path / "out").is_dir()


def test_a_dataset_that_is_gone_is_a_large_move(source, tmp_path, previous):
    toml = source / "releases.toml"
    entries = toml.read_text().split("[[release]]")
    toml.write_text("[[release]]".join(each for each in entries if '"leie"' not in each))

    with pytest.raises(RowCountError, match="leie from 56 to 0"):
        build(source, tmp_path / "out", previous=previous)


def test_the_newest_release_counts(source, tmp_path, previous):
    newer = LIMITS.replace("sample", "newer")
    lines = (source / LIMITS).read_bytes().splitlines(keepends=True)
    (source / newer).write_bytes(b"".join(lines[:-100]))
    with (source / "releases.toml").open("a") as toml:
        toml.write(
            '\n[[release]]\ndataset = "ncci_mue_practitioner"\nid = "2025Q4"\n'
            f'files = ["{newer}"]\nfrom = 2025-10-01\n'
        )

    with pytest.raises(RowCountError, match="ncci_mue_practitioner from 471 to 371"):
        build(source, tmp_path / "out", previous=previous)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"approve": ["mfps"]}, "no dataset 'mfps' to approve"),
        ({"approve": ["mpfs"]}, "--approve without --previous"),
    ],
)
def test_wrong_options_are_named(source, tmp_path, given, reason):
    with pytest.raises(ValueError, match=reason):
        reference_build(source=source, out=tmp_path / "out", **given)


def test_the_command_compares_with_a_snapshot(source, tmp_path, previous, capsys):
    drop(source, 24)

    with pytest.raises(RowCountError):
        reference_build(source=source, out=tmp_path / "out", previous=tmp_path / "previous")
    reference_build(
        source=source,
        out=tmp_path / "out",
        previous=tmp_path / "previous",
        approve=["ncci_mue_practitioner"],
    )

    assert previous.snapshot not in capsys.readouterr().out
