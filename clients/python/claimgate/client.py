"""The client: `Client(address)`, then `score_batch(claims)`, or `score(messages)` for streams."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Sequence,
)
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc.aio import AioRpcError

from claimgate.channel import open_channel
from claimgate.claims import Batches, LoadedClaims
from claimgate.failed_claims import FailedClaims
from claimgate.sending import Message, Sending
from claimgate.v1 import claim_pb2, policy_pb2, score_pb2
from claimgate.v1 import reference_service_pb2 as reference
from claimgate.v1 import scoring_service_pb2 as scoring
from claimgate.v1.claim_service_pb2_grpc import ClaimServiceStub
from claimgate.v1.reference_service_pb2_grpc import ReferenceServiceStub
from claimgate.v1.scoring_service_pb2_grpc import ScoringServiceStub

if TYPE_CHECKING:
    # The asynchronous stubs are the same classes at run time.
    from claimgate.v1.reference_service_pb2_grpc import ReferenceServiceAsyncStub
    from claimgate.v1.scoring_service_pb2_grpc import ScoringServiceAsyncStub

Claims: TypeAlias = Iterable[claim_pb2.Claim] | score_pb2.ClaimBatch

DEADLINE_S: Final = 30.0
WINDOW: Final = 16

_SCORE_CLAIMS: Final = "/claimgate.v1.ScoringService/ScoreClaims"
_RESUMES_MAX: Final = 5
_RESUME_DELAY_S: Final = 0.1
_CORE_ERROR: Final = "Internal error from Core"


class CallError(Exception):
    """A call failed as a whole."""

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        metadata: dict[str, str],
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{code.name} {reason}: {message}".replace(" : ", ": "))
        self.code = code
        """The gRPC status."""
        self.reason = reason
        """Name of an `ErrorReason`; empty where the error did not come from the service."""
        self.message = message
        self.metadata = metadata
        """The facts of the message, for programs."""
        self.retry_after_s = retry_after_s
        """When to send the same again; None where that would not help."""

    @classmethod
    def of(cls, error: AioRpcError) -> Self:
        """Return the error behind a failed gRPC call."""
        info, retry = ErrorInfo(), RetryInfo()
        for detail in _details(error):
            if not detail.Unpack(info):
                detail.Unpack(retry)
        delay = retry.retry_delay
        return cls(
            error.code(),
            info.reason,
            error.details() or "",
            dict(info.metadata),
            delay.seconds + delay.nanos / 1e9 if retry.HasField("retry_delay") else None,
        )


class Client:
    """A connection to ClaimGate: `async with Client("localhost:50051") as client:`."""

    def __init__(
        self,
        address: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        insecure: bool | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Connect, when the first call needs it.

        Args:
            address: HOST:PORT.
            credentials: TLS credentials; left out, the system's roots.
            insecure: No TLS; left out, only to this machine.
            deadline_s: Longest wait for the answer of a single call.
        """
        self._deadline_s = deadline_s
        self._channel = open_channel(address, credentials, insecure)
        self._scoring: ScoringServiceAsyncStub = ScoringServiceStub(self._channel)
        self._reference: ReferenceServiceAsyncStub = ReferenceServiceStub(self._channel)
        claims = ClaimServiceStub(self._channel)
        self.failed_claims = FailedClaims(claims, self._call)
        """Claims that could not be loaded, from failure to repair."""
        self.claims = LoadedClaims(claims, self._call)
        """Claims that were loaded: answers, versions, amendments."""
        self.batches = Batches(claims, self._call, self._told)
        """Batches by the submitter's id: watch and cancel."""

    async def __aenter__(self) -> Self:
        """Use the client in a block that closes it."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls under way end."""
        await self._channel.close()

    async def score_batch(
        self,
        claims: Claims,
        *,
        view: score_pb2.View.ValueType = score_pb2.VIEW_EVIDENCE,
        history: bool = True,
        priority: scoring.Priority.ValueType = scoring.PRIORITY_INTERACTIVE,
    ) -> scoring.ScoreBatchResponse:
        """Score claims in one call: one result for each claim, in order.

        Args:
            claims: The claims.
            view: How much the answer says.
            history: Let committed claims and member data count, where the service has them.
            priority: Who waits for the answer.
        """
        request = scoring.ScoreBatchRequest(
            batch=_batch(claims), view=view, without_history=not history, priority=priority
        )
        return await self._call(self._scoring.ScoreBatch, request)

    async def validate(self, claims: Claims) -> Sequence[scoring.ClaimValidation]:
        """Check the structure of claims: one validation for each claim, in order."""
        request = scoring.ValidateClaimsRequest(batch=_batch(claims))
        response = await self._call(self._scoring.ValidateClaims, request)
        return response.validations

    async def list_releases(self) -> reference.ListReleasesResponse:
        """Return the releases of the tables in use."""
        return await self._call(self._reference.ListReleases, reference.ListReleasesRequest())

    async def get_procedure(
        self, procedure_code: str, date: str, *, modifier: str = ""
    ) -> reference.GetProcedureResponse:
        """Return what the tables say of a procedure on a day (ISO date)."""
        request = reference.GetProcedureRequest(
            procedure_code=procedure_code, date=date, modifier=modifier
        )
        return await self._call(self._reference.GetProcedure, request)

    async def list_rules(self) -> Sequence[reference.RuleDocumentation]:
        """Return every rule with its documentation."""
        response = await self._call(self._reference.ListRules, reference.ListRulesRequest())
        return response.rules

    async def get_rule(self, rule_id: str) -> reference.RuleDocumentation:
        """Return one rule with its documentation."""
        response = await self._call(
            self._reference.GetRule, reference.GetRuleRequest(rule_id=rule_id)
        )
        return response.rule

    async def get_policy(self, version: int | None = None) -> reference.GetPolicyResponse:
        """Return the policy that claims are scored under, or a stored version of it."""
        request = reference.GetPolicyRequest(version=version)
        return await self._call(self._reference.GetPolicy, request)

    async def update_policy(
        self,
        changes: policy_pb2.Policy,
        *,
        expected_version: int,
        reason: str,
        approver: str,
        fields: Sequence[str] | None = None,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
    ) -> reference.UpdatePolicyResponse:
        """Store the next version of the policy.

        Args:
            changes: The policy, or the fields of it that are named.
            expected_version: The newest version, which the change was made to; 0 before the first.
            reason: Why it is changed.
            approver: Who approved it, somebody other than the caller.
            fields: What of the policy is replaced; left out, the whole.
            valid_from: From when on it holds; left out, at once.
            valid_to: From when on it no longer holds; left out, never.

        Raises:
            CallError: ABORTED when another version is the newest, INVALID_ARGUMENT with the field.
        """
        request = reference.UpdatePolicyRequest(
            policy=changes,
            update_mask=None if fields is None else FieldMask(paths=fields),
            expected_version=expected_version,
            reason=reason,
            approver=approver,
            valid_from_time=_stamp(valid_from),
            valid_to_time=_stamp(valid_to),
        )
        return await self._call(self._reference.UpdatePolicy, request)

    async def compare_policies(
        self,
        claims: Claims,
        candidate: reference.PolicyChoice,
        base: reference.PolicyChoice | None = None,
        view: score_pb2.View.ValueType = score_pb2.VIEW_EVIDENCE,
    ) -> reference.ComparePoliciesResponse:
        """Score claims under two policies; the base is the one in force where left out."""
        request = reference.ComparePoliciesRequest(
            batch=_batch(claims), base=base, candidate=candidate, view=view
        )
        return await self._call(self._reference.ComparePolicies, request)

    async def list_policy_versions(self) -> Sequence[policy_pb2.PolicyVersion]:
        """Return every stored version of the policy, newest first."""
        versions: list[policy_pb2.PolicyVersion] = []
        request = reference.ListPolicyVersionsRequest(page_size=200)
        while True:
            page = await self._call(self._reference.ListPolicyVersions, request)
            versions += page.versions
            if not page.next_page_token:
                return versions
            request.page_token = page.next_page_token

    async def score(
        self,
        messages: AsyncIterable[Message] | Iterable[Message],
        *,
        view: score_pb2.View.ValueType = score_pb2.VIEW_EVIDENCE,
        window: int = WINDOW,
        history: bool = True,
        priority: scoring.Priority.ValueType = scoring.PRIORITY_BULK,
        gather_answers: bool = False,
        on_summary: Callable[[scoring.StreamSummary], None] | None = None,
    ) -> AsyncGenerator[scoring.MessageResult, None]:
        """Score a stream of messages; each is answered once, in any order.

        The answer's `sequence` is the place of its message in `messages`, from 0. When the
        connection breaks, or the service restarts, what is unanswered is sent again over a new one.

        Args:
            messages: Batches of claims, as rows or as columns (`claimgate.columns.pack`), or
                ready-made bytes of `ScoreClaimsRequest` with either.
            view: How much each answer says.
            window: Most messages that are sent and not yet answered.
            history: Let committed claims and member data count, where the service has them.
            priority: Who waits for the answers.
            gather_answers: Take small answers a few milliseconds later, many at once.
            on_summary: Called with the service's account of each stream that it ended well: of one,
                or of several where the service was restarted.
        """
        options = scoring.StreamOptions(
            view=view,
            without_history=not history,
            priority=priority,
            gather_answers=gather_answers,
        )
        sending = Sending(messages, window, options)
        feeding = asyncio.create_task(sending.feed())
        failures, careful = 0, False
        try:
            while not sending.finished:
                try:
                    async for response in self._stream(sending, careful=careful):
                        for result in response.messages:
                            if sending.answered(result.sequence):
                                failures = 0
                                yield result
                        if on_summary and response.HasField("summary"):
                            on_summary(response.summary)
                except AioRpcError as error:
                    failures += 1
                    careful = _status_lost(error)
                    if failures > _RESUMES_MAX or not (careful or _resumable(error)):
                        raise CallError.of(error) from None
                    await asyncio.sleep(_RESUME_DELAY_S * 2 ** (failures - 1))
            await feeding
        finally:
            feeding.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await feeding

    async def _stream(
        self, sending: Sending, *, careful: bool
    ) -> AsyncIterator[scoring.ScoreClaimsResponse]:
        """Run one stream: what is unanswered first, then what is new."""
        open_stream: Any = self._channel.stream_stream(
            _SCORE_CLAIMS, response_deserializer=scoring.ScoreClaimsResponse.FromString
        )
        call = open_stream()
        # grpcio's own writer would outlive a broken stream, and take what is meant for the next.
        writing = asyncio.create_task(_write(call, sending.requests(careful=careful)))
        try:
            async for response in call:
                if response.draining:
                    sending.pause()
                yield response
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
            call.cancel()

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=self._deadline_s)
        except AioRpcError as error:
            raise CallError.of(error) from None

    async def _told(
        self, method: Any, request: Any, deadline_s: float | None
    ) -> AsyncGenerator[Any, None]:
        """Yield the answers of a call that has many."""
        call = method(request, timeout=deadline_s)
        try:
            async for answer in call:
                yield answer
        except AioRpcError as error:
            raise CallError.of(error) from None
        finally:
            call.cancel()


async def _write(call: Any, requests: AsyncIterator[bytes]) -> None:
    """Write requests to a stream up to their end; where it breaks, its reader says why."""
    with suppress(AioRpcError, asyncio.InvalidStateError):
        async for request in requests:
            await call.write(request)
        await call.done_writing()


def _stamp(moment: datetime | None) -> Timestamp | None:
    """Return a moment as the API has it; one without a time zone is local."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp


def _batch(claims: Claims) -> score_pb2.ClaimBatch:
    if isinstance(claims, score_pb2.ClaimBatch):
        return claims
    return score_pb2.ClaimBatch(claims=claims)


def _resumable(error: AioRpcError) -> bool:
    return error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


def _status_lost(error: AioRpcError) -> bool:
    """Tell whether grpcio put an error of its own over the status that the service had sent.

    It does so when a write fails because the service has just ended the stream (grpc/grpc#36066).
    Sending again, one message at a time, no write is under way when the status comes.
    """
    return error.code() == grpc.StatusCode.INTERNAL and error.details() == _CORE_ERROR


def _details(error: AioRpcError) -> Sequence[Any]:
    """Return the google.rpc details that the service sent along."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return Status.FromString(value).details
    return ()
