"""A small model server: TensorFlow Serving's protocol, the exported model run by LiteRT.

A stock TensorFlow Serving with the same export can take its place; the client is the same.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import grpc
from claimgate.serving.v1 import serving_pb2 as serving
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.protobuf.wrappers_pb2 import Int64Value

from server.address import split_address
from server.claims_model import RUNTIME, ClaimsModel, load_model
from server.tensors import (
    INPUT,
    INPUT_SHAPE,
    METADATA,
    MODEL_SERVICE,
    OUTPUT,
    OUTPUT_SHAPE,
    PREDICT_METHOD,
    PREDICTION_SERVICE,
    RUNTIME_HEADER,
    SIGNATURE,
    TensorError,
    shape_of,
    to_array,
    to_tensor,
)

_SIGNATURES_TYPE: Final = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
_GRACE_S: Final = 2.0
_OPTIONS: Final = (("grpc.so_reuseport", 0),)

Context = grpc.aio.ServicerContext[Any, Any]
_Answer = TypeVar("_Answer", bound=Message)


class RequestError(Exception):
    """A request cannot be answered."""

    status = grpc.StatusCode.INVALID_ARGUMENT


class UnknownModelError(RequestError):
    """A request names a model, or a version of it, that is not here."""

    status = grpc.StatusCode.NOT_FOUND


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A running model server."""

    address: str
    """HOST:PORT, with the port that was taken."""
    _server: grpc.aio.Server

    async def stop(self, grace_s: float = _GRACE_S) -> None:
        """Take no more calls and let those under way end."""
        await self._server.stop(grace_s)

    async def __aenter__(self) -> Self:
        """Serve within a `with` block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop at its end."""
        await self.stop(0)


async def serve_model(listen: str, model_dir: Path) -> ModelServer:
    """Serve the model of a folder on HOST:PORT; port 0 takes a free one."""
    model = load_model(model_dir)
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers(_handlers(_Servicer(model)))
    address = split_address(listen)
    port = server.add_insecure_port(listen)
    await server.start()
    return ModelServer(address.with_port(port), server)


async def run_model_server(listen: str, model_dir: Path, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is told the address when calls are answered."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    server = await serve_model(listen, model_dir)
    ready(server.address)
    await stopped.wait()
    await server.stop()


class _Servicer:
    """Answers the three methods that the protocol's clients use."""

    def __init__(self, model: ClaimsModel) -> None:
        self._model = model
        self._spec = serving.ModelSpec(
            name=model.name, version=Int64Value(value=model.version), signature_name=SIGNATURE
        )

    def predict(self, request: serving.PredictRequest) -> serving.PredictResponse:
        """Run the model over the rows of a request."""
        self._check_spec(request.model_spec)
        if list(request.inputs) != [INPUT]:
            raise RequestError(
                f"the request has inputs {sorted(request.inputs)}; expected {INPUT!r} alone"
            )
        if any(name != OUTPUT for name in request.output_filter):
            raise RequestError(
                f"the request asks for outputs {sorted(request.output_filter)}; "
                f"this model has {OUTPUT!r} alone"
            )
        features = to_array(request.inputs[INPUT], INPUT, INPUT_SHAPE)
        return serving.PredictResponse(
            model_spec=self._spec, outputs={OUTPUT: to_tensor(self._model.predict(features))}
        )

    def metadata(
        self, request: serving.GetModelMetadataRequest
    ) -> serving.GetModelMetadataResponse:
        """Say what the model takes and gives."""
        self._check_spec(request.model_spec)
        if set(request.metadata_field) != {METADATA}:
            raise RequestError(
                f"the request asks for metadata {sorted(request.metadata_field)}; "
                f"expected {METADATA!r}, the one kind there is"
            )
        signature = serving.SignatureDef(
            inputs={INPUT: _info(INPUT, INPUT_SHAPE)},
            outputs={OUTPUT: _info(OUTPUT, OUTPUT_SHAPE)},
            method_name=PREDICT_METHOD,
        )
        signatures = serving.SignatureDefMap(signature_def={SIGNATURE: signature})
        packed = AnyMessage(type_url=_SIGNATURES_TYPE, value=signatures.SerializeToString())
        return serving.GetModelMetadataResponse(
            model_spec=serving.ModelSpec(name=self._spec.name, version=self._spec.version),
            metadata={METADATA: packed},
        )

    def status(self, request: serving.GetModelStatusRequest) -> serving.GetModelStatusResponse:
        """Say that the one version is there."""
        self._check_spec(request.model_spec)
        version = serving.ModelVersionStatus(
            version=self._model.version,
            state=serving.ModelVersionStatus.STATE_AVAILABLE,
            status=serving.Status(),
        )
        return serving.GetModelStatusResponse(model_version_status=[version])

    def _check_spec(self, spec: serving.ModelSpec) -> None:
        """Refuse requests for another model, version or signature."""
        here = f"this server has {self._model.name!r} version {self._model.version}"
        if spec.name != self._model.name:
            raise UnknownModelError(f"model {spec.name!r} is not served; {here}")
        if spec.version_label:
            raise UnknownModelError(
                f"version label {spec.version_label!r} is not known; {here}, which has no labels"
            )
        if spec.HasField("version") and spec.version.value != self._model.version:
            raise UnknownModelError(f"version {spec.version.value} is not served; {here}")
        if spec.signature_name not in {"", SIGNATURE}:
            raise RequestError(
                f"signature {spec.signature_name!r} is not known; expected {SIGNATURE!r} or none"
            )


def _info(name: str, shape: tuple[int, ...]) -> serving.TensorInfo:
    """Describe one float tensor of the signature."""
    return serving.TensorInfo(
        name=f"{SIGNATURE}_{name}:0", dtype=serving.DATA_TYPE_FLOAT, tensor_shape=shape_of(shape)
    )


def _handlers(servicer: _Servicer) -> tuple[grpc.GenericRpcHandler, ...]:
    """Return the methods under the paths of TensorFlow Serving."""
    return (
        grpc.method_handlers_generic_handler(
            PREDICTION_SERVICE,
            {
                "Predict": _method(serving.PredictRequest, servicer.predict),
                "GetModelMetadata": _method(
                    serving.GetModelMetadataRequest, servicer.metadata, names_runtime=True
                ),
            },
        ),
        grpc.method_handlers_generic_handler(
            MODEL_SERVICE,
            {"GetModelStatus": _method(serving.GetModelStatusRequest, servicer.status)},
        ),
    )


def _method(
    kind: type[Any], answer: Callable[[Any], _Answer], *, names_runtime: bool = False
) -> "grpc.RpcMethodHandler[Any, Any]":
    """Return a unary method: bytes in, a request checked, a message out; every refusal says why."""

    async def handle(content: bytes, context: Context) -> _Answer:
        try:
            request = kind.FromString(content)
        except DecodeError:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"the bytes are no {kind.__name__} of TensorFlow Serving's API",
            )
        if names_runtime:
            await context.send_initial_metadata(((RUNTIME_HEADER, RUNTIME),))
        try:
            return answer(request)
        except TensorError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except RequestError as error:
            await context.abort(error.status, str(error))
        raise AssertionError("abort always raises")

    handler: Callable[[bytes, Context], Awaitable[_Answer]] = handle
    return grpc.unary_unary_rpc_method_handler(
        handler, response_serializer=lambda message: message.SerializeToString()
    )
