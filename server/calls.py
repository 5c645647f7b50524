"""The call at hand: who makes it and under which ids. Handlers read it; the interceptor sets it."""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any, Final, TypeAlias
from uuid import uuid4

import grpc
from opentelemetry.trace import SpanContext

from server.principal import Principal

# gRPC's classes take type parameters in their stubs only, so the names of the types are texts.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

# Only what looks like a UUID or a hash is taken over: a request id is logged, and member ids
# do not have this form.
_REQUEST_ID: Final = re.compile(r"[0-9a-fA-F-]{16,64}")


@dataclass(frozen=True, slots=True)
class Call:
    """One call after its caller is known."""

    method: str
    principal: Principal
    request_id: str
    span: SpanContext | None


_CURRENT: Final[ContextVar[Call]] = ContextVar("call")


def current_call() -> Call:
    """Return the call that this task serves."""
    return _CURRENT.get()


def enter_call(call: Call) -> None:
    """Make a call the one that this task serves; gRPC gives each call a task of its own."""
    _CURRENT.set(call)


def expires_at(context: Context) -> float:
    """Return when the caller stops waiting, by the monotonic clock; infinity if it never does."""
    left_s: float | None = context.time_remaining()
    return inf if left_s is None else monotonic() + left_s


def request_id_of(sent: Iterable[str]) -> str:
    """Return the caller's request id if it has the form of an id, else a new one."""
    for text in sent:
        if _REQUEST_ID.fullmatch(text):
            return text
    return uuid4().hex
