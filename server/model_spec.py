"""Which model a question is for: a name, and a version or a label of it."""

import re
from dataclasses import dataclass
from typing import Final, Self

from claimgate.serving.v1 import serving_pb2 as serving
from google.protobuf.wrappers_pb2 import Int64Value

_WRITTEN: Final = re.compile(
    r"(?P<name>[\w.-]+)(?:/(?P<version>\d{1,18})|@(?P<label>[\w.-]+))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model by its name; without version and label the newest one that is served."""

    name: str
    version: int | None = None
    label: str = ""

    def __str__(self) -> str:
        """Write it as the settings do."""
        if self.version is not None:
            return f"{self.name}/{self.version}"
        return f"{self.name}@{self.label}" if self.label else self.name

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read NAME, NAME/VERSION or NAME@LABEL; anything else is a ValueError."""
        found = _WRITTEN.fullmatch(text)
        if not found:
            raise ValueError(
                f"model is {text!r}: expected NAME, NAME/VERSION or NAME@LABEL, such as claims/2"
            )
        version = found["version"]
        return cls(found["name"], int(version) if version else None, found["label"] or "")

    def at(self, version: int) -> "ModelChoice":
        """Return the choice of one version of this model."""
        return ModelChoice(self.name, version)

    def message(self, signature: str = "") -> serving.ModelSpec:
        """Return the choice as a request names it."""
        spec = serving.ModelSpec(name=self.name, signature_name=signature, version_label=self.label)
        if self.version is not None:
            spec.version.CopyFrom(Int64Value(value=self.version))
        return spec
