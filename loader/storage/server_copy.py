"""A copy of a whole server, checked by the manifest that pg_basebackup wrote with it.

What pg_verifybackup does, which not every build of Postgres brings along in working order.
"""

import json
from pathlib import Path
from typing import Any, Final

from loader.storage.manifest import ManifestError, sha256_of
from loader.storage.postgres_tools import Tools

MANIFEST: Final = "backup_manifest"
_NOT_LISTED: Final = ("pg_wal/", MANIFEST)


async def check_copy(base: Path, tools: Tools) -> None:
    """Check every file of a copy, and that the log is there which makes them consistent.

    Raises:
        ManifestError: A file is missing, too many, or another one.
        ToolError: The log has a gap.
    """
    manifest = json.loads((base / MANIFEST).read_bytes())
    _check_files(base, manifest["Files"])
    for part in manifest["WAL-Ranges"]:
        await tools.run(
            "pg_waldump", "--quiet", f"--path={base / 'pg_wal'}", f"--timeline={part['Timeline']}",
            f"--start={part['Start-LSN']}", f"--end={part['End-LSN']}",
        )  # fmt: skip


def _check_files(base: Path, listed: list[dict[str, Any]]) -> None:
    there = {
        name
        for path in base.rglob("*")
        if path.is_file() and not (name := str(path.relative_to(base))).startswith(_NOT_LISTED)
    }
    for file in listed:
        name = file.get("Path") or bytes.fromhex(file["Encoded-Path"]).decode(errors="replace")
        if name not in there or sha256_of(base / name) != file["Checksum"]:
            raise ManifestError(f"{base / name} is missing or not the file that was written")
        there.remove(name)
    if there:
        raise ManifestError(f"{base / min(there)} is not of this backup")
