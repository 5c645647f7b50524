"""One model server: what it is asked with, and what its answers have to look like."""

import asyncio
from typing import Any, Final

import grpc
import numpy as np
from claimgate.serving.v1 import serving_pb2 as serving
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from engine.gathered import OK, ModelAnswer
from server.model_spec import ModelChoice
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


class ModelSignatureError(RuntimeError):
    """The model that is served is not the one that this service knows how to ask."""


class ModelEndpoint:
    """Asks one model of one server; `predict` never raises and never makes a score up."""

    def __init__(self, address: str, choice: ModelChoice) -> None:
        self.address = address
        self._choice = choice
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL)
        self._predict = self._method("Predict")
        self._metadata = self._method("GetModelMetadata")
        self._checked: set[int] = set()
        """Versions that take and give what this service expects."""

    async def close(self) -> None:
        """Close the connection; it is made by the first call."""
        await self._channel.close()

    async def check(self, deadline: float) -> str:
        """Return the version of the model, if it takes and gives what this service expects.

        A model of another signature raises ModelSignatureError, a server that does not answer
        grpc.aio.AioRpcError.
        """
        version, runtime = await self._described(self._choice, deadline, patient=False)
        return _named(version, runtime)

    async def predict(
        self, features: NDArray[np.float32], deadline: float, *, patient: bool = False
    ) -> ModelAnswer:
        """Return the model's answer for each row of features, of which there is at least one.

        The deadline is a moment of the event loop's clock; a patient one waits for a connection
        up to then.
        """
        try:
            async with asyncio.timeout_at(deadline):
                return await self._answer(features, deadline, patient=patient)
        except TimeoutError:
            return ModelAnswer.unavailable(TIMEOUT)
        except grpc.aio.AioRpcError as error:
            return self._lost(_REASONS.get(error.code(), error.code().name.lower()))
        except ModelSignatureError:
            return self._lost(WRONG_SIGNATURE)
        except TensorError:
            return self._lost(BAD_ANSWER)

    async def _answer(
        self, features: NDArray[np.float32], deadline: float, *, patient: bool
    ) -> ModelAnswer:
        if not self._checked:
            await self._described(self._choice, deadline, patient=patient)
        request = serving.PredictRequest(
            model_spec=self._choice.message(SIGNATURE), inputs={INPUT: to_tensor(features)}
        )
        call = self._predict(request, timeout=_left_s(deadline), wait_for_ready=patient)
        response = _read(await call)
        probability = _probability(response, len(features))
        version = response.model_spec.version.value
        if version not in self._checked:
            # Loaded since: the server may have put a model of another kind under the same name.
            await self._described(self._choice.at(version), deadline, patient=patient)
        # Asked of each answer, not once: another server may have come to this address.
        return ModelAnswer(OK, probability, _named(version, await _runtime(call)))

    def _lost(self, reason: str) -> ModelAnswer:
        """Say why there is no answer; ask for signatures again, as another server may come."""
        self._checked.clear()
        return ModelAnswer.unavailable(reason)

    async def _described(
        self, choice: ModelChoice, deadline: float, *, patient: bool
    ) -> tuple[int, str]:
        """Return version and runtime of a model that takes and gives what we expect."""
        request = serving.GetModelMetadataRequest(
            model_spec=choice.message(), metadata_field=[METADATA]
        )
        call = self._metadata(request, timeout=_left_s(deadline), wait_for_ready=patient)
        version = self._described_model(await call).model_spec.version.value
        self._checked.add(version)
        return version, await _runtime(call)

    def _described_model(self, content: bytes) -> serving.GetModelMetadataResponse:
        """Return what a server says of its model; refuse one that takes or gives something else."""
        try:
            response = serving.GetModelMetadataResponse.FromString(content)
            packed = response.metadata[METADATA].value
            found = serving.SignatureDefMap.FromString(packed).signature_def[SIGNATURE]
        except DecodeError:
            raise ModelSignatureError(
                f"{self.address} answers GetModelMetadata with bytes that are no such answer; "
                "expected a server of TensorFlow Serving's API"
            ) from None
        if not (
            _takes(found.inputs, INPUT, INPUT_SHAPE) and _takes(found.outputs, OUTPUT, OUTPUT_SHAPE)
        ):
            raise ModelSignatureError(
                f"model {str(self._choice)!r} at {self.address} has inputs "
                f"{_described(found.inputs)} "
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


def _left_s(deadline: float) -> float:
    return max(deadline - asyncio.get_running_loop().time(), 0.001)


async def _runtime(call: Any) -> str:
    """Return what runs the model, as the server of a call says; a stock one says nothing."""
    headers = dict(await call.initial_metadata())
    return str(headers.get(RUNTIME_HEADER, _STOCK_RUNTIME))


def _named(version: int, runtime: str) -> str:
    """Return the name under which an answer is recorded: model version and runtime."""
    return f"{version}/{runtime}"


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
