"""Committed history of members and providers, as rules see it: earlier service lines as columns."""

from dataclasses import dataclass

from engine.columns import Dates, Ints, Table


@dataclass(frozen=True, slots=True)
class HistoryLines(Table):
    """Earlier lines of the pass's members.

    Finalised, latest version, not voided. Shapes are (lines,).
    """

    member: Ints
    """Number of the member within the pass, as in `Claims.member`."""
    claim_key: Ints
    """Equal for lines of one earlier claim."""
    procedure: Ints
    modifiers: Ints
    service_from: Dates
    units_milli: Ints
    charge_cents: Ints
    allowed_cents: Ints
    rendering_npi: Ints
    provider: Ints


@dataclass(frozen=True, slots=True)
class ProviderMonths(Table):
    """Claims per billing provider and month. Shapes are (provider months,)."""

    billing_npi: Ints
    month: Dates
    claims: Ints


@dataclass(frozen=True, slots=True)
class History:
    """What was committed up to the watermark about the members and providers of a pass."""

    watermark: int
    """The last commit that was read, a `commit_seq` of the tenant."""
    lines: HistoryLines
    provider_months: ProviderMonths
