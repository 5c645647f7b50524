"""Failed claims by the client: `client.failed_claims.list()`, then retry, assign, resolve.

Which claims a call changes is said by numbers, or by a `FailedClaimFilter` of what they have in
common; then `limit` bounds how many, and `dry_run` counts them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from claimgate.v1 import claim_service_pb2 as service
from claimgate.v1 import failed_claim_pb2 as pb

if TYPE_CHECKING:
    from claimgate.v1.claim_service_pb2_grpc import ClaimServiceAsyncStub

Which: TypeAlias = Iterable[int] | pb.FailedClaimFilter
Call: TypeAlias = Callable[[Any, Any], Awaitable[Any]]

_PAGE: int = 200


class FailedClaims:
    """The failed claims of the caller's tenant."""

    def __init__(self, stub: "ClaimServiceAsyncStub", call: Call) -> None:
        """Take the service, and what calls a method of it with the client's deadline and errors."""
        self._stub = stub
        self._call = call

    async def list(
        self,
        chosen: pb.FailedClaimFilter | None = None,
        *,
        order: pb.FailedClaimOrder.ValueType = pb.FAILED_CLAIM_ORDER_URGENCY,
    ) -> AsyncIterator[pb.FailedClaim]:
        """Yield failed claims, page after page; without a filter those that have not ended."""
        request = service.ListFailedClaimsRequest(filter=chosen, order=order, page_size=_PAGE)
        while True:
            page = await self._call(self._stub.ListFailedClaims, request)
            for each in page.failed_claims:
                yield each
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def get(self, failed_id: int, *, include_payload: bool = False) -> pb.FailedClaimDetail:
        """Return one failed claim with its history, and with its payload where asked for."""
        request = service.GetFailedClaimRequest(
            failed_id=failed_id, include_payload=include_payload
        )
        return (await self._call(self._stub.GetFailedClaim, request)).detail

    async def retry(
        self, which: Which, *, limit: int = 0, dry_run: bool = False
    ) -> pb.FailedClaimOutcome:
        """Make claims due: the next run of a loader resubmits them."""
        request = service.RetryFailedClaimsRequest(selection=_selection(which, limit, dry_run))
        return (await self._call(self._stub.RetryFailedClaims, request)).outcome

    async def assign(
        self, which: Which, assignee: str, *, limit: int = 0, dry_run: bool = False
    ) -> pb.FailedClaimOutcome:
        """Give claims to a person; an empty name means nobody."""
        request = service.AssignFailedClaimsRequest(
            selection=_selection(which, limit, dry_run), assignee=assignee
        )
        return (await self._call(self._stub.AssignFailedClaims, request)).outcome

    async def resolve(
        self,
        which: Which,
        resolution: pb.FailedClaimResolution.ValueType,
        *,
        note: str = "",
        limit: int = 0,
        dry_run: bool = False,
    ) -> pb.FailedClaimOutcome:
        """End claims without loading them."""
        request = service.ResolveFailedClaimsRequest(
            selection=_selection(which, limit, dry_run), resolution=resolution, note=note
        )
        return (await self._call(self._stub.ResolveFailedClaims, request)).outcome

    async def reopen(
        self, which: Which, *, limit: int = 0, dry_run: bool = False
    ) -> pb.FailedClaimOutcome:
        """Take up claims again that are dead or that a person had ended."""
        request = service.ReopenFailedClaimsRequest(selection=_selection(which, limit, dry_run))
        return (await self._call(self._stub.ReopenFailedClaims, request)).outcome

    async def add_note(
        self, which: Which, text: str, *, limit: int = 0, dry_run: bool = False
    ) -> pb.FailedClaimOutcome:
        """Write a note about claims; no patient data belongs there."""
        request = service.AddFailedClaimNoteRequest(
            selection=_selection(which, limit, dry_run), text=text
        )
        return (await self._call(self._stub.AddFailedClaimNote, request)).outcome

    async def stats(self, *, days: int = 0) -> service.GetFailedClaimStatsResponse:
        """Return how failed claims stand, and how those ended that ended in the last days."""
        request = service.GetFailedClaimStatsRequest(days=days)
        return await self._call(self._stub.GetFailedClaimStats, request)


def _selection(which: Which, limit: int, dry_run: bool) -> pb.FailedClaimSelection:
    if isinstance(which, pb.FailedClaimFilter):
        return pb.FailedClaimSelection(filter=which, limit=limit, dry_run=dry_run)
    return pb.FailedClaimSelection(failed_ids=which, limit=limit, dry_run=dry_run)
