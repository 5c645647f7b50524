"""ClaimGate's Python client: `from claimgate import Client`.

Importing this package, or `claimgate.v1`, loads no gRPC: the names below are looked up on first use
(PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claimgate.client import CallError, Client

__version__ = "0.1.0"
__all__ = ["CallError", "Client", "__version__"]


def __getattr__(name: str) -> Any:
    """Load the client when somebody asks for it."""
    if name in {"CallError", "Client"}:
        return getattr(import_module("claimgate.client"), name)
    raise AttributeError(f"module 'claimgate' has no attribute {name!r}")
