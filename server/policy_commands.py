"""`claimgate policy …`: look at a running service's policies, and change them, as TOML."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from claimgate.command import display

if TYPE_CHECKING:
    from claimgate.client import Client
    from claimgate.v1 import policy_pb2

T = TypeVar("T")

_ADDRESS: Final = "127.0.0.1:50051"
_REFUSED: Final = 3


def policy_show(
    *, version: int | None = None, address: str = _ADDRESS, as_json: bool = False
) -> int:
    """Show the policy that claims are scored under, as TOML that `policy set` takes back.

    Args:
        version: A stored version instead; `policy versions` lists them.
        address: Address of the service, HOST:PORT.
        as_json: One JSON object with the version's facts and the document.
    """
    import tomli_w  # noqa: PLC0415 - each command loads what it needs

    from engine.policy_document import document_of, policy_of  # noqa: PLC0415
    from server.policy_messages import document_in  # noqa: PLC0415

    shown = _asked(address, lambda client: client.get_policy(version))
    document = document_of(policy_of(document_in(shown.policy)))
    if as_json:
        display.show(json.dumps({**_facts(shown.version), "policy": document}, indent=1))
        return 0
    facts = _facts(shown.version)
    lines = [f"# {name} = {value}" for name, value in facts.items() if value not in {"", None}]
    display.show("\n".join([*lines, "", tomli_w.dumps(document)]).strip())
    return 0


def policy_check(file: Path) -> int:
    """Check a policy file against the rules of this version, without a service.

    Exit status 0 when it can be used, 3 when not.

    Args:
        file: A policy as TOML; docs/scoring.md says what it may hold.
    """
    from engine.policy import PolicyError  # noqa: PLC0415
    from server.policy_files import policy_in  # noqa: PLC0415

    try:
        policy = policy_in(file)
    except PolicyError as error:
        display.warn(f"{file}: {error}")
        return _REFUSED
    display.show(f"{file}: {policy.version}, {len(policy.overrides)} overrides")
    return 0


def policy_set(
    file: Path,
    *,
    expected_version: int,
    reason: str,
    approver: str,
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
    address: str = _ADDRESS,
) -> int:
    """Store a policy file as the next version; the file is the whole policy.

    Exit status 0 when it is stored, 3 when the file cannot be used.

    Args:
        file: A policy as TOML; docs/scoring.md says what it may hold.
        expected_version: Newest version, the one that the change was made to; 0 before the first.
        reason: Why it is changed.
        approver: Who approved it, somebody other than you.
        valid_from: When it begins to hold, local time; left out, at once.
        valid_to: When it ceases to hold, local time; left out, when a higher version begins.
        address: Address of the service, HOST:PORT.
    """
    from engine.policy import PolicyError  # noqa: PLC0415
    from server.policy_files import policy_in  # noqa: PLC0415
    from server.policy_messages import message_of  # noqa: PLC0415

    try:
        message = message_of(policy_in(file))
    except PolicyError as error:
        display.warn(f"{file}: {error}")
        return _REFUSED
    stored = _asked(
        address,
        lambda client: client.update_policy(
            message,
            expected_version=expected_version,
            reason=reason,
            approver=approver,
            valid_from=valid_from,
            valid_to=valid_to,
        ),
    )
    when = "holds now" if stored.version.valid else "does not hold yet"
    display.show(f"version {stored.version.version}: {stored.version.policy_version}, {when}")
    return 0


def policy_versions(*, address: str = _ADDRESS, as_json: bool = False) -> int:
    """List the stored versions of the policy, newest first.

    Args:
        address: Address of the service, HOST:PORT.
        as_json: One JSON array.
    """
    facts = [_facts(each) for each in _asked(address, lambda client: client.list_policy_versions())]
    if as_json:
        display.show(json.dumps(facts, indent=1))
        return 0
    columns = (
        "version",
        "policy_version",
        "author",
        "approver",
        "valid_from",
        "valid_to",
        "reason",
    )
    rows = [tuple(str(each[name] or "-") for name in columns) for each in facts]
    display.show_table(f"{len(rows)} versions", columns, rows, right=(0,))
    return 0


def _facts(version: "policy_pb2.PolicyVersion") -> dict[str, Any]:
    """How a policy came to be, as plain values."""
    moments = {
        name: getattr(version, f"{name}_time").ToJsonString()
        if version.HasField(f"{name}_time")  # type: ignore[arg-type] # of three names
        else None
        for name in ("valid_from", "valid_to", "create")
    }
    return {
        "version": version.version,
        "policy_version": version.policy_version,
        "author": version.author,
        "approver": version.approver,
        "reason": version.reason,
        "valid_from": moments["valid_from"],
        "valid_to": moments["valid_to"],
        "created": moments["create"],
        "valid": version.valid,
    }


def _asked(address: str, question: Callable[["Client"], Coroutine[Any, Any, T]]) -> T:
    """Return a service's answer to one question."""
    from claimgate.client import Client  # noqa: PLC0415

    async def ask() -> T:
        async with Client(address) as client:
            return await question(client)

    return asyncio.run(ask())
