"""Which values the production tables would refuse: asked only after they refused a batch.

The service refuses such claims before (structural validation), so this is the second line: it names
the field, where the database names an error, and spares cutting the batch in halves until each bad
row stands alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from claimgate.v1 import claim_pb2, score_pb2
from google.protobuf.message import Message

from engine.columns import Bools, Ints
from engine.decode import decode_unjudged
from engine.messages import Rows
from loader.framing import batch_of
from loader.rows import LoadClaim, Reason, score_e4
from loader.source import days

_INDEXED_BYTES_MAX: Final = 2_000  # an entry of an index has less than a third of a page
_SMALLINT_MAX: Final = 2**15 - 1
_MONEY_MAX: Final = 10**15 - 1
_UNITS_MAX: Final = 10**12 - 1
_RVU_MAX: Final = 10**10 - 1
_SCORE_MAX: Final = 10**5 - 1

# Field and its least and largest value.
_RANGES_OF_CLAIM: Final = (("total_charge_cents", 0, _MONEY_MAX),)
_RANGES_OF_LINE: Final = (
    ("line_number", -_SMALLINT_MAX, _SMALLINT_MAX),
    ("units_milli", 1, _UNITS_MAX),
    ("charge_cents", 0, _MONEY_MAX),
)
_RANGES_OF_RESULT: Final = (("unpriced_lines", 0, _SMALLINT_MAX),)
_RANGES_OF_PRICE: Final = (("rvu_total_e4", -_RVU_MAX, _RVU_MAX),)

# The texts that are stored; what else a claim holds is in its sealed payload only.
_TEXTS_OF_CLAIM: Final = (
    *("facility_id", "frequency_code", "financial_class", "insurance_type", "insurance_plan_id"),
    *("payer_id", "place_of_service", "type_of_bill", "drg_code"),
)
_PROVIDERS_OF_CLAIM: Final = ("billing_provider", "rendering_provider", "attending_provider")
_TEXTS_OF_PROVIDER: Final = ("npi", "last_or_org_name")
_TEXTS_OF_LINE: Final = ("procedure_code", "revenue_code", "place_of_service", "unit_basis")


def suspects(claims: Sequence[LoadClaim]) -> list[LoadClaim]:
    """Return the claims that may have a fault, by their columns: a look at each costs ten times.

    Nearly all faults show there; the database finds those that do not.
    """
    batch = decode_unjudged([Rows.read(batch_of(item.opened.payload for item in claims))])
    of_claims, lines = batch.claims, batch.lines
    odd = np.isnat(of_claims.service_from) | np.isnat(of_claims.service_to)
    odd |= np.isnat(of_claims.received_date) | (of_claims.service_to < of_claims.service_from)
    odd |= _outside(of_claims.total_charge_cents, 0, _MONEY_MAX)
    odd |= np.array([len(item.opened.payload) > _INDEXED_BYTES_MAX for item in claims], np.bool_)
    odd_lines = _outside(lines.units_milli, 1, _UNITS_MAX)
    odd_lines |= _outside(lines.charge_cents, 0, _MONEY_MAX)
    odd_lines |= np.isnat(lines.service_from) | np.isnat(lines.service_to)
    order = np.lexsort((lines.number, lines.claim))
    same = (np.diff(lines.claim[order]) == 0) & (np.diff(lines.number[order]) == 0)
    odd_lines[order[1:]] |= same
    odd[lines.claim[odd_lines]] = True
    return [claims[place] for place in np.flatnonzero(odd).tolist()]


def _outside(column: Ints, least: int, largest: int) -> Bools:
    return (column < least) | (column > largest)


def faults(item: LoadClaim) -> list[Reason]:
    """Return every value of a claim that the tables would refuse, without the value itself."""
    claim = item.opened.claim()
    found = [*_faults_of_claim(claim), *_faults_of_result(item.result)]
    if b"\0" in item.opened.payload:  # of most claims no text has to be looked at
        found += _faults_of_texts(claim)
    return found


def _faults_of_texts(claim: claim_pb2.Claim) -> Iterator[Reason]:
    yield from _texts("claim", claim, _TEXTS_OF_CLAIM)
    for role in _PROVIDERS_OF_CLAIM:
        yield from _texts(f"claim.{role}", getattr(claim, role), _TEXTS_OF_PROVIDER)
    for place, diagnosis in enumerate(claim.diagnoses):
        yield from _texts(f"claim.diagnoses[{place}]", diagnosis, ("code",))
    for place, line in enumerate(claim.lines):
        where = f"lines[{place}]"
        yield from _texts(where, line, _TEXTS_OF_LINE)
        yield from _texts(f"{where}.rendering_provider", line.rendering_provider, ("npi",))
        yield from _without_nul(f"{where}.modifiers", line.modifiers)


def _faults_of_claim(claim: claim_pb2.Claim) -> Iterator[Reason]:
    yield from _dates("claim", claim)
    yield from _ranges("claim", claim, _RANGES_OF_CLAIM)
    if len(claim.facility_id.encode()) > _INDEXED_BYTES_MAX:
        said = f"expected at most {_INDEXED_BYTES_MAX} bytes"
        yield _reason("claim.facility_id", "LENGTH", said)
    numbers = [line.line_number for line in claim.lines]
    if len(set(numbers)) < len(numbers):
        yield _reason("lines.line_number", "REPEATED", "expected each number once in a claim")
    for place, line in enumerate(claim.lines):
        where = f"lines[{place}]"
        yield from _ranges(where, line, _RANGES_OF_LINE)
        yield from _smallints(f"{where}.diagnosis_pointers", line.diagnosis_pointers)
        yield from _line_dates(where, line)


def _faults_of_result(result: score_pb2.ClaimResult) -> Iterator[Reason]:
    yield from _ranges("result", result, _RANGES_OF_RESULT)
    for name in ("fraud_score", "rule_score", "approval_probability"):
        if abs(score_e4(getattr(result, name))) > _SCORE_MAX:
            yield _range(f"result.{name}", -9, 9)
    for place, price in enumerate(result.lines):
        yield from _ranges(f"result.lines[{place}]", price, _RANGES_OF_PRICE)
    for place, hit in enumerate(result.hits):
        yield from _smallints(f"hits[{place}].line_numbers", hit.line_numbers)
        if abs(score_e4(hit.weight)) > _SCORE_MAX:
            yield _range(f"hits[{place}].weight", -9, 9)


def _dates(where: str, claim: claim_pb2.Claim) -> Iterator[Reason]:
    """Yield the claim's days that are missing or in the wrong order."""
    for name in ("service_from_date", "service_to_date", "received_date"):
        if days[getattr(claim, name)] is None:
            yield _missing(f"{where}.{name}")
    first, last = days[claim.service_from_date], days[claim.service_to_date]
    if first is not None and last is not None and last < first:
        yield _reason(f"{where}.service_to_date", "ORDER", "expected on or after service_from_date")


def _line_dates(where: str, line: claim_pb2.ServiceLine) -> Iterator[Reason]:
    """Yield the line's own days that are none; where it has none the claim's stand for them."""
    for name in ("service_from_date", "service_to_date"):
        text = getattr(line, name)
        if text and days[text] is None:
            yield _missing(f"{where}.{name}")


def _ranges(
    where: str, message: Message, ranges: tuple[tuple[str, int, int], ...]
) -> Iterator[Reason]:
    for name, least, largest in ranges:
        if not least <= getattr(message, name) <= largest:
            yield _range(f"{where}.{name}", least, largest)


def _smallints(where: str, numbers: Iterable[int]) -> Iterator[Reason]:
    if any(abs(number) > _SMALLINT_MAX for number in numbers):
        yield _range(where, -_SMALLINT_MAX, _SMALLINT_MAX)


def _texts(where: str, message: Message, names: tuple[str, ...]) -> Iterator[Reason]:
    for name in names:
        yield from _without_nul(f"{where}.{name}", (getattr(message, name),))


def _without_nul(where: str, texts: Iterable[str]) -> Iterator[Reason]:
    if any("\0" in text for text in texts):
        yield _reason(where, "NUL", "expected text without NUL characters")


def _missing(field: str) -> Reason:
    return _reason(field, "MISSING", "expected an ISO date such as 2025-10-31")


def _range(field: str, least: int, largest: int) -> Reason:
    return _reason(field, "RANGE", f"expected {least} to {largest}")


def _reason(field: str, code: str, message: str) -> Reason:
    """Return one reason."""
    return {"field": field, "code": code, "message": message}
