"""A stream whose claims are compared with committed history, beside the same without it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import asyncpg

from loader.bench.databases import KEY, bench_databases
from loader.bench.loads import alternating, middle, stream
from loader.bench.workload import SEED, batches, claims, requests
from loader.embedded import PRODUCTION, STAGING
from loader.run import run
from loader.service import Service, running_service
from loader.settings import LoaderSettings
from loader.source import Submitted, stage_claims
from loader.synthetic import synthetic_claims

_MESSAGE_CLAIMS: Final = 256


async def measure_history(
    snapshot: Path, *, count: int, committed: int, runs: int, workers: int
) -> dict[str, Any]:
    """Return claims a second with history from Postgres and without, alternating.

    Args:
        snapshot: Folder of the reference snapshot.
        count: Claims in each run.
        committed: Claims that are loaded before; those that are measured come from the same people.
        runs: Runs of each; the figures are medians.
        workers: Processes of the service.
    """
    wire = requests(batches(claims(count), _MESSAGE_CLAIMS))
    async with _with_history(snapshot, committed, workers) as service:
        one = partial(stream, service.address, wire, _MESSAGE_CLAIMS)
        without, with_history = await alternating(
            runs, [partial(one, history=False), partial(one, history=True)]
        )
    return {
        "history_claims_per_s": middle(with_history),
        "without_history_claims_per_s": middle(without),
        "history_ratio": middle(
            [one / other for one, other in zip(with_history, without, strict=True)], 2
        ),
        "committed_claims": committed,
        "message_claims": _MESSAGE_CLAIMS,
        "workers": workers,
        "claims": count,
        "runs": runs,
    }


@asynccontextmanager
async def _with_history(snapshot: Path, committed: int, workers: int) -> AsyncIterator[Service]:
    """A service on a production database with committed claims of the tenant that it serves."""
    async with bench_databases() as (server, folder):
        environment = {
            "CLAIMGATE_PRODUCTION_URL": server.loading_url(PRODUCTION),
            "CLAIMGATE_KEY_HEX": KEY,
        }
        async with running_service(
            snapshot, folder / "service.log", workers=workers, environment=environment
        ) as service:
            settings = LoaderSettings(
                staging_url=server.loading_url(STAGING),
                production_url=server.loading_url(PRODUCTION),
                service_address=service.address,
                key_hex=cast("Any", KEY),
            )
            await _commit(settings, committed)
            yield service


async def _commit(settings: LoaderSettings, count: int) -> None:
    connection = await asyncpg.connect(settings.staging_url, timeout=30)
    try:
        await stage_claims(connection, settings.vault(), settings.tenant, _earlier(count))
    finally:
        await connection.close()
    await run(settings)


def _earlier(count: int) -> Iterator[Submitted]:
    """Claims of the same people under ids of their own, so that no claim is its own history."""
    for claim in synthetic_claims(count, seed=SEED):
        claim.claim_id += "-EARLIER"
        yield Submitted(claim)
