"""Where the reader stands in the file, and what has come out so far."""

from collections.abc import Callable, Mapping

from loader.intake.item import Code, IntakeItem, IntakeProblem, Level
from loader.intake.values import Composites

Handler = Callable[[list[str]], None]
Steps = Mapping[str, tuple[Handler, int]]
"""Segment id to what it does here, and how many elements (with the id) that expects at least."""


def ignore(_: list[str]) -> None:
    """Pass over a segment that belongs here and that no rule or price needs."""


def ignored(*names: str) -> Steps:
    """Return steps that pass over segments."""
    return dict.fromkeys(names, (ignore, 0))


class Cursor:
    """The number of the current segment, the steps that hold at it, and the items to hand out."""

    __slots__ = ("composites", "number", "out", "steps")

    def __init__(self) -> None:
        """Start before the first segment."""
        self.number = 0
        self.steps: Steps = {}
        self.composites = Composites(":")
        self.out: list[IntakeItem] = []

    def report(self, level: Level, code: Code, message: str, segment: int = 0) -> None:
        """Hand out a problem of no single claim, at the current segment unless another is named."""
        self.out.append(IntakeProblem(segment or self.number, level, code, message))
