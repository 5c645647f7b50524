"""The standard services, as tools ask them."""

from time import monotonic

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2 as reflection

OURS = (
    "claimgate.v1.ScoringService",
    "claimgate.v1.ReferenceService",
    "claimgate.v1.ClaimService",
)


async def reflect(channel, version: str, request: reflection.ServerReflectionRequest):
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection.ServerReflectionResponse.FromString,
    )(iter([request]))
    return [response async for response in call]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_every_service(channel, version):
    [response] = await reflect(
        channel, version, reflection.ServerReflectionRequest(list_services="")
    )

    names = {service.name for service in response.list_services_response.service}
    assert names == {
        *OURS,
        "grpc.health.v1.Health",
        "grpc.channelz.v1.Channelz",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_every_listed_service_and_the_error_details_can_be_described(channel, version):
    [listing] = await reflect(
        channel, version, reflection.ServerReflectionRequest(list_services="")
    )
    names = [service.name for service in listing.list_services_response.service]

    for name in (*names, "google.rpc.ErrorInfo", "google.rpc.RetryInfo"):
        [response] = await reflect(
            channel, version, reflection.ServerReflectionRequest(file_containing_symbol=name)
        )
        files = response.file_descriptor_response.file_descriptor_proto
        packages = {FileDescriptorProto.FromString(file).package for file in files}
        assert name.rpartition(".")[0] in packages


@pytest.mark.parametrize("service", ["", *OURS])
async def test_health_of_each_service_is_serving(channel, service):
    response = await health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(service=service)
    )

    assert response.status == health_pb2.HealthCheckResponse.SERVING


async def test_health_of_a_stranger_is_not_found(channel):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="no.such.Service")
        )

    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


async def test_watcher_of_health_hears_of_the_end_and_does_not_hold_it_up(start):
    async with start() as server:
        channel = grpc.aio.insecure_channel(server.address)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        first = await watch.read()
        stopping = monotonic()
    second = await watch.read()
    await channel.close()

    assert first.status == health_pb2.HealthCheckResponse.SERVING
    assert second.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert monotonic() - stopping < 3, "the watcher was waited for"


async def test_channelz_shows_the_server(channel):
    response = await channelz_pb2_grpc.ChannelzStub(channel).GetServers(
        channelz_pb2.GetServersRequest()
    )

    assert len(response.server) >= 1
