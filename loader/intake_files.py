"""Files of claims into the staging database, with everything that could not be read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import asyncpg

from loader.intake import IntakeClaim, IntakeError, IntakeProblem, read_claims
from loader.link import connect
from loader.settings import StagingSettings
from loader.source import Staged, Submitted, record_problems, stage_claims

_SHOWN_PROBLEMS_MAX: Final = 20
_KEPT_AT_ONCE: Final = 1_000


@dataclass(slots=True)
class Taken:
    """What became of one file."""

    file: str
    staged: int = 0
    already_staged: int = 0
    errors: int = 0
    warnings: int = 0
    first_problems: list[IntakeProblem] = field(default_factory=list)
    held_back: dict[str, int] = field(default_factory=dict)
    """Claims that a shard did not take, by why; the file can be taken in again."""

    def facts(self) -> dict[str, Any]:
        """Return the counts as plain values."""
        facts: dict[str, Any] = {
            "file": self.file,
            "claims": self.staged + self.already_staged,
            "staged": self.staged,
            "already_staged": self.already_staged,
            "errors": self.errors,
            "warnings": self.warnings,
        }
        return facts | ({"held_back": self.held_back} if self.held_back else {})


async def take_in(
    settings: StagingSettings, files: Sequence[Path], *, ingest_date: date
) -> list[Taken]:
    """Read each file into staging, claim by claim in bounded memory; return what became of each.

    Raises:
        OSError: The staging database cannot be reached.
        VaultError: There is no usable key for patient data.
    """
    vault = settings.vault()
    connection = await connect(settings.staging_url, "CLAIMGATE_STAGING_URL")
    try:
        taken = []
        for path in files:
            reading = Reading(path, ingest_date)
            staged = await stage_claims(
                connection,
                vault,
                settings.tenant,
                reading.claims(),
                source_file=path.name,
                high_value_cents=settings.high_value_cents,
            )
            await keep(connection, settings.tenant, path.name, reading.problems)
            taken.append(reading.taken(staged))
        return taken
    finally:
        await connection.close()


async def keep(
    connection: asyncpg.Connection, tenant: str, file: str, problems: list[IntakeProblem]
) -> None:
    """Keep what could not be read of a file."""
    for first in range(0, len(problems), _KEPT_AT_ONCE):
        part = problems[first : first + _KEPT_AT_ONCE]
        await record_problems(connection, tenant, part, source_file=file)


class Reading:
    """One file being read: its claims go on, its problems stay here."""

    def __init__(self, path: Path, ingest_date: date) -> None:
        """Name the file; it is opened when its claims are asked for."""
        self.problems: list[IntakeProblem] = []
        self._path = path
        self._ingest_date = ingest_date

    def claims(self) -> Iterator[Submitted]:
        """Yield the claims that can be read."""
        try:
            for item in read_claims(self._path, ingest_date=self._ingest_date):
                if isinstance(item, IntakeClaim):
                    yield Submitted(item.claim, item.segment)
                else:
                    self.problems.append(item)
        except (IntakeError, OSError) as error:
            self.problems.append(IntakeProblem(0, "error", "file", _reason(error)))

    def taken(self, staged: Staged) -> Taken:
        """Return what became of the file."""
        errors = sum(problem.level == "error" for problem in self.problems)
        return Taken(
            str(self._path),
            staged.staged,
            staged.already_staged,
            errors,
            len(self.problems) - errors,
            self.problems[:_SHOWN_PROBLEMS_MAX],
        )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    return str(error)
