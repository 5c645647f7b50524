"""Where a first run keeps what it makes: snapshots of reference tables, the demo's databases."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

from claimgate import __version__, resources

from loader.snapshot.build import OWN_FOLDER, PARSER_VERSION, build

_PRIVATE: Final = 0o700


class UnsafeFolderError(RuntimeError):
    """The working folder belongs to somebody else."""


def working_folder() -> Path:
    """Return this user's own folder, below the temporary one, for what can be made again.

    Raises:
        UnsafeFolderError: The folder is there and is not this user's alone.
    """
    folder = Path(tempfile.gettempdir()) / f"claimgate-{os.getuid()}"
    folder.mkdir(mode=_PRIVATE, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or folder.is_symlink():
        raise UnsafeFolderError(
            f"{folder} belongs to another user; remove it or set TMPDIR to a folder of your own"
        )
    return folder


def prepared_snapshot(source: Path | None = None, *, sample_listings: bool = False) -> Path:
    """Return a snapshot of the published files in `source`, built when they have changed.

    Args:
        source: Published files; left out, the project's sample tables.
        sample_listings: Take the sample's tables of the project's own beside published files.
    """
    sample = resources.find("reference-sample")
    listings = sample / OWN_FOLDER if sample_listings else None
    source = source or sample
    snapshot = (
        working_folder() / "snapshots" / f"{_fingerprint(source)}{'-sample' * sample_listings}"
    )
    if not snapshot.is_dir():
        snapshot.parent.mkdir(exist_ok=True)
        build(source, snapshot, listings=listings)
    return snapshot


def _fingerprint(source: Path) -> str:
    """Hash what a snapshot depends on: the files' names, sizes and times, the reader's version."""
    if not source.is_dir():
        raise FileNotFoundError(
            f"{source} is no folder; give a folder of published files with a releases.toml"
        )
    digest = hashlib.sha256(f"{__version__} {PARSER_VERSION}".encode())
    folders = (source, resources.find("reference-sample") / OWN_FOLDER)
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        status = path.stat()
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
