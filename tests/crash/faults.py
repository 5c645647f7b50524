"""Calls that worked and whose answer was lost, one in twenty: of Postgres, the service, the model.

The caller cannot know which it was, and asks again.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import grpc
from claimgate.client import CallError
from claimgate.v1 import score_pb2, scoring_service_pb2

from loader import embedded
from loader.link import CONNECTION_LOST
from loader.places import prepared_snapshot
from loader.run import run
from loader.score_step import IncompleteAnswerError
from loader.service import running_service
from tests.crash.proxy import Cut, proxied
from tests.crash.world import World
from tests.killable import ModelProcess
from tests.loader.conftest import Scorer

ONE_OF: Final = 20
SIZES: Final[dict[str, Any]] = {
    "lease_s": 5.0,
    "attempts_max": 1_000_000,
    "batch_claims": 20,
    "lease_claims": 60,
    "message_claims": 10,
    "database_attempts": 8,
}
_RUNS_MAX: Final = 200
_PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"


class Losses:
    """Says which answers are lost: one of each twenty, at a place that chance draws.

    So that few answers lose some too, which a chance of 0.05 for each of them does not promise.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._until_lost = chance.randrange(ONE_OF)
        self._until_next = ONE_OF
        self.count = 0

    def next(self) -> bool:
        """Return whether the answer that is due is lost, and count it."""
        if not self._until_next:
            self._until_lost = self._chance.randrange(ONE_OF)
            self._until_next = ONE_OF
        lost = not self._until_lost
        self._until_lost -= 1
        self._until_next -= 1
        self.count += lost
        return lost


@dataclass
class LossyScorer(Scorer):
    """Answers, but of so many messages the answer is lost: the stream breaks where it was due."""

    losses: Losses = field(default_factory=lambda: Losses(random.Random()))

    async def ScoreClaims(  # noqa: N802  the API's name
        self, requests: Any, context: Any
    ) -> AsyncIterator[scoring_service_pb2.ScoreClaimsResponse]:
        async for response in super().ScoreClaims(requests, context):
            if self.losses.next():
                await context.abort(grpc.StatusCode.UNAVAILABLE, "connection lost")
            yield response


@dataclass
class Outcome:
    """What was lost on the way."""

    commits: int = 0
    commits_lost: int = 0
    answers_lost: int = 0
    model_answers_lost: int = 0
    restarts_of_the_loader: int = 0
    degraded: int = 0
    """Claims that say that the model's answer is missing."""
    hidden: int = 0
    """Claims that do not say so, or say so and have it."""


async def load_over_lossy_lines(
    world: World, scorer: LossyScorer, commits: Losses, claims: int
) -> Outcome:
    """Load so many claims while answers of both databases and the service are lost."""
    await world.stage(claims)
    outcome = Outcome()

    def decide() -> Cut | None:
        return "after" if commits.next() else None

    async with proxied(world.server, decide) as proxy:
        plain = world.settings()
        urls = {
            "staging_url": proxy.url(plain.staging_url),
            "production_url": proxy.url(plain.production_url),
        }
        outcome.restarts_of_the_loader = await _run_until_done(world, urls)
    outcome.commits, outcome.commits_lost = proxy.commits, len(proxy.cuts)
    outcome.answers_lost = scorer.losses.count
    return outcome


async def _run_until_done(world: World, changes: dict[str, str]) -> int:
    """Run a loader, again where it could not go on; return how often it had to be."""
    for restarts in range(_RUNS_MAX):
        try:
            await run(world.settings(**changes))
        except (*CONNECTION_LOST, CallError, IncompleteAnswerError):
            continue
        return restarts
    raise AssertionError(f"the loader did not come to its end in {_RUNS_MAX} starts")


# The model. --------------------------------------------------------------------------------------


@dataclass
class LossyModel(grpc.GenericRpcHandler):
    """Stands before a model server; of so many predictions the answer is lost."""

    channel: grpc.aio.Channel
    losses: Losses
    losing: bool = False

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = call.method

        async def carry(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            try:
                answer = await self.channel.unary_unary(method)(request)
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "")
            if method == _PREDICT and self.losing and self.losses.next():
                await context.abort(grpc.StatusCode.UNAVAILABLE, "connection lost")
            return answer

        return grpc.unary_unary_rpc_method_handler(carry)


@asynccontextmanager
async def lossy_model(losses: Losses) -> AsyncIterator[tuple[LossyModel, str]]:
    """Serve the shipped model behind a line that loses answers, once it is told to."""
    model = ModelProcess()
    await model.start()
    server = grpc.aio.server()
    async with grpc.aio.insecure_channel(model.address) as channel:
        lossy = LossyModel(channel, losses)
        server.add_generic_rpc_handlers((lossy,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield lossy, f"127.0.0.1:{port}"
        finally:
            await server.stop(None)
            model.kill()


async def load_over_a_lossy_model(world: World, claims: int, seed: int, log: Path) -> Outcome:
    """Load claims through the real service, whose model's answers are lost now and then."""
    await world.stage(claims)
    async with lossy_model(Losses(random.Random(seed))) as (model, address):
        environment = {"CLAIMGATE_MODEL_ADDRESS": address, "CLAIMGATE_BATCH_CLAIMS_MAX": "16"}
        async with running_service(prepared_snapshot(), log, environment=environment) as service:
            model.losing = True
            world.service_address = service.address
            await _run_until_done(world, {"message_claims": "16"})
    production = await asyncpg.connect(world.server.superuser_url(embedded.PRODUCTION))
    try:
        rows = await production.fetch(
            "SELECT answer FROM claim_results WHERE tenant_id = $1", world.tenant
        )
    finally:
        await production.close()
    results = [score_pb2.ClaimResult.FromString(row["answer"]) for row in rows]
    says = [any(why.startswith("model") for why in each.degraded) for each in results]
    missing = [not each.HasField("approval_probability") for each in results]
    return Outcome(
        model_answers_lost=model.losses.count,
        degraded=sum(says),
        hidden=sum(one != other for one, other in zip(says, missing, strict=True)),
    )
