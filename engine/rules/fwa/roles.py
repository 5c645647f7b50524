"""Roles in which a provider stands on a claim or on a line; columns are named `<role>_npi`."""

from typing import Final

CLAIM_ROLES: Final = (
    "billing",
    "rendering",
    "attending",
    "operating",
    "referring",
    "supervising",
    "facility",
)
LINE_ROLES: Final = ("rendering", "ordering", "referring", "supervising", "facility")
