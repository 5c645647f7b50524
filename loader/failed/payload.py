"""The claim behind a failed one, opened: for those who may see patient data."""

from typing import TYPE_CHECKING

from claimgate.v1 import claim_pb2
from google.protobuf.json_format import MessageToJson

from loader.failed.store import sealed_payload
from loader.source import PAYLOAD_COLUMN
from loader.vault import Vault

if TYPE_CHECKING:
    from loader.source import AnyConnection as Connection


async def claim_of(
    connection: "Connection", vault: Vault, tenant: str, failed_id: int
) -> claim_pb2.Claim | None:
    """Return a failed claim as its next retry would send it; None where there is none.

    Raises:
        VaultError: it does not open with this key.
        DecodeError: what was submitted is no claim.
    """
    found = await sealed_payload(connection, tenant, failed_id)
    if found is None:
        return None
    content, sealed = found
    return claim_pb2.Claim.FromString(vault.open(sealed, tenant, PAYLOAD_COLUMN, content.hex()))


async def payload_of(connection: "Connection", vault: Vault, tenant: str, failed_id: int) -> str:
    """Return a failed claim as JSON."""
    claim = await claim_of(connection, vault, tenant, failed_id)
    return MessageToJson(claim, preserving_proto_field_name=True) if claim else "null"
