"""The model client gives a probability per row or the reason why there is none; it never raises."""

import asyncio

import grpc
import numpy as np
import pytest
from claimgate import resources
from claimgate.serving.v1 import serving_pb2 as serving
from google.protobuf.any_pb2 import Any as AnyMessage
from prometheus_client import CollectorRegistry

from server.model_client import ModelClient, ModelLimits
from server.model_endpoint import ModelEndpoint, ModelSignatureError
from server.model_metrics import ModelMetrics
from server.model_server import serve_model
from server.model_spec import ModelChoice
from server.tensors import shape_of, to_tensor

FEATURES = np.array([[0.4, 2, 47, 4, 1, 1, 1.418], [0.7, 9, 70, 1, 3, 0, 5.0]], np.float32)


@pytest.fixture
async def server():
    async with await serve_model("127.0.0.1:0", resources.find("model")) as server:
        yield server


def asking(*addresses, model="claims", timeout_ms=2000, **limits):
    return ModelClient(
        addresses,
        ModelChoice.parse(model),
        ModelLimits(timeout_s=timeout_ms / 1000, **limits),
        ModelMetrics(CollectorRegistry(), 0.8),
    )


async def checked(address, model="claims"):
    endpoint = ModelEndpoint(address, ModelChoice.parse(model))
    try:
        return await endpoint.check(asyncio.get_running_loop().time() + 2)
    finally:
        await endpoint.close()


def signature(inputs=(-1, 7), outputs=(-1,)):
    kinds = {"features": inputs}, {"approval_probability": outputs}
    infos = [
        {
            name: serving.TensorInfo(dtype=serving.DATA_TYPE_FLOAT, tensor_shape=shape_of(shape))
            for name, shape in kind.items()
        }
        for kind in kinds
    ]
    found = serving.SignatureDef(inputs=infos[0], outputs=infos[1])
    return serving.SignatureDefMap(signature_def={"serving_default": found})


class Stock:
    """A server that answers as TensorFlow Serving would, or wrongly; a real one on a free port."""

    def __init__(self, *, answer=None, metadata=None, delay_s=0.0):
        self.answer = answer
        self.metadata = metadata or signature()
        self.delay_s = delay_s

    async def __aenter__(self):
        self._server = grpc.aio.server()
        methods = {
            "Predict": grpc.unary_unary_rpc_method_handler(self._predict),
            "GetModelMetadata": grpc.unary_unary_rpc_method_handler(self._metadata),
        }
        handler = grpc.method_handlers_generic_handler(
            "tensorflow.serving.PredictionService", methods
        )
        self._server.add_generic_rpc_handlers((handler,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(self, *_):
        await self._server.stop(None)

    async def _predict(self, _, __):
        await asyncio.sleep(self.delay_s)
        return self.answer

    async def _metadata(self, _, __):
        packed = AnyMessage(type_url="x/SignatureDefMap", value=self.metadata.SerializeToString())
        return serving.GetModelMetadataResponse(
            model_spec=serving.ModelSpec(name="claims", version={"value": 3}),
            metadata={"signature_def": packed},
        ).SerializeToString()


def answered(probability, **tensor):
    content = to_tensor(np.array(probability, np.float32))
    if tensor:
        content = serving.Tensor(
            dtype=serving.DATA_TYPE_FLOAT, tensor_shape=shape_of((len(probability),)), **tensor
        )
    return serving.PredictResponse(
        model_spec=serving.ModelSpec(name="claims", version={"value": 3}),
        outputs={"approval_probability": content},
    ).SerializeToString()


async def test_answer_holds_a_probability_per_row_and_the_version(server):
    async with asking(server.address) as client:
        answer = await client.predict(FEATURES)

    assert answer.status == "ok"
    assert answer.version == "1/litert-int8"
    assert answer.probability.shape == (2,)
    assert answer.probability[0] > answer.probability[1]


async def test_check_returns_the_version(server):
    assert await checked(server.address) == "1/litert-int8"


async def test_stock_server_with_a_list_of_floats_is_understood():
    async with (
        Stock(answer=answered([0.25, 0.75], float_val=[0.25, 0.75])) as stock,
        asking(stock.address) as client,
    ):
        answer = await client.predict(FEATURES)

    assert answer.probability.tolist() == [0.25, 0.75]
    assert answer.version == "3/tensorflow-serving"


async def test_slow_server_is_unavailable_within_the_time_out():
    async with (
        Stock(answer=answered([0.5, 0.5]), delay_s=5) as stock,
        asking(stock.address, model="claims", timeout_ms=150) as client,
    ):
        started = asyncio.get_running_loop().time()
        answer = await client.predict(FEATURES)
        elapsed = asyncio.get_running_loop().time() - started

    assert (answer.status, answer.probability, answer.reason) == ("unavailable", None, "timeout")
    assert elapsed < 1


async def test_absent_server_is_unavailable():
    async with asking("127.0.0.1:1", model="claims", timeout_ms=500) as client:
        answer = await client.predict(FEATURES)

    assert (answer.status, answer.probability) == ("unavailable", None)
    assert answer.reason == "unreachable"


async def test_client_recovers_when_the_server_comes_back():
    folder = resources.find("model")
    async with await serve_model("127.0.0.1:0", folder) as first, asking(first.address) as client:
        before = await client.predict(FEATURES)
        await first.stop(0)
        down = await client.predict(FEATURES)
        async with await serve_model(first.address, folder), asyncio.timeout(10):
            while (after := await client.predict(FEATURES)).status != "ok":  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    assert [before.status, down.status, after.status] == ["ok", "unavailable", "ok"]
    assert after.probability.tobytes() == before.probability.tobytes()


async def test_unknown_model_is_unavailable(server):
    async with asking(server.address, model="other", timeout_ms=2000) as client:
        answer = await client.predict(FEATURES)

    assert (answer.status, answer.reason) == ("unavailable", "not_found")


@pytest.mark.parametrize(
    "answer",
    [
        answered([0.5]),
        answered([0.5, 1.5]),
        answered([0.5, float("nan")]),
        serving.PredictResponse().SerializeToString(),
        b"\xff\xff",
    ],
    ids=["too few", "over one", "not a number", "no output", "no protobuf"],
)
async def test_answer_that_is_none_is_unavailable(answer):
    async with (
        Stock(answer=answer) as stock,
        asking(stock.address) as client,
    ):
        found = await client.predict(FEATURES)

    assert (found.status, found.probability) == ("unavailable", None)
    assert found.reason


async def test_model_of_another_signature_is_refused_at_the_start():
    async with Stock(metadata=signature(inputs=(-1, 9))) as stock:
        with pytest.raises(ModelSignatureError, match=r"features \[-1, 9\].*expected"):
            await checked(stock.address)


async def test_server_that_is_no_model_server_is_refused_at_the_start():
    async with Stock(metadata=serving.SignatureDefMap()) as stock:
        with pytest.raises(ModelSignatureError, match="inputs none and outputs none"):
            await checked(stock.address)


async def test_model_of_another_signature_is_never_asked():
    async with (
        Stock(answer=answered([0.5, 0.5]), metadata=signature(outputs=(-1, 2))) as stock,
        asking(stock.address) as client,
    ):
        answer = await client.predict(FEATURES)

    assert (answer.status, answer.reason) == ("unavailable", "wrong_signature")
