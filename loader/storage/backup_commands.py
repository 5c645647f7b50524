"""Subcommands of `claimgate storage` that back the database up, verify and restore."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claimgate.command import display

if TYPE_CHECKING:
    from loader.storage.backup import BackupManifest


def backup(
    *,
    to: Path,
    physical: bool = False,
    binaries: Path | None = None,
    jobs: int = 1,
    url: str | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Back the production database up as of one moment, while it is loaded and read.

    Nothing asks for a password: give it by PGPASSFILE, PGPASSWORD or in CLAIMGATE_BACKUP_URL.

    Args:
        to: New folder for the backup.
        physical: Copy the whole server (pg_basebackup) instead of dumping the database (pg_dump).
        binaries: Folder of Postgres's programs, of the server's version; left out, they are sought.
        jobs: Tables that are dumped side by side, each over a connection.
        url: The database, as a role with BYPASSRLS; left out, CLAIMGATE_BACKUP_URL.
        dry_run: Only say which programs would be used.
        as_json: One JSON object.
    """
    from loader.storage import backup as steps  # noqa: PLC0415 - each command loads its own
    from loader.storage.owner import backup_url  # noqa: PLC0415

    source = backup_url(url)
    if dry_run:
        tools = asyncio.run(steps.tools_for(source, binaries))
        display.show(f"Postgres {tools.major}, programs in {tools.folder}")
        return 0
    done = asyncio.run(
        steps.back_up_server(source, to, binaries=binaries)
        if physical
        else steps.back_up(source, to, binaries=binaries, jobs=jobs)
    )
    _show("backed up", _facts(done), as_json=as_json)
    return 0


def verify_backup(folder: Path, *, binaries: Path | None = None, as_json: bool = False) -> int:
    """Check that every file of a backup is the one that was written, and that it can be read.

    Args:
        folder: Folder of the backup.
        binaries: Folder of Postgres's programs; left out, they are sought.
        as_json: One JSON object.
    """
    from loader.storage.backup import verify  # noqa: PLC0415

    found = asyncio.run(verify(folder, binaries=binaries))
    _show("whole", _facts(found), as_json=as_json)
    return 0


def restore_backup(
    folder: Path,
    *,
    into: str,
    binaries: Path | None = None,
    jobs: int = 1,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Restore a dump into an empty database; compare rows, hashes, policies and grants.

    Missing roles are made, without passwords. After an interruption drop the database, create it
    anew, and run it again.

    Args:
        folder: Folder of the backup.
        into: URL of the empty database, as a superuser; the password by PGPASSFILE or PGPASSWORD.
        binaries: Folder of Postgres's programs; left out, they are sought.
        jobs: Tables that are restored side by side.
        dry_run: Only verify the backup.
        as_json: One JSON object.
    """
    from loader.storage import backup as steps  # noqa: PLC0415

    if dry_run:
        return verify_backup(folder, binaries=binaries, as_json=as_json)
    done = asyncio.run(steps.restore_backup(folder, into, binaries=binaries, jobs=jobs))
    facts = {"tables": done.tables, "rows": done.rows, "roles_made": list(done.roles_made)}
    _show("restored", facts, as_json=as_json)
    return 0


def _facts(manifest: BackupManifest) -> dict[str, Any]:
    return {
        "kind": manifest.kind,
        "taken_at": manifest.taken_at.isoformat(),
        "postgres": manifest.postgres_major,
        "revision": manifest.contents.schema_revision if manifest.contents else None,
        "tables": len(manifest.contents.tables) if manifest.contents else None,
        "rows": manifest.rows if manifest.contents else None,
        "files": len(manifest.files),
    }


def _show(title: str, facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        display.show(json.dumps(facts))
    else:
        known = {name: value for name, value in facts.items() if value is not None}
        display.show_facts(title, {name: str(value) for name, value in known.items()})
