"""Load on a service: streams that send as fast as they are answered, and calls at a given rate.

Latency is counted from the moment that a call should have been sent (an open model): a service that
stands still is not excused because its callers stood still with it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, process_time
from typing import Any, Final

import grpc
import numpy as np
from claimgate.client import Client
from claimgate.v1 import score_pb2
from claimgate.v1.scoring_service_pb2 import ScoreBatchRequest

CONNECTIONS: Final = 8
"""More than workers: the system spreads connections over processes by hash, not evenly."""
WINDOW: Final = 8

_SCORE_BATCH: Final = "/claimgate.v1.ScoringService/ScoreBatch"
_DEADLINE_S: Final = 30.0


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
        # One iterator for all: whoever has room takes the next message, so that a worker that got
        # few of the connections is not waited for.
        left = _repeated(wire, ends_at)
        answered = await asyncio.gather(
            *(_drain(client, left, window, options) for client in clients)
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
    """From when a call was sent to RESOURCE_EXHAUSTED: how soon a caller learns it, seconds."""
    late_s: list[float] = field(default_factory=list)
    """How late the caller itself was: a machine that is too busy for it shows here."""
    failed: dict[str, int] = field(default_factory=dict)
    """Calls that ended otherwise, by status."""
    seconds: float = 0.0
    client_cpu_s: float = 0.0


async def call_at(
    address: str,
    batches: Sequence[score_pb2.ClaimBatch],
    *,
    rate: float,
    seconds: float,
    connections: int = CONNECTIONS,
) -> Calls:
    """Make `ScoreBatch` calls at a steady rate, whatever becomes of them.

    Requests are made before and answers are not parsed: on a machine that is busy, a caller that
    needs little of it measures the service and not itself.

    Args:
        address: HOST:PORT of the service.
        batches: What is sent, one after the other, over and over.
        rate: Calls a second.
        seconds: For how long.
        connections: Connections that take turns.
    """
    calls = Calls()
    wire = [ScoreBatchRequest(batch=batch).SerializeToString() for batch in batches]
    async with AsyncExitStack() as stack:
        methods: list[Any] = [
            (await stack.enter_async_context(_channel(address))).unary_unary(_SCORE_BATCH)
            for _ in range(connections)
        ]
        started, cpu = perf_counter(), process_time()
        async with asyncio.TaskGroup() as tasks:
            for number in range(round(rate * seconds)):
                due = started + number / rate
                await asyncio.sleep(max(0.0, due - perf_counter()))
                method = methods[number % connections]
                tasks.create_task(_call(method, wire[number % len(wire)], due, calls))
        calls.seconds, calls.client_cpu_s = perf_counter() - started, process_time() - cpu
    return calls


async def call_in_turn(
    address: str, batches: Sequence[score_pb2.ClaimBatch], *, seconds: float, callers: int
) -> float:
    """Return calls a second of callers that wait for each answer: what the service can do.

    Args:
        address: HOST:PORT of the service.
        batches: What is sent, one after the other, over and over.
        seconds: For how long.
        callers: How many, with a connection each.
    """
    wire = [ScoreBatchRequest(batch=batch).SerializeToString() for batch in batches]
    started = perf_counter()

    async def caller(number: int) -> int:
        answered = 0
        async with _channel(address) as channel:
            method: Any = channel.unary_unary(_SCORE_BATCH)
            while perf_counter() < started + seconds:
                await method(wire[(number + answered) % len(wire)], timeout=_DEADLINE_S)
                answered += 1
        return answered

    answered = await asyncio.gather(*map(caller, range(callers)))
    return sum(answered) / (perf_counter() - started)


def _channel(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", 64 * 1024 * 1024),
        ],
    )


async def _call(method: Any, request: bytes, due: float, calls: Calls) -> None:
    sent = perf_counter()
    calls.late_s.append(sent - due)
    try:
        await method(request, timeout=_DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
            calls.refused_s.append(perf_counter() - sent)
        else:
            calls.failed[error.code().name] = calls.failed.get(error.code().name, 0) + 1
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


async def alternating(
    runs: int, measured: Sequence[Callable[[], Awaitable[Streamed]]]
) -> list[list[float]]:
    """Return claims a second of several loads in `runs` runs of each, taken in turn.

    One run of each goes before, which only warms up.
    """
    rates: list[list[float]] = [[] for _ in measured]
    for run in range(runs + 1):
        for found, load in zip(rates, measured, strict=True):
            streamed = await load()
            if run:
                found.append(streamed.claims_per_s)
    return rates


def middle(values: Sequence[float], digits: int = 0) -> float:
    """Return the median, rounded."""
    return round(median(values), digits) if digits else round(median(values))
