"""A directory of shards is checked whole, shows no URL, and is changed in one step."""

import pytest

from loader.shards.directory import DirectoryError, hand_over, read_directory
from loader.shards.hashing import bucket_of

SECRET = "postgresql://loader:canary@db/claims"  # noqa: S105  what must not be shown


def table(name: str, buckets: str, **fields: str) -> str:
    values = {
        "staging_url": f"env:{name.upper()}_STAGING",
        "production_url": f"env:{name.upper()}_PRODUCTION",
        "service_address": "127.0.0.1:50051",
    } | fields
    lines = [f'{key} = "{value}"' for key, value in values.items()]
    return "\n".join([f"[shards.{name}]", f"buckets = {buckets}", *lines, ""])


WHOLE = (
    'version = 3\n# Our tenants.\ntenants = ["acme"]\n\n'
    + table("north", '["0-99", "200-4095"]')
    + table("south", '["100-199"] # small')
    + table("north_2", "[]")
)


@pytest.fixture
def write(tmp_path):
    def put(text: str):
        path = tmp_path / "shards.toml"
        path.write_text(text)
        return path

    return put


def test_each_facility_belongs_to_the_shard_of_its_bucket(write):
    directory = read_directory(write(WHOLE))

    names = {directory.shard_of("acme", f"F{n}").name for n in range(400)}
    assert names == {"north", "south"}
    for number in range(400):
        bucket = bucket_of("acme", f"F{number}")
        expected = "south" if 100 <= bucket < 200 else "north"
        assert directory.shard_of("acme", f"F{number}").name == expected
    assert [shard.name for shard in directory.in_use] == ["north", "south"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"0-99", ', "", "buckets that belong to no shard: 0, 1, 2, 3, 4 and 95 more"),
        ('"0-99", ', '"0-100", ', "bucket 100 belongs to north and south"),
        ('"200-4095"', '"200-4096"', "they go from 0 to 4095"),
        ('"200-4095"', '"x"', "'x' is no range of buckets"),
        ('"200-4095"', "200", "expected a list of texts"),
        ("env:NORTH_STAGING", SECRET, "expected env:NAME"),
        ("env:SOUTH_STAGING", "env:NORTH_STAGING", "two shards have the staging_url"),
        ("service_address =", "serviec_address =", "serviec_address"),
        ("version = 3", "version = 0", "version"),
        ('["acme"]', "[]", "tenants"),
        ('["acme"]', '["acme", "acme"]', "named twice"),
        ("[shards.north]", "[shards.North]", "name"),
        ("version = 3", "version 3", "is no TOML"),
    ],
)
def test_what_is_wrong_is_named_and_no_url_is_shown(write, before, after, said):
    assert before in WHOLE

    with pytest.raises(DirectoryError) as refused:
        read_directory(write(WHOLE.replace(before, after, 1)))

    assert said in str(refused.value)
    assert "canary" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DirectoryError, match="cannot be read: No such file"):
        read_directory(tmp_path / "none.toml")


def test_a_url_comes_from_the_environment_and_is_in_no_text_of_the_directory(write, monkeypatch):
    monkeypatch.setenv("NORTH_STAGING", SECRET)
    directory = read_directory(write(WHOLE))

    assert directory.named("north").url("staging_url") == SECRET
    assert "canary" not in repr(directory)
    with pytest.raises(DirectoryError, match="SOUTH_STAGING is not set"):
        directory.named("south").url("staging_url")
    with pytest.raises(DirectoryError, match="has no owner_staging_url"):
        directory.named("south").url("owner_staging_url")


def test_handing_over_makes_the_next_version_once_and_keeps_comments(write):
    path = write(WHOLE)

    first = hand_over(path, "north", "north_2")
    text = path.read_text()
    again = hand_over(path, "north", "north_2")

    assert (first.version, again.version) == (4, 4)
    assert first.named("north_2").bucket_count == 4_096 - 100
    assert first.named("north").bucket_count == 0
    assert path.read_text() == text
    assert "# Our tenants." in text
    assert "# small" in text


def test_a_link_to_a_directory_stays_a_link(write, tmp_path):
    path, link = write(WHOLE), tmp_path / "current.toml"
    link.symlink_to(path.name)

    hand_over(link, "south", "north_2")

    assert link.is_symlink()
    assert read_directory(path).version == 4


def test_a_shard_that_owns_buckets_takes_no_others(write):
    path = write(WHOLE)

    with pytest.raises(DirectoryError, match="owns buckets already"):
        hand_over(path, "north", "south")

    assert path.read_text() == WHOLE
