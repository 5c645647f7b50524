"""Arrays as tensors of TensorFlow Serving's protocol, and the names of the model's parts."""

from typing import Final

import numpy as np
from claimgate.serving.v1 import serving_pb2 as serving
from numpy.typing import NDArray

from engine.features import FEATURES

INPUT: Final = "features"
OUTPUT: Final = "approval_probability"
SIGNATURE: Final = "serving_default"
METADATA: Final = "signature_def"
PREDICT_METHOD: Final = "tensorflow/serving/predict"
PREDICTION_SERVICE: Final = "tensorflow.serving.PredictionService"
MODEL_SERVICE: Final = "tensorflow.serving.ModelService"
RUNTIME_HEADER: Final = "x-model-runtime"
"""Response header by which a server says what runs the model."""

INPUT_SHAPE: Final = (-1, len(FEATURES))
OUTPUT_SHAPE: Final = (-1,)

_FLOAT: Final = np.dtype("<f4")


class TensorError(ValueError):
    """A tensor is not what it has to be."""


def to_tensor(values: NDArray[np.float32]) -> serving.Tensor:
    """Return an array as a float tensor, its elements as bytes."""
    return serving.Tensor(
        dtype=serving.DATA_TYPE_FLOAT,
        tensor_shape=shape_of(values.shape),
        tensor_content=np.ascontiguousarray(values, _FLOAT).tobytes(),
    )


def shape_of(sizes: tuple[int, ...]) -> serving.TensorShape:
    """Return sizes as a shape; -1 is any size."""
    return serving.TensorShape(
        dim=[serving.TensorShape.Dimension(size=size) for size in sizes],
    )


def sizes_of(shape: serving.TensorShape) -> tuple[int, ...]:
    """Return the sizes of a shape."""
    return tuple(dimension.size for dimension in shape.dim)


def to_array(tensor: serving.Tensor, name: str, expected: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a float tensor of the expected shape as an array; it may hold bytes or a list."""
    sizes = sizes_of(tensor.tensor_shape)
    if tensor.dtype != serving.DATA_TYPE_FLOAT:
        raise TensorError(
            f"tensor {name!r} has element type {tensor.dtype}; "
            f"expected {serving.DATA_TYPE_FLOAT} (32-bit float)"
        )
    if not fits(sizes, expected):
        raise TensorError(
            f"tensor {name!r} has shape {list(sizes)}; expected {list(expected)}, "
            "where -1 is the number of rows, at least one"
        )
    values = (
        np.frombuffer(tensor.tensor_content, _FLOAT)
        if len(tensor.tensor_content) % _FLOAT.itemsize == 0 and tensor.tensor_content
        else np.array(tensor.float_val, _FLOAT)
    )
    if values.size != np.prod(sizes):
        raise TensorError(
            f"tensor {name!r} says shape {list(sizes)} but holds {values.size} elements; "
            "expected as many elements as its shape says"
        )
    return values.reshape(sizes)


def fits(sizes: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Tell whether sizes are those expected; -1 stands for one or more."""
    return len(sizes) == len(expected) and all(
        size == wanted or (wanted == -1 and size > 0)
        for size, wanted in zip(sizes, expected, strict=True)
    )
