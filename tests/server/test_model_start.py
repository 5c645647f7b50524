"""A service does not start with a model that it cannot ask; it does with one that is out."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from claimgate import resources
from claimgate.serving.v1 import serving_pb2 as serving
from prometheus_client import CollectorRegistry

from loader.places import prepared_snapshot
from server import gather
from server.app import lone_errors, serve_here
from server.claims_model import ClaimsModel
from server.gather import Gatherer
from server.metrics import Metrics
from server.model_endpoint import ModelSignatureError
from server.model_metrics import ModelMetrics
from server.model_server import ModelServer, serve_model
from server.model_start import opened_models
from server.settings import Settings
from server.tensors import METADATA, PREDICTION_SERVICE


@pytest.fixture
async def other_model():
    """A server whose model takes something else than ours."""

    async def metadata(request: bytes, context: object) -> bytes:
        response = serving.GetModelMetadataResponse(
            model_spec=serving.ModelSpec(name="claims", version={"value": 1})
        )
        response.metadata[METADATA].Pack(serving.SignatureDefMap())
        return response.SerializeToString()

    handler = grpc.unary_unary_rpc_method_handler(metadata)
    server = grpc.aio.server()
    generic = grpc.method_handlers_generic_handler(
        PREDICTION_SERVICE, {"GetModelMetadata": handler}
    )
    server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def servers(two_versions: Path) -> AsyncIterator[list[ModelServer]]:
    """A server of one version, and one of two."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(await serve_model("127.0.0.1:0", folder))
            for folder in (resources.find("model"), two_versions)
        ]


@pytest.fixture
def silent():
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def settings_of(*addresses: str, **changes: Any) -> Settings:
    return Settings(
        listen="127.0.0.1:0",
        reference=Path(prepared_snapshot()),
        model_address=",".join(addresses),
        metrics_listen="",
        **changes,
    )


def opened(settings: Settings):
    metrics = ModelMetrics(CollectorRegistry(), 0.8)
    return opened_models(settings, settings.model_address, metrics)


async def test_model_of_another_signature_ends_the_start(other_model: str) -> None:
    settings = settings_of(other_model)

    with pytest.raises(ModelSignatureError), lone_errors():
        await serve_here(settings, lambda address: pytest.fail(f"served on {address}"))


async def test_endpoint_of_another_signature_is_named(servers, other_model):
    with pytest.raises(ModelSignatureError, match=other_model) as raised, lone_errors():
        async with opened(settings_of(servers[0].address, other_model)):
            pytest.fail("opened")

    assert servers[0].address not in str(raised.value)


async def test_candidate_that_only_some_endpoints_have_is_logged(servers, logged):
    one, two = (server.address for server in servers)
    settings = settings_of(
        one, two, model_name="claims/1", model_candidate="claims/2", model_shadow_share=1
    )

    async with opened(settings) as models:
        assert models.up

    [record] = [each for each in logged() if each["event"] == "model_not_checked"]
    assert (record["model"], record["address"]) == ("candidate", one)
    assert record["reason"] == "not_found"


async def test_endpoints_of_different_versions_are_logged_with_both(servers, logged):
    one, two = (server.address for server in servers)

    async with opened(settings_of(one, two)) as models:
        assert models.up

    found = [each for each in logged() if each["event"] == "model_versions_differ"]
    assert {each["address"]: each["version"] for each in found} == {
        one: "1/litert-int8",
        two: "2/litert-int8",
    }


async def test_every_endpoint_is_warm_before_the_service_is_ready(servers, monkeypatch):
    rows, predict = [], ClaimsModel.predict
    monkeypatch.setattr(
        ClaimsModel,
        "predict",
        lambda model, features: rows.append(len(features)) or predict(model, features),
    )
    addresses = [server.address for server in servers]

    async with opened(settings_of(*addresses, batch_claims_max=700)):
        assert sorted(rows) == [1, 700, 700]


async def test_model_that_is_out_delays_the_start_no_longer_than_allowed(silent, logged, until):
    settings = settings_of(silent, model_warmup_ms=300, model_deadline_ms=100)
    registry = CollectorRegistry()

    async with opened(settings) as models:
        Gatherer(models, Metrics(registry, 0.8))

    assert registry.get_sample_value("claimgate_dependency_up", {"dependency": "model"}) == 0
    [record] = [each for each in logged() if each["event"] == "model_not_warm"]
    assert (record["address"], record["reason"]) == (silent, "timeout")


async def test_model_that_answers_is_known_to_be_up_from_the_start(servers):
    registry = CollectorRegistry()

    async with opened(settings_of(servers[0].address)) as models:
        Gatherer(models, Metrics(registry, 0.8))

    assert registry.get_sample_value("claimgate_dependency_up", {"dependency": "model"}) == 1


async def test_model_that_comes_later_is_found_without_a_call(two_versions, monkeypatch, until):
    monkeypatch.setattr(gather, "_PROBE_EVERY_S", 0.02)
    async with await serve_model("127.0.0.1:0", two_versions) as first:
        address = first.address
    registry = CollectorRegistry()
    settings = settings_of(address, model_retry_ms=50)

    def up() -> float | None:
        return registry.get_sample_value("claimgate_dependency_up", {"dependency": "model"})

    async with opened(settings) as models:
        watching = asyncio.create_task(Gatherer(models, Metrics(registry, 0.8)).watch())
        before = up()
        async with await serve_model(address, two_versions):
            await until(lambda: up() == 1)
        watching.cancel()

    assert before == 0
