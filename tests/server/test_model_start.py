"""A service does not start with a model that it cannot ask; it does with one that is out."""

from pathlib import Path

import grpc
import pytest
from claimgate.serving.v1 import serving_pb2 as serving

from loader.places import prepared_snapshot
from server.app import serve_here
from server.model_endpoint import ModelSignatureError
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


async def test_model_of_another_signature_ends_the_start(other_model: str) -> None:
    settings = Settings(
        listen="127.0.0.1:0",
        reference=Path(prepared_snapshot()),
        model_address=other_model,
        metrics_listen="",
    )

    with pytest.raises((ModelSignatureError, ExceptionGroup)) as raised:
        await serve_here(settings, lambda address: pytest.fail(f"served on {address}"))

    error = raised.value
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ModelSignatureError)
