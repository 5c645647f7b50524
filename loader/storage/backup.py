"""The production database as a backup that can be proved: dumped, verified, restored.

A dump is of one moment, and so is what its manifest says: rows and hashes of every table, owners,
policies, grants and roles. A physical backup is a copy of the whole server.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self

import asyncpg
from pydantic import BaseModel, ConfigDict, ValidationError

from loader.link import connect
from loader.storage.contents import Contents, contents
from loader.storage.manifest import FILE, ManifestError, sha256_of
from loader.storage.owner import BACKUP_SETTING, StorageError
from loader.storage.postgres_tools import Tools, environment, find_tools
from loader.storage.server_copy import MANIFEST, check_copy

_DUMP: Final = "dump"
_BASE: Final = "base"


class BackupManifest(BaseModel):
    """What a backup holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    kind: Literal["dump", "physical"]
    taken_at: datetime
    postgres_major: int
    files: dict[str, str]
    """SHA-256 of every file, by its path; of a physical backup, of its own manifest."""
    contents: Contents | None
    """None for a physical backup."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a backup.

        Raises:
            ManifestError: There is none, or it cannot be read.
        """
        try:
            return cls.model_validate_json((folder / FILE).read_bytes())
        except FileNotFoundError:
            raise ManifestError(f"{folder} has no {FILE}; name the folder of a backup") from None
        except ValidationError:
            raise ManifestError(f"{folder / FILE} cannot be read; use another copy") from None

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.contents.tables) if self.contents else 0


@dataclass(frozen=True, slots=True)
class _Server:
    connection: asyncpg.Connection
    major: int


# Who moves months holds it alone: a dump and he would wait for each other.
_TRY_BESIDE: Final = "SELECT pg_try_advisory_lock_shared(hashtextextended('claimgate.storage', 0))"


@asynccontextmanager
async def _session(url: str, setting: str) -> AsyncIterator[_Server]:
    """Connect as a role that sees every row."""
    connection = await connect(url, setting)
    try:
        [role] = await connection.fetch(
            "SELECT rolname, rolsuper OR rolbypassrls AS sees FROM pg_roles "
            "WHERE rolname = current_user"
        )
        if not role["sees"]:
            raise StorageError(
                f"role {role['rolname']} does not see every row; take a superuser, or "
                "CREATE ROLE claimgate_backup LOGIN BYPASSRLS IN ROLE pg_read_all_data"
            )
        if not await connection.fetchval(_TRY_BESIDE):
            raise StorageError("months are being moved by `claimgate storage`; wait for it")
        yield _Server(connection, connection.get_server_version().major)
    finally:
        await connection.close()


async def tools_for(url: str, binaries: Path | None = None) -> Tools:
    """Return the programs that the database of a URL would be backed up with.

    Raises:
        StorageError: The role does not see every row, or a program is missing.
    """
    async with _session(url, BACKUP_SETTING) as server:
        return find_tools(server.major, binaries)


async def back_up(
    url: str, folder: Path, *, binaries: Path | None = None, jobs: int = 1
) -> BackupManifest:
    """Dump the database of a URL into a new folder; loads go on meanwhile.

    Raises:
        StorageError: The role does not see every row, a program is missing or failed, or the folder
            is there.
    """
    async with _session(url, BACKUP_SETTING) as server:
        tools = find_tools(server.major, binaries)
        written = _new(folder)
        async with server.connection.transaction(isolation="repeatable_read", readonly=True):
            snapshot = await server.connection.fetchval("SELECT pg_export_snapshot()")
            taken_at = datetime.now(UTC)
            found = await contents(server.connection)
            await tools.run(
                "pg_dump", "--format=directory", f"--file={written / _DUMP}", f"--jobs={jobs}",
                f"--snapshot={snapshot}", "--compress=1", "--no-password", url=url,
            )  # fmt: skip
    return _finish(folder, written, BackupManifest(
        kind="dump", taken_at=taken_at, postgres_major=server.major,
        files=_hashes(written), contents=found,
    ))  # fmt: skip


async def back_up_server(url: str, folder: Path, *, binaries: Path | None = None) -> BackupManifest:
    """Copy the whole server of a URL into a new folder, with the log that makes it consistent.

    Raises:
        StorageError: The role may not, a program is missing or failed, or the folder is there.
    """
    async with _session(url, BACKUP_SETTING) as server:
        tools = find_tools(server.major, binaries)
    written = _new(folder)
    taken_at = datetime.now(UTC)
    base = written / _BASE
    await tools.run(
        "pg_basebackup", f"--pgdata={base}", "--format=plain", "--wal-method=stream",
        "--checkpoint=fast", "--manifest-checksums=SHA256", "--no-password", url=url,
    )  # fmt: skip
    await check_copy(base, tools)
    own = f"{_BASE}/{MANIFEST}"
    return _finish(folder, written, BackupManifest(
        kind="physical", taken_at=taken_at, postgres_major=tools.major,
        files={own: sha256_of(written / own)}, contents=None,
    ))  # fmt: skip


def _new(folder: Path) -> Path:
    """Return the folder in which a backup is written before it gets its name."""
    if folder.exists():
        raise StorageError(f"{folder} is there; name a new folder")
    written = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(written, ignore_errors=True)
    written.mkdir(mode=0o700, parents=True)
    return written


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != FILE
    }


def _finish(folder: Path, written: Path, manifest: BackupManifest) -> BackupManifest:
    (written / FILE).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    written.rename(folder)
    return manifest


async def verify(folder: Path, *, binaries: Path | None = None) -> BackupManifest:
    """Check that a backup is whole: every file is the one that was written, and can be read.

    Raises:
        ManifestError: A file is missing, too many, or another one.
        ToolError: A program is missing, or finds a fault.
    """
    manifest = BackupManifest.read(folder)
    tools = find_tools(manifest.postgres_major, binaries)
    if manifest.kind == "physical":
        [[own, sha256]] = manifest.files.items()
        if not (folder / own).is_file() or sha256_of(folder / own) != sha256:
            raise ManifestError(f"{folder / own} is not the file that was written")
        await check_copy(folder / _BASE, tools)
        return manifest
    found = _hashes(folder)
    for name, sha256 in manifest.files.items():
        if found.pop(name, None) != sha256:
            raise ManifestError(f"{folder / name} is missing or not the file that was written")
    if found:
        raise ManifestError(f"{folder / min(found)} is not of this backup")
    await tools.run("pg_restore", "--list", folder / _DUMP)
    return manifest


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup that was restored and proved."""

    rows: int
    tables: int
    roles_made: tuple[str, ...]
    """They have no password."""


_EMPTY: Final = """
SELECT NOT EXISTS (SELECT FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace)
    AND to_regnamespace('storage') IS NULL
"""


async def restore_backup(
    folder: Path, url: str, *, binaries: Path | None = None, jobs: int = 1
) -> Restored:
    """Restore a dump into an empty database, and compare everything with the manifest.

    Raises:
        StorageError: The database is not empty, the role may not, a program is missing or failed,
            or what came back differs.
        ManifestError: The backup is not whole.
    """
    manifest = await verify(folder, binaries=binaries)
    if manifest.contents is None:
        raise StorageError(
            f"{folder} is a copy of a server; start Postgres {manifest.postgres_major} on a copy "
            f"of {folder / _BASE}"
        )
    async with _session(url, "--into") as server:
        if not await server.connection.fetchval(_EMPTY):
            raise StorageError("the database of --into is not empty; drop it and create it anew")
        made = await _make_roles(server.connection, manifest.contents)
        tools = find_tools(max(server.major, manifest.postgres_major), binaries)
        await _pg_restore(tools, folder, url, jobs)
        async with server.connection.transaction(readonly=True):
            found = await contents(server.connection)
    if differences := manifest.contents.differences(found):
        shown = "; ".join(differences[:5])
        raise StorageError(f"{len(differences)} differences after the restore: {shown}")
    return Restored(manifest.rows, len(manifest.contents.tables), tuple(made))


async def _pg_restore(tools: Tools, folder: Path, url: str, jobs: int) -> None:
    await tools.run(
        "pg_restore", "--exit-on-error", "--no-password", f"--jobs={jobs}",
        f"--dbname={environment(url)['PGDATABASE']}", folder / _DUMP, url=url,
    )  # fmt: skip


async def _make_roles(connection: asyncpg.Connection, wanted: Contents) -> list[str]:
    """Make the roles that are missing, without passwords; return their names."""
    there = {row[0] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    missing = [role for role in wanted.roles if role.name not in there]
    async with connection.transaction():
        for role in missing:
            await connection.execute(
                f"CREATE ROLE {_quoted(role.name)} {' '.join(role.attributes)}"
            )
        for role in missing:
            for group in role.member_of:
                await connection.execute(f"GRANT {_quoted(group)} TO {_quoted(role.name)}")
    return [role.name for role in missing]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
