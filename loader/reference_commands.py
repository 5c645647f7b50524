"""`claimgate reference diff`: what another snapshot changes, in rows and in money."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claimgate import resources
from claimgate.command import display

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loader.impact import Amount, Impact
    from loader.snapshot.contents import Value
    from loader.snapshot.diff import DatasetDifference, InForce, RowDifference


def reference_diff(
    before: Path,
    after: Path,
    *,
    claims: list[Path] | None = None,
    dataset: str | None = None,
    rows: int = 20,
    as_json: bool = False,
) -> int:
    """Compare two snapshots: releases, rows in force by day of service, and what claims would get.

    Rows are named by codes and say what changed; claims are scored under both by the same rules
    and policy, without a model.

    Args:
        before: Folder of the snapshot in use.
        after: Folder of the snapshot that is to take its place.
        claims: File or folder of claims (837 or JSON lines) to score; repeatable. [the samples]
        dataset: Compare the rows of this dataset alone.
        rows: Most rows of each kind that are listed for a table.
        as_json: One JSON object.
    """
    from engine.reference import Reference  # noqa: PLC0415 - each command loads what it needs
    from engine.tables.snapshot import Snapshot  # noqa: PLC0415
    from loader.impact import impact  # noqa: PLC0415
    from loader.snapshot.contents import TABLES  # noqa: PLC0415
    from loader.snapshot.diff import difference  # noqa: PLC0415

    if dataset is not None and dataset not in TABLES:
        raise ValueError(f"there is no dataset {dataset!r}; expected one of {', '.join(TABLES)}")
    if rows < 0:
        raise ValueError(f"--rows is {rows}; expected 0 or more")
    one, other = Snapshot.open(before), Snapshot.open(after)
    differences = [
        difference(one, other, name, rows_max=rows) for name in ([dataset] if dataset else TABLES)
    ]
    found = impact(
        Reference.open(before),
        Reference.open(after),
        claims or [resources.find("claims-sample")],
        datetime.now(UTC).date(),
    )
    if as_json:
        facts = {
            "before": one.manifest.snapshot,
            "after": other.manifest.snapshot,
            "datasets": {each.dataset: _facts(each) for each in differences if each.differs},
            "impact": found.facts(),
        }
        display.show(json.dumps(facts, indent=1))
        return 0
    display.show(f"from snapshot {one.manifest.snapshot}\n  to snapshot {other.manifest.snapshot}")
    _show_datasets(differences)
    for each in differences:
        for pair in each.in_force:
            _show_rows(each.dataset, pair)
    _show_impact(found)
    return 0


def _facts(each: DatasetDifference) -> dict[str, Any]:
    return {
        "releases_added": list(each.releases_added),
        "releases_removed": list(each.releases_removed),
        "releases_changed": list(each.releases_changed),
        "rows_added": each.rows("added"),
        "rows_removed": each.rows("removed"),
        "rows_changed": each.rows("changed"),
        "in_force": [_in_force_facts(pair) for pair in each.in_force],
    }


def _in_force_facts(pair: InForce) -> dict[str, Any]:
    return {
        "before": pair.before,
        "after": pair.after,
        "periods": [
            {
                "from": each.first.isoformat() if each.first else None,
                "to": each.last.isoformat() if each.last else None,
            }
            for each in pair.periods
        ],
        "tables": [
            {
                "table": table.table,
                "added": table.added,
                "removed": table.removed,
                "changed": table.changed,
                "rows": [
                    {
                        "kind": row.kind,
                        "row": dict(row.row),
                        "before": dict(row.before),
                        "after": dict(row.after),
                    }
                    for row in table.rows
                ],
            }
            for table in pair.tables
        ],
    }


def _show_datasets(differences: list[DatasetDifference]) -> None:
    rows = [
        (
            each.dataset,
            ", ".join(each.releases_added),
            ", ".join(each.releases_removed),
            ", ".join(each.releases_changed),
            *(f"{each.rows(kind):,}" for kind in ("added", "removed", "changed")),
        )
        for each in differences
        if each.differs
    ]
    if not rows:
        display.show("the tables are the same")
        return
    display.show_table(
        "Datasets that differ",
        ("dataset", "new releases", "gone", "issued again", "rows added", "removed", "changed"),
        rows,
        right=(4, 5, 6),
    )


def _show_rows(dataset: str, pair: InForce) -> None:
    days = ", ".join(f"{each.first or ''}..{each.last or ''}" for each in pair.periods)
    releases = f"{pair.before or 'no release'} -> {pair.after or 'no release'}"
    for table in pair.tables:
        name = f"{dataset} {table.table}".strip()
        listed = f", {len(table.rows):,} listed" if len(table.rows) < table.total else ""
        display.show(
            f"\n{name}, {releases}, services of {days}: {table.total:,} rows differ{listed}"
        )
        display.show_table(
            "",
            ("", "row", "says"),
            [(row.kind, _words(row.row), _said(row)) for row in table.rows],
        )


def _words(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{name} {_word(value)}" for name, value in values.items() if value != "")


def _word(value: Value) -> str:
    return "none" if value is None else str(value)


def _said(row: RowDifference) -> str:
    if row.kind != "changed":
        return _words(row.after or row.before)
    return ", ".join(
        f"{name} {_word(row.before[name])} -> {_word(row.after[name])}" for name in row.before
    )


def _show_impact(found: Impact) -> None:
    display.show(
        f"\n{found.claims:,} claims scored under both, {found.claims_changed:,} answered otherwise"
    )
    display.show_table(
        "",
        ("", "before", "after", "difference"),
        [
            (name, *(f"{cents / 100:,.2f}" for cents in _cents(amount)))
            for name, amount in found.amounts().items()
        ],
        right=(1, 2, 3),
    )
    rows = [
        *(
            (f"decision {before} -> {after}", f"{claims:,}")
            for (before, after), claims in sorted(found.decisions.items())
        ),
        *((f"finding {rule} appears", f"{n:,}") for rule, n in sorted(found.hits_appeared.items())),
        *(
            (f"finding {rule} disappears", f"{n:,}")
            for rule, n in sorted(found.hits_disappeared.items())
        ),
    ]
    if rows:
        display.show_table("", ("what", "claims or findings"), rows, right=(1,))
    if found.problems:
        display.warn(f"{found.problems:,} places of the files could not be read as claims")


def _cents(amount: Amount) -> tuple[int, int, int]:
    return amount.before_cents, amount.after_cents, amount.difference_cents
