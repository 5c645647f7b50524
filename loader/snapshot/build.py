"""Builds a snapshot: every release of a source folder read, arranged, written beside a manifest."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from claimgate.resources import find

from engine.tables.listing import ListingSpec
from engine.tables.listings import LISTINGS
from engine.tables.snapshot import (
    MANIFEST,
    ArrayFile,
    Dataset,
    Manifest,
    Release,
    Segment,
    SourceFile,
    named,
    to_json,
)
from loader.snapshot import arrange as columns
from loader.snapshot.addons import read_addons
from loader.snapshot.arrange import Arranged
from loader.snapshot.code_sets import (
    read_diagnoses,
    read_hcpcs,
    read_modifiers,
    read_places_of_service,
)
from loader.snapshot.exclusions import read_exclusions
from loader.snapshot.fee_schedule import read_fee_schedule
from loader.snapshot.listings import read_listing
from loader.snapshot.localities import (
    read_anesthesia,
    read_gpci,
    read_opps_cap,
    read_zip_codes,
)
from loader.snapshot.pair_edits import read_pair_edits
from loader.snapshot.project_tables import (
    read_diagnosis_age_class,
    read_evaluation_management,
    read_ncci_modifiers,
)
from loader.snapshot.published import OWN_ROW, PublishedFile, ReferenceFileError
from loader.snapshot.releases import ReleaseEntry, read_releases, served, serving
from loader.snapshot.row_counts import check_row_counts
from loader.snapshot.table import Table
from loader.snapshot.unit_limits import DME, HOSPITAL, PRACTITIONER, read_unit_limits

PARSER_VERSION: Final = "4"
"""Raised with every change of what is read out of the same files."""

Read = Callable[[Sequence[PublishedFile]], Table]
Arrange = Callable[[Sequence[Table]], Arranged]

PUBLISHED: Final[Mapping[str, tuple[Read, Arrange]]] = {
    "mpfs": (read_fee_schedule, columns.arrange_fee_schedule),
    "opps_cap": (read_opps_cap, columns.arrange_opps_cap),
    "gpci": (read_gpci, columns.arrange_localities),
    "anesthesia_cf": (read_anesthesia, columns.arrange_anesthesia),
    "zip_locality": (read_zip_codes, columns.arrange_zip_codes),
    "ncci_ptp_practitioner": (read_pair_edits, columns.arrange_pair_edits),
    "ncci_ptp_hospital": (read_pair_edits, columns.arrange_pair_edits),
    "ncci_mue_practitioner": (
        partial(read_unit_limits, setting=PRACTITIONER),
        columns.arrange_unit_limits,
    ),
    "ncci_mue_hospital": (partial(read_unit_limits, setting=HOSPITAL), columns.arrange_unit_limits),
    "ncci_mue_dme": (partial(read_unit_limits, setting=DME), columns.arrange_unit_limits),
    "ncci_aoc": (read_addons, columns.arrange_addons),
    "leie": (read_exclusions, columns.arrange_exclusions),
    "icd10cm": (read_diagnoses, columns.arrange_diagnoses),
    "hcpcs": (read_hcpcs, columns.arrange_dated_codes),
    "place_of_service": (read_places_of_service, columns.arrange_places_of_service),
    "modifiers": (read_modifiers, columns.arrange_dated_codes),
}
"""Datasets whose releases stand in releases.toml."""

OWN: Final[Mapping[str, tuple[Read, Arrange]]] = {
    "evaluation_management": (read_evaluation_management, columns.arrange_dated_codes),
    "ncci_modifiers": (read_ncci_modifiers, columns.arrange_ncci_modifiers),
    "diagnosis_age_class": (read_diagnosis_age_class, columns.arrange_age_classes),
}
"""Tables of the project, `claimgate/<name>.csv`: in force on all days, with dates in the rows."""

OWN_FOLDER: Final = "claimgate"
_RELEASE_DIGITS: Final = 12
ORIGIN_SOURCE: Final = "source"
ORIGIN_SHIPPED: Final = "claimgate"


def build(
    source: Path,
    out: Path,
    *,
    listings: Path | None = None,
    previous: Manifest | None = None,
    approved: Collection[str] = (),
) -> Manifest:
    """Write the snapshot of a source folder to `out`, which must not exist; return its manifest.

    Args:
        source: Published files and releases.toml.
        out: Folder to write; after an error nothing is there.
        listings: Folder of the project's own tables; `claimgate` in the source where left out.
        previous: Snapshot whose row counts those of published tables are held against.
        approved: Published tables whose row counts may be far from those.

    Raises:
        ReferenceFileError: A file is not what it claims to be.
        RowCountError: A dataset has a far other number of rows than before.
    """
    entries = read_releases(source, tuple(PUBLISHED))
    own = listings or source / OWN_FOLDER
    _refuse_unknown(own)
    with _appearing_whole(out) as folder:
        built = [
            *(
                _published(folder, source, name, entries[name])
                for name in PUBLISHED
                if name in entries
            ),
            *(_own(folder, own, name) for name in OWN),
            *(
                _listing(folder, own, spec)
                for name, spec in LISTINGS.items()
                if (own / f"{name}.csv").is_file()
            ),
        ]
        manifest = _manifest(built)
        if previous:
            check_row_counts(previous, manifest, PUBLISHED, approved)
        content = json.dumps(to_json(manifest), indent=1, sort_keys=True) + "\n"
        (folder / MANIFEST).write_text(content, encoding="utf-8")
    return manifest


def _refuse_unknown(own: Path) -> None:
    """Refuse a table whose name is misspelt: it would be missing without a word."""
    known = {*OWN, *LISTINGS}
    for file in sorted(own.glob("*")):
        name = file.name.partition(".")[0]
        if file.stem not in known and file.suffix.lower() == ".csv":
            raise ReferenceFileError(
                f"{OWN_FOLDER}/{file.name}", 0, "there is no table of that name",
                f"one of {', '.join(sorted(known))}",
            )  # fmt: skip
        if name in known and (file.name != f"{name}.csv" or not file.is_file()):
            raise ReferenceFileError(
                f"{OWN_FOLDER}/{file.name}", 0, "that is not how the file of a table is called",
                f"a file {name}.csv, or nothing of that name",
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Built:
    dataset: Dataset
    arrays: Mapping[str, ArrayFile]


@contextmanager
def _appearing_whole(out: Path) -> Iterator[Path]:
    """Give a folder beside `out` that becomes `out` at the end, or goes away with all in it."""
    if out.exists():
        raise FileExistsError(f"{out} exists; a snapshot is never changed: name a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield folder
        folder.chmod(0o755)
        folder.replace(out)
    except BaseException:
        shutil.rmtree(folder)
        raise


def _published(folder: Path, source: Path, name: str, entries: Sequence[ReleaseEntry]) -> _Built:
    read, arrange = PUBLISHED[name]
    files = [[PublishedFile(source / file, file) for file in entry.files] for entry in entries]
    tables = [_read(read, each) for each in files]
    segments = serving(entries)
    releases = []
    for ordinal, entry in enumerate(entries):
        serves_from, serves_to = served(segments, ordinal)
        releases.append(
            Release(
                dataset=name,
                release_id=entry.release_id,
                origin=ORIGIN_SOURCE,
                from_date=entry.first,
                to_date=entry.last,
                serves_from_date=serves_from,
                serves_to_date=serves_to,
                **_content(files[ordinal], tables[ordinal]),
            )
        )
    arranged = arrange(tables)
    dataset = Dataset(name, tuple(releases), segments, arranged.depth)
    return _Built(dataset, _write(folder, name, arranged))


def _read(read: Read, files: Sequence[PublishedFile]) -> Table:
    """Read a release; refused where there is nothing in it: a table is never silently empty."""
    table = read(files)
    if not table.rows:
        left_out = sum(table.left_out.values())
        raise ReferenceFileError(
            files[0].name, 0, f"no row to load, {left_out:,} left out", "at least one row"
        )
    return table


@contextmanager
def _own_rows() -> Iterator[None]:
    """Advise on a row as its author needs it, who published it and can correct it."""
    try:
        yield
    except ReferenceFileError as error:
        raise error.advising(OWN_ROW) from error


@_own_rows()
def _own(folder: Path, source: Path, name: str) -> _Built:
    """Take a table of the project from the folder of its own tables, or else the shipped one."""
    read, arrange = OWN[name]
    file = f"{name}.csv"
    origin = ORIGIN_SOURCE if (source / file).is_file() else ORIGIN_SHIPPED
    root = source if origin == ORIGIN_SOURCE else find("reference-sample") / OWN_FOLDER
    files = [PublishedFile(root / file, f"{OWN_FOLDER}/{file}")]
    table = _read(read, files)
    return _always(folder, name, "claimgate", origin, files, table, arrange([table]))


@_own_rows()
def _listing(folder: Path, source: Path, spec: ListingSpec) -> _Built:
    """Take a listing that the folder of them brings; its release is named by its content."""
    file = f"{spec.name}.csv"
    files = [PublishedFile(source / file, f"{OWN_FOLDER}/{file}")]
    table = read_listing(spec, files)
    release_id = files[0].sha256()[:_RELEASE_DIGITS]
    arranged = columns.arrange_listing(spec, table)
    return _always(folder, spec.name, release_id, ORIGIN_SOURCE, files, table, arranged)


def _always(
    folder: Path,
    name: str,
    release_id: str,
    origin: str,
    files: Sequence[PublishedFile],
    table: Table,
    arranged: Arranged,
) -> _Built:
    """Write a table that is in force on all days, with dates in its rows."""
    release = Release(
        dataset=name,
        release_id=release_id,
        origin=origin,
        from_date=None,
        to_date=None,
        serves_from_date=None,
        serves_to_date=None,
        **_content(files, table),
    )
    always = Segment(date.min, 0, stand_in=False)
    return _Built(
        Dataset(name, (release,), (always,), arranged.depth), _write(folder, name, arranged)
    )


def _content(files: Sequence[PublishedFile], table: Table) -> dict[str, Any]:
    """Return what a release's manifest says of its files and rows."""
    return {
        "files": tuple(SourceFile(each.name, each.sha256(), len(each.raw())) for each in files),
        "rows": table.rows,
        "left_out": table.left_out,
        "remarks": table.remarks,
    }


def _write(folder: Path, dataset: str, arranged: Arranged) -> dict[str, ArrayFile]:
    (folder / dataset).mkdir()
    written = {}
    for name, column in sorted(arranged.columns.items()):
        path = folder / dataset / f"{name}.npy"
        np.save(path, np.ascontiguousarray(column), allow_pickle=False)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        written[f"{dataset}/{name}.npy"] = ArrayFile(digest, path.stat().st_size)
    return written


def _manifest(built: Sequence[_Built]) -> Manifest:
    return named(
        Manifest(
            snapshot="",
            parser_version=PARSER_VERSION,
            datasets={each.dataset.name: each.dataset for each in built},
            arrays={name: array for each in built for name, array in each.arrays.items()},
        )
    )
