"""What a model server answers: the three methods that the protocol's clients use, and refusals."""

from collections.abc import Mapping
from typing import Final

import grpc
from claimgate.serving.v1 import serving_pb2 as serving
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.wrappers_pb2 import Int64Value

from server.claims_model import ClaimsModel, ModelFolderError
from server.tensors import (
    INPUT,
    INPUT_SHAPE,
    METADATA,
    OUTPUT,
    OUTPUT_SHAPE,
    PREDICT_METHOD,
    SIGNATURE,
    shape_of,
    to_array,
    to_tensor,
)

_SIGNATURES_TYPE: Final = "type.googleapis.com/tensorflow.serving.SignatureDefMap"


class RequestError(Exception):
    """A request cannot be answered."""

    status = grpc.StatusCode.INVALID_ARGUMENT


class UnknownModelError(RequestError):
    """A request names a model, or a version of it, that is not here."""

    status = grpc.StatusCode.NOT_FOUND


class ModelServicer:
    """Answers for the versions of one model: by number, by label, else the newest."""

    def __init__(self, models: Mapping[int, ClaimsModel], labels: Mapping[str, int]) -> None:
        self._models = models
        self._labels = labels
        self._check_labels(models)

    def replace(self, models: Mapping[int, ClaimsModel]) -> None:
        """Serve other versions from now on."""
        self._check_labels(models)
        self._models = models

    def predict(self, request: serving.PredictRequest) -> serving.PredictResponse:
        """Run the model over the rows of a request."""
        model = self._model(request.model_spec)
        if list(request.inputs) != [INPUT]:
            raise RequestError(
                f"the request has inputs {sorted(request.inputs)}; expected {INPUT!r} alone"
            )
        if any(name != OUTPUT for name in request.output_filter):
            raise RequestError(
                f"the request asks for outputs {sorted(request.output_filter)}; "
                f"this model has {OUTPUT!r} alone"
            )
        features = to_array(request.inputs[INPUT], INPUT, INPUT_SHAPE)
        spec = _spec(model)
        spec.signature_name = SIGNATURE
        return serving.PredictResponse(
            model_spec=spec, outputs={OUTPUT: to_tensor(model.predict(features))}
        )

    def metadata(
        self, request: serving.GetModelMetadataRequest
    ) -> serving.GetModelMetadataResponse:
        """Say what the model takes and gives."""
        model = self._model(request.model_spec)
        if set(request.metadata_field) != {METADATA}:
            raise RequestError(
                f"the request asks for metadata {sorted(request.metadata_field)}; "
                f"expected {METADATA!r}, the one kind there is"
            )
        signature = serving.SignatureDef(
            inputs={INPUT: _info(INPUT, INPUT_SHAPE)},
            outputs={OUTPUT: _info(OUTPUT, OUTPUT_SHAPE)},
            method_name=PREDICT_METHOD,
        )
        signatures = serving.SignatureDefMap(signature_def={SIGNATURE: signature})
        packed = AnyMessage(type_url=_SIGNATURES_TYPE, value=signatures.SerializeToString())
        return serving.GetModelMetadataResponse(
            model_spec=_spec(model), metadata={METADATA: packed}
        )

    def status(self, request: serving.GetModelStatusRequest) -> serving.GetModelStatusResponse:
        """Say which versions are there: the one that is named, else all."""
        spec = request.model_spec
        asked = self._model(spec)
        named = spec.HasField("version") or spec.version_label
        versions = [asked.version] if named else sorted(self._models, reverse=True)
        return serving.GetModelStatusResponse(
            model_version_status=[
                serving.ModelVersionStatus(
                    version=version,
                    state=serving.ModelVersionStatus.STATE_AVAILABLE,
                    status=serving.Status(),
                )
                for version in versions
            ]
        )

    def _model(self, spec: serving.ModelSpec) -> ClaimsModel:
        """Return the model that a request names; refuse what is not here."""
        models = self._models
        newest = models[max(models)]
        here = f"this server has {newest.name!r} version {', '.join(map(str, sorted(models)))}"
        if spec.name != newest.name:
            raise UnknownModelError(f"model {spec.name!r} is not served; {here}")
        if spec.version_label and spec.version_label not in self._labels:
            known = f"labels {', '.join(sorted(self._labels))}" if self._labels else "no labels"
            raise UnknownModelError(
                f"version label {spec.version_label!r} is not known; {here}, which has {known}"
            )
        version = self._labels.get(spec.version_label, newest.version)
        if spec.HasField("version"):
            version = spec.version.value
        if version not in models:
            raise UnknownModelError(f"version {version} is not served; {here}")
        if spec.signature_name not in {"", SIGNATURE}:
            raise RequestError(
                f"signature {spec.signature_name!r} is not known; expected {SIGNATURE!r} or none"
            )
        return models[version]

    def _check_labels(self, models: Mapping[int, ClaimsModel]) -> None:
        for label, version in self._labels.items():
            if version not in models:
                raise ModelFolderError(
                    f"label {label!r} is of version {version}; expected one that is there: "
                    f"{', '.join(map(str, sorted(models)))}"
                )


def _spec(model: ClaimsModel) -> serving.ModelSpec:
    return serving.ModelSpec(name=model.name, version=Int64Value(value=model.version))


def _info(name: str, shape: tuple[int, ...]) -> serving.TensorInfo:
    """Describe one float tensor of the signature."""
    return serving.TensorInfo(
        name=f"{SIGNATURE}_{name}:0", dtype=serving.DATA_TYPE_FLOAT, tensor_shape=shape_of(shape)
    )
