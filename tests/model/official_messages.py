"""Run by a Python that has tensorflow-serving-api: writes the official messages as JSON.

Reads our bytes of the same cases from standard input, and writes back for each what the official
classes make of them: their own bytes, and ours after a round trip through them.
"""

import json
import sys

import numpy as np
import tensorflow as tf
from google.protobuf.any_pb2 import Any
from google.protobuf.wrappers_pb2 import Int64Value
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

FEATURES = np.array([[0.4, 2, 47, 4, 1, 1, 1.418], [0.7, 9, 70, 1, 3, 0, 5.0]], np.float32)
PROBABILITY = np.array([0.91, 0.42], np.float32)


def tensor(values):
    shape = tf.TensorShape(values.shape).as_proto()
    return tensor_pb2.TensorProto(
        dtype=types_pb2.DT_FLOAT, tensor_shape=shape, tensor_content=values.tobytes()
    )


def info(name, shape):
    shape = tf.TensorShape([None if size < 0 else size for size in shape]).as_proto()
    return meta_graph_pb2.TensorInfo(
        name=f"serving_default_{name}:0", dtype=types_pb2.DT_FLOAT, tensor_shape=shape
    )


def signatures():
    found = meta_graph_pb2.SignatureDef(
        inputs={"features": info("features", (-1, 7))},
        outputs={"approval_probability": info("approval_probability", (-1,))},
        method_name="tensorflow/serving/predict",
    )
    return get_model_metadata_pb2.SignatureDefMap(signature_def={"serving_default": found})


def packed(message):
    box = Any()
    box.Pack(message)
    return box


SPEC = model_pb2.ModelSpec(
    name="claims", version=Int64Value(value=1), signature_name="serving_default"
)
AVAILABLE = get_model_status_pb2.ModelVersionStatus(
    version=1, state=get_model_status_pb2.ModelVersionStatus.AVAILABLE
)
AVAILABLE.status.SetInParent()

CASES = {
    "predict request": predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name="claims", signature_name="serving_default"),
        inputs={"features": tensor(FEATURES)},
    ),
    "predict request of a version": predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(
            name="claims", version=Int64Value(value=2), signature_name="serving_default"
        ),
        inputs={"features": tensor(FEATURES)},
    ),
    "predict request of a label": predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(
            name="claims", version_label="canary", signature_name="serving_default"
        ),
        inputs={"features": tensor(FEATURES)},
    ),
    "predict response": predict_pb2.PredictResponse(
        model_spec=SPEC, outputs={"approval_probability": tensor(PROBABILITY)}
    ),
    "predict response as a list": predict_pb2.PredictResponse(
        model_spec=SPEC,
        outputs={
            "approval_probability": tensor_pb2.TensorProto(
                dtype=types_pb2.DT_FLOAT,
                tensor_shape=tf.TensorShape([2]).as_proto(),
                float_val=PROBABILITY.tolist(),
            )
        },
    ),
    "metadata request": get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=model_pb2.ModelSpec(name="claims"), metadata_field=["signature_def"]
    ),
    "metadata request of a version": get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=model_pb2.ModelSpec(name="claims", version=Int64Value(value=2)),
        metadata_field=["signature_def"],
    ),
    "metadata response": get_model_metadata_pb2.GetModelMetadataResponse(
        model_spec=model_pb2.ModelSpec(name="claims", version=Int64Value(value=1)),
        metadata={"signature_def": packed(signatures())},
    ),
    "status request": get_model_status_pb2.GetModelStatusRequest(
        model_spec=model_pb2.ModelSpec(name="claims")
    ),
    "status response": get_model_status_pb2.GetModelStatusResponse(
        model_version_status=[AVAILABLE]
    ),
}

ours = json.load(sys.stdin)
answer = {
    name: {
        "official": message.SerializeToString(deterministic=True).hex(),
        "round_trip": type(message)
        .FromString(bytes.fromhex(ours[name]))
        .SerializeToString(deterministic=True)
        .hex(),
    }
    for name, message in CASES.items()
}
json.dump(answer, sys.stdout)
