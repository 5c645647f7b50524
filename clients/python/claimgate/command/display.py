"""What a person sees while a command works and at its end; plain lines without a terminal."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from time import monotonic
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_PLAIN_EVERY_S: Final = 5.0
_PER_SECOND: Final = 8
_PIPED_COLUMNS: Final = 200
_BAR_COLUMNS: Final = 60


class Progress(AbstractContextManager["Progress"]):
    """Named counts that grow, with their rate; on standard error, so that results can be piped."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._console = Console(stderr=True)
        self._counts: dict[str, int] = {}
        self._totals: dict[str, int] = {}
        self._started = self._printed = monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Start to show."""
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=_PER_SECOND, transient=True)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop to show; what was reached stays to be read."""
        if self._live:
            self._live.stop()
        if self._counts:
            self._console.print(self._line(), highlight=False)

    def note(self, text: str) -> None:
        """Say one thing that was done."""
        self._console.print(text, highlight=False)

    def add(self, name: str, count: int, total: int | None = None) -> None:
        """Add to a count."""
        self._counts[name] = self._counts.get(name, 0) + count
        if total is not None:
            self._totals[name] = total
        if self._live:
            self._live.update(self._table())
        elif monotonic() - self._printed > _PLAIN_EVERY_S:
            self._printed = monotonic()
            self._console.print(self._line(), highlight=False)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        elapsed = max(monotonic() - self._started, 1e-3)
        for name, count in self._counts.items():
            total = self._totals.get(name)
            of = f"of {total:,}" if total else ""
            table.add_row(name, f"{count:,}", of, f"{count / elapsed:,.0f}/s")
        return table

    def _line(self) -> str:
        elapsed = monotonic() - self._started
        counts = " · ".join(f"{name} {count:,}" for name, count in self._counts.items())
        return f"{self._title}: {counts} ({elapsed:.1f} s)"


class Board(AbstractContextManager["Board"]):
    """How far something is that others do, drawn anew at each change, on standard output."""

    def __init__(self, console: Console | None = None) -> None:
        """Draw on a terminal; where there is none, nothing is drawn."""
        self._console = console or Console()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Start to draw."""
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; the last state stays to be read."""
        if self._live:
            self._live.stop()

    def draw(self, title: str, done: int, total: int, facts: Mapping[str, str], pace: str) -> bool:
        """Show a bar, facts and a last line; return whether there is a terminal to show them on."""
        if self._live is None:
            return False
        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column(justify="right")
        for name, value in facts.items():
            table.add_row(name, value)
        bar = ProgressBar(total=total, completed=done, width=_BAR_COLUMNS)
        self._live.update(Group(Text(title), bar, table, Text(pace)), refresh=True)
        return True


def show_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()
) -> None:
    """Print a table; the columns named by number are aligned to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2))
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else _PIPED_COLUMNS).print(table)


def show_facts(title: str, facts: Mapping[str, str]) -> None:
    """Print names and values, one a line."""
    show_table(title, ("", ""), facts.items(), right=(1,))


def show(text: str) -> None:
    """Print text as it is."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """Print text on standard error."""
    sys.stderr.write(text if text.endswith("\n") else text + "\n")
