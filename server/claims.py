"""ClaimService: stored answers, versions and amendments of claims, and the batches of submitters.

What is about failed claims is in `server.failed_claims`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import structlog
from claimgate.v1 import claim_service_pb2 as pb
from google.protobuf.message import DecodeError

from loader.claims import batches
from loader.claims.amend import VersionConflictError, amend
from loader.claims.versions import (
    ArchivedError,
    NoSuchClaimError,
    claim_of,
    get_result,
    list_versions,
)
from loader.claims.watch import watch
from loader.failed.filter import FieldError
from loader.lookup import VaultError
from loader.vault import Vault
from server import claim_messages as messages
from server.calls import Context, current_call
from server.database import STAGING_URL, Database
from server.errors import (
    ClaimChangedError,
    DrainingError,
    InvalidFieldError,
    NotConfiguredError,
    NotFoundError,
)
from server.failed_claims import ClaimServicer

if TYPE_CHECKING:
    from loader.claims.batches import BatchState

_LOG: Final = structlog.get_logger("server.claims")
_KEY: Final = "CLAIMGATE_KEY_FILE"


class ClaimLifeServicer(ClaimServicer):
    """Shows claims that were loaded, submits their next versions, and follows batches."""

    def __init__(
        self,
        database: Database | None = None,
        vault: Vault | None = None,
        staging: Database | None = None,
    ) -> None:
        """Take both databases, and what opens and seals claims."""
        super().__init__(database, vault)
        self._staging = staging

    async def check(self) -> None:
        """Refuse to start on a database that has no place for this yet.

        Raises:
            SettingsError: says which migration is missing.
        """
        await super().check()
        if self._staging is not None:
            await self._staging.require("batch_cancellations", "cancelled batches")

    async def GetClaim(  # noqa: N802
        self, request: pb.GetClaimRequest, _context: Context
    ) -> pb.GetClaimResponse:
        """Show a stored answer, and the claim where that is asked for."""
        claim_id, tenant = messages.claim_id_in(request.claim_id), current_call().principal.tenant
        vault = self._key() if request.include_payload else None
        with _translated():
            async with self._stored().transaction(tenant, readonly=True) as connection:
                found = await get_result(
                    connection,
                    tenant,
                    claim_id,
                    version=request.claim_version,
                    result_no=request.result_no,
                )
                claim = await claim_of(connection, vault, tenant, found.version) if vault else None
        if claim:
            _LOG.info(
                "claim_opened",
                principal=current_call().principal.name,
                tenant=tenant,
                content_sha256=found.version.content_sha256.hex(),
            )
        return pb.GetClaimResponse(
            version=messages.version_message(found.version),
            result=found.result,
            provenance=found.provenance,
            payload=claim,
        )

    async def ListClaimVersions(  # noqa: N802
        self, request: pb.ListClaimVersionsRequest, _context: Context
    ) -> pb.ListClaimVersionsResponse:
        """List the versions of a claim."""
        claim_id, tenant = messages.claim_id_in(request.claim_id), current_call().principal.tenant
        with _translated():
            async with self._stored().transaction(tenant, readonly=True) as connection:
                versions = await list_versions(connection, tenant, claim_id)
        return pb.ListClaimVersionsResponse(versions=map(messages.version_message, versions))

    async def AmendClaim(  # noqa: N802
        self, request: pb.AmendClaimRequest, _context: Context
    ) -> pb.AmendClaimResponse:
        """Put the next version of a claim into staging."""
        caller, claim_id = current_call().principal, messages.claim_id_in(request.claim_id)
        amendment, vault = messages.amendment_in(request), self._key()
        with _translated():
            async with (
                self._stored().transaction(caller.tenant, readonly=True) as production,
                self._staged().transaction(caller.tenant) as staging,
            ):
                done = await amend(
                    production, staging, vault, caller.tenant, claim_id, amendment, by=caller.name
                )
        return pb.AmendClaimResponse(
            claim_id=done.claim_id,
            claim_version=done.claim_version,
            content_sha256=done.content_sha256,
        )

    async def WatchBatch(  # noqa: N802
        self, request: pb.WatchBatchRequest, _context: Context
    ) -> AsyncIterator[pb.WatchBatchResponse]:
        """Tell how far a batch is until it has ended, or the caller has heard enough."""
        tenant, batch_id = current_call().principal.tenant, messages.batch_id_in(request.batch_id)
        staged, stored = self._staged(), self._database

        async def look() -> "BatchState":
            async with staged.transaction(tenant, readonly=True) as connection:
                return await batches.batch_state(connection, tenant, batch_id)

        async def decide() -> dict[str, int]:
            if stored is None:
                return {}
            async with (
                staged.transaction(tenant, readonly=True) as staging,
                stored.transaction(tenant, readonly=True) as production,
            ):
                return await batches.decisions(staging, production, tenant, batch_id)

        with _translated():
            async for report in watch(look, decide, pause=self._pause):
                yield pb.WatchBatchResponse(progress=messages.report_message(report))

    async def CancelBatch(  # noqa: N802
        self, request: pb.CancelBatchRequest, _context: Context
    ) -> pb.CancelBatchResponse:
        """End what waits of a batch."""
        caller, batch_id = current_call().principal, messages.batch_id_in(request.batch_id)
        with _translated():
            async with self._staged().transaction(caller.tenant) as connection:
                done = await batches.cancel_batch(
                    connection, caller.tenant, batch_id, by=caller.name, reason=request.reason
                )
        return pb.CancelBatchResponse(
            cancelled_count=done.cancelled, progress=messages.progress_message(done.state)
        )

    async def _pause(self, seconds: float) -> None:
        """Wait, and end the call where the process is going away."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.draining.wait(), seconds)
            raise DrainingError

    def _staged(self) -> Database:
        if self._staging is None:
            raise NotConfiguredError("staging is not known here", STAGING_URL)
        return self._staging


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the store says into what a call can fail with."""
    try:
        yield
    except NoSuchClaimError:
        raise NotFoundError(
            "claim, version or result; a claim is there once it was loaded"
        ) from None
    except batches.NoSuchBatchError:
        raise NotFoundError("batch; staging has no claim of it") from None
    except ArchivedError as error:
        raise NotFoundError(f"claim here: {error}") from None
    except VersionConflictError as error:
        raise ClaimChangedError(error.base_version, error.version, error.status) from None
    except FieldError as error:
        raise InvalidFieldError(error.field, error.expected) from None
    except VaultError as error:
        raise NotConfiguredError(
            "the claim does not open with the key of this service", _KEY
        ) from error
    except DecodeError:
        raise InvalidFieldError("claim_id", "a claim that can be read") from None
