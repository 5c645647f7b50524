"""What every call passes before and after its handler.

Every method, of all four kinds, is served as a stream of raw bytes, so that the caller is known and
refused before a request is read, and so that bad bytes and uncaught errors become statuses of ours
and not UNKNOWN with the text of an exception. Handlers may be coroutines or asynchronous
generators, and may call `context.read` and `write`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, TypeAlias, cast

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc.aio import EOF, AbortError

from server.calls import Call, Context, Handler, enter_call, request_id_of
from server.errors import (
    CallFaultError,
    EmptyRequestError,
    InternalFaultError,
    MalformedMessageError,
    UnauthenticatedError,
    UnknownMethodError,
    new_error_id,
    status_of,
)
from server.metrics import Metrics
from server.principal import Principal, identify
from server.telemetry import caller_span, stack_of, trace_id_of

_LOG: Final = structlog.get_logger("server.calls")
_HEALTH: Final = "/grpc.health.v1.Health/"
ANYONE: Final = Principal(name="anyone", tenant="")
"""Who asks for health: nobody has to be known for that."""

Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]

Admission: TypeAlias = Callable[[Call], None]
"""Raises the fault of a call that is not worth reading; its caller is known, its message is not."""


class Edge(grpc.aio.ServerInterceptor):
    """Lets known callers in, and nothing but statuses of ours out."""

    def __init__(self, metrics: Metrics, admissions: Mapping[str, Admission] | None = None) -> None:
        """Count calls, and ask before one is read whether it is let in: by path of its method."""
        self._metrics = metrics
        self._admissions = admissions or {}

    async def intercept_service(  # type: ignore[override]
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> Handler:
        """Wrap the handler of a known method; an unknown one is refused before it is read."""
        handler = await continuation(details)
        if handler is None:
            return grpc.stream_stream_rpc_method_handler(_refuse_unknown)
        served = _Served(
            handler,
            details.method,
            Headers(details.invocation_metadata),
            self._admissions.get(details.method),
        )

        async def serve(_requests: object, context: Context) -> None:
            await served.serve(context, self._metrics)

        return grpc.stream_stream_rpc_method_handler(serve)


async def _refuse_unknown(_requests: object, context: Context) -> None:
    await context.abort_with_status(status_of(UnknownMethodError()))


class Headers:
    """The metadata of a call; a name may come several times."""

    def __init__(self, metadata: Sequence[tuple[str, str | bytes]]) -> None:
        self._metadata = metadata

    def all(self, name: str) -> list[str]:
        """Return every text sent under a name."""
        return [value for key, value in self._metadata if key == name and isinstance(value, str)]

    def first(self, name: str) -> str:
        """Return the first text sent under a name; empty if there is none."""
        return next(iter(self.all(name)), "")


@dataclass(frozen=True, slots=True)
class _Served:
    """One call of one method."""

    handler: Handler
    method: str
    headers: Headers
    admission: Admission | None

    async def serve(self, raw: Context, metrics: Metrics) -> None:
        """Run the handler and end the call with its status, counted."""
        labels = _labels(self.handler, self.method)
        metrics.call_started.labels(*labels).inc()
        started = perf_counter()
        request_id = request_id_of(self.headers.all("x-request-id"))
        code = grpc.StatusCode.CANCELLED
        try:
            await self._answer(_Wire(raw, self.handler, self.method, metrics, labels), request_id)
            code = _code(raw)
        except AbortError:
            code = _code(raw)
            raise
        except Exception as error:  # noqa: BLE001 - the outermost edge of a call
            status = status_of(
                self._fault(error, request_id), trailing=(("x-request-id", request_id),)
            )
            code = status.code
            await raw.abort_with_status(status)
        finally:
            took_s = perf_counter() - started
            metrics.call_handled.labels(*labels, code.name).inc()
            metrics.call_seconds.labels(*labels).observe(took_s)
            if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                metrics.refusal_seconds.observe(took_s)

    async def _answer(self, wire: "_Wire", request_id: str) -> None:
        wire.set_trailing_metadata((("x-request-id", request_id),))
        call = Call(
            method=self.method,
            principal=self._caller(wire),
            request_id=request_id,
            span=caller_span(self.headers.first("traceparent")),
        )
        enter_call(call)
        if self.admission:
            self.admission(call)
        request = wire.requests() if self.handler.request_streaming else await wire.request()
        behaviour = _behaviour(self.handler)
        answer = behaviour(request, cast("Context", wire))
        if hasattr(answer, "__aiter__"):
            async with aclosing(answer):
                async for message in answer:
                    await wire.write(message)
        elif self.handler.response_streaming:
            await answer
        else:
            await wire.write(await answer)

    def _caller(self, wire: "_Wire") -> Principal:
        if len(self.headers.all("authorization")) > 1:
            raise UnauthenticatedError("more than one authorization header was sent; send one")
        if self.method.startswith(_HEALTH):
            return ANYONE
        return identify(cast("Context", wire))

    def _fault(self, error: Exception, request_id: str) -> CallFaultError:
        """Return what the caller is told; what nobody foresaw is logged, without its text."""
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, CallFaultError):
            return error
        fault = InternalFaultError(new_error_id())
        _LOG.error(
            "call_failed",
            error_id=fault.error_id,
            error_type=type(error).__name__,
            raised_at=stack_of(error),
            method=self.method,
            request_id=request_id,
            trace_id=trace_id_of(caller_span(self.headers.first("traceparent"))),
        )
        return fault


class _Wire:
    """The context that a handler sees: messages instead of bytes, counted."""

    def __init__(
        self, raw: Context, handler: Handler, method: str, metrics: Metrics, labels: Sequence[str]
    ) -> None:
        self._raw = raw
        self._parse = handler.request_deserializer or _same
        self._serialise = handler.response_serializer or _same
        self._method = method
        self._received = metrics.call_received.labels(*labels)
        self._sent = metrics.call_sent.labels(*labels)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the context of gRPC."""
        return getattr(self._raw, name)

    async def request(self) -> Any:
        """Read the one request of a unary call."""
        message = await self.read()
        if message is EOF:
            raise EmptyRequestError("one request message")
        return message

    async def requests(self) -> AsyncIterator[Any]:
        """Read requests until the caller has sent all."""
        read = self._raw.read  # not by way of `read`: a message of one claim feels each coroutine
        while (data := await read()) is not EOF:
            yield self._parsed(data)

    async def read(self) -> Any:
        """Read one message; EOF after the last."""
        data = await self._raw.read()
        return EOF if data is EOF else self._parsed(data)

    def _parsed(self, data: bytes) -> Any:
        self._received.inc()
        try:
            return self._parse(data)
        except (DecodeError, UnicodeDecodeError):
            # The cause quotes bytes of the message: it stays here.
            raise MalformedMessageError(self._method) from None

    async def write(self, message: Any) -> None:
        """Send one message."""
        await self._raw.write(self._serialise(message))
        self._sent.inc()


def _same(message: Any) -> Any:
    return message


def _behaviour(handler: Handler) -> Callable[[Any, Context], Any]:
    found = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    return cast("Callable[[Any, Context], Any]", found)


def _labels(handler: Handler, method: str) -> tuple[str, str, str]:
    """Return type, service and method: only methods that exist become labels."""
    kind = {
        (False, False): "unary",
        (False, True): "server_stream",
        (True, False): "client_stream",
        (True, True): "bidi_stream",
    }[handler.request_streaming, handler.response_streaming]
    _, service, name = method.split("/", 2)
    return kind, service, name


def _code(context: Context) -> grpc.StatusCode:
    """Return the status that a handler has set; none set is OK."""
    number: Any = context.code() or 0
    if isinstance(number, grpc.StatusCode):
        return number
    return next(code for code in grpc.StatusCode if code.value[0] == number)
