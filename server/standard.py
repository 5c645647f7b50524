"""The standard services that tools expect: health, reflection (v1 and v1alpha) and channelz."""

import asyncio
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto

# Loading the module makes the types of error details resolvable by reflection.
from google.rpc import error_details_pb2 as error_details_pb2  # noqa: PLC0414
from grpc_channelz.v1 import _async as channelz_aio
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

from server.calls import Context

_V1ALPHA: Final = "grpc.reflection.v1alpha"
_V1: Final = "grpc.reflection.v1"
_LAST_WORD_S: Final = 0.1
"""How long watchers of health have to hear that it is over."""


class _EndingHealthServicer(HealthServicer):  # type: ignore[misc] # the package has no types
    """The stock servicer, but for watchers: they are let go at the end, not waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        """Tell every change of health until the process ends."""
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(super().Watch(request, context))
            await self.ended.wait()
            watching.cancel()


class Health:
    """Health of the process and of each service."""

    def __init__(self, services: tuple[str, ...]) -> None:
        self._servicer = _EndingHealthServicer()
        self._services = ("", *services)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the service."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def serving(self) -> None:
        """Say that every service is ready."""
        for name in self._services:
            await self._servicer.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def draining(self) -> None:
        """Say, for good, that none takes new work; then let the watchers go."""
        await self._servicer.enter_graceful_shutdown()
        asyncio.get_running_loop().call_later(_LAST_WORD_S, self._servicer.ended.set)


def add_standard_services(server: grpc.aio.Server, services: tuple[str, ...]) -> Health:
    """Register health, reflection and channelz beside the named services."""
    health = Health(services)
    health.add_to(server)
    _add_reflection(server, services)
    channelz_pb2_grpc.add_ChannelzServicer_to_server(channelz_aio.ChannelzServicer(), server)
    return health


def _add_reflection(server: grpc.aio.Server, services: tuple[str, ...]) -> None:
    """Serve both versions: the stock package has v1alpha alone, with the same bytes on the wire."""
    _describe_v1()
    names = (
        *services,
        health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
        channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name,
        f"{_V1ALPHA}.ServerReflection",
        f"{_V1}.ServerReflection",
    )
    servicer = ReflectionServicer(names)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    server.add_generic_rpc_handlers((_reflection_v1(servicer),))


def _reflection_v1(servicer: ReflectionServicer) -> grpc.GenericRpcHandler:
    method: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(
        f"{_V1}.ServerReflection", {"ServerReflectionInfo": method}
    )


def _describe_v1() -> None:
    """Make the v1 service itself resolvable: the v1alpha file under its new package name."""
    file = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name = file.name.replace("v1alpha", "v1")
    file.package = _V1
    fields = [field for message in file.message_type for field in message.field]
    for field in fields:
        if field.type_name:
            field.type_name = field.type_name.replace(_V1ALPHA, _V1)
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(_V1ALPHA, _V1)
        method.output_type = method.output_type.replace(_V1ALPHA, _V1)
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString(deterministic=True))
