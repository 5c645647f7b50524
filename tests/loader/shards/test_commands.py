"""An operator sees what belongs where, migrates all shards, and is never shown a URL."""

import json

import pytest

from loader import commands
from loader.shards import commands as shard_commands
from loader.shards.hashing import bucket_of


def test_show_names_shards_their_buckets_and_states(shards, capsys):
    assert shard_commands.shards_show(as_json=True) == 0

    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["shard"], each["buckets"], each["state"]) for each in shown] == [
        ("north", 2048, "open"),
        ("south", 2048, "open"),
        ("north_2", 0, "open"),
    ]
    assert shard_commands.shards_show() == 0
    assert "postgresql" not in capsys.readouterr().out


def test_where_says_bucket_and_shard(shards, capsys):
    facility = shards.facility_of("south")

    assert shard_commands.shards_where(facility) == 0

    said = json.loads(capsys.readouterr().out)
    bucket = bucket_of(shards.tenant, facility)
    assert said == {"bucket": bucket, "shard": "south", "version": 1}


def test_check_finds_a_shard_that_cannot_be_used(shards, monkeypatch, capsys):
    assert shard_commands.shards_check() == 0
    monkeypatch.setenv("SOUTH_PRODUCTION_URL", "postgresql://canary@127.0.0.1:9/none")
    monkeypatch.delenv("NORTH_STAGING_URL")

    assert shard_commands.shards_check() == 4

    said = "".join(capsys.readouterr())
    assert "south: production cannot be used" in said
    assert "NORTH_STAGING_URL is not set" in said
    assert "canary" not in said


def test_migrate_without_a_url_migrates_every_shard(shards, capsys):
    assert commands.migrate("staging") == 0

    said = capsys.readouterr().out
    assert [line.split()[2] for line in said.splitlines()] == ["north", "south", "north_2"]


def test_migrate_without_url_and_shards_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("CLAIMGATE_SHARDS", raising=False)

    with pytest.raises(ValueError, match="CLAIMGATE_SHARDS is not set"):
        commands.migrate("staging")
