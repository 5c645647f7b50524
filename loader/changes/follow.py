"""Reading on and on: changes in portions, each handed over before the next is read."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from loader.changes.change import Change, Position, Source

_AT_ONCE: Final = 1_000


async def tell(
    source: Source,
    after: Position | None,
    hand_over: Callable[[list[Change]], None],
    *,
    durable: bool,
    poll_s: float | None,
) -> Position | None:
    """Hand over what was committed after a position; return how far that is.

    Args:
        source: Where it is read from.
        after: What the receiver has; None: nothing.
        hand_over: Takes the next changes; where it raises, they count as not taken.
        durable: The receiver has for good what it took: the source may forget it. Else only what
            it had from the start.
        poll_s: Look again after so many seconds, for ever; None: end where there is no more.
    """
    start = after
    while True:
        async for some in _portions(source, after):
            hand_over(some)
            after = some[-1].position
        settled = after if durable else start
        if settled is not None:
            await source.confirm(settled)
        if poll_s is None:
            return after
        await asyncio.sleep(poll_s)


async def _portions(source: Source, after: Position | None) -> AsyncIterator[list[Change]]:
    """Yield changes some at a time; those of a commit that ends go out at once."""
    some: list[Change] = []
    async for change in source.read(after):
        some.append(change)
        if len(some) >= _AT_ONCE or change.last:
            yield some
            some = []
    if some:
        yield some
