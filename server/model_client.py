"""Asks a model server: every answer is a probability per row, or the reason why there is none."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Self

import grpc
import numpy as np
from claimgate.serving.v1 import serving_pb2 as serving
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from engine.gathered import OK, ModelAnswer
from server.tensors import (
    INPUT,
    INPUT_SHAPE,
    METADATA,
    OUTPUT,
    OUTPUT_SHAPE,
    PREDICTION_SERVICE,
    RUNTIME_HEADER,
    SIGNATURE,
    TensorError,
    sizes_of,
    to_array,
    to_tensor,
)

_STOCK_RUNTIME: Final = "tensorflow-serving"
_CHANNEL: Final = (
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

TIMEOUT: Final = "timeout"
UNREACHABLE: Final = "unreachable"
BAD_ANSWER: Final = "bad_answer"
WRONG_SIGNATURE: Final = "wrong_signature"

_REASONS: Final = {
    grpc.StatusCode.DEADLINE_EXCEEDED: TIMEOUT,
    grpc.StatusCode.UNAVAILABLE: UNREACHABLE,
}


class ModelSignatureError(Exception):
    """The model that is served is not the one that this service knows how to ask."""


@dataclass(frozen=True, slots=True)
class _Signature:
    """What the server said about its model."""

    version: int
    runtime: str


class ModelClient:
    """Asks one model of one server; `predict` never raises and never makes a score up."""

    def __init__(self, address: str, model_name: str, timeout_ms: float) -> None:
        self._address = address
        self._name = model_name
        self._timeout_s = timeout_ms / 1000
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL)
        self._predict = self._method("Predict")
        self._metadata = self._method("GetModelMetadata")
        self._signature: _Signature | None = None

    async def __aenter__(self) -> Self:
        """Use within a `with` block; the connection is made by the first call."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close at its end."""
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def check(self) -> str:
        """Return the version of the model, if it takes and gives what this service expects.

        A model of another signature raises ModelSignatureError, a server that does not answer
        grpc.aio.AioRpcError.
        """
        signature = await self._known_signature()
        return _version(signature.version, signature)

    async def predict(self, features: NDArray[np.float32]) -> ModelAnswer:
        """Return the model's answer for each row of features, of which there is at least one."""
        try:
            async with asyncio.timeout(self._timeout_s):
                signature = await self._known_signature()
                content = await self._predict(self._request(features), timeout=self._timeout_s)
            response = _read(content)
            probability = _probability(response, len(features))
        except TimeoutError:
            return ModelAnswer.unavailable(TIMEOUT)
        except grpc.aio.AioRpcError as error:
            return self._lost(_REASONS.get(error.code(), error.code().name.lower()))
        except ModelSignatureError:
            return self._lost(WRONG_SIGNATURE)
        except TensorError:
            return self._lost(BAD_ANSWER)
        version = response.model_spec.version.value
        return ModelAnswer(OK, probability, _version(version, signature))

    def _lost(self, reason: str) -> ModelAnswer:
        """Say why there is no answer; ask for the signature again, as another server may come."""
        self._signature = None
        return ModelAnswer.unavailable(reason)

    def _request(self, features: NDArray[np.float32]) -> serving.PredictRequest:
        spec = serving.ModelSpec(name=self._name, signature_name=SIGNATURE)
        return serving.PredictRequest(model_spec=spec, inputs={INPUT: to_tensor(features)})

    async def _known_signature(self) -> _Signature:
        """Return what the server said about its model; ask it the first time."""
        if self._signature is None:
            request = serving.GetModelMetadataRequest(
                model_spec=serving.ModelSpec(name=self._name), metadata_field=[METADATA]
            )
            call = self._metadata(request, timeout=self._timeout_s)
            response = self._described_model(await call)
            headers = dict(await call.initial_metadata())
            self._signature = _Signature(
                response.model_spec.version.value,
                str(headers.get(RUNTIME_HEADER, _STOCK_RUNTIME)),
            )
        return self._signature

    def _described_model(self, content: bytes) -> serving.GetModelMetadataResponse:
        """Return what a server says of its model; refuse one that takes or gives something else."""
        try:
            response = serving.GetModelMetadataResponse.FromString(content)
            packed = response.metadata[METADATA].value
            found = serving.SignatureDefMap.FromString(packed).signature_def[SIGNATURE]
        except DecodeError:
            raise ModelSignatureError(
                f"{self._address} answers GetModelMetadata with bytes that are no such answer; "
                "expected a server of TensorFlow Serving's API"
            ) from None
        if not (
            _takes(found.inputs, INPUT, INPUT_SHAPE) and _takes(found.outputs, OUTPUT, OUTPUT_SHAPE)
        ):
            raise ModelSignatureError(
                f"model {self._name!r} at {self._address} has inputs {_described(found.inputs)} "
                f"and outputs {_described(found.outputs)} under {SIGNATURE!r}; expected "
                f"{INPUT} {list(INPUT_SHAPE)} and {OUTPUT} {list(OUTPUT_SHAPE)} of 32-bit floats; "
                "serve the export of ops/model"
            )
        return response

    def _method(self, name: str) -> grpc.aio.UnaryUnaryMultiCallable[Any, bytes]:
        # Answers are read here, not by grpc: it turns one that cannot be read into None.
        return self._channel.unary_unary(
            f"/{PREDICTION_SERVICE}/{name}",
            request_serializer=lambda request: request.SerializeToString(),
        )


def _read(content: bytes) -> serving.PredictResponse:
    """Return the answer that the bytes hold."""
    try:
        return serving.PredictResponse.FromString(content)
    except DecodeError:
        raise TensorError("the answer is no PredictResponse; expected one") from None


def _probability(response: serving.PredictResponse, rows: int) -> NDArray[np.float32]:
    """Return one probability per row, or raise TensorError for anything that is not that."""
    if OUTPUT not in response.outputs:
        raise TensorError(f"the answer has outputs {sorted(response.outputs)}; expected {OUTPUT!r}")
    probability = to_array(response.outputs[OUTPUT], OUTPUT, (rows,))
    if not ((probability >= 0) & (probability <= 1)).all():
        raise TensorError("the answer holds values outside 0 to 1; expected probabilities")
    return probability


def _version(version: int, signature: _Signature) -> str:
    """Return the name under which an answer is recorded: model version and runtime."""
    return f"{version}/{signature.runtime}"


def _takes(tensors: Any, name: str, shape: tuple[int, ...]) -> bool:
    """Tell whether the tensor of that name is a float of that shape and there is no other one."""
    return (
        list(tensors) == [name]
        and tensors[name].dtype == serving.DATA_TYPE_FLOAT
        and (sizes_of(tensors[name].tensor_shape) == shape)
    )


def _described(tensors: Any) -> str:
    """Name tensors with their shapes."""
    return (
        ", ".join(
            f"{name} {list(sizes_of(tensors[name].tensor_shape))}" for name in sorted(tensors)
        )
        or "none"
    )
