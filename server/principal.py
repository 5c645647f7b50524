"""Who calls. The tenant of a call comes from here and from nowhere else."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import grpc

from server.address import is_loopback
from server.errors import UnauthenticatedError


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller that the service knows."""

    name: str
    tenant: str


DEVELOPMENT: Final = Principal(name="development", tenant="demo")
"""Every caller on this machine, until callers bring credentials."""


def identify(context: "grpc.aio.ServicerContext[Any, Any]") -> Principal:
    """Return the caller of a call, from the connection and never from the payload."""
    if is_loopback(_peer_host(context.peer())):
        return DEVELOPMENT
    raise UnauthenticatedError(
        "the caller is not known: only callers on the server's own machine are"
    )


def _peer_host(peer: str) -> str:
    """Return the host of a gRPC peer such as `ipv4:127.0.0.1:5000` or `ipv6:%5B::1%5D:5000`."""
    host = unquote(peer).partition(":")[2].rpartition(":")[0]
    return host.removeprefix("[").removesuffix("]")
