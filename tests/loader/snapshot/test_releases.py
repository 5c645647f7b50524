"""Which release serves on which day, as releases.toml and the rulings on dates have it."""

from datetime import date

import pytest

from loader.snapshot.published import ReferenceFileError
from loader.snapshot.releases import ReleaseEntry, read_releases, served, serving


def entry(name, first, last, stands_in=None):
    window = tuple(date.fromisoformat(each) for each in stands_in) if stands_in else None
    first, last = date.fromisoformat(first), last and date.fromisoformat(last)
    return ReleaseEntry("mpfs", name, ("a.csv",), first, last, window)


def at(entries, day):
    """Return the release in force on a day and whether it stands in."""
    before = [each for each in serving(entries) if each.first_day <= date.fromisoformat(day)]
    if not before or before[-1].release < 0:
        return None
    return entries[before[-1].release].release_id, before[-1].stand_in


OCTOBER = entry("D", "2025-10-01", "2025-12-31")
JANUARY = entry("A", "2026-01-01", "2026-03-31")
JULY = entry("C", "2026-07-01", "2026-09-30")
WIDE = entry("D", "2025-10-01", "2025-12-31", ("2024-07-01", "2026-12-31"))
WIDER = entry("C", "2026-07-01", "2026-09-30", ("2024-01-01", "2027-12-31"))


@pytest.mark.parametrize(
    ("entries", "day", "expected"),
    [
        ([OCTOBER], "2025-09-30", None),
        ([OCTOBER], "2025-10-01", ("D", False)),
        ([OCTOBER], "2025-12-31", ("D", False)),
        ([OCTOBER], "2026-01-01", ("D", True)),
        ([OCTOBER], "2031-01-01", ("D", True)),
        ([OCTOBER, JANUARY], "2026-01-01", ("A", False)),
        ([JANUARY, JULY], "2026-06-30", ("A", True)),
        ([JANUARY, JULY], "2026-07-01", ("C", False)),
        ([WIDE], "2024-06-30", None),
        ([WIDE], "2024-07-01", ("D", True)),
        ([WIDE], "2025-11-15", ("D", False)),
        ([WIDE], "2026-12-31", ("D", True)),
        ([WIDE], "2027-01-01", None),
        ([WIDE, WIDER], "2026-02-01", ("D", True)),
        ([WIDE, WIDER], "2026-12-01", ("C", True)),
        ([WIDE, WIDER], "2024-06-01", ("C", True)),
        ([WIDE, JANUARY], "2026-02-01", ("A", False)),
        ([WIDE, JANUARY], "2026-05-01", ("D", True)),
        ([entry("B", "2024-04-01", "2024-06-30"), WIDE], "2024-06-30", ("B", False)),
        ([entry("B", "2024-04-01", "2024-06-30"), WIDE], "2024-08-01", ("D", True)),
    ],
)
def test_the_release_of_a_day(entries, day, expected):
    assert at(entries, day) == expected


def test_what_a_release_serves_is_its_windows_together():
    segments = serving([WIDE])

    assert served(segments, 0) == (date(2024, 7, 1), date(2026, 12, 31))


def test_the_newest_release_serves_without_end():
    segments = serving([OCTOBER])

    assert served(segments, 0) == (date(2025, 10, 1), None)


RELEASE = '[[release]]\ndataset = "mpfs"\nid = "A"\nfiles = ["a.csv"]\nfrom = 2025-01-01\n'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (RELEASE.replace("mpfs", "mfps"), "dataset 'mfps'"),
        (RELEASE + "form = 2025-02-01\n", "key 'form'"),
        (RELEASE + "to = 2024-12-31\n", "before `from`"),
        (RELEASE + 'to = "2025-12-31"\n', "'to' is missing or no such value"),
        (RELEASE.replace("2025-01-01", "2025-01-01T00:00:00"), "'from'"),
        (RELEASE.replace('["a.csv"]', '"a.csv"'), "'files'"),
        (RELEASE.replace('["a.csv"]', "[1]"), "'files'"),
        (RELEASE.replace('"A"', "7"), "'id'"),
        (RELEASE.replace('"A"', '" "'), "'id'"),
        (RELEASE + "stands_in = [2024-01-01]\n", "'stands_in'"),
        (RELEASE + "to = 2025-03-31\n" + RELEASE.replace("2025", "2026"), "A names more than one"),
        ("release = 1\n", "something else than releases"),
        ("[release]\nid = 'A'\n", "something else than releases"),
        ("[[releases]]\nid = 'A'\n", "something else than releases (releases)"),
        (RELEASE + "to = 2025-12-31\nstands_in = [2025-06-01, 2026-12-31]\n", "narrower"),
        (RELEASE.replace("from = 2025-01-01\n", ""), "'from'"),
        (RELEASE.replace('["a.csv"]', "[]"), "no files"),
        (RELEASE + RELEASE.replace('"A"', '"B"'), "windows of A and B overlap"),
        ("[[release]", "cannot be read"),
    ],
)
def test_a_wrong_entry_is_refused(tmp_path, content, reason):
    (tmp_path / "releases.toml").write_text(content)

    with pytest.raises(ReferenceFileError) as refused:
        read_releases(tmp_path, ("mpfs",))

    assert reason in refused.value.reason
    assert refused.value.file == "releases.toml"


@pytest.mark.parametrize(
    ("first", "last", "refused"),
    [
        ("2024-01-01", "2024-03-31", True),
        ("2024-01-01", "2024-03-09", True),
        ("2024-01-01", "2024-03-08", False),
        ("2024-03-09", "2024-12-31", False),
        ("2025-10-01", "2026-01-01", True),
        ("2025-10-01", "2025-12-31", False),
    ],
)
def test_a_fee_schedule_serves_days_of_one_conversion_factor(tmp_path, first, last, refused):
    content = RELEASE.replace("2025-01-01", first) + f"to = {last}\n"
    (tmp_path / "releases.toml").write_text(content)

    if refused:
        with pytest.raises(ReferenceFileError, match="changed the conversion factor"):
            read_releases(tmp_path, ("mpfs",))
    else:
        assert len(read_releases(tmp_path, ("mpfs",))["mpfs"]) == 1


def test_other_tables_have_no_conversion_factor(tmp_path):
    content = RELEASE.replace("mpfs", "gpci").replace("2025-01-01", "2024-01-01")
    (tmp_path / "releases.toml").write_text(content + "to = 2024-12-31\n")

    assert read_releases(tmp_path, ("gpci",))["gpci"][0].last == date(2024, 12, 31)


def test_releases_in_another_encoding_are_refused(tmp_path):
    (tmp_path / "releases.toml").write_bytes(RELEASE.encode("utf-16"))

    with pytest.raises(ReferenceFileError, match="it cannot be read"):
        read_releases(tmp_path, ("mpfs",))


def test_a_source_without_releases_is_refused(tmp_path):
    with pytest.raises(ReferenceFileError, match="the file is missing"):
        read_releases(tmp_path, ("mpfs",))
