"""Which values the production tables would refuse: asked only after they refused a batch.

The service refuses such claims before (structural validation), so this is the second line: it names
the column, where the database names an error, and spares cutting the batch in halves until each bad
row stands alone.
"""

from collections.abc import Iterator
from typing import Final

from loader.rows import CLAIM_COLUMNS, HIT_COLUMNS, LINE_COLUMNS, LoadClaim, Reason, Row


def _places(columns: str) -> dict[str, int]:
    """Return where each column stands in a row."""
    return {column.split()[0]: place for place, column in enumerate(columns.split(","))}


_CLAIM: Final = _places(CLAIM_COLUMNS)
_LINE: Final = _places(LINE_COLUMNS)
_HIT: Final = _places(HIT_COLUMNS)

_REQUIRED_OF_CLAIM: Final = ("service_from_date", "service_to_date", "received_date")
_REQUIRED_OF_LINE: Final = ("service_date", "service_to_date")

_SMALLINT_MAX: Final = 2**15 - 1
_MONEY_MAX: Final = 10**15 - 1
_UNITS_MAX: Final = 10**12 - 1
_RVU_MAX: Final = 10**10 - 1
_SCORE_MAX: Final = 10**5 - 1

# Column and its least and largest value.
_RANGES_OF_CLAIM: Final = (
    ("total_charge_cents", 0, _MONEY_MAX),
    ("patient_paid_cents", -_MONEY_MAX, _MONEY_MAX),
    ("allowed_cents", -_MONEY_MAX, _MONEY_MAX),
    ("exposure_cents", -_MONEY_MAX, _MONEY_MAX),
    ("fraud_score_e4", -_SCORE_MAX, _SCORE_MAX),
    ("rule_score_e4", -_SCORE_MAX, _SCORE_MAX),
    ("ml_prediction_score_e4", -_SCORE_MAX, _SCORE_MAX),
    ("line_count", 0, _SMALLINT_MAX),
    ("unpriced_lines", 0, _SMALLINT_MAX),
)
_RANGES_OF_LINE: Final = (
    ("line_number", -_SMALLINT_MAX, _SMALLINT_MAX),
    ("units_milli", 1, _UNITS_MAX),
    ("charge_cents", 0, _MONEY_MAX),
    ("allowed_cents", -_MONEY_MAX, _MONEY_MAX),
    ("payable_cents", -_MONEY_MAX, _MONEY_MAX),
    ("rvu_total_e4", -_RVU_MAX, _RVU_MAX),
)
_RANGES_OF_HIT: Final = (
    ("hit_no", 1, _SMALLINT_MAX),
    ("weight_e4", -_SCORE_MAX, _SCORE_MAX),
    ("exposure_cents", -_MONEY_MAX, _MONEY_MAX),
)


def faults(item: LoadClaim) -> list[Reason]:
    """Return every value of a claim that the tables would refuse, without the value itself."""
    found = list(_faults_of_row("claim", item.claim, _CLAIM, _REQUIRED_OF_CLAIM, _RANGES_OF_CLAIM))
    first, last = (item.claim[_CLAIM[name]] for name in ("service_from_date", "service_to_date"))
    if first is not None and last is not None and last < first:  # type: ignore[operator]
        found.append(
            _reason("claim.service_to_date", "ORDER", "expected on or after service_from_date")
        )
    numbers = [line[_LINE["line_number"]] for line in item.lines]
    if len(set(numbers)) < len(numbers):
        found.append(
            _reason("lines.line_number", "REPEATED", "expected each number once in a claim")
        )
    for place, line in enumerate(item.lines):
        found += _faults_of_row(f"lines[{place}]", line, _LINE, _REQUIRED_OF_LINE, _RANGES_OF_LINE)
    for place, hit in enumerate(item.hits):
        found += _faults_of_row(f"hits[{place}]", hit, _HIT, (), _RANGES_OF_HIT)
    return found


def _faults_of_row(
    where: str,
    row: Row,
    places: dict[str, int],
    required: tuple[str, ...],
    ranges: tuple[tuple[str, int, int], ...],
) -> Iterator[Reason]:
    """Yield what is missing, out of range or not storable in one row."""
    for name in required:
        if row[places[name]] is None:
            yield _reason(f"{where}.{name}", "MISSING", "expected an ISO date such as 2025-10-31")
    for name, least, largest in ranges:
        value = row[places[name]]
        if isinstance(value, int) and not least <= value <= largest:
            yield _reason(f"{where}.{name}", "RANGE", f"expected {least} to {largest}")
    for name, place in places.items():
        value = row[place]
        if isinstance(value, str) and "\0" in value:
            yield _reason(f"{where}.{name}", "NUL", "expected text without NUL characters")


def _reason(field: str, code: str, message: str) -> Reason:
    """Return one reason."""
    return {"field": field, "code": code, "message": message}
