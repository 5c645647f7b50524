"""The models of the settings: checked and warm before the service is ready, or known to be out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import numpy as np
import structlog
from grpc.aio import AioRpcError

from engine.features import FEATURES
from engine.gathered import OK
from server.address import split_list
from server.model_client import ModelClient, ModelLimits
from server.model_endpoint import ModelSignatureError
from server.model_health import Patience
from server.model_metrics import CANDIDATE, ModelMetrics
from server.model_pool import Member
from server.model_split import Shares
from server.model_versions import Candidate, ModelVersions
from server.settings import DISABLED, Settings

_LOG: Final = structlog.get_logger("server.model")


@asynccontextmanager
async def opened_models(
    settings: Settings, address: str, metrics: ModelMetrics
) -> AsyncIterator[ModelVersions | None]:
    """Yield the models at one or several addresses; none where the model is disabled.

    A model that is out now may answer later: passes say so meanwhile.

    Raises:
        ModelSignatureError: some endpoint serves what this service cannot ask; says which.
    """
    if address == DISABLED:
        yield None
        return
    addresses, limits = split_list(address), _limits(settings)
    primary = ModelClient(addresses, settings.model_choice, limits, metrics)
    candidate = None
    if settings.model_candidate_choice:
        shares = Shares(settings.model_candidate_share, settings.model_shadow_share)
        candidate = Candidate(
            ModelClient(addresses, settings.model_candidate_choice, limits, metrics, CANDIDATE),
            shares,
        )
    async with ModelVersions(primary, metrics, candidate) as models:
        for client in (primary, candidate.client) if candidate else (primary,):
            await _check(client)
            await _warm_up(client, settings.model_warmup_ms / 1000, settings.batch_claims_max)
        await models.probe()
        yield models


def _limits(settings: Settings) -> ModelLimits:
    return ModelLimits(
        timeout_s=settings.model_deadline_ms / 1000,
        rows_max=settings.model_batch_rows_max,
        hedge_s=settings.model_hedge_ms / 1000,
        patience=Patience(
            failures_max=settings.model_failures_max, retry_s=settings.model_retry_ms / 1000
        ),
    )


async def _check(client: ModelClient) -> None:
    """Ask every endpoint what it serves; one of another signature ends the start."""
    found = await asyncio.gather(
        *(_version(client, member) for member in client.pool.members), return_exceptions=True
    )
    wrong = [each for each in found if isinstance(each, ModelSignatureError)]
    if wrong:
        raise ModelSignatureError("; ".join(map(str, wrong)))
    for each in found:
        if isinstance(each, BaseException):
            raise each
    if len(set(found) - {""}) > 1:
        # No error: so it is while a new version is rolled out, and every answer names its own.
        for member, version in zip(client.pool.members, found, strict=True):
            _LOG.warning(
                "model_versions_differ",
                model=client.role,
                address=member.endpoint.address,
                version=version,
            )


async def _version(client: ModelClient, member: Member) -> str:
    """Return the version that an endpoint serves, empty where it does not answer."""
    deadline = asyncio.get_running_loop().time() + client.limits.timeout_s
    try:
        return await member.endpoint.check(deadline)
    except AioRpcError as error:
        _LOG.warning(
            "model_not_checked",
            model=client.role,
            address=member.endpoint.address,
            reason=error.code().name.lower(),
        )
        return ""


async def _warm_up(client: ModelClient, limit_s: float, claims_max: int) -> None:
    """Ask every endpoint once with the largest batch, all at once, within a time limit."""
    if not limit_s:
        return
    rows = min(claims_max, client.limits.rows_max)
    features = np.zeros((rows, len(FEATURES)), np.float32)
    deadline = asyncio.get_running_loop().time() + limit_s
    members = client.pool.members
    answers = await asyncio.gather(
        *(member.endpoint.predict(features, deadline) for member in members)
    )
    for member, answer in zip(members, answers, strict=True):
        if answer.status != OK:
            _LOG.warning(
                "model_not_warm",
                model=client.role,
                address=member.endpoint.address,
                reason=answer.reason,
            )
