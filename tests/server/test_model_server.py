"""The model server answers as TensorFlow Serving does, with the same bits at every batch size."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from time import perf_counter

import grpc
import numpy as np
import pytest
from claimgate import resources
from claimgate.serving.v1 import serving_pb2 as serving

from server.claims_model import ModelFolderError, load_model, load_versions
from server.model_server import labels_of, serve_model
from server.tensors import TensorError, shape_of, to_array, to_tensor

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"


@pytest.fixture(scope="module")
def folder():
    return resources.find("model")


@pytest.fixture(scope="module")
def vectors(folder):
    with np.load(folder / "validation_vectors.npz") as arrays:
        return arrays["features"], arrays["probability"]


@pytest.fixture
async def channel(folder):
    async with (
        await serve_model("127.0.0.1:0", folder) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield channel


async def ask(channel, path, request):
    content = request if isinstance(request, bytes) else request.SerializeToString()
    return await channel.unary_unary(path)(content)


def predict_request(features, **changed):
    spec = serving.ModelSpec(name=changed.pop("name", "claims"), **changed)
    return serving.PredictRequest(model_spec=spec, inputs={"features": to_tensor(features)})


async def test_predicts_a_probability_for_each_row(channel, vectors):
    features, _ = vectors

    content = await ask(channel, PREDICT, predict_request(features[:7]))

    response = serving.PredictResponse.FromString(content)
    probability = to_array(response.outputs["approval_probability"], "p", (7,))
    assert ((probability > 0) & (probability < 1)).all()
    assert response.model_spec.name == "claims"
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"


def test_int8_export_stays_within_the_bound_of_the_float_export(folder, vectors):
    features, reference = vectors

    probability = load_model(folder).predict(features)

    assert len(features) >= 1000
    assert np.abs(probability - reference).max() <= 0.02
    clear = np.abs(reference - 0.8) > 0.02
    assert ((probability >= 0.8) == (reference >= 0.8))[clear].all()


def test_model_tells_claims_apart(vectors):
    _, reference = vectors

    assert reference.std() > 0.05
    assert 0.02 < (reference < 0.8).mean() < 0.5


@pytest.mark.parametrize("rows", [1, 2, 7, 64, 333, 2000])
def test_bits_of_a_result_do_not_depend_on_the_batch(folder, vectors, rows):
    features, _ = vectors
    model = load_model(folder)
    whole = model.predict(features)

    parts = [
        model.predict(features[first : first + rows]) for first in range(0, len(features), rows)
    ]

    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_predicts_fast_enough_for_one_core(folder, vectors):
    features, _ = vectors
    batch = np.tile(features, (2, 1))[:2048]
    model = load_model(folder)
    model.predict(batch)

    started = perf_counter()
    for _ in range(50):
        model.predict(batch)
    rows_per_s = 50 * len(batch) / (perf_counter() - started)

    assert rows_per_s > 300_000


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        (predict_request(np.zeros((2, 7), np.float32), name="other"), "NOT_FOUND", "'claims'"),
        (
            predict_request(np.zeros((2, 7), np.float32), version={"value": 99}),
            "NOT_FOUND",
            "version 99",
        ),
        (
            predict_request(np.zeros((2, 7), np.float32), version_label="stable"),
            "NOT_FOUND",
            "no labels",
        ),
        (
            predict_request(np.zeros((2, 7), np.float32), signature_name="x"),
            "INVALID_ARGUMENT",
            "serving_default",
        ),
        (predict_request(np.zeros((2, 6), np.float32)), "INVALID_ARGUMENT", "[2, 6]"),
        (predict_request(np.zeros(7, np.float32)), "INVALID_ARGUMENT", "[-1, 7]"),
        (predict_request(np.zeros((0, 7), np.float32)), "INVALID_ARGUMENT", "at least one"),
        (
            serving.PredictRequest(
                model_spec=serving.ModelSpec(name="claims"),
                inputs={"other": to_tensor(np.zeros((2, 7), np.float32))},
            ),
            "INVALID_ARGUMENT",
            "'features' alone",
        ),
        (
            serving.PredictRequest(
                model_spec=serving.ModelSpec(name="claims"),
                inputs={"features": to_tensor(np.zeros((2, 7), np.float32))},
                output_filter=["logits"],
            ),
            "INVALID_ARGUMENT",
            "approval_probability",
        ),
        (b"\xff\xff\xff", "INVALID_ARGUMENT", "PredictRequest"),
    ],
    ids=[
        "model",
        "version",
        "label",
        "signature",
        "columns",
        "rank",
        "no rows",
        "input name",
        "output name",
        "no protobuf",
    ],
)
async def test_request_that_cannot_be_answered_says_why(channel, request_, status, text):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(channel, PREDICT, request_)

    assert caught.value.code() is grpc.StatusCode[status]
    assert text in caught.value.details()


async def test_metadata_names_the_signature_and_the_runtime(channel):
    request = serving.GetModelMetadataRequest(
        model_spec=serving.ModelSpec(name="claims"), metadata_field=["signature_def"]
    )

    call = channel.unary_unary(METADATA)(request.SerializeToString())
    response = serving.GetModelMetadataResponse.FromString(await call)

    packed = response.metadata["signature_def"]
    signature = serving.SignatureDefMap.FromString(packed.value).signature_def["serving_default"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    assert [dim.size for dim in signature.inputs["features"].tensor_shape.dim] == [-1, 7]
    assert [dim.size for dim in signature.outputs["approval_probability"].tensor_shape.dim] == [-1]
    assert dict(await call.initial_metadata())["x-model-runtime"] == "litert-int8"


async def test_metadata_of_another_kind_is_refused(channel):
    request = serving.GetModelMetadataRequest(
        model_spec=serving.ModelSpec(name="claims"), metadata_field=["weights"]
    )

    with pytest.raises(grpc.aio.AioRpcError, match="signature_def"):
        await ask(channel, METADATA, request)


async def test_status_says_that_the_version_is_available(channel):
    request = serving.GetModelStatusRequest(model_spec=serving.ModelSpec(name="claims"))

    content = await ask(channel, STATUS, request)

    (version,) = serving.GetModelStatusResponse.FromString(content).model_version_status
    assert (version.version, version.state) == (1, serving.ModelVersionStatus.STATE_AVAILABLE)


@pytest.fixture
async def both(two_versions):
    """A server of two versions with labels, and a connection to it."""
    labels = {"stable": 1, "canary": 2}
    async with (
        await serve_model("127.0.0.1:0", two_versions, labels) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield server, channel


async def predicted(channel, features, **spec):
    content = await ask(channel, PREDICT, predict_request(features, **spec))
    response = serving.PredictResponse.FromString(content)
    return (
        response.model_spec.version.value,
        to_array(response.outputs["approval_probability"], "p", (len(features),)),
    )


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ({}, 2),
        ({"version": {"value": 1}}, 1),
        ({"version": {"value": 2}}, 2),
        ({"version_label": "stable"}, 1),
        ({"version_label": "canary"}, 2),
    ],
    ids=["newest", "1", "2", "stable", "canary"],
)
async def test_version_or_label_picks_the_model(both, two_versions, vectors, spec, version):
    features = vectors[0][:50]
    _, channel = both
    metadata = serving.GetModelMetadataRequest(
        model_spec=serving.ModelSpec(name="claims", **spec), metadata_field=["signature_def"]
    )

    found, probability = await predicted(channel, features, **spec)
    described = serving.GetModelMetadataResponse.FromString(await ask(channel, METADATA, metadata))

    assert (found, described.model_spec.version.value) == (version, version)
    expected = load_model(two_versions / str(version)).predict(features)
    assert probability.tobytes() == expected.tobytes()


def test_versions_of_the_tests_differ(two_versions, vectors):
    features = vectors[0][:50]

    one, two = (load_model(two_versions / name).predict(features) for name in "12")

    assert (one > two + 0.001).all()


async def test_status_lists_every_version(both):
    request = serving.GetModelStatusRequest(model_spec=serving.ModelSpec(name="claims"))

    response = serving.GetModelStatusResponse.FromString(await ask(both[1], STATUS, request))

    assert [each.version for each in response.model_version_status] == [2, 1]


async def test_label_and_version_that_are_not_there_are_named(both):
    features = np.zeros((1, 7), np.float32)

    with pytest.raises(grpc.aio.AioRpcError, match="labels canary, stable"):
        await predicted(both[1], features, version_label="best")
    with pytest.raises(grpc.aio.AioRpcError, match="version 1, 2"):
        await predicted(both[1], features, version={"value": 3})


async def test_version_that_is_added_is_served_once_the_folder_is_looked_at(both, two_versions):
    server, channel = both
    shutil.copytree(two_versions / "2", two_versions / "3")
    card = json.loads((two_versions / "3" / "card.json").read_text())
    (two_versions / "3" / "card.json").write_text(json.dumps({**card, "version": 3}))
    features = np.zeros((1, 7), np.float32)

    before, _ = await predicted(channel, features)
    await server.reload()
    after, _ = await predicted(channel, features)

    assert (before, after) == (2, 3)


async def test_folder_that_cannot_be_used_changes_nothing(both, two_versions):
    server, channel = both
    (two_versions / "2" / "model.tflite").write_bytes(b"")

    with pytest.raises(ModelFolderError, match="not of one export"):
        await server.reload()

    assert (await predicted(channel, np.zeros((1, 7), np.float32)))[0] == 2


async def test_label_of_a_version_that_is_not_there_is_refused(two_versions):
    with pytest.raises(ModelFolderError, match="label 'best' is of version 7"):
        await serve_model("127.0.0.1:0", two_versions, {"best": 7})


def test_folder_named_for_another_version_is_refused(two_versions):
    (two_versions / "2").rename(two_versions / "5")

    with pytest.raises(ModelFolderError, match="of version 2; expected 5"):
        load_versions(two_versions)


def test_labels_are_read_from_text():
    assert labels_of("stable=1, canary=2") == {"stable": 1, "canary": 2}
    assert labels_of("") == {}
    with pytest.raises(ValueError, match="LABEL=VERSION"):
        labels_of("stable")


def test_changed_model_file_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    content = bytearray((tmp_path / "model" / "model.tflite").read_bytes())
    content[-1] ^= 1
    (tmp_path / "model" / "model.tflite").write_bytes(content)

    with pytest.raises(ModelFolderError, match="not of one export"):
        load_model(tmp_path / "model")


def test_model_of_other_features_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    card = json.loads((folder / "card.json").read_text())
    card["features"]["version"] = 99
    (tmp_path / "model" / "card.json").write_text(json.dumps(card))

    with pytest.raises(ModelFolderError, match="train again"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize(("content", "text"), [(None, "is missing"), ("{}", "not a model card")])
def test_folder_without_a_model_is_refused(tmp_path, content, text):
    if content is not None:
        (tmp_path / "card.json").write_text(content)

    with pytest.raises(ModelFolderError, match=text):
        load_model(tmp_path)


def test_tensor_with_too_few_elements_is_refused():
    tensor = serving.Tensor(
        dtype=serving.DATA_TYPE_FLOAT, tensor_shape=shape_of((2, 7)), tensor_content=b"\0" * 8
    )

    with pytest.raises(TensorError, match="holds 2 elements"):
        to_array(tensor, "features", (-1, 7))


def test_tensor_may_hold_a_list_instead_of_bytes():
    tensor = serving.Tensor(
        dtype=serving.DATA_TYPE_FLOAT, tensor_shape=shape_of((3,)), float_val=[0.25, 0.5, 1]
    )

    assert to_array(tensor, "p", (-1,)).tolist() == [0.25, 0.5, 1]


async def test_process_serves_a_new_version_on_a_hangup(two_versions):
    second = two_versions.parent / "2"
    (two_versions / "2").rename(second)
    program = (
        "from pathlib import Path; from server.commands import model_server; "
        f"model_server(listen='127.0.0.1:0', model=Path({str(two_versions)!r}))"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    address = (await process.stdout.readline()).decode().split()[1]
    async with grpc.aio.insecure_channel(address) as channel:
        features = np.zeros((1, 7), np.float32)
        before, _ = await predicted(channel, features)
        second.rename(two_versions / "2")
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            while (await predicted(channel, features))[0] == before:
                pass
        after, _ = await predicted(channel, features)
        process.terminate()
        code = await process.wait()

    assert (before, after, code) == (1, 2, 0)


def test_process_says_when_it_is_ready_and_stops_on_sigterm():
    program = "from server.commands import model_server; model_server(listen='127.0.0.1:0')"
    command = [sys.executable, "-c", program]

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        ready = process.stdout.readline().split()
        process.terminate()
        code = process.wait(timeout=20)

    assert ready[0] == "ready"
    assert ready[1].startswith("127.0.0.1:")
    assert code == 0
