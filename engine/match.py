"""Which claims, lines and hits an override of a policy is for."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from functools import cached_property
from typing import Any, Final

import numpy as np

from engine.codes import code36
from engine.columns import (
    INSTITUTIONAL,
    LOB_COMMERCIAL,
    LOB_MEDICAID,
    LOB_MEDICARE_ADVANTAGE,
    LOB_MEDICARE_FFS,
    LOB_OTHER,
    PROFESSIONAL,
    Batch,
    Bools,
    Claims,
)
from engine.words import word_key

CLAIM_TYPES: Final = {"professional": PROFESSIONAL, "institutional": INSTITUTIONAL}
LINES_OF_BUSINESS: Final = {
    "medicare_ffs": LOB_MEDICARE_FFS,
    "medicare_advantage": LOB_MEDICARE_ADVANTAGE,
    "medicaid": LOB_MEDICAID,
    "commercial": LOB_COMMERCIAL,
    "other": LOB_OTHER,
}

LINE_FILTERS: Final = ("codes", "places_of_service", "modifiers")
"""Filters that a hit passes by its lines; the others are passed by the claim, or by the case."""

_CODE: Final = "[0-9A-Z]{5}"
_FORMS: Final[Mapping[str, tuple[str, str]]] = {
    "claim_types": ("|".join(CLAIM_TYPES), " or ".join(CLAIM_TYPES)),
    "lines_of_business": ("|".join(LINES_OF_BUSINESS), ", ".join(LINES_OF_BUSINESS)),
    "payer_ids": (r"\S(.{0,78}\S)?", "a payer id of 1 to 80 characters"),
    "plan_ids": (r"\S(.{0,78}\S)?", "a plan id of 1 to 80 characters"),
    "contract_ids": (r"\S(.{0,78}\S)?", "a contract id of 1 to 80 characters"),
    "billing_npis": ("[0-9]{10}", "an NPI of ten digits"),
    "billing_tins": ("[0-9]{9}", "a TIN of nine digits, without a hyphen"),
    "billing_taxonomies": ("[0-9A-Z]{10}", "a taxonomy of ten letters and digits"),
    "codes": (f"{_CODE}(-{_CODE})?", "a code such as 99213, or a range such as J0000-J9999"),
    "places_of_service": ("[0-9]{2}", "a place of service of two digits"),
    "modifiers": ("[0-9A-Z]{2}", "a modifier of two letters or digits"),
    "variants": ("[a-z0-9_]+", "the name of a case of the rule"),
}
_CLAIM_COLUMNS: Final[Mapping[str, tuple[str, Callable[[str], int]]]] = {
    "claim_types": ("type", CLAIM_TYPES.__getitem__),
    "lines_of_business": ("line_of_business", LINES_OF_BUSINESS.__getitem__),
    "payer_ids": ("payer", word_key),
    "plan_ids": ("plan", word_key),
    "contract_ids": ("contract", word_key),
    "billing_npis": ("billing_npi", int),
    "billing_tins": ("billing_tin", code36),
    "billing_taxonomies": ("billing_taxonomy", code36),
}


class PolicyError(ValueError):
    """A policy that contradicts itself or names what does not exist."""

    def __init__(self, field: str, expected: str) -> None:
        """Name the field by its path and say what was expected there."""
        super().__init__(f"{field}: expected {expected}")
        self.field = field
        self.expected = expected


@dataclass(frozen=True)
class Match:
    """What an override is for: all filters that are given have to be passed; none means all claims.

    Days are inclusive. A hit passes the filters of lines when each line that it names does; a hit
    that names none stands on all lines of its claim.
    """

    claim_types: tuple[str, ...] = ()
    lines_of_business: tuple[str, ...] = ()
    payer_ids: tuple[str, ...] = ()
    plan_ids: tuple[str, ...] = ()
    contract_ids: tuple[str, ...] = ()
    """Contract of the billing provider with the payer."""
    billing_npis: tuple[str, ...] = ()
    billing_tins: tuple[str, ...] = ()
    billing_taxonomies: tuple[str, ...] = ()
    service_from: date | None = None
    """First day, compared with the claim's first day of service."""
    service_to: date | None = None
    received_from: date | None = None
    received_to: date | None = None
    codes: tuple[str, ...] = ()
    """Procedure codes of lines, or ranges of them."""
    places_of_service: tuple[str, ...] = ()
    modifiers: tuple[str, ...] = ()
    """One of these is on the line."""
    variants: tuple[str, ...] = ()
    """Cases of the rule."""

    def check(self, path: str) -> None:
        """Refuse filters that nothing can pass."""
        for name, (pattern, expected) in _FORMS.items():
            for at, text in enumerate(getattr(self, name)):
                if not (isinstance(text, str) and re.fullmatch(pattern, text)):
                    raise PolicyError(f"{path}.{name}[{at}]", expected)
        for first, low, high in (text.partition("-") for text in self.codes):
            if high and first > high:
                raise PolicyError(f"{path}.codes", f"{first} to come before {high} in {first}{low}")
        for name in ("service", "received"):
            first, last = getattr(self, f"{name}_from"), getattr(self, f"{name}_to")
            if first and last and first > last:
                raise PolicyError(f"{path}.{name}_to", f"no day before {name}_from")

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the filters that are given."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name))

    @property
    def by_hit(self) -> bool:
        """Whether it takes a hit to tell: claims alone do not pass or fail."""
        return any(getattr(self, name) for name in (*LINE_FILTERS, "variants"))

    def claims(self, claims: Claims) -> Bools | None:
        """Claims that pass the filters of claims; None means all."""
        mask: Bools | None = None
        for name, keys in self._keys.items():
            column = getattr(claims, _CLAIM_COLUMNS[name][0])
            found = column == keys[0] if len(keys) == 1 else np.isin(column, keys)
            mask = found if mask is None else mask & found
        for name, column in (("service", claims.service_from), ("received", claims.received_date)):
            for first, passed in ((True, np.greater_equal), (False, np.less_equal)):
                day = getattr(self, f"{name}_{'from' if first else 'to'}")
                if day is not None:
                    found = passed(column, np.datetime64(day, "D"))
                    mask = found if mask is None else mask & found
        return mask

    def lines(self, batch: Batch) -> Bools | None:
        """Lines that pass the filters of lines; None means all."""
        lines, mask = batch.lines, None
        if self.codes:
            mask = np.zeros(len(lines), np.bool_)
            for low, high in self._ranges:
                mask |= (lines.procedure >= low) & (lines.procedure <= high)
        if self.places_of_service:
            found = np.isin(lines.place_of_service, [int(text) for text in self.places_of_service])
            mask = found if mask is None else mask & found
        if self.modifiers:
            found = batch.has_modifier(*map(code36, self.modifiers))
            mask = found if mask is None else mask & found
        return mask

    def covers(self, other: "Match") -> bool:
        """Whether all that passes the other passes this one too."""
        return all(
            self._wider_days(other, name)
            if name.endswith(("_from", "_to"))
            else self._wider_codes(other)
            if name == "codes"
            else {*getattr(other, name)} and {*getattr(other, name)} <= {*getattr(self, name)}
            for name in self.given
        )

    def apart(self, other: "Match") -> bool:
        """Whether no claim can pass both, as far as the filters of claims tell."""
        listed = any(
            one and another and not {*one} & {*another}
            for one, another in (
                (getattr(self, name), getattr(other, name)) for name in _CLAIM_COLUMNS
            )
        )
        return listed or any(
            before and after and before < after
            for name in ("service", "received")
            for before, after in (
                (getattr(self, f"{name}_to"), getattr(other, f"{name}_from")),
                (getattr(other, f"{name}_to"), getattr(self, f"{name}_from")),
            )
        )

    def _wider_days(self, other: "Match", name: str) -> bool:
        ours, theirs = getattr(self, name), getattr(other, name)
        if theirs is None:
            return False
        return bool(ours <= theirs if name.endswith("_from") else ours >= theirs)

    def _wider_codes(self, other: "Match") -> bool:
        return bool(other.codes) and all(
            any(low <= start and end <= high for low, high in self._ranges)
            for start, end in map(_range, other.codes)
        )

    @cached_property
    def _keys(self) -> dict[str, np.ndarray[Any, Any]]:
        return {
            name: np.array([key(text) for text in getattr(self, name)], np.int64)
            for name, (_, key) in _CLAIM_COLUMNS.items()
            if getattr(self, name)
        }

    @cached_property
    def _ranges(self) -> tuple[tuple[int, int], ...]:
        """First and last code of each entry; codes of one length stand in the order of text."""
        return tuple(map(_range, self.codes))


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return code36(first), code36(last or first)
