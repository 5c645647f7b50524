"""What the server asks of the engine, and the one thread that the engine runs on."""

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from engine.answers import Counts, Totals
from engine.gathered import Gathered
from engine.messages import Message

P = ParamSpec("P")
T = TypeVar("T")


class Answer(Protocol):
    """The answer to one message."""

    @property
    def content(self) -> bytes:
        """A `MessageResult` without its sequence, which is a `ScoreBatchResponse` as well."""

    @property
    def totals(self) -> Totals:
        """What it comes to."""


class Coverage(Protocol):
    """How much of a pass a rule judged."""

    @property
    def lines(self) -> int:
        """Lines that it could have judged."""

    @property
    def evaluated(self) -> int:
        """Lines that it did judge."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A pass with its answers."""

    answers: Sequence[Answer]
    counts: Counts
    """What the answers say, counted."""
    coverage: Mapping[str, Coverage] = field(default_factory=dict)
    """By rule id; PRICE stands for the price."""
    tenant_fee_lines: int = 0
    """Lines that have their price from the tenant's own fee schedule."""


class Violation(Protocol):
    """One structural fault of a claim."""

    @property
    def field(self) -> str:
        """Path of the field."""

    @property
    def code(self) -> str:
        """Stable code of the check."""

    @property
    def message(self) -> str:
        """What was wrong, what was expected."""


class Scorer(Protocol):
    """The engine as a pass sees it: plain functions over all messages of the pass."""

    def read(self, messages: Sequence[Message], /) -> Any:
        """Turn messages, all of one form, into columns.

        `features.values` of them is what the model is asked with.
        """

    def score(self, read: Any, gathered: Gathered, views: Sequence[int], /) -> Judged:
        """Answer each message."""

    def validate(self, messages: Sequence[Message], /) -> Sequence[Sequence[Sequence[Violation]]]:
        """Return the faults of each claim of each message."""


_NICENESS: Final = 5


def _give_way() -> None:
    """Let whoever reads and answers calls go before this thread, where they compete for a core."""
    if sys.platform == "linux":  # elsewhere the number of a thread is not that of a process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


CurrentScorer = Callable[[str], Awaitable[Scorer]]
"""The engine in use: asked once for each pass, because another may take its place meanwhile."""


class EngineThread:
    """Runs the engine's work one job after the other, away from the event loop."""

    def __init__(self, observe: Callable[[str, float], None]) -> None:
        self._observe = observe
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="engine", initializer=_give_way)
        self._jobs = 0
        self.when_idle: Callable[[], None] = lambda: None

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits to run."""
        return not self._jobs

    async def run(self, stage: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one stage of a pass; its duration, without the wait before it, is observed."""
        self._jobs += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._executor, lambda: self._timed(stage, lambda: work(*args, **kwargs))
            )
        finally:
            self._jobs -= 1
            if self.idle:
                self.when_idle()

    def close(self) -> None:
        """Let the running job end and start no other."""
        self._executor.shutdown(cancel_futures=True)

    def _timed(self, stage: str, work: Callable[[], T]) -> T:
        started = perf_counter()
        try:
            return work()
        finally:
            self._observe(stage, perf_counter() - started)
