"""Examples of rules as real claims: what the tests run and the documentation prints."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final, get_type_hints

import numpy as np
from claimgate.v1 import claim_pb2

from engine.codes import code36
from engine.columns import Bools, Dates, Ints, Table
from engine.history import History, PeerRates, ProviderMonths
from engine.members import BASES, Members
from engine.rules.rule import Example, LineExample
from engine.words import word_key

DAY: Final = "2025-10-15"
RECEIVED: Final = "2025-10-20"
BIRTH: Final = "1970-01-01"
NPI: Final = "1234567893"
ZIP: Final = "35201"
"""Birmingham, Alabama: locality 10112-00."""
BILL: Final = "0131"
"""Hospital outpatient, original."""

_LINE_SHORT: Final = ("units", "charge", "pos", "day", "npi", "dx")
_CLAIM_SHORT: Final = (
    "day",
    "received",
    "birth",
    "npi",
    "institutional",
    "tob",
    "dx",
    "total",
    "pos",
    "claim_id",
)


def claim_of(example: Example, claim_id: str = "EXAMPLE") -> claim_pb2.Claim:
    """Return the claim of an example, complete and plain but for what the example says."""
    fields = example.fields
    day = fields.get("day", DAY)
    institutional = bool(fields.get("institutional"))
    claim = claim_pb2.Claim(
        claim_id=claim_id,
        claim_version=1,
        claim_type=claim_pb2.CLAIM_TYPE_INSTITUTIONAL
        if institutional
        else claim_pb2.CLAIM_TYPE_PROFESSIONAL,
        facility_id="FACILITY",
        patient_account_number="ACCOUNT",
        frequency_code="1",
        person_id="MEMBER",
        patient_date_of_birth=fields.get("birth", BIRTH),
        patient_sex="F",
        service_from_date=day,
        service_to_date=day,
        received_date=fields.get("received", RECEIVED),
        insurance_type="MB",
        payer_id="PAYER",
        payer_name="PAYER",
        place_of_service="" if institutional else fields.get("pos", "11"),
        type_of_bill=fields.get("tob", BILL) if institutional else "",
        patient_status="01" if institutional else "",
        diagnoses=[claim_pb2.Diagnosis(code=code) for code in fields.get("dx", ("E119",))],
        billing_provider=claim_pb2.Provider(npi=fields.get("npi", NPI), entity_type=2, zip=ZIP),
        lines=[
            _line(number, line, day, institutional) for number, line in enumerate(example.lines, 1)
        ],
    )
    days = sorted(line.service_from_date for line in claim.lines if line.service_from_date)
    if days and not institutional:
        claim.service_from_date = min(day, days[0])
        claim.service_to_date = max(
            line.service_to_date or line.service_from_date for line in claim.lines
        )
        if "day" not in fields:
            claim.service_from_date = days[0]
    charges = sum(line.charge_cents for line in claim.lines)
    claim.total_charge_cents = round(fields["total"] * 100) if "total" in fields else charges
    _set(claim, {name: value for name, value in fields.items() if name not in _CLAIM_SHORT})
    return claim


def claims_of(example: Example) -> list[claim_pb2.Claim]:
    """Return the claims of an example, those before it first."""
    before = [
        claim_of(each, each.fields.get("claim_id", f"EARLIER-{number}"))
        for number, each in enumerate(example.earlier, 1)
    ]
    return [*before, claim_of(example, example.fields.get("claim_id", "EXAMPLE"))]


def members_of(example: Example, member: int = 0) -> Members:
    """Return what is on file about the example's member, under its number in the pass."""
    types = get_type_hints(Members)
    tables: dict[str, Any] = {
        name: _on_file(_table_type(types[name]), rows, member)
        for name, rows in example.on_file.items()
        if name in types
    }
    return replace(Members(), **tables)


_PROVIDERS: Final[Mapping[str, type[Table]]] = {
    "provider_months": ProviderMonths,
    "peer_rates": PeerRates,
}


def providers_of(example: Example) -> History | None:
    """Return what was committed about the example's biller; None where it says nothing."""
    tables: dict[str, Any] = {
        name: _on_file(_PROVIDERS[name], rows, 0)
        for name, rows in example.on_file.items()
        if name in _PROVIDERS
    }
    return replace(History.of_strangers(1), **tables) if tables else None


def _table_type(annotation: Any) -> type[Table]:
    return next(each for each in annotation.__args__ if each is not type(None))


def _on_file(table: type[Table], rows: Sequence[Mapping[str, Any]], member: int) -> Table:
    columns = []
    for each in fields(table):
        values = [member if each.name == "member" else row.get(each.name) for row in rows]
        columns.append(_column(each.name, each.type, values))
    return table(*columns)


_ABSENT: Final = {"units_milli": -1}
_CONVERTED: Final[Mapping[str, Callable[[str], int]]] = {
    "basis": BASES.index,
    "code_first": code36,
    "code_last": code36,
    "taxonomy": code36,
    "npi": int,
    "billing_npi": int,
}


def _column(name: str, kind: Any, values: Sequence[Any]) -> Any:
    """Return a column of values as an example writes them; what is left out is none or any.

    An NPI is written as a text of digits.
    """
    if kind is Dates:
        return np.array(values, "datetime64[D]")
    if kind is Bools:
        return np.array([True if value is None else value for value in values], np.bool_)
    assert kind is Ints  # noqa: S101 - tables have columns of these three kinds
    convert = _CONVERTED.get(name, word_key)
    return np.array(
        [
            convert(value)
            if isinstance(value, str)
            else _ABSENT.get(name, 0)
            if value is None
            else value
            for value in values
        ],
        np.int64,
    )


def _line(number: int, line: LineExample, day: str, institutional: bool) -> claim_pb2.ServiceLine:
    fields = line.fields
    message = claim_pb2.ServiceLine(
        line_number=number,
        service_from_date=fields.get("day", day),
        procedure_code=line.code,
        modifiers=line.modifiers,
        revenue_code="0510" if institutional else "",
        units_milli=round(fields.get("units", 1) * 1000),
        unit_basis="UN",
        charge_cents=round(fields.get("charge", 100) * 100),
        place_of_service=fields.get("pos", ""),
        diagnosis_pointers=() if institutional else fields.get("dx", (1,)),
    )
    if "npi" in fields:
        message.rendering_provider.npi = fields["npi"]
    _set(message, {name: value for name, value in fields.items() if name not in _LINE_SHORT})
    return message


def _set(message: Any, fields: Mapping[str, Any]) -> None:
    """Set fields by name; mappings set the fields of sub-messages, None clears."""
    for name, value in fields.items():
        if value is None:
            message.ClearField(name)
        elif isinstance(value, Mapping):
            _set(getattr(message, name), value)
        elif isinstance(value, list | tuple):
            message.ClearField(name)
            rows = getattr(message, name)
            for each in value:
                if isinstance(each, Mapping):
                    _set(rows.add(), each)
                else:
                    rows.append(each)
        else:
            setattr(message, name, value)
