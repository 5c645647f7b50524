"""Where the files are that travel with the code: migrations, samples, the model."""

from pathlib import Path
from typing import Final

_IN_WHEEL: Final = Path(__file__).parent / "resources"
_CHECKOUT: Final = Path(__file__).parents[3]
_IN_CHECKOUT: Final = {
    "claims-sample": _CHECKOUT / "ops" / "claims-sample",
    "fees-sample": _CHECKOUT / "ops" / "fees-sample",
    "migrations": _CHECKOUT / "migrations",
    "model": _CHECKOUT / "ops" / "model" / "current",
    "reference-sample": _CHECKOUT / "ops" / "reference-sample",
}


def find(name: str) -> Path:
    """Return the folder of that name, from the installed wheel or else from the checkout."""
    for folder in (_IN_WHEEL / name, _IN_CHECKOUT[name]):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"the folder {name!r} is neither in the installed package nor in a checkout; "
        "reinstall claimgate, or run from a clone of the project"
    )
