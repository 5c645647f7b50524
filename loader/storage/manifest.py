"""What an archived part of a month is made of: written beside its files, checked before use."""

import hashlib
from datetime import date, datetime
from pathlib import Path
from typing import Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

FILE: Final = "manifest.json"
_CHUNK: Final = 1 << 20


class ManifestError(ValueError):
    """Files are not what their manifest says."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableFile(_Frozen):
    """The rows of one table in one file."""

    table: str
    file: str
    sha256: str
    bytes: int
    rows: int
    columns: list[tuple[str, str]]
    """Names and SQL types, in the order of the table."""
    key: list[str]
    """Columns that the rows are sorted by."""
    service_from_date_min: date | None
    service_from_date_max: date | None


class Manifest(_Frozen):
    """One part of a month."""

    format: Literal[1] = 1
    archive_id: UUID
    """That of `storage.archives`: files of another database are never replaced."""
    month: str
    part: int
    tenant_id: str | None
    """Whose claims; none where the part is all of the month."""
    schema_revision: str
    """Revision of the production schema that the rows were written under."""
    written_at: datetime
    tables: list[TableFile]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a folder.

        Raises:
            ManifestError: There is none, or it cannot be read.
        """
        path = folder / FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ManifestError(f"{folder} has no {FILE}; name the folder of the archive") from None
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, fault["loc"]))
            raise ManifestError(f"{path} cannot be read: {where}: {fault['msg']}") from None

    def write(self, folder: Path) -> None:
        """Write it into the folder of its files."""
        (folder / FILE).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def check_files(self, folder: Path) -> None:
        """Compare sizes and hashes of the files with what is written here.

        Raises:
            ManifestError: A file is missing or another one.
        """
        for table in self.tables:
            path = folder / table.file
            if not path.is_file():
                raise ManifestError(f"{path} is missing; bring it back from a copy")
            if path.stat().st_size != table.bytes or sha256_of(path) != table.sha256:
                raise ManifestError(f"{path} is not the file that was written; use another copy")

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def claims(self) -> int:
        """Claims, by id and version."""
        return sum(table.rows for table in self.tables if table.table == "claims")


def sha256_of(path: Path) -> str:
    """Hash a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
