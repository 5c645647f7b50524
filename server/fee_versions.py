"""Which version of its fee schedule each tenant is priced by: read at first need, then watched."""

import asyncio
from typing import Final, Protocol

import structlog

from server.fee_metrics import FeeMetrics
from server.fee_values import FeeVersion
from server.polling import looked_again

_LOG: Final = structlog.get_logger("server.fees")


class VersionStore(Protocol):
    """Where fee schedules are kept."""

    async def version(self, tenant: str, number: int | None = None, /) -> FeeVersion | None:
        """Return a version by its number, or the one in use; None where there is none."""


class FeeVersions:
    """Holds the version of every tenant that was asked for.

    What cannot be read changes nothing: the last version that was seen stays in use.
    """

    def __init__(self, store: VersionStore, metrics: FeeMetrics, poll_ms: int) -> None:
        self._store = store
        self._metrics = metrics
        self._poll_s = poll_ms / 1000
        self._held: dict[str, FeeVersion | None] = {}

    async def of(self, tenant: str, number: int | None = None) -> FeeVersion | None:
        """Return the version in use, or an earlier one; None where the tenant has none.

        Raises:
            DatabaseUnavailableError: it was never read, and cannot be.
        """
        held = self._held.get(tenant)
        if number is not None and not (held and held.number == number):
            return await self._store.version(tenant, number)
        if tenant not in self._held:
            await self._look(tenant)
        return self._held[tenant]

    async def watch(self) -> None:
        """Look at the version of every tenant that was asked for, again and again."""
        while True:
            await asyncio.sleep(self._poll_s)
            for tenant in list(self._held):
                await self._look_again(tenant)

    async def _look(self, tenant: str) -> None:
        version = await self._store.version(tenant)
        if version and self._held.get(tenant) != version:
            _LOG.info("fee_schedule_in_use", tenant=tenant, version=version.number)
        self._held[tenant] = version

    async def _look_again(self, tenant: str) -> None:
        if not await looked_again("fee_schedule_not_read", tenant, self._look):
            self._metrics.faults.labels("version_unread").inc()
