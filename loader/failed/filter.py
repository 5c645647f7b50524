"""Which failed claims are meant, in which order, and where the next page begins."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from math import isfinite
from typing import Final, Self

from loader.failed.words import Category, FailedStatus

UNSETTLED: Final = tuple(each for each in FailedStatus if each is not FailedStatus.RESOLVED)


class FieldError(ValueError):
    """Something that was asked for has an impossible value; the value itself is not repeated."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field = field
        self.expected = expected


class Order(StrEnum):
    """What comes first; of equals, the one that failed first."""

    URGENCY = "urgency"
    """Money, doubled for each week of age."""

    AGE = "age"
    """Who has waited longest."""

    CHARGE = "charge"
    """Most money."""


@dataclass(frozen=True, slots=True)
class FailedFilter:
    """Every field that is given has to fit; none given means every claim that is not resolved."""

    failed_ids: tuple[int, ...] = ()
    categories: tuple[Category, ...] = ()
    statuses: tuple[FailedStatus, ...] = ()
    assignee: str | None = None
    """Who looks after it; empty: nobody."""
    reason_code: str = ""
    facility_id: str = ""
    claim_id: str = ""
    failed_from: datetime | None = None
    """Failed at that moment or later."""
    failed_to: datetime | None = None
    """Failed before that moment."""
    charge_cents_min: int | None = None
    charge_cents_max: int | None = None

    def or_statuses(self, statuses: Sequence[FailedStatus]) -> Self:
        """Return the filter with these statuses, where it names none."""
        return self if self.statuses else replace(self, statuses=tuple(statuses))

    def values(self) -> tuple[object, ...]:
        """Return the values of WHERE, from $2 on."""
        return (
            list(self.failed_ids) or None,
            list(self.categories) or None,
            list(self.statuses or UNSETTLED),
            self.assignee,
            self.reason_code or None,
            self.facility_id or None,
            self.claim_id or None,
            self.failed_from,
            self.failed_to,
            self.charge_cents_min,
            self.charge_cents_max,
        )


WHERE: Final = """
tenant_id = $1
AND ($2::bigint[] IS NULL OR failed_id = ANY($2))
AND ($3::text[] IS NULL OR failure_category = ANY($3))
AND status = ANY($4::text[])
AND ($5::text IS NULL OR assignee = $5)
AND ($6::text IS NULL OR reasons @> jsonb_build_array(jsonb_build_object('code', $6::text)))
AND ($7::text IS NULL OR facility_id = $7)
AND ($8::text IS NULL OR claim_id = $8)
AND ($9::timestamptz IS NULL OR failed_at >= $9)
AND ($10::timestamptz IS NULL OR failed_at < $10)
AND ($11::bigint IS NULL OR charge_cents >= $11)
AND ($12::bigint IS NULL OR charge_cents <= $12)
"""
PARAMETERS: Final = 12


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last claim of a page: the next page begins after it, whatever has changed before it."""

    order: Order
    value: float | int | datetime
    failed_id: int

    def token(self) -> str:
        """Return the cursor as text for a caller to send back."""
        value = self.value.isoformat() if isinstance(self.value, datetime) else repr(self.value)
        return urlsafe_b64encode(f"{self.order}|{value}|{self.failed_id}".encode()).decode()

    @classmethod
    def of(cls, token: str, order: Order) -> Self:
        """Return the cursor that a token stands for.

        Raises:
            FieldError: it is none, or one of another order.
        """
        try:
            name, text, number = urlsafe_b64decode(token.encode("ascii")).decode("ascii").split("|")
            cursor = cls(order, _parsed(order, text), int(number))
        except (ValueError, OverflowError):
            cursor = None
        if cursor is None or name != order or not 0 < cursor.failed_id <= _ID_MAX:
            raise FieldError(
                "page_token", "next_page_token of an earlier answer to the same question"
            )
        return cursor


def _parsed(order: Order, text: str) -> float | int | datetime:
    """Return the value of a token, where the database can take it.

    Raises:
        ValueError: it cannot.
    """
    match order:
        case Order.URGENCY if isfinite(value := float(text)):
            return value
        case Order.AGE if (moment := datetime.fromisoformat(text)).tzinfo is not None:
            return moment
        case Order.CHARGE if 0 <= (cents := int(text)) <= _ID_MAX:
            return cents
    raise ValueError(order)


_ID_MAX: Final = 2**63 - 1
