"""What an operator sets for the commands that know of several shards."""

from pathlib import Path

from pydantic import Field

from loader.settings import IntakeSettings, LoaderSettings
from loader.shards.directory import Directory, Shard, read_directory


class ShardSettings(IntakeSettings):
    """Settings of shards, from the environment (`CLAIMGATE_…`)."""

    shards: Path | None = None
    """Directory of shards; left out, there is one staging and one production database."""

    shard_wait_s: float = Field(default=60.0, ge=0)
    """How long intake waits for a shard that is being moved; then its claims are held back."""

    shard_drain_s: float = Field(default=30.0, ge=0)
    """How long a move waits for leased claims; then it takes the leases back."""

    def directory(self) -> Directory:
        """Read the directory of shards as it is now.

        Raises:
            DirectoryError: It is not set, cannot be used, or does not have the tenant.
        """
        directory = read_directory(self.file())
        directory.check_tenant(self.tenant)
        return directory

    def file(self) -> Path:
        """Return the file of the directory.

        Raises:
            ValueError: It is not set.
        """
        if self.shards is None:
            raise ValueError("CLAIMGATE_SHARDS is not set; name a directory of shards, a TOML file")
        return self.shards


def settings_of(shard: Shard, tenant: str) -> LoaderSettings:
    """Return the settings of a shard's loader: its databases and service, all else as set."""
    return LoaderSettings(
        tenant=tenant,
        staging_url=shard.url("staging_url"),
        production_url=shard.url("production_url"),
        service_address=shard.service_address,
    )
