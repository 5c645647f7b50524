"""`claimgate claims …`: the versions of a loaded claim, its stored answer, and an amendment."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from claimgate.command import display

from loader.failed.settings import production_settings, who

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import asyncpg

    from loader.claims.amend import Amended
    from loader.claims.versions import Version

T = TypeVar("T")

NOT_FOUND: Final = 1
"""Exit status: there is no such claim."""
CHANGED: Final = 3
"""Exit status: another version of the claim is the last, or waits."""


def claims_history(claim: str, *, tenant: str | None = None, as_json: bool = False) -> int:
    """Show every version of a claim that was loaded, what was decided, and what took its place.

    CLAIMGATE_PRODUCTION_URL names the database; no key is needed. Exit status 1 where there is no
    such claim.

    Args:
        claim: The submitter's id of the claim.
        tenant: Whose claim; left out, CLAIMGATE_TENANT.
        as_json: One JSON object.
    """
    from loader.claims.versions import list_versions  # noqa: PLC0415 - each loads its own

    versions = _read(tenant, lambda c, t: list_versions(c, t, claim))
    if versions is None:
        return NOT_FOUND
    if as_json:
        display.show(json.dumps({"claim": claim, "versions": [_facts(v) for v in versions]}))
        return 0
    rows = [
        (
            str(v.claim_version),
            v.frequency_code or "archived",
            f"{v.loaded_at:%Y-%m-%d %H:%M:%S}" if v.loaded_at else "",
            ", ".join(result.decision for result in v.results),
            f"{v.results[-1].exposure_cents / 100:,.2f}" if v.results else "",
            f"version {v.superseded_by}" if v.superseded_by else "",
            v.content_sha256.hex()[:12],
            str(v.batch_id),
        )
        for v in versions
    ]
    columns = ("version", "frequency", "loaded", "decided", "exposure", "superseded by")
    display.show_table(f"Claim {claim}", (*columns, "content", "batch"), rows, right=(0, 4))
    return 0


def claims_show(
    claim: str,
    *,
    version: int = 0,
    result: int = 0,
    payload: bool = False,
    tenant: str | None = None,
) -> int:
    """Show a stored answer and what it rests on, as JSON.

    Exit status 1 where there is no such claim, version or result.

    Args:
        claim: The submitter's id of the claim.
        version: Its version; 0 is the last.
        result: Number of the result; 0 is the last.
        payload: Show the claim too. Patient data; needs the key.
        tenant: Whose claim; left out, CLAIMGATE_TENANT.
    """
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415

    from loader.claims.versions import claim_of, get_result  # noqa: PLC0415

    vault = production_settings(tenant).vault() if payload else None

    async def read(connection: asyncpg.Connection, whose: str) -> dict[str, Any]:
        found = await get_result(connection, whose, claim, version=version, result_no=result)
        facts: dict[str, Any] = {
            "version": _facts(found.version),
            "result": MessageToDict(found.result, preserving_proto_field_name=True),
            "provenance": MessageToDict(found.provenance, preserving_proto_field_name=True),
        }
        if vault:
            opened = await claim_of(connection, vault, whose, found.version)
            facts["payload"] = MessageToDict(opened, preserving_proto_field_name=True)
        return facts

    facts = _read(tenant, read)
    if facts is None:
        return NOT_FOUND
    display.show(json.dumps(facts, indent=1))
    return 0


def claims_amend(
    claim: str,
    *,
    base: int,
    set_: list[str] | None = None,
    file: Path | None = None,
    void: bool = False,
    by: str = "",
    tenant: str | None = None,
    as_json: bool = False,
) -> int:
    """Submit the next version of a loaded claim, as a replacement (7) or a void (8).

    It waits in staging, urgent, for the next run of `claimgate load`. Exit status 1 where there is
    no such claim, 3 where another version is the last.

    Args:
        claim: The submitter's id of the claim.
        base: The version that the change is made to; it has to be the last one.
        set_: A change, such as drg_code=470, billing_provider.zip=60601, lines.2.units_milli=2000;
            repeatable.
        file: JSON file with the changed fields of the claim; null empties one.
        void: Void the claim.
        by: Who does it; left out, the user of this machine.
        tenant: Whose claim; left out, CLAIMGATE_TENANT.
        as_json: One JSON object.
    """
    from loader.claims import opening, patch  # noqa: PLC0415
    from loader.claims.amend import VersionConflictError, amend  # noqa: PLC0415
    from loader.claims.amendment import Amendment  # noqa: PLC0415
    from loader.claims.versions import NoSuchClaimError  # noqa: PLC0415
    from loader.settings import LoaderSettings  # noqa: PLC0415

    if sum((bool(set_), file is not None, void)) != 1:
        raise ValueError("say what changes: --set, or --file, or --void, and one of them alone")
    if void:
        amendment = Amendment(base, void=True)
    else:
        changes = patch.patch_in(file) if file else patch.patch_of(set_ or ())
        amendment = patch.amendment_of(changes, base_version=base)
    settings = opening.of_tenant(LoaderSettings.from_environment(), tenant)
    whose, vault = settings.tenant, settings.vault()

    async def submit() -> Amended:
        async with (
            opening.in_transaction(
                settings.production_url, opening.PRODUCTION_URL, whose
            ) as production,
            opening.in_transaction(settings.staging_url, opening.STAGING_URL, whose) as staging,
        ):
            return await amend(production, staging, vault, whose, claim, amendment, by=who(by))

    try:
        done = asyncio.run(submit())
    except NoSuchClaimError as error:
        display.warn(str(error))
        return NOT_FOUND
    except VersionConflictError as error:
        display.warn(str(error))
        return CHANGED
    if as_json:
        facts = {"claim": claim, "version": done.claim_version}
        display.show(json.dumps(facts | {"content_sha256": done.content_sha256.hex()}))
    else:
        display.show(f"version {done.claim_version} waits; `claimgate load` scores and loads it")
    return 0


def _read(tenant: str | None, do: Callable[[asyncpg.Connection, str], Awaitable[T]]) -> T | None:
    """Read in a transaction of the tenant; None, and a warning, where there is no such claim."""
    from loader.claims import opening  # noqa: PLC0415
    from loader.claims.versions import NoSuchClaimError  # noqa: PLC0415

    settings = production_settings(tenant)

    async def read() -> T:
        async with opening.in_transaction(
            settings.production_url, opening.PRODUCTION_URL, settings.tenant
        ) as connection:
            return await do(connection, settings.tenant)

    try:
        return asyncio.run(read())
    except NoSuchClaimError as error:
        display.warn(str(error))
        return None


def _facts(version: Version) -> dict[str, Any]:
    return {
        "claim_id": version.claim_id,
        "claim_version": version.claim_version,
        "content_sha256": version.content_sha256.hex(),
        "frequency_code": version.frequency_code,
        "total_charge_cents": version.total_charge_cents,
        "loaded_at": version.loaded_at.isoformat() if version.loaded_at else None,
        "commit_seq": version.commit_seq,
        "load_batch_id": str(version.batch_id),
        "superseded_by_version": version.superseded_by,
        "archived": version.archived,
        "results": [
            {
                "result_no": each.result_no,
                "decision": each.decision,
                "exposure_cents": each.exposure_cents,
                "allowed_cents": each.allowed_cents,
                "stored_at": each.stored_at.isoformat(),
            }
            for each in version.results
        ],
    }
