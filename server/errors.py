"""What can go wrong with a call as a whole, and the one table that turns it into a status.

    CallFaultError
    ├── MalformedMessageError     not a protobuf of the method's type
    ├── EmptyRequestError         nothing to score
    ├── TooManyClaimsError        more claims than one message may hold
    ├── TooManyEntriesError       more lines and so on than one message may hold
    ├── OptionsAfterClaimsError   stream options that come too late
    ├── InvalidColumnError        a column that contradicts itself or the others
    ├── UnknownMethodError        no such method
    ├── InvalidFieldError         a request field with an impossible value
    ├── NotFoundError             no such rule, procedure, …
    ├── UnauthenticatedError      no identity, or more than one
    ├── RetryLaterError           too much was sent; it says when to come again
    │   ├── OverloadedError           the queue is full
    │   ├── TenantOverloadedError     the tenant's part of the queue is full
    │   └── QuotaExceededError        the tenant's quota of claims is used up
    ├── DeadlineError             the answer would come too late
    ├── DrainingError             the process is going away
    ├── DatabaseUnavailableError  production Postgres does not answer
    ├── ClaimChangedError         the claim has another last version than the caller has seen
    ├── PolicyChangedError        somebody else has changed the policy meanwhile
    ├── PolicyUnusableError       no stored policy of the tenant can be used
    ├── NotConfiguredError        a setting that the call needs is not given
    └── InternalFaultError        our own fault; only its id leaves the process

The code raises these; nothing but this file names a status code. Their texts hold ids, counts and
positions, never a value out of a claim.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias, cast
from uuid import uuid4

import grpc
from claimgate.v1 import error_reason_pb2 as reasons
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from grpc_status import rpc_status

ERROR_DOMAIN: Final = "claimgate"


class CallFaultError(Exception):
    """A call failed as a whole: a text for people and the same facts for programs."""

    def __init__(self, message: str, **facts: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.facts: Mapping[str, str] = {name: str(value) for name, value in facts.items()}


class MalformedMessageError(CallFaultError):
    """The bytes are not a message of the method's request type."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"the message is not a valid protobuf request of {method}; "
            "check that client and server use the same claimgate.v1",
            method=method,
        )


class EmptyRequestError(CallFaultError):
    """A request holds nothing to work on."""

    def __init__(self, expected: str, **facts: str | int) -> None:
        super().__init__(f"the request is empty: expected {expected}", **facts)


class TooManyClaimsError(CallFaultError):
    """A message holds more claims than allowed."""

    def __init__(self, claims: int, claims_max: int, **facts: str | int) -> None:
        super().__init__(
            f"{claims} claims sent in one message, at most {claims_max} allowed; split it",
            claims=claims,
            claims_max=claims_max,
            **facts,
        )


class TooManyEntriesError(CallFaultError):
    """The claims of a message have more lines, diagnoses and so on than allowed."""

    def __init__(self, entries: int, entries_max: int, **facts: str | int) -> None:
        super().__init__(
            f"{entries} claims, lines, diagnoses and other entries sent in one message, at most "
            f"{entries_max} allowed; split it",
            entries=entries,
            entries_max=entries_max,
            **facts,
        )


class OptionsAfterClaimsError(CallFaultError):
    """Stream options came after the first message."""

    def __init__(self, sequence: int) -> None:
        super().__init__(
            "options came after the first message of the stream; send them first or not at all",
            sequence=sequence,
        )


class InvalidFieldError(CallFaultError):
    """A field of the request has a value that it cannot have. The value itself is not repeated."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(
            f"field {field} has an impossible value: expected {expected}",
            field=field,
            expected=expected,
        )


class InvalidColumnError(CallFaultError):
    """A column of a message does not fit the API, itself or the others. No value is repeated."""

    def __init__(self, column: str, expected: str, **facts: int) -> None:
        super().__init__(
            f"column {column} does not fit: expected {expected}",
            field=column,
            expected=expected,
            **facts,
        )
        self.column = column
        self.expected = expected


class UnknownMethodError(CallFaultError):
    """The service has no such method. The path that was sent is not repeated."""

    def __init__(self) -> None:
        super().__init__("no such method; the reflection service lists those there are")


class NotFoundError(CallFaultError):
    """What was asked for does not exist."""

    def __init__(self, what: str, **facts: str | int) -> None:
        super().__init__(f"no such {what}", **facts)


class UnauthenticatedError(CallFaultError):
    """The caller has no identity that the service knows."""


class RetryLaterError(CallFaultError):
    """Too much was sent; the caller may send the same again after a while."""

    def __init__(self, message: str, retry_ms: int, **facts: int) -> None:
        super().__init__(f"{message}; send again after {retry_ms} ms", **facts)
        self.retry_ms = retry_ms


class OverloadedError(RetryLaterError):
    """The queue is full."""

    def __init__(self, queued_claims: int, queued_claims_max: int, retry_ms: int) -> None:
        super().__init__(
            f"the service is full: {queued_claims} of at most {queued_claims_max} claims wait",
            retry_ms,
            queued_claims=queued_claims,
            queued_claims_max=queued_claims_max,
        )


class TenantOverloadedError(RetryLaterError):
    """The tenant holds as much of the queue as one tenant may."""

    def __init__(self, queued_claims: int, queued_claims_max: int, retry_ms: int) -> None:
        super().__init__(
            f"the tenant's part of the queue is full: {queued_claims} of at most "
            f"{queued_claims_max} claims wait",
            retry_ms,
            queued_claims=queued_claims,
            queued_claims_max=queued_claims_max,
        )


class QuotaExceededError(RetryLaterError):
    """The tenant sent more claims than its quota allows."""

    def __init__(self, claims: int, claims_per_second: int, retry_ms: int) -> None:
        super().__init__(
            f"the tenant's quota of {claims_per_second} claims a second in this worker is used up",
            retry_ms,
            claims=claims,
            claims_per_second=claims_per_second,
        )


class DeadlineError(CallFaultError):
    """The answer was not ready in time, or nothing was sent for too long."""


class DrainingError(CallFaultError):
    """The process is going away; every message that it took is answered."""

    def __init__(self) -> None:
        super().__init__("the service is shutting down; connect again and send what is unanswered")


class DatabaseUnavailableError(CallFaultError):
    """A Postgres, as a rule that of production, does not answer; the same may be asked again."""

    def __init__(self, error_type: str, setting: str = "CLAIMGATE_PRODUCTION_URL") -> None:
        which = "staging" if setting == "CLAIMGATE_STAGING_URL" else "production"
        super().__init__(
            f"the {which} database does not answer ({error_type}); ask again later, and look at "
            f"the server that {setting} names",
            error_type=error_type,
        )


class ClaimChangedError(CallFaultError):
    """A claim has another last version than the caller has seen, or one that waits."""

    def __init__(self, base_version: int, version: int, status: str) -> None:
        super().__init__(
            f"the claim has version {version} ({status}), the change was made to version "
            f"{base_version}; read version {version} once it is loaded and make the change to that",
            base_version=base_version,
            version=version,
            status=status,
        )


class PolicyChangedError(CallFaultError):
    """A policy is not at the version that the caller read."""

    def __init__(self, expected_version: int, version: int) -> None:
        super().__init__(
            f"the policy is at version {version}, the change was made to version "
            f"{expected_version}; read version {version} and make the change to that",
            expected_version=expected_version,
            version=version,
        )


class PolicyUnusableError(CallFaultError):
    """None of the tenant's policies in force can be used, and no other takes their place."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(
            f"the policy cannot be used: field {field}: expected {expected}; "
            "store a version that is right",
            field=field,
            expected=expected,
        )


class NotConfiguredError(CallFaultError):
    """The call needs a setting that this service was started without."""

    def __init__(self, what: str, setting: str) -> None:
        super().__init__(f"{what}; start the service with {setting}", setting=setting)


class InternalFaultError(CallFaultError):
    """A fault of the service itself: the id finds it in the log, nothing else leaves."""

    def __init__(self, error_id: str, **facts: str | int) -> None:
        super().__init__(
            f"internal error {error_id}; report the id, the log has the rest",
            error_id=error_id,
            **facts,
        )
        self.error_id = error_id


_Reason: TypeAlias = "reasons.ErrorReason.ValueType"

STATUS: Final[Mapping[type[CallFaultError], tuple[StatusCode, _Reason]]] = {
    MalformedMessageError: (StatusCode.INVALID_ARGUMENT, reasons.ERROR_REASON_MALFORMED_MESSAGE),
    EmptyRequestError: (StatusCode.INVALID_ARGUMENT, reasons.ERROR_REASON_EMPTY_REQUEST),
    TooManyClaimsError: (StatusCode.INVALID_ARGUMENT, reasons.ERROR_REASON_TOO_MANY_CLAIMS),
    TooManyEntriesError: (StatusCode.INVALID_ARGUMENT, reasons.ERROR_REASON_TOO_MANY_CLAIMS),
    OptionsAfterClaimsError: (
        StatusCode.INVALID_ARGUMENT,
        reasons.ERROR_REASON_OPTIONS_AFTER_CLAIMS,
    ),
    UnknownMethodError: (StatusCode.UNIMPLEMENTED, reasons.ERROR_REASON_UNKNOWN_METHOD),
    InvalidFieldError: (StatusCode.INVALID_ARGUMENT, reasons.ERROR_REASON_INVALID_FIELD),
    InvalidColumnError: (StatusCode.INVALID_ARGUMENT, reasons.ERROR_REASON_INVALID_FIELD),
    NotFoundError: (StatusCode.NOT_FOUND, reasons.ERROR_REASON_NOT_FOUND),
    UnauthenticatedError: (StatusCode.UNAUTHENTICATED, reasons.ERROR_REASON_UNAUTHENTICATED),
    OverloadedError: (StatusCode.RESOURCE_EXHAUSTED, reasons.ERROR_REASON_OVERLOADED),
    TenantOverloadedError: (StatusCode.RESOURCE_EXHAUSTED, reasons.ERROR_REASON_OVERLOADED),
    QuotaExceededError: (StatusCode.RESOURCE_EXHAUSTED, reasons.ERROR_REASON_QUOTA_EXCEEDED),
    DeadlineError: (StatusCode.DEADLINE_EXCEEDED, reasons.ERROR_REASON_DEADLINE),
    DrainingError: (StatusCode.UNAVAILABLE, reasons.ERROR_REASON_DRAINING),
    DatabaseUnavailableError: (StatusCode.UNAVAILABLE, reasons.ERROR_REASON_DATABASE_UNAVAILABLE),
    ClaimChangedError: (StatusCode.ABORTED, reasons.ERROR_REASON_CLAIM_CHANGED),
    PolicyChangedError: (StatusCode.ABORTED, reasons.ERROR_REASON_POLICY_CHANGED),
    PolicyUnusableError: (StatusCode.FAILED_PRECONDITION, reasons.ERROR_REASON_POLICY_UNUSABLE),
    NotConfiguredError: (StatusCode.FAILED_PRECONDITION, reasons.ERROR_REASON_NOT_CONFIGURED),
    InternalFaultError: (StatusCode.INTERNAL, reasons.ERROR_REASON_INTERNAL),
}


def new_error_id() -> str:
    """Return an id that names one fault in answer and log."""
    return uuid4().hex


def status_of(fault: CallFaultError, trailing: tuple[tuple[str, str], ...] = ()) -> grpc.Status:
    """Return the gRPC status of a fault, with its google.rpc details and the trailing metadata."""
    code, reason = STATUS[type(fault)]
    info = ErrorInfo(
        reason=reasons.ErrorReason.Name(reason), domain=ERROR_DOMAIN, metadata=fault.facts
    )
    details: list[Message] = [info]
    if isinstance(fault, RetryLaterError):
        details.append(RetryInfo(retry_delay=_duration(fault.retry_ms)))
    status = Status(
        code=code.value[0], message=fault.message, details=[_packed(detail) for detail in details]
    )
    made = rpc_status.to_status(status)
    return cast(
        "grpc.Status", made._replace(trailing_metadata=(*made.trailing_metadata, *trailing))
    )


def _duration(milliseconds: int) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(milliseconds)
    return duration


def _packed(detail: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed
