"""Settings of shards are on the page of operating."""

from pathlib import Path

import pytest

from loader import commands
from loader.shards.directory import Shard
from loader.shards.settings import ShardSettings

PAGE = (Path(__file__).parents[3] / "docs" / "operating.md").read_text()


@pytest.mark.parametrize("name", [*ShardSettings.model_fields, *Shard.model_fields])
def test_every_setting_is_on_the_page_of_operating(name):
    section = PAGE.split("\n## Shards\n")[1].split("\n## ")[0]
    known_elsewhere = {"tenant", "key_hex", "key_file", "high_value_cents"}

    where = PAGE if name in known_elsewhere else section
    assert f"`{name}`" in where or f"{name} = " in where or name == "name"


def test_a_shard_is_named_only_where_there_are_several(monkeypatch):
    monkeypatch.delenv("CLAIMGATE_SHARDS", raising=False)

    with pytest.raises(ValueError, match="set CLAIMGATE_SHARDS"):
        commands.load(shard=["north"])
