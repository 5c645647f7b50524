"""The words of failed claims: why one failed, where it stands, how it ended."""

from enum import StrEnum
from typing import Final


class Category(StrEnum):
    """Why a claim failed. The list is closed: the database refuses any other word."""

    VALIDATION = "validation"
    """The service refused its structure: V01 to V19."""

    POLICY_REJECTED = "policy_rejected"
    """The tenant's policy rejects by a format rule; the reasons name the rules."""

    DECODE = "decode"
    """Its payload is no claim."""

    SEALED = "sealed"
    """Its payload does not open with the loader's key."""

    SERVICE_FAULT = "service_fault"
    """The service fails on this claim: V00, or every call it is in."""

    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    """Leased again and again without an end."""

    CONFLICT = "conflict"
    """Other content was loaded under its id and version."""

    DATA_REFUSED = "data_refused"
    """Production refuses a value of it."""


class FailedStatus(StrEnum):
    """Where a failed claim stands."""

    OPEN = "open"
    """Nobody looks after it."""

    ASSIGNED = "assigned"
    """Somebody does."""

    RESUBMITTED = "resubmitted"
    """On its way through staging and service once more."""

    RESOLVED = "resolved"
    """Ended: loaded, or closed by a person."""

    DEAD = "dead"
    """Failed again too often: nothing happens to it until a person reopens or resolves it."""


class Resolution(StrEnum):
    """How a failed claim ended."""

    CORRECTED = "corrected"
    """Loaded after a repair, or corrected elsewhere."""

    RELOADED = "reloaded"
    """Loaded as it was."""

    SUPERSEDED = "superseded"
    """Another content was loaded under its id and version."""

    RETURNED = "returned"
    """Sent back to who submitted it."""

    DUPLICATE = "duplicate"
    """The same bill as another claim."""

    ACCEPTED_AS_LOST = "accepted_as_lost"
    """Given up."""


BY_PEOPLE: Final = (
    Resolution.CORRECTED,
    Resolution.RETURNED,
    Resolution.DUPLICATE,
    Resolution.ACCEPTED_AS_LOST,
)
"""Ends that a person may choose; the loader alone writes the others."""

RETRIED_BY_ITSELF: Final = frozenset({Category.SERVICE_FAULT})
"""What time may heal. The others fail again until somebody has changed something."""


LOADER: Final = "loader"
"""Who does what nobody asked for."""

AS_PRINCIPAL: Final = "SELECT set_config('claimgate.principal', $1, true)"
"""Says for the rest of a transaction who does it, for the audit."""

LAST_REPAIR: Final = """LEFT JOIN LATERAL (
    SELECT after_sha256, payload_encrypted FROM claim_repairs
    WHERE tenant_id = $1 AND failed_id = f.failed_id AND undone_at IS NULL
    ORDER BY repair_id DESC LIMIT 1
) AS r ON true"""
"""Joins the last repair that was not undone, as `r`, to failed claims `f` of tenant $1: a claim is
what that made of it, else what was submitted."""
