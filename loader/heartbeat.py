"""A loader says that it lives, and takes over the claims of those that do not."""

import asyncio
from typing import Final

from loader import leases
from loader.link import Link

BEATS: Final = 3
"""How often a loader says that it lives, within the time that it is believed to."""


class Heartbeat:
    """The heartbeat of one loader."""

    def __init__(
        self, tenant: str, owner: str, *, lease_s: float, staging: Link, production: Link
    ) -> None:
        """Name the loader and the tenant.

        Args:
            tenant: Whose claims.
            owner: The loader.
            lease_s: How long it is believed to live after it said so.
            staging: Where loaders say that they live.
            production: Where sessions of dead ones are ended.
        """
        self._tenant = tenant
        self._owner = owner
        self._lease_s = lease_s
        self._staging = staging
        self._production = production
        self._taking = asyncio.Lock()

    async def keep_on(self) -> None:
        """Say at thirds of a lease that this loader lives, and look for those that do not."""
        while True:
            await asyncio.sleep(self._lease_s / BEATS)
            await self.say_alive()

    async def say_alive(self) -> None:
        """Keep what this loader holds; put the claims of dead ones back into the queue."""
        async with self._taking:
            await self._staging.run(
                lambda c: leases.say_alive(c, self._tenant, self._owner, seconds=self._lease_s)
            )
        await self.take_over()

    async def take_over(self) -> None:
        """Put the claims of dead loaders back into the queue, after ending what they have open."""
        async with self._taking:
            if dead := await self._staging.run(lambda c: leases.dead(c, self._tenant)):
                await self._production.run(lambda c: leases.fence(c, dead))
            await self._staging.run(lambda c: leases.take_over(c, self._tenant))
