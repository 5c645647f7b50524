"""ClaimService: the caller's failed claims, as the loader's store keeps them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import structlog
from claimgate.v1 import claim_service_pb2 as pb
from claimgate.v1.claim_pb2 import Claim
from claimgate.v1.claim_service_pb2_grpc import ClaimServiceServicer
from claimgate.v1.failed_claim_pb2 import FailedClaimOutcome, FailedClaimSelection
from google.protobuf.message import DecodeError

from loader.failed import review
from loader.failed.filter import Cursor, FieldError
from loader.failed.payload import claim_of
from loader.failed.review import Chosen, Done
from loader.failed.stats import DAYS, stats
from loader.failed.store import get_failed, list_failed
from loader.lookup import VaultError
from loader.vault import Vault
from server import failed_messages as messages
from server.calls import Context, current_call
from server.database import Database
from server.errors import InvalidFieldError, NotConfiguredError, NotFoundError
from server.principal import Principal

if TYPE_CHECKING:
    from server.database import Connection

SERVICE: Final = pb.DESCRIPTOR.services_by_name["ClaimService"].full_name

_LOG: Final = structlog.get_logger("server.failed_claims")
_PAGE: Final = 50
_PAGE_MAX: Final = 200
_DAYS_MAX: Final = 3_660
_KEY: Final = "CLAIMGATE_KEY_FILE"

Change = Callable[["Connection", Principal, Chosen], Awaitable[Done]]


class ClaimServicer(ClaimServiceServicer):
    """Shows failed claims and changes where they stand."""

    def __init__(self, database: Database | None = None, vault: Vault | None = None) -> None:
        """Take the database where failed claims are, and what opens a claim that is asked for."""
        self._database = database
        self._vault = vault
        self.draining = asyncio.Event()
        """Set when the process is going away."""

    async def check(self) -> None:
        """Refuse to start on a database that has no place for work on failed claims yet.

        Raises:
            SettingsError: says which migration is missing.
        """
        if self._database is not None:
            await self._database.require("claim_repairs", "repairs of failed claims")

    async def ListFailedClaims(  # noqa: N802
        self, request: pb.ListFailedClaimsRequest, _context: Context
    ) -> pb.ListFailedClaimsResponse:
        """List failed claims, page by page."""
        if not 0 <= request.page_size <= _PAGE_MAX:
            raise InvalidFieldError("page_size", f"0 to {_PAGE_MAX}")
        chosen = messages.filter_in(request.filter, "filter")
        order = messages.order_in(request.order)
        count = request.page_size or _PAGE
        try:
            after = Cursor.of(request.page_token, order) if request.page_token else None
        except FieldError as error:
            raise InvalidFieldError(error.field, error.expected) from None
        tenant = current_call().principal.tenant
        async with self._stored().transaction(tenant, readonly=True) as connection:
            rows = await list_failed(
                connection, tenant, chosen, order=order, count=count + 1, after=after
            )
        return pb.ListFailedClaimsResponse(
            failed_claims=map(messages.row_message, rows[:count]),
            next_page_token=rows[count - 1].cursor(order).token() if len(rows) > count else "",
        )

    async def GetFailedClaim(  # noqa: N802
        self, request: pb.GetFailedClaimRequest, _context: Context
    ) -> pb.GetFailedClaimResponse:
        """Show one failed claim."""
        tenant, number = current_call().principal.tenant, request.failed_id
        vault = self._key() if request.include_payload else None
        async with self._stored().transaction(tenant, readonly=True) as connection:
            detail = await get_failed(connection, tenant, number)
            if detail is None:
                raise NotFoundError("failed claim; ListFailedClaims shows them", failed_id=number)
            claim = await _opened(connection, vault, tenant, number) if vault else None
        answer = messages.detail_message(detail)
        if claim is not None:
            answer.payload.CopyFrom(claim)
        return pb.GetFailedClaimResponse(detail=answer)

    async def RetryFailedClaims(  # noqa: N802
        self, request: pb.RetryFailedClaimsRequest, _context: Context
    ) -> pb.RetryFailedClaimsResponse:
        """Make failed claims due."""

        async def change(connection: "Connection", caller: Principal, chosen: Chosen) -> Done:
            return await review.retry(connection, caller.tenant, caller.name, chosen)

        return pb.RetryFailedClaimsResponse(outcome=await self._change(request.selection, change))

    async def AssignFailedClaims(  # noqa: N802
        self, request: pb.AssignFailedClaimsRequest, _context: Context
    ) -> pb.AssignFailedClaimsResponse:
        """Give failed claims to a person."""

        async def change(connection: "Connection", caller: Principal, chosen: Chosen) -> Done:
            return await review.assign(
                connection, caller.tenant, caller.name, chosen, request.assignee
            )

        return pb.AssignFailedClaimsResponse(outcome=await self._change(request.selection, change))

    async def ResolveFailedClaims(  # noqa: N802
        self, request: pb.ResolveFailedClaimsRequest, _context: Context
    ) -> pb.ResolveFailedClaimsResponse:
        """End failed claims without loading them, with a note where there is one."""
        resolution = messages.resolution_in(request.resolution)

        async def change(connection: "Connection", caller: Principal, chosen: Chosen) -> Done:
            done = await review.resolve(connection, caller.tenant, caller.name, chosen, resolution)
            if request.note and done.changed and not chosen.dry_run:
                noted = Chosen.by_id(done.changed)
                await review.note(connection, caller.tenant, caller.name, noted, request.note)
            return done

        return pb.ResolveFailedClaimsResponse(outcome=await self._change(request.selection, change))

    async def ReopenFailedClaims(  # noqa: N802
        self, request: pb.ReopenFailedClaimsRequest, _context: Context
    ) -> pb.ReopenFailedClaimsResponse:
        """Take up failed claims again."""

        async def change(connection: "Connection", caller: Principal, chosen: Chosen) -> Done:
            return await review.reopen(connection, caller.tenant, caller.name, chosen)

        return pb.ReopenFailedClaimsResponse(outcome=await self._change(request.selection, change))

    async def AddFailedClaimNote(  # noqa: N802
        self, request: pb.AddFailedClaimNoteRequest, _context: Context
    ) -> pb.AddFailedClaimNoteResponse:
        """Write a note about failed claims."""

        async def change(connection: "Connection", caller: Principal, chosen: Chosen) -> Done:
            return await review.note(connection, caller.tenant, caller.name, chosen, request.text)

        return pb.AddFailedClaimNoteResponse(outcome=await self._change(request.selection, change))

    async def GetFailedClaimStats(  # noqa: N802
        self, request: pb.GetFailedClaimStatsRequest, _context: Context
    ) -> pb.GetFailedClaimStatsResponse:
        """Say how failed claims stand."""
        if not 0 <= request.days <= _DAYS_MAX:
            raise InvalidFieldError("days", f"0 to {_DAYS_MAX}")
        tenant = current_call().principal.tenant
        async with self._stored().transaction(tenant, readonly=True) as connection:
            found = await stats(connection, tenant, days=request.days or DAYS)
        return pb.GetFailedClaimStatsResponse(
            unsettled=messages.unsettled_messages(found),
            ended=messages.ended_messages(found),
            due_count=found.due,
        )

    async def _change(self, sent: FailedClaimSelection, change: Change) -> FailedClaimOutcome:
        """Make a change to the claims that a caller means, in one transaction."""
        caller, chosen = current_call().principal, messages.selection_in(sent)
        try:
            async with self._stored().transaction(caller.tenant) as connection:
                return messages.outcome_message(await change(connection, caller, chosen))
        except FieldError as error:
            path = "selection.limit" if error.field == "limit" else error.field
            raise InvalidFieldError(path, error.expected) from None

    def _stored(self) -> Database:
        if self._database is None:
            raise NotConfiguredError(
                "claims are not kept in a database here", "CLAIMGATE_PRODUCTION_URL"
            )
        return self._database

    def _key(self) -> Vault:
        if self._vault is None:
            raise NotConfiguredError("no claim can be opened here", _KEY)
        return self._vault


async def _opened(
    connection: "Connection", vault: Vault, tenant: str, failed_id: int
) -> Claim | None:
    """Return the claim itself, and log who has seen it."""
    try:
        claim = await claim_of(connection, vault, tenant, failed_id)
    except VaultError as error:
        raise NotConfiguredError(
            "the claim does not open with the key of this service", _KEY
        ) from error
    except DecodeError:
        raise InvalidFieldError("include_payload", "false: the payload is no claim") from None
    caller = current_call().principal
    _LOG.info("failed_claim_opened", principal=caller.name, tenant=tenant, failed_id=failed_id)
    return claim
