"""Bad claims among good ones: twelve kinds, each of which one claim alone has to pay for."""

import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

import asyncpg
from claimgate.v1 import claim_pb2

from loader import embedded, source
from loader.run import run
from loader.vault import Vault
from tests.crash.claims import Expected, expected
from tests.crash.world import World

REFUSED_FACILITY: Final = "REFUSED"
_CONSTRAINT: Final = f"""
ALTER TABLE claims ADD CONSTRAINT own_facilities CHECK (facility_id <> '{REFUSED_FACILITY}')
"""
"""A rule of the operator's own, which the loader knows nothing of."""

KINDS: Final[dict[str, tuple[str, str]]] = {
    "nul": ("claim.payer_id", "NUL"),
    "range": ("claim.total_charge_cents", "RANGE"),
    "missing_day": ("claim.received_date", "MISSING"),
    "order_of_days": ("claim.service_to_date", "ORDER"),
    "repeated_line": ("lines.line_number", "REPEATED"),
    "no_units": ("lines[0].units_milli", "RANGE"),
    "long": ("claim.facility_id", "LENGTH"),
    "check": ("own_facilities", "CheckViolationError"),
    "unreadable": ("payload", "PAYLOAD_UNREADABLE"),
    "tampered": ("payload", "PAYLOAD_SEALED"),
    "refused": ("lines", "V06"),
    "poison": ("claim", "INTERNAL"),
    "conflict": ("claim_id", "CONTENT_CONFLICT"),
}
"""What is wrong with a claim: the field that its failure names, or begins with, and the code."""


@dataclass
class Outcome:
    """What became of bad and good claims, and how long it took."""

    claims: int
    bad: int
    loaded: int
    seconds: float
    faults: list[str]
    """Where a failure is missing, is none, or names something else."""


async def forbid(server: embedded.EmbeddedPostgres) -> None:
    """Put a rule into production that only the database knows."""
    connection = await asyncpg.connect(server.migrating_url(embedded.PRODUCTION))
    await connection.execute(_CONSTRAINT)
    await connection.close()


async def allow(server: embedded.EmbeddedPostgres) -> None:
    """Take the rule away again."""
    connection = await asyncpg.connect(server.migrating_url(embedded.PRODUCTION))
    await connection.execute("ALTER TABLE claims DROP CONSTRAINT own_facilities")
    await connection.close()


async def load_poisoned(world: World, claims: int, bad: int, seed: int) -> Outcome:
    """Load so many claims, of which so many are bad, of all kinds in turn."""
    chance = random.Random(seed)
    places = chance.sample(range(claims), bad)
    kinds = {place: list(KINDS)[number % len(KINDS)] for number, place in enumerate(places)}
    made = [_made(place, kinds.get(place, "")) for place in range(claims)]
    await _stage(world, made, kinds)
    begun = time.monotonic()
    summary = await run(world.settings())
    seconds = time.monotonic() - begun
    faults = await _faults(world, kinds)
    # Of a conflict both claims are there: one of them is loaded.
    good = claims - bad + sum(kind == "conflict" for kind in kinds.values())
    if summary.loaded != good:
        faults.append(f"{summary.loaded} claims are loaded, expected {good}")
    return Outcome(claims, bad, summary.loaded, seconds, faults)


def _made(place: int, kind: str) -> claim_pb2.Claim:
    """Return the claim of a place, with what is wrong with it."""
    claim = claim_pb2.Claim()
    claim.CopyFrom(_GOOD.claim)
    prefix = {"refused": "reject", "poison": "poison"}.get(kind, "ok")
    claim.claim_id = f"{prefix}-{place}"
    claim.person_id = f"MEMBER-{place // 2}"
    match kind:
        case "nul":
            claim.payer_id = "a\0b"
        case "range":
            claim.total_charge_cents = 2**62
        case "missing_day":
            claim.received_date = ""
        case "order_of_days":
            claim.service_to_date = "2025-10-01"
        case "repeated_line":
            claim.lines.append(claim.lines[0])
        case "no_units":
            claim.lines[0].units_milli = 0
        case "long":
            claim.facility_id = random.Random(place).randbytes(9_000).hex()
        case "check":
            claim.facility_id = REFUSED_FACILITY
    return claim


_GOOD: Final[Expected] = expected(1)


async def _stage(world: World, made: list[claim_pb2.Claim], kinds: dict[int, str]) -> None:
    """Put the claims into staging; of a conflict another claim under the same id as well."""
    submitted = [source.Submitted(claim) for claim in made]
    for place, kind in kinds.items():
        if kind == "conflict":
            other = claim_pb2.Claim()
            other.CopyFrom(made[place])
            other.facility_id = "OTHER"
            submitted.append(source.Submitted(other))
    vault = world.settings().vault()
    connection = await asyncpg.connect(world.server.loading_url(embedded.STAGING))
    await source.stage_claims(connection, vault, world.tenant, submitted)
    await connection.close()
    admin = await asyncpg.connect(world.server.superuser_url(embedded.STAGING))
    for place, kind in kinds.items():
        if kind in {"unreadable", "tampered"}:
            await _spoil(admin, vault, world.tenant, made[place].claim_id, kind)
    await admin.close()


async def _spoil(
    admin: asyncpg.Connection, vault: Vault, tenant: str, claim_id: str, kind: str
) -> None:
    """Change a staged payload: to one that is no claim, or without the key."""
    content = await admin.fetchval(
        "SELECT content_sha256 FROM claims WHERE tenant_id = $1 AND claim_id = $2", tenant, claim_id
    )
    sealed = vault.seal(b"\xff\xff", tenant, source.PAYLOAD_COLUMN, content.hex())
    if kind == "tampered":
        sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    await admin.execute(
        "UPDATE claims SET payload_encrypted = $3 WHERE tenant_id = $1 AND claim_id = $2",
        *(tenant, claim_id, sealed),
    )


async def _faults(world: World, kinds: dict[int, str]) -> list[str]:
    """Compare the failed claims with the bad ones: those, and no others, each with its reason."""
    connection = await asyncpg.connect(world.server.superuser_url(embedded.PRODUCTION))
    rows = await connection.fetch(
        "SELECT claim_id, reasons::jsonb->0->>'field' AS field, reasons::jsonb->0->>'code' AS code "
        "FROM failed_claims WHERE tenant_id = $1",
        world.tenant,
    )
    await connection.close()
    found = {int(row["claim_id"].partition("-")[2]): (row["field"], row["code"]) for row in rows}
    faults = [f"{len(rows)} failed claims of {len(found)} places"] * (len(rows) != len(found))
    missing = Counter(kinds[place] for place in kinds.keys() - found.keys())
    faults += [f"{count} x {kind} did not fail" for kind, count in missing.items()]
    faults += [f"{found[place]} failed and is good" for place in found.keys() - kinds.keys()]
    for place in found.keys() & kinds.keys():
        (field, code), (has_field, has_code) = KINDS[kinds[place]], found[place]
        if has_code != code or not has_field.startswith(field):
            faults.append(f"{kinds[place]}: {has_field} {has_code}, expected {field} {code}")
    return sorted(set(faults))
