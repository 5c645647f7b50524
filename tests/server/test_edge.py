"""What every call meets at the edge: bad bytes, bad headers, uncaught errors."""

import asyncio
import json
import logging
import struct
from contextlib import asynccontextmanager

import grpc
import pytest
import structlog
from claimgate.client import CallError
from claimgate.v1 import scoring_service_pb2 as pb
from claimgate.v1.scoring_service_pb2_grpc import ScoringServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from server.calls import current_call
from server.errors import NotFoundError
from server.interceptors import Edge
from server.metrics import Metrics

MEMBER_TEXT = "bad member id 123-45-6789"
KINDS = {
    "unary": (False, False),
    "server_stream": (False, True),
    "client_stream": (True, False),
    "bidi": (True, True),
}
UNARY_METHODS = ("ScoreBatch", "ValidateClaims")
MALFORMED = b"\xff\xff\xff\xff\xff"


def fail_if_asked(request: bytes) -> None:
    if request == b"raise":
        raise ValueError(MEMBER_TEXT)
    if request == b"refuse":
        raise NotFoundError("such thing", name="x")


async def echo_unary(request, context):
    fail_if_asked(request)
    return request


async def echo_unary_stream(request, context):
    fail_if_asked(request)
    yield request
    yield request


async def echo_unary_stream_writing(request, context):
    fail_if_asked(request)
    await context.write(request)
    await context.write(request)


async def echo_stream_unary(requests, context):
    joined = b""
    async for request in requests:
        fail_if_asked(request)
        joined += request
    return joined


async def echo_stream_unary_reading(requests, context):
    joined = b""
    while (request := await context.read()) is not grpc.aio.EOF:
        fail_if_asked(request)
        joined += request
    return joined


async def echo_stream(requests, context):
    async for request in requests:
        fail_if_asked(request)
        yield request


async def echo_stream_writing(requests, context):
    while (request := await context.read()) is not grpc.aio.EOF:
        fail_if_asked(request)
        await context.write(request)


HANDLERS = {
    "unary": grpc.unary_unary_rpc_method_handler(echo_unary),
    "server_stream": grpc.unary_stream_rpc_method_handler(echo_unary_stream),
    "server_stream_writing": grpc.unary_stream_rpc_method_handler(echo_unary_stream_writing),
    "client_stream": grpc.stream_unary_rpc_method_handler(echo_stream_unary),
    "client_stream_reading": grpc.stream_unary_rpc_method_handler(echo_stream_unary_reading),
    "bidi": grpc.stream_stream_rpc_method_handler(echo_stream),
    "bidi_writing": grpc.stream_stream_rpc_method_handler(echo_stream_writing),
}


@asynccontextmanager
async def echoing(handlers=HANDLERS):
    """A server with a method of every kind in both styles, behind the edge."""
    registry = CollectorRegistry()
    server = grpc.aio.server(interceptors=[Edge(Metrics(registry, 0.8))])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel, registry
    await server.stop(0)


async def silence():
    """Send nothing: grpcio covers a status up when a write fails under it (grpc/grpc#36066)."""
    await asyncio.sleep(30)
    yield b""


async def ask(channel, name: str, request: bytes, metadata=(), requests=None) -> list[bytes]:
    """Call a method of the echo service with two requests, or one where it takes one."""
    many, answers_many = KINDS[name.removesuffix("_writing").removesuffix("_reading")]
    kind = f"{'stream' if many else 'unary'}_{'stream' if answers_many else 'unary'}"
    sent = requests or iter([b"first", request])
    call = getattr(channel, kind)(f"/test.Echo/{name}")(
        sent if many else request, metadata=metadata, timeout=5
    )
    if answers_many:
        return [answer async for answer in call]
    return [await call]


@pytest.mark.parametrize("name", HANDLERS)
async def test_every_kind_in_both_styles_answers(name):
    async with echoing() as (channel, registry):
        answers = await ask(channel, name, b"hello")

    assert b"".join(answers).endswith(b"hello")
    handled = [
        sample
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "grpc_server_handled_total"
    ]
    assert [(s.labels["grpc_method"], s.labels["grpc_code"], s.value) for s in handled] == [
        (name, "OK", 1.0)
    ]


@pytest.mark.parametrize("name", HANDLERS)
async def test_uncaught_error_becomes_internal_with_an_id_and_no_text(name, logged):
    async with echoing() as (channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await ask(channel, name, b"raise")

    error = CallError.of(raised.value)
    lines = logged()
    [line] = [line for line in lines if line["event"] == "call_failed"]
    assert error.code == grpc.StatusCode.INTERNAL
    assert error.reason == "ERROR_REASON_INTERNAL"
    assert line["error_id"] == error.metadata["error_id"]
    assert line["error_type"] == "ValueError"
    assert any("fail_if_asked" in place for place in line["raised_at"])
    for seen in (repr(raised.value), str(raised.value.trailing_metadata()), json.dumps(lines)):
        assert "123-45-6789" not in seen


@pytest.mark.parametrize("name", HANDLERS)
async def test_foreseen_error_becomes_its_status(name):
    async with echoing() as (channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await ask(channel, name, b"refuse")

    error = CallError.of(raised.value)
    assert error.code == grpc.StatusCode.NOT_FOUND
    assert error.reason == "ERROR_REASON_NOT_FOUND"
    assert error.metadata == {"name": "x"}


@pytest.mark.parametrize("name", HANDLERS)
async def test_two_authorization_headers_are_refused(name):
    async with echoing() as (channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await ask(
                channel,
                name,
                b"hello",
                (("authorization", "Bearer a"), ("authorization", "Bearer b")),
                silence(),
            )

    assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert CallError.of(raised.value).reason == "ERROR_REASON_UNAUTHENTICATED"


async def test_group_of_errors_says_what_its_first_error_says():
    async def failing(request, context):
        async with asyncio.TaskGroup():
            raise NotFoundError("such thing")

    handlers = {"unary": grpc.unary_unary_rpc_method_handler(failing)}
    async with echoing(handlers) as (channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await ask(channel, "unary", b"hello")

    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


async def test_request_id_and_trace_of_the_caller_are_taken_over():
    seen = []

    async def look(request, context):
        seen.append(current_call())
        return request

    handlers = {"unary": grpc.unary_unary_rpc_method_handler(look)}
    async with echoing(handlers) as (channel, _):
        call = channel.unary_unary("/test.Echo/unary")(
            b"x",
            metadata=(
                ("x-request-id", "0b5f0c1e-7a52-4a6b-9b1c-2f6f3a1d9e77"),
                ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ),
        )
        await call
        trailing = dict(await call.trailing_metadata())

    [call] = seen
    assert call.request_id == "0b5f0c1e-7a52-4a6b-9b1c-2f6f3a1d9e77"
    assert trailing["x-request-id"] == call.request_id
    assert f"{call.span.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert call.principal.tenant == "demo"


async def test_request_id_that_is_no_id_is_replaced():
    seen = []

    async def look(request, context):
        seen.append(current_call().request_id)
        return request

    handlers = {"unary": grpc.unary_unary_rpc_method_handler(look)}
    async with echoing(handlers) as (channel, _):
        await ask(channel, "unary", b"x", (("x-request-id", "123-45-6789"),))

    assert seen[0] != "123-45-6789"
    assert len(seen[0]) == 32


@pytest.mark.parametrize("method", UNARY_METHODS)
async def test_malformed_message_is_the_callers_fault(channel, method):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await channel.unary_unary(f"/claimgate.v1.ScoringService/{method}")(MALFORMED)

    error = CallError.of(raised.value)
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "ERROR_REASON_MALFORMED_MESSAGE"
    assert error.metadata == {"method": f"/claimgate.v1.ScoringService/{method}"}
    assert "DecodeError" not in str(raised.value)


async def test_malformed_message_of_a_stream_is_the_callers_fault(channel, batch):
    good = pb.ScoreClaimsRequest(sequence=1, batch=batch("a")).SerializeToString()
    call = channel.stream_stream("/claimgate.v1.ScoringService/ScoreClaims")(
        iter([good, MALFORMED])
    )

    first = pb.ScoreClaimsResponse.FromString(await call.read())
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()

    assert CallError.of(raised.value).reason == "ERROR_REASON_MALFORMED_MESSAGE"
    assert [answer.sequence for answer in first.messages] == [1]


@pytest.mark.parametrize(
    "method",
    [
        "/claimgate.v1.ReferenceService/ListReleases",
        "/grpc.health.v1.Health/Check",
        "/grpc.channelz.v1.Channelz/GetServers",
    ],
)
async def test_malformed_message_of_any_service_is_the_callers_fault(channel, method):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await channel.unary_unary(method)(MALFORMED)

    assert CallError.of(raised.value).reason == "ERROR_REASON_MALFORMED_MESSAGE"


async def test_text_that_is_not_unicode_is_a_malformed_message(channel, batch):
    good = pb.ScoreBatchRequest(batch=batch("aaaa")).SerializeToString()

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await channel.unary_unary("/claimgate.v1.ScoringService/ScoreBatch")(
            good.replace(b"aaaa", b"\xff\xfe\xfd\xfc")
        )

    assert CallError.of(raised.value).reason == "ERROR_REASON_MALFORMED_MESSAGE"


async def test_message_nested_too_deep_is_a_malformed_message(channel):
    # Groups nest without lengths: 200 open in an unknown field.
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await channel.unary_unary("/claimgate.v1.ScoringService/ScoreBatch")(b"\x7b" * 200)

    assert CallError.of(raised.value).reason == "ERROR_REASON_MALFORMED_MESSAGE"


async def test_five_megabytes_are_refused(channel, batch):
    claims = batch("a")
    claims.claims[0].medical_record_number = "x" * 5_000_000

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ScoringServiceStub(channel).ScoreBatch(pb.ScoreBatchRequest(batch=claims))

    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_long_strings_go_through_to_the_claims_own_checks(channel, batch):
    claims = batch("a" * 1_000_000)

    response = await ScoringServiceStub(channel).ScoreBatch(pb.ScoreBatchRequest(batch=claims))

    assert len(response.results) == 1


async def test_unary_call_without_a_message_is_refused(channel):
    call = channel.stream_unary("/claimgate.v1.ScoringService/ScoreBatch")(iter([]))

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call

    assert CallError.of(raised.value).reason == "ERROR_REASON_EMPTY_REQUEST"


@pytest.mark.parametrize(
    "method",
    [
        "/claimgate.v1.ScoringService/NoSuchMethod",
        "/claimgate.v1.NoSuchService/ScoreBatch",
        "/claimgate.v1.scoringservice/ScoreBatch",
        "/claimgate.v1.ScoringService/ScoreBatch/",
        "//claimgate.v1.ScoringService/ScoreBatch",
    ],
)
async def test_unknown_method_is_unimplemented(channel, method):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await channel.unary_unary(method)(b"")

    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert CallError.of(raised.value).reason == "ERROR_REASON_UNKNOWN_METHOD"


async def test_handler_of_the_service_does_not_leak(channel):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await channel.unary_unary("/claimgate.v1.ReferenceService/ListRules")(b"")

    assert raised.value.code() == grpc.StatusCode.INTERNAL
    assert "123-45-6789" not in repr(raised.value)


async def test_engine_does_not_leak(channel, batch, logged):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ScoringServiceStub(channel).ScoreBatch(
            pb.ScoreBatchRequest(batch=batch("poison")),
            metadata=(
                ("x-request-id", "0b5f0c1e-7a52-4a6b-9b1c-2f6f3a1d9e77"),
                ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ),
        )

    error = CallError.of(raised.value)
    lines = logged()
    [line] = [line for line in lines if line["event"] == "message_failed"]
    assert line["error_id"] == error.metadata["error_id"]
    assert line["request_id"] == "0b5f0c1e-7a52-4a6b-9b1c-2f6f3a1d9e77"
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    for seen in (repr(raised.value), str(raised.value.trailing_metadata()), json.dumps(lines)):
        assert "123-45-6789" not in seen


def test_library_log_lines_lose_their_text(logged):
    try:
        fail_if_asked(b"raise")
    except ValueError:
        logging.getLogger("some.library").exception("failed on %s", MEMBER_TEXT)
    structlog.get_logger("ours").info("done", claims=3, claim_id="123-45-6789")

    library, ours = logged()
    assert library["error_type"] == "ValueError"
    assert library["logger"] == "some.library"
    assert "123-45-6789" not in json.dumps(library)
    assert ours["claims"] == 3
    assert "claim_id" not in ours


async def test_watching_health_works_through_the_edge(channel):
    call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))

    first = await call.read()

    assert first.status == health_pb2.HealthCheckResponse.SERVING
    call.cancel()


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "application/grpc-web"])
async def test_wrong_content_type_gets_a_grpc_status_and_nothing_more(server, content_type):
    """The core takes the header away; such a call meets the same checks as any other."""
    body = struct.pack(">BI", 0, len(MALFORMED)) + MALFORMED
    curl = await asyncio.create_subprocess_exec(
        *("curl", "--silent", "--include", "--http2-prior-knowledge", "--data-binary", "@-"),
        *("--header", f"content-type: {content_type}", "--header", "te: trailers"),
        f"http://{server.address}/claimgate.v1.ScoringService/ScoreBatch",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )

    answer, _ = await curl.communicate(body)

    assert b"grpc-status: 3" in answer
    assert b"content-type: application/grpc" in answer
    assert b"DecodeError" not in answer
