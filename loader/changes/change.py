"""One committed result, and its place in the order of commits."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, Self

_PLACE: Final = re.compile(r"(?:([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})|(\d{1,18}))(?:\+(\d{1,9}))?")


class PositionError(ValueError):
    """A text that names no place in the order of commits."""


class Position(NamedTuple):
    """How far somebody has read: so many results of one commit, and all of those before it."""

    commit: int
    """Number of the commit in its tenant's ledger, or its place in the server's log (LSN)."""
    taken: int = 0
    in_log: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `42`, `42+17`, `0/16B3748` or `0/16B3748+17`; without `+` the commit is read whole.

        Raises:
            PositionError: It is none of these.
        """
        found = _PLACE.fullmatch(text.strip())
        if found is None:
            raise PositionError(
                f"{text[:40]!r} is no position; expected the number of a commit (42), a place in "
                "the log (0/16B3748), or the position of a line that was read (42+17)"
            )
        high, low, number, taken = found.groups()
        commit = int(number) if number else int(high, 16) << 32 | int(low, 16)
        return cls(commit, int(taken) if taken else _WHOLE, number is None)

    def __str__(self) -> str:
        """Write it as `parse` reads it."""
        commit = lsn(self.commit) if self.in_log else str(self.commit)
        return commit if self.taken == _WHOLE else f"{commit}+{self.taken}"


_WHOLE: Final = 2**31 - 1
"""More than the results of any commit."""


def lsn(place: int) -> str:
    """Write a place in the log as Postgres does."""
    return f"{place >> 32:X}/{place & 0xFFFFFFFF:X}"


COLUMNS: Final = (
    *("tenant_id", "claim_id", "claim_version", "result_no", "service_from_date", "decision"),
    *("risk_category", "exposure_cents", "allowed_cents", "provenance_id", "batch_id"),
    "created_at",
)
"""What is told of a result; migration 0010 publishes these columns."""


@dataclass(frozen=True, slots=True)
class Change:
    """A result that was committed."""

    position: Position
    """Whoever has this one and all before it goes on from here."""
    values: dict[str, Any]
    """By the names in `COLUMNS`; dates and ids as text."""
    last: bool
    """No other result of its commit follows."""


class Source(Protocol):
    """Where committed results are read from."""

    def read(self, after: Position | None) -> AsyncIterator[Change]:
        """Yield what was committed after a position, all that is there now; from the first: None.

        Raises:
            PositionError: The position is one of another source.
        """

    async def confirm(self, position: Position) -> None:
        """Let go of all up to a position: its reader has it for good."""
