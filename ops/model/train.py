"""Train the claims model and write it out, after `pip install -e .[train,loader,server]`.

    python ops/model/train.py

Generates claims, draws labels (labels.py), trains (network.py), verifies the quantised export
against the float one and writes ops/model/current/ with its card. The same seed gives the same
claims and labels; weights may differ in their last bits between machines.
"""

import argparse
import hashlib
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from card import write_card
from evaluation import THRESHOLD
from network import Network, export_litert, export_saved_model, predict_saved_model, train
from numpy.typing import NDArray
from training_claims import make_data

from server.claims_model import MODEL_FILE, open_model

NAME: Final = "claims"
BOUND: Final = 0.02
"""Largest allowed difference between the exports; nearer to the threshold decisions may differ."""
VECTORS: Final = 2000
VECTORS_FILE: Final = "validation_vectors.npz"
OUT: Final = Path(__file__).parent / "current"


@dataclass(frozen=True, slots=True)
class Export:
    """Both exports of a network, in a folder."""

    folder: Path
    saved_model: Path
    """Folder of the SavedModel: `saved_model/<version>`, as TensorFlow Serving wants it."""
    model: bytes
    """The LiteRT file."""


def main() -> None:
    """Train, verify, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=int, default=600_000, help="claims to generate")
    parser.add_argument("--seed", type=int, default=20251001)
    parser.add_argument("--version", type=int, default=1, help="version of the model")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    data = make_data(arguments.claims, arguments.seed)
    network = train(data.parts["train"], data.parts["validation"], arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        export = _export(network, Path(folder), arguments.version)
        validation, test = data.parts["validation"].features, data.parts["test"].features
        difference = _verify(export, np.concatenate([validation, test]))
        _write_vectors(export, validation[:VECTORS])
        probability = open_model(NAME, arguments.version, export.model).predict(test)
        write_card(
            export.folder,
            name=NAME,
            version=arguments.version,
            data=data,
            probability=probability,
            quantisation=difference,
            sha256=_hashes(export.folder),
        )
        shutil.rmtree(arguments.out, ignore_errors=True)
        shutil.copytree(export.folder, arguments.out)
    print(f"wrote {arguments.out}: largest difference of the exports {difference:.5f}")


def _export(network: Network, folder: Path, version: int) -> Export:
    """Write both exports of a network."""
    saved_model = folder / "saved_model" / str(version)
    export_saved_model(network, saved_model)
    model = export_litert(saved_model)
    (folder / MODEL_FILE).write_bytes(model)
    return Export(folder, saved_model, model)


def _verify(export: Export, features: NDArray[np.float32]) -> float:
    """Return the largest difference between the exports; stop where it is over the bound."""
    reference = predict_saved_model(export.saved_model, features)
    quantised = open_model(NAME, 0, export.model).predict(features)
    difference = float(np.abs(reference - quantised).max())
    clear = np.abs(reference - THRESHOLD) > BOUND
    same = ((reference >= THRESHOLD) == (quantised >= THRESHOLD))[clear].all()
    if difference > BOUND or not same:
        sys.exit(
            f"the int8 export differs by up to {difference:.4f} from the float one, or decides "
            f"differently; expected at most {BOUND} and the same decisions; nothing was written"
        )
    return difference


def _write_vectors(export: Export, features: NDArray[np.float32]) -> None:
    """Write validation claims with the float export's answers, for a test without TensorFlow."""
    probability = predict_saved_model(export.saved_model, features)
    np.savez_compressed(export.folder / VECTORS_FILE, features=features, probability=probability)


def _hashes(folder: Path) -> dict[str, str]:
    """Return the hash of each file that was written, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


if __name__ == "__main__":
    main()
