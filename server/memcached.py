"""memcached as a cache that may be out: a fault is a miss, and costs no more than its time-out."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from time import monotonic, perf_counter
from typing import Final, TypeVar

import aiomcache
import structlog
from aiomcache.exceptions import ClientException
from aiomcache.pool import Connection

from server.address import split_address
from server.fee_metrics import FeeMetrics
from server.ring import Ring

T = TypeVar("T")

_LOG: Final = structlog.get_logger("server.memcached")
_OUT_S: Final = 5.0
"""How long a node that failed is left alone."""
_EXPIRE_S: Final = 86_400
_VALUE_BYTES_MAX: Final = 1_000_000
"""A little less than memcached takes by default."""
_FAULTS: Final = (OSError, EOFError, TimeoutError, ClientException, ValueError, LookupError)
"""What the library raises when the other side is out, or says what memcached never says."""


class Client(aiomcache.Client):
    """One connection of the library, with an end to what the library waits for without one."""

    async def _execute_simple_command(self, conn: Connection, raw_command: bytes) -> bytes:
        """Send a command and return its line; the library's own spins once the peer has closed."""
        conn.writer.write(raw_command)
        await conn.writer.drain()
        line = await conn.reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the node closed the connection")
        return line[:-2]


class Node:
    """One memcached. Every call has a time-out; none of its faults is raised.

    A connection on which a call did not come to its end is closed. The library would use it again,
    and each later call would get the answer of the one before.
    """

    def __init__(self, address: str, timeout_s: float, metrics: FeeMetrics) -> None:
        self.address = address
        self._host, self._port = split_address(address)
        self._timeout_s = timeout_s
        self._metrics = metrics
        self._idle: list[Client] = []
        self._out_until = 0.0

    async def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Return what the node holds of these keys, in one call."""

        async def ask(client: Client) -> Mapping[bytes, bytes]:
            values = await client.multi_get(*keys)
            found = zip(keys, values, strict=True)
            return {key: value for key, value in found if value is not None}

        return await self._call("get", ask) or {}

    async def set(self, values: Mapping[bytes, bytes]) -> None:
        """Have the node hold these values, as far as it takes them."""
        for key, value in values.items():
            if len(value) > _VALUE_BYTES_MAX:
                continue
            if await self._call("set", _setting(key, value)) is None:
                return

    async def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            await self._idle.pop().close()

    async def _call(self, operation: str, do: Callable[[Client], Awaitable[T]]) -> T | None:
        """Return what a call came to; None where the node is out, or has just been."""
        if monotonic() < self._out_until:
            return None
        client = self._idle.pop() if self._idle else self._client()
        ended = False
        started = perf_counter()
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await do(client)
            ended = True
        except _FAULTS as error:
            self._leave_alone(error)
            return None
        finally:
            # Also where the caller was cancelled.
            if ended:
                self._idle.append(client)
            else:
                await client.close()
        self._metrics.memcached_seconds.labels(operation).observe(perf_counter() - started)
        return answer

    def _client(self) -> Client:
        return Client(self._host, self._port, pool_size=1)

    def _leave_alone(self, error: Exception) -> None:
        kind = "timeout" if isinstance(error, TimeoutError) else type(error).__name__
        self._out_until = monotonic() + _OUT_S
        self._metrics.memcached_errors.labels(self.address).inc()
        _LOG.warning("memcached_out", node=self.address, error_type=kind)


def _setting(key: bytes, value: bytes) -> Callable[[Client], Awaitable[bool]]:
    async def ask(client: Client) -> bool:
        return await client.set(key, value, exptime=_EXPIRE_S)

    return ask


class Memcached:
    """Several nodes, each with its share of the keys.

    The share of a node that is out has no other home: it is missed until the node is back.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = {node.address: node for node in nodes}
        self._ring = Ring.of(list(self._nodes))

    @classmethod
    def at(cls, addresses: Sequence[str], timeout_s: float, metrics: FeeMetrics) -> "Memcached":
        """Return the nodes at these addresses; nothing is connected yet."""
        return cls([Node(address, timeout_s, metrics) for address in addresses])

    async def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return what is held of these keys, with one call to each node."""
        shares: dict[str, list[bytes]] = {}
        for key in keys:
            shares.setdefault(self._ring.node(key), []).append(key)
        found = await asyncio.gather(
            *(self._nodes[node].get(share) for node, share in shares.items())
        )
        return {key: value for each in found for key, value in each.items()}

    async def set(self, values: Mapping[bytes, bytes]) -> None:
        """Have values held, each by its node."""
        shares: dict[str, dict[bytes, bytes]] = {}
        for key, value in values.items():
            shares.setdefault(self._ring.node(key), {})[key] = value
        await asyncio.gather(*(self._nodes[node].set(share) for node, share in shares.items()))

    async def close(self) -> None:
        """Close the connections."""
        for node in self._nodes.values():
            await node.close()
