"""How long each tenant keeps what, and what becomes of it then."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

import asyncpg

from loader.storage.summaries import tenants

Kind = Literal["claims", "history", "failed", "staging"]
Action = Literal["keep", "archive", "delete"]
KINDS: Final = get_args(Kind)
ACTIONS: Final = get_args(Action)
DELETION_MONTHS_MIN: Final = 72
"""Nothing is deleted before six years, as long as HIPAA wants its documentation kept."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """What becomes of one kind of data of a tenant."""

    tenant: str
    kind: Kind
    action: Action
    keep_months: int
    """Whole months after the end of the month of service; for failed claims and staging, of the
    month in which the claim came to an end."""
    reason: str = "default"
    set_by: str = ""

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)

    def check(self) -> None:
        """Refuse what the table would refuse.

        Raises:
            ValueError: With what was expected.
        """
        if self.kind not in KINDS or self.action not in ACTIONS:
            raise ValueError(
                f"{self.kind} {self.action} is no retention; expected {_one_of(KINDS)}, and "
                f"{_one_of(ACTIONS)}"
            )
        if self.kind != "claims" and self.action == "archive":
            raise ValueError(f"{self.kind} is not archived; expected keep or delete")
        # What staging gives up production has.
        if (
            self.action == "delete"
            and self.kind != "staging"
            and self.keep_months < DELETION_MONTHS_MIN
        ):
            raise ValueError(
                f"--keep-months is {self.keep_months}; nothing is deleted before "
                f"{DELETION_MONTHS_MIN} months, but in staging"
            )
        if not 1 <= self.keep_months <= 1_200:
            raise ValueError(f"--keep-months is {self.keep_months}; expected 1 to 1200")


def _one_of(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


# 36 months are 1,095 days, without leap days.
_DEFAULTS: Final[tuple[tuple[Kind, Action, int], ...]] = (
    ("claims", "archive", 36),
    ("history", "keep", DELETION_MONTHS_MIN),
    ("failed", "keep", DELETION_MONTHS_MIN),
    ("staging", "keep", DELETION_MONTHS_MIN),
)
_POLICIES: Final = """
SELECT tenant_id AS tenant, kind, action, keep_months, reason, set_by FROM retention_policies
ORDER BY tenant_id, kind
"""
_SET: Final = """
INSERT INTO retention_policies (tenant_id, kind, action, keep_months, reason, set_by)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, kind) DO UPDATE SET action = excluded.action,
    keep_months = excluded.keep_months, reason = excluded.reason, set_by = excluded.set_by,
    set_at = now()
"""


async def policies(connection: asyncpg.Connection) -> list[RetentionPolicy]:
    """Return the policy of every kind of every tenant that loaded something or has one."""
    written = [RetentionPolicy(**row) for row in await connection.fetch(_POLICIES)]
    found = {
        (tenant, kind): RetentionPolicy(tenant, kind, action, months)
        for tenant in await tenants(connection)
        for kind, action, months in _DEFAULTS
    }
    found |= {(policy.tenant, policy.kind): policy for policy in written}
    return [found[key] for key in sorted(found)]


async def set_policy(connection: asyncpg.Connection, policy: RetentionPolicy) -> None:
    """Set what becomes of a kind of data of a tenant."""
    policy.check()
    await connection.execute(
        _SET, policy.tenant, policy.kind, policy.action, policy.keep_months, policy.reason,
        policy.set_by,
    )  # fmt: skip
