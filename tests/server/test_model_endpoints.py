"""Several model servers: who is asked, what an outage costs, and how it ends."""

import asyncio

import grpc
import numpy as np
import pytest
from claimgate.serving.v1 import serving_pb2 as serving
from google.protobuf.any_pb2 import Any as AnyMessage
from prometheus_client import CollectorRegistry

from server.model_client import ModelClient, ModelLimits
from server.model_health import Patience
from server.model_metrics import ModelMetrics
from server.model_spec import ModelChoice
from server.tensors import shape_of, to_array, to_tensor

FEATURES = np.linspace(0, 1, 70, dtype=np.float32).reshape(10, 7)
QUICK = Patience(failures_max=2, retry_s=0.05, retry_s_max=0.1)
NEVER = Patience(failures_max=2, retry_s=60, retry_s_max=60)


def info(shape):
    return serving.TensorInfo(dtype=serving.DATA_TYPE_FLOAT, tensor_shape=shape_of(shape))


class Echo:
    """A model server whose probability is the first feature; it can be slow, wrong or out."""

    def __init__(self, *, version=1, delay_s=0.0, code=None):
        self.version = version
        self.delay_s = delay_s
        self.code = code
        self.rows = []
        self.cancelled = 0

    async def __aenter__(self):
        self._server = grpc.aio.server()
        methods = {
            "Predict": grpc.unary_unary_rpc_method_handler(self._predict),
            "GetModelMetadata": grpc.unary_unary_rpc_method_handler(self._metadata),
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", methods),)
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(self, *_):
        await self._server.stop(None)

    @property
    def asked(self):
        return len(self.rows)

    async def _predict(self, content, context):
        request = serving.PredictRequest.FromString(content)
        features = to_array(request.inputs["features"], "features", (-1, 7))
        self.rows.append(len(features))
        version = self.version
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.code:
            await context.abort(self.code, "out")
        return serving.PredictResponse(
            model_spec=serving.ModelSpec(name="claims", version={"value": version}),
            outputs={"approval_probability": to_tensor(features[:, 0])},
        ).SerializeToString()

    async def _metadata(self, content, _):
        request = serving.GetModelMetadataRequest.FromString(content)
        version = request.model_spec.version.value or self.version
        found = serving.SignatureDef(
            inputs={"features": info((-1, 7))}, outputs={"approval_probability": info((-1,))}
        )
        packed = serving.SignatureDefMap(signature_def={"serving_default": found})
        return serving.GetModelMetadataResponse(
            model_spec=serving.ModelSpec(name="claims", version={"value": version}),
            metadata={
                "signature_def": AnyMessage(type_url="x/x", value=packed.SerializeToString())
            },
        ).SerializeToString()


class Asking:
    """A client of some servers, and what it counts."""

    def __init__(self, *servers, timeout_s=2.0, **limits):
        self.registry = CollectorRegistry()
        self.client = ModelClient(
            [each if isinstance(each, str) else each.address for each in servers],
            ModelChoice("claims"),
            ModelLimits(timeout_s, **limits),
            ModelMetrics(self.registry, 0.8),
        )

    async def __aenter__(self):
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self.client.__aexit__(*error)

    async def predict(self, features=FEATURES):
        return await self.client.predict(features)

    async def answers(self, count):
        return [await self.predict() for _ in range(count)]

    def sample(self, name, **labels):
        labels = {"model": "primary", **labels}
        return self.registry.get_sample_value(f"claimgate_model_{name}", labels) or 0.0

    @property
    def breaker(self):
        return self.sample("breaker_state")


async def test_passes_spread_over_the_endpoints():
    async with Echo(delay_s=0.02) as one, Echo(delay_s=0.02) as two, Asking(one, two) as asking:
        answers = await asyncio.gather(*(asking.predict() for _ in range(40)))

    assert {answer.status for answer in answers} == {"ok"}
    assert abs(one.asked - two.asked) <= 4


async def test_slow_endpoint_gets_fewer_passes():
    async with Echo(delay_s=0.2) as slow, Echo() as fast, Asking(slow, fast) as asking:

        async def caller():
            return await asking.answers(10)

        await asyncio.gather(*(caller() for _ in range(4)))

    assert slow.asked < fast.asked


async def test_unreachable_endpoint_costs_no_pass():
    async with Echo() as one, Asking("127.0.0.1:1", one, patience=NEVER) as asking:
        answers = await asking.answers(20)

        assert {answer.status for answer in answers} == {"ok"}
        assert one.asked == 20
        assert asking.sample("retries_total") == 2
        assert asking.sample("ejections_total", endpoint="127.0.0.1:1") == 1
        assert asking.sample("endpoint_state", endpoint="127.0.0.1:1") == 2
        assert asking.breaker == 0


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNKNOWN]
)
async def test_only_unreachable_endpoints_are_retried(code):
    async with Echo(code=code) as one, Echo(code=code) as two, Asking(one, two) as asking:
        answer = await asking.predict()

    assert answer.reason == code.name.lower()
    assert one.asked + two.asked == 1
    assert asking.sample("retries_total") == 0


async def test_request_at_fault_ejects_nobody():
    async with Echo(code=grpc.StatusCode.INVALID_ARGUMENT) as one, Asking(one) as asking:
        answers = await asking.answers(5)

    assert {answer.reason for answer in answers} == {"invalid_argument"}
    assert asking.sample("ejections_total", endpoint=one.address) == 0


async def test_retry_stays_within_the_deadline_of_the_pass():
    async with Echo(delay_s=5) as slow:
        asking = Asking("127.0.0.1:1", slow, timeout_s=0.3, patience=NEVER)
        async with asking:
            loop = asyncio.get_running_loop()
            for _ in range(3):
                started = loop.time()
                answer = await asking.predict()
                assert answer.status == "unavailable"
                assert loop.time() - started < 0.6


async def test_open_breaker_answers_at_once_and_names_itself():
    async with Echo(delay_s=5) as mute, Asking(mute, timeout_s=0.2, patience=NEVER) as asking:
        slow = await asking.answers(2)
        started = asyncio.get_running_loop().time()
        fast = await asking.answers(50)
        elapsed = asyncio.get_running_loop().time() - started

        assert [answer.reason for answer in slow] == ["timeout", "timeout"]
        assert {answer.reason for answer in fast} == {"circuit_open"}
        assert elapsed < 0.2
        assert asking.breaker == 2
        assert mute.asked == 2


async def test_endpoint_that_answers_again_is_taken_back_by_a_probe(until):
    async with (
        Echo(code=grpc.StatusCode.UNAVAILABLE) as one,
        Asking(one, patience=QUICK) as asking,
    ):
        await asking.answers(2)
        assert asking.breaker > 0
        one.code = None

        await until(lambda: asking.breaker == 0)

        assert (await asking.predict()).status == "ok"
        assert one.rows[-2:] == [1, 10]


async def test_half_open_lets_one_probe_through(until):
    async with (
        Echo(code=grpc.StatusCode.UNAVAILABLE) as one,
        Asking(one, patience=QUICK, timeout_s=5) as asking,
    ):
        await asking.answers(2)
        one.code, one.delay_s = None, 0.5
        probes = one.asked

        await until(lambda: asking.breaker == 1)
        answers = await asking.answers(20)
        await until(lambda: asking.breaker == 0)

        assert {answer.reason for answer in answers} == {"circuit_open"}
        assert one.asked <= probes + 2


async def test_large_pass_is_asked_in_parts_and_joined_in_order():
    features = np.linspace(0, 1, 7 * 1000, dtype=np.float32).reshape(1000, 7)
    async with Echo() as one, Echo() as two, Asking(one, two, rows_max=64) as asking:
        answer = await asking.predict(features)

    assert answer.probability.tobytes() == np.ascontiguousarray(features[:, 0]).tobytes()
    assert max(one.rows + two.rows) <= 64
    assert sum(one.rows + two.rows) == 1000
    assert one.asked
    assert two.asked


async def test_large_pass_is_answered_whole_or_not_at_all():
    features = np.zeros((100, 7), np.float32)
    async with (
        Echo() as one,
        Echo(code=grpc.StatusCode.INTERNAL) as two,
        Asking(one, two, rows_max=20) as asking,
    ):
        answer = await asking.predict(features)

    assert (answer.status, answer.probability) == ("unavailable", None)
    assert answer.reason == "internal"


async def test_parts_of_a_pass_are_of_one_version():
    features = np.zeros((100, 7), np.float32)
    async with (
        Echo(version=1) as old,
        Echo(version=2) as new,
        Asking(old, new, rows_max=20) as asking,
    ):
        answer = await asking.predict(features)

    assert answer.status == "ok"
    assert answer.version in {"1/tensorflow-serving", "2/tensorflow-serving"}
    assert old.asked + new.asked == 10


async def test_hedge_is_off_unless_wanted():
    async with Echo(delay_s=0.1) as one, Echo(delay_s=0.1) as two, Asking(one, two) as asking:
        await asking.answers(3)

    assert one.asked + two.asked == 3


async def test_slow_answer_is_overtaken_by_a_hedge_and_cancelled(until):
    async with Echo() as one, Echo() as two, Asking(one, two, hedge_s=0.2, timeout_s=20) as asking:
        await asking.answers(30)  # earns one hedge
        one.delay_s = 10
        started = asyncio.get_running_loop().time()
        while not asking.sample("hedges_total", outcome="won"):
            assert (await asking.predict()).status == "ok"
        elapsed = asyncio.get_running_loop().time() - started
        await until(lambda: one.cancelled == 1)

        assert elapsed < 5
        assert asking.sample("requests_total", endpoint=one.address, outcome="cancelled") == 1
        assert asking.sample("endpoint_state", endpoint=one.address) == 0


async def test_hedge_answers_for_a_slow_endpoint_that_fails_in_the_end():
    async with (
        Echo() as one,
        Echo() as two,
        Asking(one, two, hedge_s=0.2) as asking,
    ):
        await asking.answers(30)  # earns one hedge
        one.delay_s, one.code = 0.4, grpc.StatusCode.INTERNAL
        two.delay_s = 1.2

        answer = await asking.predict()

        assert answer.status == "ok"
        assert (
            asking.sample("hedges_total", outcome="won")
            + (asking.sample("hedges_total", outcome="lost"))
            == 1
        )
        assert asking.sample("requests_total", endpoint=one.address, outcome="internal") == 1


async def test_fault_in_a_probe_is_logged_and_the_next_one_goes(until, monkeypatch, logged):
    async with (
        Echo(code=grpc.StatusCode.UNAVAILABLE) as one,
        Asking(one, patience=QUICK) as asking,
    ):
        [member] = asking.client.pool.members
        predict = member.endpoint.predict
        await asking.answers(2)
        one.code = None

        async def faulty(*_, **__):
            raise ValueError("member 123-45-6789")

        monkeypatch.setattr(member.endpoint, "predict", faulty)
        await until(lambda: any(each["event"] == "model_fault" for each in logged()))
        monkeypatch.setattr(member.endpoint, "predict", predict)
        await until(lambda: asking.breaker == 0)

    assert "123-45-6789" not in str(logged())


async def test_hedges_are_few():
    async with (
        Echo(delay_s=0.01) as one,
        Echo(delay_s=0.01) as two,
        Asking(one, two, hedge_s=0.001) as asking,
    ):
        await asyncio.gather(*(asking.predict() for _ in range(100)))
        hedges = sum(asking.sample("hedges_total", outcome=how) for how in ("won", "lost"))

    assert 1 <= hedges <= 5


async def test_version_that_is_loaded_later_is_named():
    async with Echo(version=1) as one, Asking(one) as asking:
        before = await asking.predict()
        one.version = 2
        after = await asking.predict()

    assert before.version == "1/tensorflow-serving"
    assert after.version == "2/tensorflow-serving"
