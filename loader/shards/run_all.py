"""A loader for each shard, side by side: each a process of its own, so that none stops another."""

import asyncio
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final, Protocol

from loader.link import unreachable
from loader.progress import Event, LeasingStopped, Summary
from loader.run import run
from loader.settings import LoaderSettings

ShardProgress = Callable[[str, Event], None]
"""Told of a shard's events, with its name."""

_SPAWN: Final = multiprocessing.get_context("spawn")  # grpc does not bear a fork


class LoadsShard(Protocol):
    """What runs in a process for one shard; it tells its events."""

    def __call__(self, settings: LoaderSettings, tell: Callable[[Event], None], /) -> Summary:
        """Load until nothing is pending."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one shard's loader."""

    shard: str
    summary: Summary | None = None
    failure: str = ""
    """Why it ended without a summary; the claims it held stay pending."""
    moving: str = ""
    """Why claims were left pending although it did not fail."""


@dataclass(frozen=True, slots=True)
class _Failed:
    why: str


def load_one(settings: LoaderSettings, tell: Callable[[Event], None], /) -> Summary:
    """Load one shard."""
    return asyncio.run(run(settings, tell))


def run_all(
    loaders: Sequence[tuple[str, LoaderSettings]],
    progress: ShardProgress,
    *,
    load: LoadsShard = load_one,
) -> list[Outcome]:
    """Run a loader for each shard, all at once; return what became of each, in their order.

    Args:
        loaders: Name and settings of each shard.
        progress: Told what happens, while it happens.
        load: What runs in each process.
    """
    running = [_Running(name, settings, load) for name, settings in loaders]
    try:
        open_ones = {each.events: each for each in running}
        while open_ones:
            for events in wait(list(open_ones)):
                shard = open_ones[events]  # type: ignore[index]
                if not shard.take(progress):
                    del open_ones[events]  # type: ignore[arg-type]
        return [each.outcome() for each in running]
    finally:
        for each in running:
            each.events.close()  # one that still runs gives back what it holds, and ends
        for each in running:
            each.process.join()


class _Running:
    """The loader of one shard, in its process."""

    def __init__(self, name: str, settings: LoaderSettings, load: LoadsShard) -> None:
        self.name = name
        self.events, theirs = _SPAWN.Pipe(duplex=False)
        # Settings go through a pipe: URLs stand in no list of processes.
        self.process: BaseProcess = _SPAWN.Process(
            target=_in_process, args=(name, settings, load, theirs), name=f"load-{name}"
        )
        self.process.start()
        theirs.close()
        self._said: Summary | _Failed | None = None
        self._moving = ""

    def take(self, progress: ShardProgress) -> bool:
        """Take one thing that the process says; False when it says no more."""
        try:
            said = self.events.recv()
        except EOFError:
            return False
        if isinstance(said, Summary | _Failed):
            self._said = said
            return True
        if isinstance(said, LeasingStopped):
            self._moving = said.why
        progress(self.name, said)
        return True

    def outcome(self) -> Outcome:
        """Return what became of it, once it has said everything."""
        self.process.join()
        if isinstance(self._said, Summary):
            return Outcome(self.name, self._said, moving=self._moving)
        why = self._said.why if self._said else f"its process ended ({self.process.exitcode})"
        return Outcome(self.name, failure=why)


def _in_process(name: str, settings: LoaderSettings, load: LoadsShard, events: Connection) -> None:
    """Run in the process of one shard; its last word is a summary, or why there is none."""
    try:
        events.send(load(settings, events.send))
    except (KeyboardInterrupt, BrokenPipeError):
        raise SystemExit(1) from None  # nobody listens any more
    except OSError as error:
        lost = error if error.filename is not None else unreachable(f"shard {name}", error)
        events.send(_Failed(str(lost)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other shards go on
        events.send(_Failed(str(error) or type(error).__name__))


def in_all(summaries: Iterable[Summary]) -> Summary:
    """Return the sum of what loaders did side by side; the time is that of the longest."""
    every = list(summaries)
    return Summary(
        claims_in=sum(each.claims_in for each in every),
        scored=sum(each.scored for each in every),
        loaded=sum(each.loaded for each in every),
        already_loaded=sum(each.already_loaded for each in every),
        failed=sum(each.failed for each in every),
        tests=sum(each.tests for each in every),
        decisions=_sum(each.decisions for each in every),
        charged_cents=sum(each.charged_cents for each in every),
        exposure_cents=sum(each.exposure_cents for each in every),
        rules=_sum(each.rules for each in every),
        failures=_sum(each.failures for each in every),
        rows=sum(each.rows for each in every),
        seconds=max((each.seconds for each in every), default=0.0),
    )


def _sum(counts: Iterable[object]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)  # type: ignore[call-overload]
    return dict(total.most_common())
