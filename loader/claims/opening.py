"""What the commands on claims work with: settings, and transactions of the tenant."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from loader.link import connect
from loader.settings import StagingSettings
from loader.source import tenant_transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from loader.settings import TenantSettings

STAGING_URL: Final = "CLAIMGATE_STAGING_URL"
PRODUCTION_URL: Final = "CLAIMGATE_PRODUCTION_URL"
Settings = TypeVar("Settings", bound="TenantSettings")


def of_tenant(settings: Settings, tenant: str | None) -> Settings:
    """Return settings of the tenant that is given, or of their own."""
    return settings.model_copy(update={"tenant": tenant}) if tenant else settings


def staging_settings(tenant: str | None) -> StagingSettings:
    """Read the settings of the environment; a tenant that is given goes first."""
    return of_tenant(StagingSettings.from_environment(), tenant)


@asynccontextmanager
async def connected(url: str, setting: str) -> AsyncIterator[asyncpg.Connection]:
    """Hold a connection for as long as a block."""
    connection = await connect(url, setting)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def in_transaction(url: str, setting: str, tenant: str) -> AsyncIterator[asyncpg.Connection]:
    """Run one transaction of the tenant over a connection of its own."""
    async with connected(url, setting) as connection, tenant_transaction(connection, tenant):
        yield connection
