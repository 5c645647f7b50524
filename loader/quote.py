"""A price quote: some lines as a claim, priced by the engine as the service does, step by step."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import numpy as np
from claimgate.v1 import claim_pb2, score_pb2

from engine.codes import code36
from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.policy import Policy
from engine.reference import Reference, describe
from engine.validate import CENTS_MAX, UNITS_MILLI_MAX

NO_CHARGE_CENTS: Final = 9_999_999_99
"""Stands for a charge that is not given: no price is above it."""

_CODE: Final = re.compile(r"[0-9A-Z]{5}")
_MODIFIER: Final = re.compile(r"[0-9A-Z]{2}")
_PLACE: Final = re.compile(r"[0-9]{2}")
_ZIP: Final = re.compile(r"[0-9]{5}(-?[0-9]{4})?")
_NPI: Final = re.compile(r"[0-9]{10}")
_LINE: Final = re.compile(r"([^-x]+)((?:-[^-x]+)*)(?:x(.+))?", re.IGNORECASE)
_STATUS: Final = {
    score_pb2.PRICE_STATUS_PRICED: "priced",
    score_pb2.PRICE_STATUS_BUNDLED: "bundled",
    score_pb2.PRICE_STATUS_BY_REPORT: "by_report",
    score_pb2.PRICE_STATUS_NO_PRICE: "no_price",
}
_BASIS: Final = {
    score_pb2.PRICE_BASIS_UNSPECIFIED: "",
    score_pb2.PRICE_BASIS_FEE_SCHEDULE: "fee_schedule",
    score_pb2.PRICE_BASIS_CONTRACT: "contract",
    score_pb2.PRICE_BASIS_CHARGE: "charge",
    score_pb2.PRICE_BASIS_TENANT_FEE: "tenant_fee",
}

_PRICE_DATASETS: Final = (
    "anesthesia_cf",
    "gpci",
    "mpfs",
    "opps_cap",
    "place_of_service",
    "zip_locality",
)


class QuoteError(ValueError):
    """What was asked cannot be a line of a claim."""


class UnknownCodeError(LookupError):
    """No table has the code on the day."""


@dataclass(frozen=True, slots=True)
class QuotedLine:
    """What is asked of one line."""

    code: str
    modifiers: tuple[str, ...] = ()
    units_milli: int = 1000
    minutes: bool = False
    """The units are minutes."""
    charge_cents: int = NO_CHARGE_CENTS

    @classmethod
    def of_text(cls, text: str) -> "QuotedLine":
        """Read a line such as `20610-59x2`: code, modifiers, units."""
        found = _LINE.fullmatch(text.strip())
        if not found:
            raise QuoteError(f"{text!r} is no line; expected CODE-MODIFIERSxUNITS, like 20610-59x2")
        code, modifiers, units = found.groups()
        return cls(
            procedure_code(code),
            modifiers_of(modifiers.replace("-", ",")),
            thousandths(units or "1", "units"),
        )


@dataclass(frozen=True, slots=True)
class Parties:
    """Who bills whom, as far as contracts ask."""

    tenant: str = ""
    contract: str = ""
    plan: str = ""
    npi: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a price."""

    step: str
    detail: str
    amount_cents: int


@dataclass(frozen=True, slots=True)
class LineQuote:
    """The price of one line, or why it has none."""

    line: str
    price_status: str
    price_basis: str
    no_price_reason: str
    allowed_cents: int | None
    rvu_total_e4: int
    locality: str
    trace: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """The prices of the lines of one claim, and what they rest on."""

    lines: tuple[LineQuote, ...]
    allowed_cents: int | None
    """Sum of the lines that have a price; None where no line has one."""
    unpriced_lines: int
    reference_release: str
    policy_version: str
    engine_version: str
    stand_ins: tuple[str, ...]
    warnings: tuple[str, ...]
    """What was taken as it was asked, and may not be meant."""

    @property
    def price_stand_ins(self) -> tuple[str, ...]:
        """Those of the tables that prices are read from."""
        return tuple(each for each in self.stand_ins if each.split()[0] in _PRICE_DATASETS)

    def facts(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


_NOBODY: Final = Parties()


def quote(
    reference: Reference,
    lines: Sequence[QuotedLine],
    *,
    day: date,
    zip_code: str,
    place: str,
    parties: Parties = _NOBODY,
) -> Quote:
    """Price some lines that one provider rendered on one day.

    Raises:
        QuoteError: A value cannot be read, or the engine would refuse the claim.
        UnknownCodeError: No table of the snapshot has a code on the day.
    """
    if not _ZIP.fullmatch(zip_code):
        raise QuoteError(f"{zip_code!r} is no ZIP code; expected five or nine digits")
    if not _PLACE.fullmatch(place):
        raise QuoteError(f"{place!r} is no place of service; expected two digits, such as 11")
    if parties.npi and not _NPI.fullmatch(parties.npi):
        raise QuoteError(f"{parties.npi!r} is no NPI; expected ten digits")
    claim = _claim(lines, day, zip_code.replace("-", ""), place, parties)
    engine = Engine((), reference.for_tenant(parties.tenant), Policy())
    read = engine.read([score_pb2.ClaimBatch(claims=[claim])])
    [answer] = engine.score(read, Gathered(ModelAnswer.disabled()), [score_pb2.VIEW_TRACE])
    [result] = answer.results
    if result.violations:
        raise QuoteError("; ".join(f"{each.field}: {each.message}" for each in result.violations))
    for each, found in zip(lines, result.lines, strict=True):
        _check(reference, each, found, day)
    return Quote(
        lines=tuple(map(_line_quote, lines, result.lines)),
        allowed_cents=result.allowed_cents if result.HasField("allowed_cents") else None,
        unpriced_lines=result.unpriced_lines,
        reference_release=answer.provenance.reference_release,
        policy_version=answer.provenance.policy_version,
        engine_version=answer.provenance.engine_version,
        stand_ins=tuple(answer.provenance.stand_ins),
        warnings=(
            *_unknown_modifiers(reference, lines, day),
            *_unknown_place(reference, place, day),
            *_unknown_tenant(reference, parties.tenant),
        ),
    )


def _check(reference: Reference, asked: QuotedLine, found: score_pb2.LineResult, day: date) -> None:
    """Refuse a code that no table and no contract has, and a share of a charge not given."""
    facts = describe(reference, asked.code, day)
    in_tables = facts.fee or facts.unit_limits or facts.hcpcs_level_2 or facts.in_pair_edits
    if not in_tables and not found.price_basis:
        raise UnknownCodeError(f"no table of the snapshot has {asked.code} on {day}")
    by_charge = found.price_basis == score_pb2.PRICE_BASIS_CHARGE
    if by_charge and asked.charge_cents == NO_CHARGE_CENTS:
        raise QuoteError(f"the contract pays a share of the charge of {asked.code}; give it")


def _claim(
    lines: Sequence[QuotedLine], day: date, zip_code: str, place: str, parties: Parties
) -> claim_pb2.Claim:
    """Return a claim that is complete, and says nothing of a person."""
    iso = day.isoformat()
    return claim_pb2.Claim(
        claim_id="QUOTE",
        claim_version=1,
        claim_type=claim_pb2.CLAIM_TYPE_PROFESSIONAL,
        facility_id="QUOTE",
        patient_account_number="QUOTE",
        frequency_code="1",
        service_from_date=iso,
        service_to_date=iso,
        received_date=iso,
        total_charge_cents=sum(each.charge_cents for each in lines),
        place_of_service=place,
        insurance_plan_id=parties.plan,
        billing_provider=claim_pb2.Provider(
            zip=zip_code, npi=parties.npi, contract_id=parties.contract
        ),
        is_encounter=True,
        lines=[
            claim_pb2.ServiceLine(
                line_number=number,
                service_from_date=iso,
                procedure_code=each.code,
                modifiers=each.modifiers,
                units_milli=each.units_milli,
                unit_basis="MJ" if each.minutes else "UN",
                charge_cents=each.charge_cents,
            )
            for number, each in enumerate(lines, 1)
        ],
    )


def _line_quote(asked: QuotedLine, found: score_pb2.LineResult) -> LineQuote:
    return LineQuote(
        line="-".join((asked.code, *asked.modifiers)),
        price_status=_STATUS[found.price_status],
        price_basis=_BASIS[found.price_basis],
        no_price_reason=found.no_price_reason,
        allowed_cents=found.allowed_cents if found.HasField("allowed_cents") else None,
        rvu_total_e4=found.rvu_total_e4,
        locality=found.locality,
        trace=tuple(Step(each.step, each.detail, each.amount_cents) for each in found.trace),
    )


def _unknown_modifiers(
    reference: Reference, lines: Sequence[QuotedLine], day: date
) -> Iterator[str]:
    modifiers = list(dict.fromkeys(modifier for line in lines for modifier in line.modifiers))
    days = np.full(len(modifiers), day, "datetime64[D]")
    valid = reference.modifiers.valid(np.array(list(map(code36, modifiers)), np.int64), days)
    if reference.modifiers.loaded:
        for modifier in np.array(modifiers)[~valid].tolist():
            yield f"modifier {modifier} is not in the table of modifiers on {day}"


def _unknown_place(reference: Reference, place: str, day: date) -> Iterator[str]:
    places, days = reference.place_of_service, np.array([day], "datetime64[D]")
    if places.loaded and not places.assigned(np.array([int(place)]), days)[0]:
        yield f"place of service {place} is not assigned on {day}"


def _unknown_tenant(reference: Reference, tenant: str) -> Iterator[str]:
    if tenant and reference.for_tenant(tenant) is reference:
        yield f"no table has rows of tenant {tenant!r}: those for all tenants hold"


def procedure_code(text: str) -> str:
    """Read a CPT or HCPCS code."""
    code = text.strip().upper()
    if not _CODE.fullmatch(code) or code36(code) <= 0:
        raise QuoteError(f"{text!r} is no CPT or HCPCS code; expected five letters and digits")
    return code


def modifiers_of(text: str) -> tuple[str, ...]:
    """Read modifiers with commas between them, such as `26,50`."""
    modifiers = tuple(each.strip().upper() for each in text.split(",") if each.strip())
    for each in modifiers:
        if not _MODIFIER.fullmatch(each):
            raise QuoteError(f"{each!r} is no modifier; expected two letters or digits, such as 26")
    return modifiers


def thousandths(text: str, what: str) -> int:
    """Read a positive number with up to three decimals, in thousandths."""
    return _scaled(text, 3, what, UNITS_MILLI_MAX)


def cents(text: str, what: str) -> int:
    """Read dollars, in cents."""
    return _scaled(text, 2, what, CENTS_MAX)


def _scaled(text: str, places: int, what: str, most: int) -> int:
    try:
        scaled = Decimal(text.replace(",", "")).scaleb(places)
        whole = int(scaled)
    except (InvalidOperation, ValueError, OverflowError):
        raise QuoteError(f"{what} {text!r} is no number; expected one such as 2") from None
    if scaled != whole or not 0 < whole <= most:
        raise QuoteError(
            f"{what} {text!r} is out of range; expected more than 0, "
            f"at most {Decimal(most).scaleb(-places)}, with up to {places} decimals"
        )
    return whole
