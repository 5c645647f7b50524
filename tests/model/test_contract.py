"""Our serving messages are those of TensorFlow Serving, byte for byte."""

import json
import os
import subprocess
from pathlib import Path

import grpc
import numpy as np
import pytest
from claimgate import resources
from claimgate.serving.v1 import serving_pb2 as serving

from server.model_server import serve_model
from server.model_spec import ModelChoice
from server.tensors import shape_of, to_tensor

PROJECT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("official_messages.py")
FEATURES = np.array([[0.4, 2, 47, 4, 1, 1, 1.418], [0.7, 9, 70, 1, 3, 0, 5.0]], np.float32)
PROBABILITY = np.array([0.91, 0.42], np.float32)

SPEC = serving.ModelSpec(name="claims", version={"value": 1}, signature_name="serving_default")
BY_HAND = {
    "predict request": serving.PredictRequest(
        model_spec=ModelChoice("claims").message("serving_default"),
        inputs={"features": to_tensor(FEATURES)},
    ),
    "predict request of a version": serving.PredictRequest(
        model_spec=ModelChoice("claims", version=2).message("serving_default"),
        inputs={"features": to_tensor(FEATURES)},
    ),
    "predict request of a label": serving.PredictRequest(
        model_spec=ModelChoice("claims", label="canary").message("serving_default"),
        inputs={"features": to_tensor(FEATURES)},
    ),
    "predict response": serving.PredictResponse(
        model_spec=SPEC, outputs={"approval_probability": to_tensor(PROBABILITY)}
    ),
    "predict response as a list": serving.PredictResponse(
        model_spec=SPEC,
        outputs={
            "approval_probability": serving.Tensor(
                dtype=serving.DATA_TYPE_FLOAT,
                tensor_shape=shape_of((2,)),
                float_val=PROBABILITY.tolist(),
            )
        },
    ),
    "metadata request": serving.GetModelMetadataRequest(
        model_spec=serving.ModelSpec(name="claims"), metadata_field=["signature_def"]
    ),
    "metadata request of a version": serving.GetModelMetadataRequest(
        model_spec=ModelChoice("claims", version=2).message(), metadata_field=["signature_def"]
    ),
    "status request": serving.GetModelStatusRequest(model_spec=serving.ModelSpec(name="claims")),
}


@pytest.fixture
def train_python():
    """A Python that has tensorflow-serving-api; it is too large for the project's own."""
    name = os.environ.get("CLAIMGATE_TRAIN_PYTHON", ".venv-train/bin/python")
    python = PROJECT / name
    if not python.is_file():
        reason = f"CLAIMGATE_TRAIN_PYTHON ({name}) is no Python with tensorflow-serving-api"
        required = os.environ.get("CLAIMGATE_REQUIRE_ALL") == "1"
        (pytest.fail if required else pytest.skip)(reason)
    return python


async def served():
    """What the model server itself answers, as it leaves it."""
    async with (
        await serve_model("127.0.0.1:0", resources.find("model")) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        metadata = channel.unary_unary("/tensorflow.serving.PredictionService/GetModelMetadata")
        status = channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")
        return {
            "metadata response": await metadata(BY_HAND["metadata request"].SerializeToString()),
            "status response": await status(BY_HAND["status request"].SerializeToString()),
        }


@pytest.mark.full
async def test_messages_equal_those_of_tensorflow_serving(train_python):
    ours = {
        name: message.SerializeToString(deterministic=True) for name, message in BY_HAND.items()
    } | await served()

    finished = subprocess.run(  # noqa: ASYNC221 - our own script, and nothing else runs here
        [train_python, SCRIPT],
        input=json.dumps({name: content.hex() for name, content in ours.items()}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr[-2000:]
    official = json.loads(finished.stdout)
    assert {name: message["official"] for name, message in official.items()} == {
        name: content.hex() for name, content in ours.items()
    }
    assert {name: message["round_trip"] for name, message in official.items()} == {
        name: content.hex() for name, content in ours.items()
    }
