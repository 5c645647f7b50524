"""A small model server: TensorFlow Serving's protocol, the exported model run by LiteRT.

Serves one version, or several side by side, by number or by label; without either the newest. A
stock TensorFlow Serving with the same exports can take its place; the client is the same.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import grpc
import structlog
from claimgate.serving.v1 import serving_pb2 as serving
from google.protobuf.message import DecodeError, Message

from server.address import split_address
from server.claims_model import RUNTIME, ModelFolderError, load_versions
from server.model_servicer import ModelServicer, RequestError
from server.tensors import MODEL_SERVICE, PREDICTION_SERVICE, RUNTIME_HEADER, TensorError

_LOG: Final = structlog.get_logger("server.model_server")
_GRACE_S: Final = 2.0

Context = grpc.aio.ServicerContext[Any, Any]
_Answer = TypeVar("_Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A running model server."""

    address: str
    """HOST:PORT, with the port that was taken."""
    _server: grpc.aio.Server
    _servicer: ModelServicer
    _folder: Path

    async def reload(self) -> None:
        """Serve what the folder holds now; answers under way end with the version they began on.

        A folder that cannot be used raises ModelFolderError and changes nothing.
        """
        self._servicer.replace(await asyncio.to_thread(load_versions, self._folder))

    async def stop(self, grace_s: float = _GRACE_S) -> None:
        """Take no more calls and let those under way end."""
        await self._server.stop(grace_s)

    async def __aenter__(self) -> Self:
        """Serve within a `with` block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop at its end."""
        await self.stop(0)


async def serve_model(
    listen: str,
    model_dir: Path,
    labels: Mapping[str, int] | None = None,
    *,
    share_port: bool = False,
) -> ModelServer:
    """Serve the versions of a model on HOST:PORT; port 0 takes a free one.

    Labels name versions, as `version_labels` does in the configuration of TensorFlow Serving.
    """
    servicer = ModelServicer(load_versions(model_dir), labels or {})
    server = grpc.aio.server(options=[("grpc.so_reuseport", int(share_port))])
    server.add_generic_rpc_handlers(_handlers(servicer))
    address = split_address(listen)
    port = server.add_insecure_port(listen)
    await server.start()
    return ModelServer(address.with_port(port), server, servicer, model_dir)


async def run_model_server(
    listen: str,
    model_dir: Path,
    ready: Callable[[str], None],
    labels: Mapping[str, int] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is told the address when calls are answered.

    On SIGHUP the folder is looked at again.
    """
    stopped, changed = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, changed.set)
    server = await serve_model(listen, model_dir, labels)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_follow(server, changed))
        ready(server.address)
        await stopped.wait()
        following.cancel()
    await server.stop()


async def _follow(server: ModelServer, changed: asyncio.Event) -> None:
    """Load the folder again whenever told so, for ever; what cannot be used changes nothing."""
    while True:
        await changed.wait()
        changed.clear()
        try:
            await server.reload()
        except ModelFolderError as error:
            _LOG.error("model_refused", reason=str(error))
        else:
            _LOG.info("model_loaded")


def labels_of(text: str) -> dict[str, int]:
    """Read LABEL=VERSION,LABEL=VERSION; anything else is a ValueError."""
    labels = {}
    for each in text.split(",") if text else ():
        label, _, version = each.strip().partition("=")
        if not (label and version.isdecimal()):
            raise ValueError(f"labels has {each!r}: expected LABEL=VERSION, such as stable=1")
        labels[label] = int(version)
    return labels


def _handlers(servicer: ModelServicer) -> tuple[grpc.GenericRpcHandler, ...]:
    """Return the methods under the paths of TensorFlow Serving."""
    return (
        grpc.method_handlers_generic_handler(
            PREDICTION_SERVICE,
            {
                "Predict": _method(serving.PredictRequest, servicer.predict),
                "GetModelMetadata": _method(serving.GetModelMetadataRequest, servicer.metadata),
            },
        ),
        grpc.method_handlers_generic_handler(
            MODEL_SERVICE,
            {"GetModelStatus": _method(serving.GetModelStatusRequest, servicer.status)},
        ),
    )


def _method(kind: type[Any], answer: Callable[[Any], _Answer]) -> "grpc.RpcMethodHandler[Any, Any]":
    """Return a unary method: bytes in, a request checked, a message out; every refusal says why.

    Every answer says what runs the model, beside the message: there is no field for it.
    """

    async def handle(content: bytes, context: Context) -> _Answer:
        try:
            request = kind.FromString(content)
        except DecodeError:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"the bytes are no {kind.__name__} of TensorFlow Serving's API",
            )
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
