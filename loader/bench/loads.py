"""Load on a service: streams that send as fast as they are answered, and calls at a given rate.

Latency is counted from the moment that a call should have been sent (an open model): a service that
stands still is not excused because its callers stood still with it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, process_time
from typing import Any, Final, Self

import numpy as np
from claimgate.client import CallError, Client
from claimgate.v1 import score_pb2

CONNECTIONS: Final = 8
"""More than workers: the system spreads connections over processes by hash, not evenly."""
WINDOW: Final = 4


@dataclass(frozen=True, slots=True)
class Streamed:
    """What streams came to."""

    claims: int
    seconds: float
    client_cpu_s: float

    @property
    def claims_per_s(self) -> float:
        """Claims answered a second."""
        return self.claims / self.seconds


async def stream(
    address: str,
    wire: Sequence[bytes],
    message_claims: int,
    *,
    seconds: float | None = None,
    connections: int = CONNECTIONS,
    window: int = WINDOW,
    **options: Any,
) -> Streamed:
    """Send messages over several connections at once, as fast as they are answered.

    Args:
        address: HOST:PORT of the service.
        wire: Serialized `ScoreClaimsRequest` messages; each is sent once, or over and over.
        message_claims: Claims in each.
        seconds: For how long the messages are repeated; left out, each goes once.
        connections: Clients, with a stream each.
        window: Most unanswered messages of a stream.
        options: More arguments of `Client.score`.

    Raises:
        RuntimeError: A message was not answered.
    """
    ends_at = None if seconds is None else perf_counter() + seconds
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(address)) for _ in range(connections)]
        started, cpu = perf_counter(), process_time()
        answered = await asyncio.gather(
            *(
                _drain(client, _repeated(wire[n::connections], ends_at), window, options)
                for n, client in enumerate(clients)
            )
        )
        spent = Streamed(
            sum(answered) * message_claims, perf_counter() - started, process_time() - cpu
        )
    if seconds is None and sum(answered) != len(wire):
        raise RuntimeError(f"{len(wire)} messages sent, {sum(answered)} answered; see the log")
    return spent


def _repeated(wire: Sequence[bytes], ends_at: float | None) -> Any:
    while True:
        for message in wire:
            if ends_at is not None and perf_counter() >= ends_at:
                return
            yield message
        if ends_at is None:
            return


async def _drain(client: Client, wire: Any, window: int, options: dict[str, Any]) -> int:
    count = 0
    async for _ in client.score(wire, window=window, **options):
        count += 1
    return count


@dataclass(slots=True)
class Calls:
    """Calls that were made at a given rate, and what became of them."""

    answered_s: list[float] = field(default_factory=list)
    """From when a call should have been sent to its answer, seconds."""
    refused_s: list[float] = field(default_factory=list)
    """The same, to RESOURCE_EXHAUSTED."""
    failed: dict[str, int] = field(default_factory=dict)
    """Calls that ended otherwise, by status."""
    seconds: float = 0.0
    client_cpu_s: float = 0.0

    def joined(self, other: Self) -> None:
        """Add the calls of another."""
        self.answered_s += other.answered_s
        self.refused_s += other.refused_s
        for code, count in other.failed.items():
            self.failed[code] = self.failed.get(code, 0) + count


async def call_at(
    address: str,
    batches: Sequence[score_pb2.ClaimBatch],
    *,
    rate: float,
    seconds: float,
    connections: int = CONNECTIONS,
) -> Calls:
    """Make `ScoreBatch` calls at a steady rate, whatever becomes of them.

    Args:
        address: HOST:PORT of the service.
        batches: What is sent, one after the other, over and over.
        rate: Calls a second.
        seconds: For how long.
        connections: Clients that take turns.
    """
    calls = Calls()
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(address)) for _ in range(connections)]
        started, cpu = perf_counter(), process_time()
        async with asyncio.TaskGroup() as tasks:
            for number in range(round(rate * seconds)):
                due = started + number / rate
                await asyncio.sleep(max(0.0, due - perf_counter()))
                client = clients[number % connections]
                tasks.create_task(_call(client, batches[number % len(batches)], due, calls))
        calls.seconds, calls.client_cpu_s = perf_counter() - started, process_time() - cpu
    return calls


async def _call(client: Client, batch: score_pb2.ClaimBatch, due: float, calls: Calls) -> None:
    try:
        await client.score_batch(batch)
    except CallError as error:
        if error.code.name == "RESOURCE_EXHAUSTED":
            calls.refused_s.append(perf_counter() - due)
        else:
            calls.failed[error.code.name] = calls.failed.get(error.code.name, 0) + 1
    else:
        calls.answered_s.append(perf_counter() - due)


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p99, p99.9 and the largest, milliseconds; empty where there is nothing."""
    if not seconds:
        return {}
    p50, p99, p999 = np.percentile(seconds, (50, 99, 99.9)) * 1000
    return {
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
        "p99.9_ms": round(float(p999), 2),
        "max_ms": round(max(seconds) * 1000, 2),
    }


def middle(values: Sequence[float], digits: int = 0) -> float:
    """Return the median, rounded."""
    return round(median(values), digits) if digits else round(median(values))
