"""One tenant's world: its databases, the service, the claims put in, and loaders as processes."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import grpc
from claimgate.v1.scoring_service_pb2_grpc import add_ScoringServiceServicer_to_server

from loader import embedded, failpoints, source
from loader.settings import LoaderSettings
from tests.crash.audit import Audit, audit
from tests.crash.claims import Expected, expected
from tests.loader.conftest import KEY, Scorer

PROJECT: Final = Path(__file__).parents[2]
LOAD: Final = ("-m", "claimgate.command", "load", "--json")
_END_S_MAX: Final = 120


@dataclass
class World:
    """A tenant, and what has to become of the claims that were staged for it."""

    server: embedded.EmbeddedPostgres
    service_address: str
    tenant: str
    sizes: dict[str, Any] = field(default_factory=dict)
    """Settings of its loaders that differ from the defaults."""
    claims: list[Expected] = field(default_factory=list)

    def settings(self, **changes: Any) -> LoaderSettings:
        """Settings of a loader of this tenant."""
        return LoaderSettings(
            **{
                "tenant": self.tenant,
                "staging_url": self.server.loading_url(embedded.STAGING),
                "production_url": self.server.loading_url(embedded.PRODUCTION),
                "service_address": self.service_address,
                "key_hex": KEY.hex(),
                **self.sizes,
                **changes,
            }
        )

    async def stage(self, count: int) -> None:
        """Put so many more claims into staging."""
        first = len(self.claims) + 1
        new = [expected(number) for number in range(first, first + count)]
        connection = await asyncpg.connect(self.server.loading_url(embedded.STAGING))
        try:
            await source.stage_claims(
                connection,
                self.settings().vault(),
                self.tenant,
                [source.Submitted(each.claim) for each in new],
            )
        finally:
            await connection.close()
        self.claims += new

    async def start(
        self, failpoint: str = "", *, command: Sequence[str] = LOAD, **changes: Any
    ) -> asyncio.subprocess.Process:
        """Start a loader as an operator does, with a place armed where it is to end."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=PROJECT,
            env=os.environ
            | environment(self.settings(**changes))
            | {failpoints.VARIABLE: failpoint, "GRPC_VERBOSITY": "NONE"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def load(self, failpoint: str = "", **changes: Any) -> int:
        """Run a loader to its end, whichever it is; return its exit status."""
        process = await self.start(failpoint, **changes)
        async with asyncio.timeout(_END_S_MAX):
            _, errors = await process.communicate()
        if process.returncode is None or process.returncode > 0:
            raise AssertionError(f"the loader failed: {errors.decode()[-2_000:]}")
        return process.returncode

    async def audit(self, *, judged: bool = True, staged: bool = True) -> Audit:
        """Hold production and staging against what was put in; see `audit`."""
        staging = await asyncpg.connect(self.server.superuser_url(embedded.STAGING))
        production = await asyncpg.connect(self.server.superuser_url(embedded.PRODUCTION))
        try:
            return await audit(
                staging, production, self.tenant, self.claims, judged=judged, staged=staged
            )
        finally:
            await staging.close()
            await production.close()


def environment(settings: LoaderSettings) -> dict[str, str]:
    """Return settings as the environment of a loader."""
    values = settings.model_dump(mode="json", exclude_none=True) | {"key_hex": KEY.hex()}
    return {f"CLAIMGATE_{name.upper()}": str(value) for name, value in values.items()}


@asynccontextmanager
async def served(scorer: Scorer) -> AsyncIterator[Scorer]:
    """Serve a scorer on a free port."""
    server = grpc.aio.server()
    add_ScoringServiceServicer_to_server(scorer, server)
    scorer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield scorer
    finally:
        await server.stop(None)
