"""HOST:PORT as two values."""

import socket
from ipaddress import ip_address
from typing import NamedTuple


class Address(NamedTuple):
    """A host and a port; port 0 means any free one."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)

    @property
    def family(self) -> socket.AddressFamily:
        """The address family to open a socket of."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def with_port(self, port: int) -> str:
        """Return HOST:PORT with another port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{port}"


def split_address(text: str) -> Address:
    """Split HOST:PORT; an IPv6 host stands in brackets."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 1 << 16):
        raise ValueError(f"address is {text!r}: expected HOST:PORT, such as 127.0.0.1:50051")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def split_list(text: str) -> list[str]:
    """Split addresses at their commas."""
    return [each.strip() for each in text.split(",")]


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine alone; no name but localhost is trusted to be."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
