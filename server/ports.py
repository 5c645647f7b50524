"""A port that stays ours while the processes that listen on it come and go."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from server.address import Address


@contextmanager
def held_port(address: Address) -> Iterator[str]:
    """Hold the port without listening, for others to share; yields its address, port 0 resolved."""
    with socket.socket(address.family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            held.bind(address)
        except OSError as error:
            raise OSError(
                f"cannot listen on {address.with_port(address.port)}: {error.strerror}; choose "
                "another address with --listen or CLAIMGATE_LISTEN, or end the process that has it"
            ) from error
        yield address.with_port(held.getsockname()[1])
