"""The exported model of a folder, run by LiteRT.

One interpreter, one thread: predict from one place at a time. A row's result has the same bits in
every batch.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.features import FEATURES
from engine.features import VERSION as FEATURES_VERSION
from server.tensors import INPUT_SHAPE, OUTPUT_SHAPE

CARD_FILE: Final = "card.json"
MODEL_FILE: Final = "model.tflite"
RUNTIME: Final = "litert-int8"


class ModelFolderError(Exception):
    """A folder does not hold a model that this service can run."""


@dataclass(frozen=True, slots=True)
class ClaimsModel:
    """A model ready to answer."""

    name: str
    version: int
    _interpreter: Any
    """LiteRT's interpreter; it has no types."""
    _input: int
    _output: int

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of a proper approval for each row of features."""
        interpreter = self._interpreter
        if tuple(interpreter.get_input_details()[0]["shape"]) != features.shape:
            # 20 microseconds, measured; padding to a fixed shape would cost more.
            interpreter.resize_tensor_input(self._input, features.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(self._input, features)
        interpreter.invoke()
        probability: NDArray[np.float32] = interpreter.get_tensor(self._output)
        return probability


def load_model(folder: Path) -> ClaimsModel:
    """Open the model of a folder: its card names it, and says what the file must hash to."""
    card = _read_card(folder / CARD_FILE)
    content = _read_model(folder / MODEL_FILE, card["sha256"][MODEL_FILE])
    return open_model(card["name"], card["version"], content)


def load_versions(folder: Path) -> dict[int, ClaimsModel]:
    """Open every version in a folder: 1/, 2/ and so on, or the one model that it holds itself."""
    if (folder / CARD_FILE).exists():
        model = load_model(folder)
        return {model.version: model}
    models = {}
    for path in sorted(folder.glob("[0-9]*")) if folder.is_dir() else ():
        if not path.name.isdecimal():
            continue
        model = load_model(path)
        if model.version != int(path.name):
            raise ModelFolderError(
                f"{path / CARD_FILE} is of version {model.version}; expected {path.name}, as its "
                "folder is named"
            )
        models[model.version] = model
    if len(names := {model.name for model in models.values()}) > 1:
        raise ModelFolderError(
            f"{folder} has models of different names, {', '.join(sorted(names))}; expected "
            "versions of one"
        )
    if not models:
        raise ModelFolderError(
            f"{folder / CARD_FILE} is missing, and there is no version beside it, such as "
            f"{folder / '1'}; name a folder that ops/model/train.py has written, or one of those"
        )
    return models


def open_model(name: str, version: int, content: bytes) -> ClaimsModel:
    """Open an exported model, if it takes the features and gives a probability for each row."""
    # Imported here: a third of a second that only a process with a model has to pay.
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    shapes = _signature(taken), _signature(given)
    if shapes != (INPUT_SHAPE, OUTPUT_SHAPE):
        raise ModelFolderError(
            f"model {name!r} maps {shapes[0]} to {shapes[1]}; expected float32 {INPUT_SHAPE} to "
            f"{OUTPUT_SHAPE}; export it with ops/model/train.py"
        )
    return ClaimsModel(name, version, interpreter, taken["index"], given["index"])


def _read_card(path: Path) -> dict[str, Any]:
    """Return the model card, checked for what serving needs."""
    try:
        card: dict[str, Any] = json.loads(path.read_text("utf-8"))
        needed = (
            str(card["name"]),
            int(card["version"]),
            card["sha256"][MODEL_FILE],
            card["features"]["names"],
            card["features"]["version"],
        )
    except FileNotFoundError:
        raise ModelFolderError(
            f"{path} is missing; name a folder that ops/model/train.py has written"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFolderError(
            f"{path} is not a model card: {type(error).__name__} {error}; "
            "export the model again with ops/model/train.py"
        ) from error
    *_, names, version = needed
    if (tuple(names), version) != (FEATURES, FEATURES_VERSION):
        raise ModelFolderError(
            f"{path} was trained on version {version} of the features {', '.join(names)}; this "
            f"service computes version {FEATURES_VERSION} of {', '.join(FEATURES)}; train again"
        )
    return card


def _read_model(path: Path, sha256: str) -> bytes:
    """Return the bytes of the exported model, if they are those of the card."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ModelFolderError(f"{path} is missing; {CARD_FILE} beside it names it") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelFolderError(
            f"{path} hashes to {found}, its card says {sha256}; "
            "the two are not of one export: take both from the same place"
        )
    return content


def _signature(tensor: dict[str, Any]) -> tuple[int, ...]:
    """Return the shape of a float tensor, -1 where it may vary; empty for any other type."""
    if tensor["dtype"] is not np.float32:
        return ()
    return tuple(int(size) for size in tensor["shape_signature"])
