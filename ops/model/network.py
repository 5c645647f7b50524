"""The network: trained with Keras, calibrated, exported as SavedModel and as int8 LiteRT.

The graph takes the seven raw features: it standardises 2, 3, 5 and 7 with the training claims'
mean and deviation and spreads the insurance code over ten inputs. The server computes no
statistics.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from training_claims import Part

LAYERS: Final = (64, 32)
EPOCHS_MAX: Final = 40
_BATCH: Final = 512
_PENALTY: Final = 5e-4
_STANDARDISED: Final = (1, 2, 4, 6)
_CHARGES: Final = 0
_CHARGES_MIDDLE: Final = 0.4
_CHARGES_WIDTH: Final = 0.125
"""The charge feature is spread by fixed numbers, as it is normalised already.

The int8 kernels see each row in steps of its largest value: left as it is, the charge would be lost
beside a standardised 5 (measured: exports 0.031 apart; spread and cut, see the card).
"""
_LARGEST: Final = 4.0
"""Scaled features are cut to this size, so that no outlier coarsens the steps of its row."""
_INSURANCE: Final = 3
_INSURANCE_CODES: Final = 10

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Network:
    """Weights and statistics of a trained and calibrated network."""

    mean: Floats
    """Shape (7,); what is taken off each feature, 0 for those that are not scaled."""
    deviation: Floats
    """Shape (7,); what each feature is divided by, 1 for those that are not scaled."""
    layers: tuple[tuple[Floats, Floats], ...]
    """Kernel and bias of each layer."""


def train(train_part: Part, validation: Part, seed: int) -> Network:
    """Fit the network to the training claims, stop where the validation says so, calibrate."""
    keras.utils.set_random_seed(seed)
    mean, deviation = _statistics(train_part.features)
    inputs = keras.Input((len(mean) - 1 + _INSURANCE_CODES,))
    hidden = inputs
    for size in LAYERS:
        hidden = keras.layers.Dense(size, "relu", kernel_regularizer=_penalty())(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(
        _spread(train_part.features, mean, deviation),
        train_part.labels,
        validation_data=(_spread(validation.features, mean, deviation), validation.labels),
        batch_size=_BATCH,
        epochs=EPOCHS_MAX,
        callbacks=[keras.callbacks.EarlyStopping(patience=4, restore_best_weights=True)],
        verbose=2,
    )
    logits = model.predict(_spread(validation.features, mean, deviation), verbose=0).reshape(-1)
    layers = [tuple(layer.get_weights()) for layer in model.layers if layer.get_weights()]
    layers[-1] = _calibrated(layers[-1], logits, validation.labels)
    return Network(mean, deviation, tuple(layers))


def export_saved_model(network: Network, folder: Path) -> None:
    """Write the SavedModel for TensorFlow Serving; its weights are constants of the graph."""
    module = _Graph(network)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})


def export_litert(saved_model: Path) -> bytes:
    """Return the SavedModel as LiteRT: int8 weights, float activations (dynamic range)."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    content: bytes = converter.convert()
    return content


def predict_saved_model(folder: Path, features: Floats) -> Floats:
    """Return the float reference's probabilities, from the export itself."""
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    answer: Floats = serve(features=tf.constant(features))["approval_probability"].numpy()
    return answer


def _penalty() -> keras.Regularizer:
    """Return the price of large weights, which the int8 kernels would round coarsely."""
    return keras.regularizers.L2(_PENALTY)


class _Graph(tf.Module):
    """The network over raw features."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network

    @tf.function(input_signature=[tf.TensorSpec([None, 7], tf.float32, name="features")])
    def serve(self, features: Any) -> dict[str, Any]:
        """Return the probability that each claim is a proper approval."""
        network = self._network
        scaled = (features - network.mean) * (1 / network.deviation)
        scaled = tf.clip_by_value(scaled, -_LARGEST, _LARGEST)
        codes = tf.range(_INSURANCE_CODES, dtype=tf.float32)
        insurance = tf.cast(tf.equal(features[:, _INSURANCE : _INSURANCE + 1], codes), tf.float32)
        values = tf.concat([scaled[:, :_INSURANCE], scaled[:, _INSURANCE + 1 :], insurance], axis=1)
        *hidden, (kernel, bias) = network.layers
        for hidden_kernel, hidden_bias in hidden:
            values = tf.nn.relu(tf.matmul(values, hidden_kernel) + hidden_bias)
        logit = tf.matmul(values, kernel) + bias
        return {"approval_probability": tf.reshape(tf.sigmoid(logit), [-1])}


def _statistics(features: Floats) -> tuple[Floats, Floats]:
    """Return what each feature is shifted and divided by."""
    mean, deviation = np.zeros(7, np.float32), np.ones(7, np.float32)
    mean[_CHARGES], deviation[_CHARGES] = _CHARGES_MIDDLE, _CHARGES_WIDTH
    for column in _STANDARDISED:
        mean[column] = features[:, column].mean(dtype=np.float64)
        deviation[column] = features[:, column].std(dtype=np.float64)
    return mean, deviation


def _spread(features: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Return what the first layer sees."""
    scaled = np.clip((features - mean) / deviation, -_LARGEST, _LARGEST)
    insurance = features[:, _INSURANCE : _INSURANCE + 1] == np.arange(_INSURANCE_CODES)
    spread: Floats = np.hstack([np.delete(scaled, _INSURANCE, axis=1), insurance]).astype(
        np.float32
    )
    return spread


def _calibrated(layer: tuple[Floats, ...], logits: Floats, labels: Floats) -> tuple[Floats, Floats]:
    """Return the last layer with its logits stretched and shifted to fit the validation labels."""
    scale, shift = 1.0, 0.0
    for _ in range(50):  # Newton's method for two parameters; converges in a few steps.
        probability = 1 / (1 + np.exp(-(scale * logits + shift)))
        error, weight = probability - labels, probability * (1 - probability)
        gradient = np.array([(error * logits).sum(), error.sum()])
        curvature = np.array(
            [
                [(weight * logits**2).sum(), (weight * logits).sum()],
                [(weight * logits).sum(), weight.sum()],
            ]
        )
        step = np.linalg.solve(curvature, gradient)
        scale, shift = scale - step[0], shift - step[1]
    kernel, bias = layer
    return (kernel * scale).astype(np.float32), (bias * scale + shift).astype(np.float32)
