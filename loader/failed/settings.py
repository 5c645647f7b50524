"""What a person types about failed claims, as the values that the store takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from getpass import getuser
from typing import TYPE_CHECKING, TypeVar

from loader.failed.filter import FailedFilter, Order
from loader.failed.words import BY_PEOPLE, Category, FailedStatus, Resolution

if TYPE_CHECKING:
    from loader.settings import ProductionSettings

_CENTS_END = 10**15
Word = TypeVar("Word", bound=StrEnum)


def production_settings(tenant: str | None) -> ProductionSettings:
    """Read the settings of the environment; a tenant that is given goes first."""
    from loader.settings import ProductionSettings  # noqa: PLC0415 - each command loads its own

    settings = ProductionSettings.from_environment()
    return settings.model_copy(update={"tenant": tenant}) if tenant else settings


def who(by: str) -> str:
    """Return the name that the audit keeps."""
    return by.strip() or getuser()


def word_of(kind: type[Word], text: str, option: str) -> Word:
    """Return one of a list of words.

    Raises:
        ValueError: it is none of them; says which there are.
    """
    try:
        return kind(text)
    except ValueError:
        raise ValueError(
            f"{option}: there is no {text!r}; expected one of {', '.join(kind)}"
        ) from None


def order_of(text: str) -> Order:
    """Return an order by its name."""
    return word_of(Order, text, "--order")


def resolution_of(text: str) -> Resolution:
    """Return how a person ends a claim."""
    if text not in BY_PEOPLE:
        raise ValueError(f"--action: there is no {text!r}; expected one of {', '.join(BY_PEOPLE)}")
    return Resolution(text)


def dollars_of(text: str) -> int | None:
    """Return an amount of dollars in cents; None for an empty text."""
    if not text:
        return None
    try:
        cents = Decimal(text) * 100
    except ArithmeticError:
        cents = Decimal(-1)
    whole = cents.is_finite() and cents == cents.to_integral_value()
    if not (whole and 0 <= cents < _CENTS_END):
        raise ValueError(f"--min-charge is {text!r}; expected dollars such as 1500 or 99.50")
    return int(cents)


def filter_of(
    *,
    category: list[str] | None = None,
    status: list[str] | None = None,
    assignee: str | None = None,
    reason: str = "",
    facility: str = "",
    claim: str = "",
    older_than_days: float | None = None,
    charge_cents: int | None = None,
) -> FailedFilter:
    """Return the filter that options describe."""
    if older_than_days is not None and not 0 <= older_than_days <= 100_000:
        raise ValueError(f"--older-than-days is {older_than_days}; expected 0 or more")
    before = timedelta(days=older_than_days) if older_than_days is not None else None
    return FailedFilter(
        categories=tuple(word_of(Category, each, "--category") for each in category or ()),
        statuses=tuple(word_of(FailedStatus, each, "--status") for each in status or ()),
        assignee=assignee,
        reason_code=reason,
        facility_id=facility,
        claim_id=claim,
        failed_to=datetime.now(UTC) - before if before is not None else None,
        charge_cents_min=charge_cents,
    )
