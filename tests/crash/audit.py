"""Production and staging held against what went in, row by row."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg

from tests.crash.claims import Expected, Key


@dataclass
class Audit:
    """What is not as it has to be."""

    claims: int = 0
    lost: set[Key] = field(default_factory=set)
    doubled: set[Key] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)

    def add(self, other: "Audit") -> None:
        self.claims += other.claims
        self.lost |= other.lost
        self.doubled |= other.doubled
        self.wrong += other.wrong

    def told(self) -> str:
        """Return the first findings, for a person."""
        return (
            f"lost {sorted(self.lost)[:10]}, doubled {sorted(self.doubled)[:10]}, "
            f"wrong {self.wrong[:10]}"
        )


async def audit(
    staging: asyncpg.Connection,
    production: asyncpg.Connection,
    tenant: str,
    claims: Iterable[Expected],
    *,
    judged: bool = True,
    staged: bool = True,
) -> Audit:
    """Compare all of a tenant's rows with its claims; both connections see everything.

    Args:
        staging: A connection to staging.
        production: A connection to production.
        tenant: Whose rows.
        claims: What was put in.
        judged: The verdicts are known; otherwise those count that production has.
        staged: The claims went through staging.
    """
    wanted = {each.key: each for each in claims}
    found = Audit(len(wanted))
    read = _Reader(production, tenant)
    if not judged:
        wanted = await _as_judged(read, wanted)
    await _claims(read, wanted, found)
    await _lines(read, wanted, found)
    if judged:
        await _findings(read, wanted, found)
    await _answers(read, wanted, found)
    await _failed(read, wanted, found, judged=judged)
    await _ledger(read, wanted, found)
    await _billers(read, wanted, found)
    if staged:
        await _states(_Reader(staging, tenant), wanted, found)
    return found


@dataclass(frozen=True)
class _Reader:
    """Reads a tenant's rows of a table."""

    connection: asyncpg.Connection
    tenant: str

    async def rows(self, columns: str, table: str) -> Sequence[asyncpg.Record]:
        query = f"SELECT {columns} FROM {table} WHERE tenant_id = $1"  # noqa: S608  own names
        return await self.connection.fetch(query, self.tenant)

    async def by_key(self, columns: str, table: str) -> dict[Key, list[tuple[Any, ...]]]:
        """Return the rows of each claim, in order."""
        found: dict[Key, list[tuple[Any, ...]]] = {}
        for row in await self.rows(f"claim_id, claim_version, {columns}", table):
            found.setdefault((row[0], row[1]), []).append(tuple(row)[2:])
        return {key: sorted(rows, key=repr) for key, rows in found.items()}


def _compare(
    table: str,
    rows: dict[Key, list[tuple[Any, ...]]],
    wanted: dict[Key, list[tuple[Any, ...]]],
    found: Audit,
) -> None:
    """Note what a table has too little, too much, or otherwise."""
    for key in rows.keys() | wanted.keys():
        have, want = Counter(rows.get(key, ())), Counter(wanted.get(key, ()))
        if have == want:
            continue
        if have.total() < want.total():
            found.lost.add(key)
        elif have.total() > want.total():
            found.doubled.add(key)
        found.wrong.append(f"{table} {key}: {have.total()} rows, expected {want.total()}")


_REFUSED = ("V06", "V02")
"""What the scorer of the tests has against a claim that it rejects."""


def _codes(reasons: str) -> list[str]:
    return [reason["code"] for reason in json.loads(reasons)]


async def _as_judged(read: _Reader, wanted: dict[Key, Expected]) -> dict[Key, Expected]:
    """Return the claims with the verdicts that production has."""
    failed = await read.by_key("content_sha256", "failed_claims")
    decided = await read.by_key("decision", "claim_results")
    return {
        key: replace(
            each, verdict="reject" if key in failed else str(decided.get(key, [("",)])[0][0])
        )
        for key, each in wanted.items()
    }


async def _claims(read: _Reader, wanted: dict[Key, Expected], found: Audit) -> None:
    once = {key: each for key, each in wanted.items() if each.loaded}
    rows = await read.by_key("content_sha256, total_charge_cents, line_count::int", "claims")
    sent = {
        key: [(each.content_sha256, each.claim.total_charge_cents, len(each.claim.lines))]
        for key, each in once.items()
    }
    _compare("claims", rows, sent, found)
    keys = {key: [(each.content_sha256,)] for key, each in once.items()}
    _compare("claim_keys", await read.by_key("content_sha256", "claim_keys"), keys, found)
    history = {key: [(len(each.claim.lines),)] for key, each in once.items()}
    _compare("claim_history", await read.by_key("line_count", "claim_history"), history, found)


async def _lines(read: _Reader, wanted: dict[Key, Expected], found: Audit) -> None:
    columns = "line_number::int, charge_cents, procedure_code, (units * 1000)::bigint"
    sent = {
        key: [
            (line.line_number, line.charge_cents, line.procedure_code, line.units_milli)
            for line in each.claim.lines
        ]
        for key, each in wanted.items()
        if each.loaded
    }
    _compare("claim_lines", await read.by_key(columns, "claim_lines"), sent, found)


async def _answers(read: _Reader, wanted: dict[Key, Expected], found: Audit) -> None:
    decided = {key: [(each.verdict,)] for key, each in wanted.items() if each.loaded}
    _compare("claim_results", await read.by_key("decision", "claim_results"), decided, found)


async def _findings(read: _Reader, wanted: dict[Key, Expected], found: Audit) -> None:
    hits = {
        key: [("NCCI_PTP", 1)] for key, each in wanted.items() if each.verdict in {"review", "deny"}
    }
    _compare("rule_hits", await read.by_key("rule_id, hit_no::int", "rule_hits"), hits, found)


async def _failed(
    read: _Reader, wanted: dict[Key, Expected], found: Audit, *, judged: bool
) -> None:
    rows = await read.by_key("content_sha256, reasons", "failed_claims")
    codes = {
        key: [(row[0], *(_codes(row[1]) if judged else ())) for row in each]
        for key, each in rows.items()
    }
    sent = {
        key: [(each.content_sha256, *(_REFUSED if judged else ()))]
        for key, each in wanted.items()
        if not each.loaded
    }
    _compare("failed_claims", codes, sent, found)


async def _ledger(read: _Reader, wanted: dict[Key, Expected], found: Audit) -> None:
    batches = await read.rows("batch_id, commit_seq, receipt", "batches")
    numbers = sorted(row["commit_seq"] for row in batches)
    if numbers != list(range(1, len(batches) + 1)):
        found.wrong.append("batches: the numbers of the commits have gaps or repeat")
    receipts = {row["batch_id"]: json.loads(row["receipt"])["loaded"] for row in batches}
    loaded = sum(each.loaded for each in wanted.values())
    if sum(receipts.values()) != loaded:
        found.wrong.append(f"batches: receipts of {sum(receipts.values())}, loaded {loaded}")
    outbox = Counter(
        (row["batch_id"], json.loads(row["body"])["loaded"])
        for row in await read.rows("batch_id, body", "outbox")
    )
    if outbox != Counter(receipts.items()):
        found.wrong.append("outbox: not one row for each batch")


async def _billers(read: _Reader, wanted: dict[Key, Expected], found: Audit) -> None:
    claims, lines = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    for each in wanted.values():
        if each.loaded:
            month = int(each.claim.billing_provider.npi), each.claim.service_from_date[:7]
            claims[month] += 1
            lines[month] += len(each.claim.lines)
    rows = await read.rows("billing_npi, month, commit_seq, claims, lines", "provider_months")
    last: dict[tuple[int, str], tuple[int, int]] = {}
    for row in sorted(rows, key=lambda row: row["commit_seq"]):
        last[row["billing_npi"], f"{row['month']:%Y-%m}"] = row["claims"], row["lines"]
    if last != {month: (claims[month], lines[month]) for month in claims}:
        found.wrong.append("provider_months: other sums than of the claims")


async def _states(read: _Reader, wanted: dict[Key, Expected], found: Audit) -> None:
    rows = await read.by_key(
        "status, lease_owner", "claims JOIN claim_states USING (tenant_id, staging_id)"
    )
    states = {key: [(each.status, None)] for key, each in wanted.items()}
    for key in rows.keys() | states.keys():
        if rows.get(key) != states.get(key):
            found.wrong.append(f"staging {key}: {rows.get(key)}, expected {states.get(key)}")
