"""Claims after they were submitted: `client.claims.get(id)`, `client.batches.watch(id)`."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf.field_mask_pb2 import FieldMask

from claimgate.v1 import claim_life_pb2 as pb
from claimgate.v1 import claim_pb2
from claimgate.v1 import claim_service_pb2 as service

if TYPE_CHECKING:
    from claimgate.v1.claim_service_pb2_grpc import ClaimServiceAsyncStub

Call: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
Told: TypeAlias = Callable[[Any, Any, float | None], AsyncGenerator[Any, None]]


class LoadedClaims:
    """The claims of the caller's tenant that were loaded."""

    def __init__(self, stub: "ClaimServiceAsyncStub", call: Call) -> None:
        """Take the service, and what calls a method of it with the client's deadline and errors."""
        self._stub = stub
        self._call = call

    async def get(
        self, claim_id: str, *, version: int = 0, result_no: int = 0, include_payload: bool = False
    ) -> service.GetClaimResponse:
        """Return a stored answer and what it rests on; 0 means the last."""
        request = service.GetClaimRequest(
            claim_id=claim_id,
            claim_version=version,
            result_no=result_no,
            include_payload=include_payload,
        )
        return await self._call(self._stub.GetClaim, request)

    async def versions(self, claim_id: str) -> Sequence[pb.ClaimVersion]:
        """Return every version of a claim, first to last."""
        request = service.ListClaimVersionsRequest(claim_id=claim_id)
        return (await self._call(self._stub.ListClaimVersions, request)).versions

    async def amend(
        self,
        claim_id: str,
        changes: claim_pb2.Claim | None = None,
        *,
        base_version: int,
        fields: Iterable[str] = (),
        lines: Iterable[pb.LineAmendment] = (),
    ) -> service.AmendClaimResponse:
        """Submit the next version of a claim, with some fields changed.

        Args:
            claim_id: The claim.
            changes: The new values.
            base_version: The version that the change is made to, which has to be the last.
            fields: Which fields get them; one that is named and left out is emptied.
            lines: Changes of single lines.

        Raises:
            CallError: ABORTED when another version is the last or waits.
        """
        request = service.AmendClaimRequest(
            claim_id=claim_id,
            base_version=base_version,
            update_mask=FieldMask(paths=fields),
            claim=changes,
            lines=lines,
        )
        return await self._call(self._stub.AmendClaim, request)

    async def void(self, claim_id: str, *, base_version: int) -> service.AmendClaimResponse:
        """Submit a version of a claim that voids it."""
        request = service.AmendClaimRequest(claim_id=claim_id, base_version=base_version, void=True)
        return await self._call(self._stub.AmendClaim, request)


class Batches:
    """The batches of the caller's tenant, by the submitter's id."""

    def __init__(self, stub: "ClaimServiceAsyncStub", call: Call, told: Told) -> None:
        """Take the service, and what calls methods of it with one answer, and with many."""
        self._stub = stub
        self._call = call
        self._told = told

    async def watch(
        self, batch_id: str, *, deadline_s: float | None = None
    ) -> AsyncGenerator[pb.BatchProgress, None]:
        """Yield how far a batch is: at once, at changes, and last when it has ended.

        Args:
            batch_id: The batch.
            deadline_s: Longest to watch; left out, until the end.
        """
        request = service.WatchBatchRequest(batch_id=batch_id)
        async with aclosing(self._told(self._stub.WatchBatch, request, deadline_s)) as answers:
            async for answer in answers:
                yield answer.progress

    async def cancel(self, batch_id: str, *, reason: str) -> service.CancelBatchResponse:
        """End what waits of a batch; may be repeated."""
        request = service.CancelBatchRequest(batch_id=batch_id, reason=reason)
        return await self._call(self._stub.CancelBatch, request)
