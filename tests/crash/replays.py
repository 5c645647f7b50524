"""The same batch is loaded by many at once."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from claimgate.v1 import score_pb2

from loader import embedded
from loader.batch import Batch, BatchConflictError, Receipt
from loader.link import Link
from loader.opened import Opened, facts_of
from loader.rows import LoadClaim, load_claim
from loader.sink import Sink
from loader.source import Leased
from tests.crash.claims import Expected, expected
from tests.crash.world import World
from tests.loader.conftest import judge

AT_ONCE: Final = 64
_CLAIMS: Final = 20


@dataclass
class Outcome:
    """What all those loads were told."""

    batches: int = 0
    replays: int = 0
    receipts: int = 0
    """Different receipts; there has to be one for each batch."""
    refused: int = 0
    """Loads of other content under a used id; all of them have to be."""


async def replay(world: World, batches: int, at_once: int = AT_ONCE) -> Outcome:
    """Load each batch so often at once, and then other content under its id as often."""
    outcome = Outcome(batches)
    async with AsyncExitStack() as stack:
        url = world.server.loading_url(embedded.PRODUCTION)
        sinks = [
            Sink(await stack.enter_async_context(Link(url, attempts=5)), world.tenant)
            for _ in range(at_once)
        ]
        for number in range(batches):
            first = 1 + number * 2 * _CLAIMS
            batch = _batch(world, first)
            done = await asyncio.gather(*(sink.load(batch, batch.batch_id()) for sink in sinks))
            receipts: set[Receipt] = {each.receipts[0] for each in done}
            outcome.replays += len(done)
            outcome.receipts += len(receipts)
            other = _batch(world, first + _CLAIMS)
            refused = await asyncio.gather(
                *(sink.load(other, batch.batch_id()) for sink in sinks), return_exceptions=True
            )
            outcome.refused += sum(isinstance(each, BatchConflictError) for each in refused)
            world.claims += [
                each for each in map(expected, range(first, first + _CLAIMS)) if each.loaded
            ]
    return outcome


def _batch(world: World, first: int) -> Batch:
    """Return claims of so many numbers as a batch of answers."""
    claims = [each for each in map(expected, range(first, first + _CLAIMS)) if each.loaded]
    return Batch([_scored(world, number, each) for number, each in enumerate(claims, first)])


def _scored(world: World, number: int, each: Expected) -> LoadClaim:
    settings = world.settings()
    leased = Leased(
        number, each.claim.claim_id, each.key[1], each.content_sha256, b"m" * 16, 1, b"sealed"
    )
    result: score_pb2.ClaimResult = judge(each.claim)
    payload = each.claim.SerializeToString(deterministic=True)
    opened = Opened(leased, payload, facts_of(each.claim))
    return load_claim(opened, result, (5, 9), settings.vault(), world.tenant)
