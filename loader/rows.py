"""Scored claims as rows: the bytes that COPY takes, table by table.

Postgres' binary COPY format, written here: of a value that repeats (a code, a day, a word of an
enum) the bytes are made once, the integers of a row are packed in one step, and the key is the same
for all rows of a claim.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, repeat
from struct import Struct
from typing import Final, Generic, NamedTuple, Self, TypeVar
from uuid import UUID

import numpy as np
from claimgate.v1 import claim_pb2, score_pb2

from engine.decode import decode_unjudged
from engine.history_records import FORMAT, pack
from loader.source import Leased, Status, days, storable
from loader.vault import Vault

Row = tuple[object, ...]
Reason = dict[str, str]
Value = TypeVar("Value")


class LoadClaim(NamedTuple):
    """A scored claim on its way into production."""

    leased: Leased
    status: Status
    claim: claim_pb2.Claim
    result: score_pb2.ClaimResult
    provenance: tuple[int, int]
    """Id of the releases, and the history watermark."""

    lines: int
    hits: int
    account_key: bytes
    key: bytes
    """Day, id and version, as fields of a row."""


@dataclass(frozen=True, slots=True)
class FailedClaim:
    """A claim that cannot go on, with every reason."""

    leased: Leased
    category: str
    stage: str
    reasons: list[Reason]


def load_claim(
    leased: Leased,
    claim: claim_pb2.Claim,
    result: score_pb2.ClaimResult,
    provenance: tuple[int, int],
    vault: Vault,
    tenant: str,
) -> LoadClaim:
    """Return a claim with its answer; `provenance` is its id and the watermark."""
    needs_review = result.decision == score_pb2.DECISION_REVIEW
    key = (
        _DAY[claim.service_from_date],
        _text(leased.claim_id),
        _INTEGER.pack(4, leased.claim_version),
    )
    return LoadClaim(
        leased,
        "needs_review" if needs_review else "completed",
        claim,
        result,
        provenance,
        len(claim.lines),
        len(result.hits),
        vault.lookup(tenant, "account", claim.patient_account_number),
        b"".join(key),
    )


def rejected(leased: Leased, result: score_pb2.ClaimResult) -> FailedClaim:
    """Return the failure of a claim whose structure the service refused."""
    faults = [
        {"field": violation.field, "code": violation.code, "message": violation.message}
        for violation in result.violations
    ]
    # A policy may reject by format rules too: then the hits are the reasons.
    hits = [
        {"field": hit.evidence.get("field", ""), "code": hit.rule_id, "message": hit.citation}
        for hit in result.hits
        if hit.action == score_pb2.ACTION_REJECT
    ]
    return FailedClaim(leased, "structure", "score", faults or hits)


# Values as fields: their length, then their bytes.
# --------------------------------------------------------------------------------------------------

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"

_NULL: Final = b"\xff\xff\xff\xff"
_TRUE, _FALSE = b"\0\0\0\1\1", b"\0\0\0\1\0"
_TEXT_TYPE, _SMALLINT_TYPE = 25, 21
_INTEGER: Final = Struct(">ii")
_BIGINT: Final = Struct(">iq")
_SMALLINT: Final = Struct(">ih")
_ARRAY_HEAD: Final = Struct(">iiiii")
_NUMERIC_HEAD: Final = Struct(">ihhHH")
_NUMERIC_BASE: Final = 10_000
_NEGATIVE: Final = 0x4000


def _field(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _text(text: str) -> bytes:
    content = text.encode()
    return len(content).to_bytes(4, "big") + content


def _array(element_type: int, elements: Sequence[bytes]) -> bytes:
    if not elements:
        return _field(Struct(">iii").pack(0, 0, element_type))
    head = _ARRAY_HEAD.pack(1, 0, element_type, len(elements), 1)
    return _field(head + b"".join(elements))


def _texts(texts: tuple[str, ...]) -> bytes:
    return _array(_TEXT_TYPE, [_text(text) for text in texts])


def _smallints(numbers: tuple[int, ...]) -> bytes:
    return _array(_SMALLINT_TYPE, [_SMALLINT.pack(2, number) for number in numbers])


def _day(text: str) -> bytes:
    day = days[text]
    return _NULL if day is None else _INTEGER.pack(4, day.toordinal() - _DAY_0)


_DAY_0: Final = 730_120  # 2000-01-01, from which Postgres counts


def _numeric(value: int, decimals: int) -> bytes:
    """Return an integer that counts the last of (at most four) decimals as a NUMERIC."""
    rest, digits = abs(value) * 10 ** (4 - decimals), list[int]()
    while rest:
        rest, digit = divmod(rest, _NUMERIC_BASE)
        digits.insert(0, digit)
    weight = len(digits) - 2  # the last digit stands right of the point
    while digits and digits[-1] == 0:
        digits.pop()
    sign = _NEGATIVE if value < 0 else 0
    head = _NUMERIC_HEAD.pack(
        8 + 2 * len(digits), len(digits), weight if digits else 0, sign, decimals
    )
    return head + b"".join(digit.to_bytes(2, "big") for digit in digits)


def _thousandths(value: int) -> bytes:
    return _numeric(value, 3)


def _ten_thousandths(value: int) -> bytes:
    return _numeric(value, 4)


def score_e4(score: float) -> int:
    """Return a score of nine decimals as four, half up, as tables keep it."""
    return (round(score * 1_000_000_000) + 50_000) // 100_000


class _Memory(dict[Value, bytes], Generic[Value]):
    """The fields of values that repeat, made once; bounded."""

    _ENTRIES_MAX: Final = 100_000

    def __init__(self, make: Callable[[Value], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, value: Value) -> bytes:
        made = self._make(value)
        if len(self) < self._ENTRIES_MAX:
            self[value] = made
        return made


_TEXT: Final = _Memory[str](_text)
_TEXTS: Final = _Memory[tuple[str, ...]](_texts)
_SMALLINTS: Final = _Memory[tuple[int, ...]](_smallints)
_DAY: Final = _Memory[str](_day)
_E3: Final = _Memory[int](_thousandths)
_E4: Final = _Memory[int](_ten_thousandths)
_CENTS: Final = _Memory[int](lambda cents: _BIGINT.pack(8, cents))


def _names(enum: object, prefix: str) -> dict[int, str]:
    """Return an enum's words as tables hold them: lower case, without the enum's own name."""
    values: Iterable[tuple[str, int]] = enum.items()  # type: ignore[attr-defined]
    return {number: name.removeprefix(prefix).lower() for name, number in values}


def _fields(enum: object, prefix: str) -> dict[int, bytes]:
    """Return an enum's words as fields."""
    return {number: _text(name) for number, name in _names(enum, prefix).items()}


DECISION: Final = _names(score_pb2.Decision, "DECISION_")
_DECISION: Final = _fields(score_pb2.Decision, "DECISION_")
_ACTION: Final = _fields(score_pb2.Action, "ACTION_")
_BASIS: Final = _fields(score_pb2.ExposureBasis, "EXPOSURE_BASIS_")
_CATEGORY: Final = _fields(score_pb2.Category, "CATEGORY_")
_CERTAINTY: Final = _fields(score_pb2.Certainty, "CERTAINTY_")
_CLAIM_TYPE: Final = _fields(claim_pb2.ClaimType, "CLAIM_TYPE_")
_DISPOSITION: Final = _fields(score_pb2.Disposition, "DISPOSITION_")
_LINE_OF_BUSINESS: Final = _fields(claim_pb2.LineOfBusiness, "LINE_OF_BUSINESS_")
_MODEL: Final = _fields(score_pb2.ModelStatus, "MODEL_STATUS_")
_PRICE: Final = _fields(score_pb2.PriceStatus, "PRICE_STATUS_")
_RISK: Final = _fields(score_pb2.RiskCategory, "RISK_CATEGORY_")
_SCOPE: Final = _fields(score_pb2.Scope, "SCOPE_")
_SEVERITY: Final = _fields(score_pb2.Severity, "SEVERITY_")


# Rows: the number of their fields, then the fields, in the order of the columns named above each.
# Repeated fields are taken as a slice: read to their end one by one, they cost twice as much.
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose rows these are, as fields."""

    tenant: bytes
    batch: bytes

    @classmethod
    def of(cls, tenant: str, batch_id: UUID) -> Self:
        """Return the owner of a batch's rows."""
        return cls(_text(tenant), _field(batch_id.bytes))


_KEY: Final = ("tenant_id", "service_from_date", "claim_id", "claim_version")

CLAIM_COLUMNS: Final = (
    *_KEY,
    *("total_charge_cents", "patient_paid_cents", "line_count", "priority"),
    *("batch_id", "content_sha256", "patient_account_key", "member_key", "payload_encrypted"),
    *("service_to_date", "admission_date", "discharge_date", "received_date"),
    *("claim_type", "facility_id", "frequency_code", "line_of_business"),
    *("financial_class", "insurance_type", "insurance_plan_id", "payer_id"),
    *("place_of_service", "type_of_bill", "drg_code"),
    *("billing_provider_npi", "billing_provider_name", "rendering_provider_npi"),
    *("attending_provider_npi", "attending_provider_name"),
    *("primary_diagnosis_code", "diagnosis_codes"),
)
_CLAIM_HEAD: Final = len(CLAIM_COLUMNS).to_bytes(2, "big")
_CLAIM_INTEGERS: Final = Struct(">iqiqihih")


def claim_rows(claims: Sequence[LoadClaim], owner: Owner) -> bytes:
    """Return the rows of claims."""
    head, batch = _CLAIM_HEAD + owner.tenant, owner.batch
    return b"".join([_claim_row(item, head, batch) for item in claims])


def _claim_row(item: LoadClaim, head: bytes, batch: bytes) -> bytes:
    leased, claim, key = item.leased, item.claim, item.key
    billing, attending = claim.billing_provider, claim.attending_provider
    diagnoses = tuple([diagnosis.code for diagnosis in claim.diagnoses[:]])
    payload = leased.payload_encrypted
    return b"".join(
        (
            head,
            key,
            _CLAIM_INTEGERS.pack(
                *(8, claim.total_charge_cents, 8, claim.patient_paid_cents),
                *(2, item.lines, 2, min(max(claim.priority, 1), 9)),
            ),
            batch,
            _field(leased.content_sha256),
            _field(item.account_key),
            _field(leased.member_key),
            len(payload).to_bytes(4, "big"),
            payload,
            _DAY[claim.service_to_date],
            _DAY[claim.admission_date],
            _DAY[claim.discharge_date],
            _DAY[claim.received_date],
            _CLAIM_TYPE[claim.claim_type],
            _TEXT[claim.facility_id],
            _TEXT[claim.frequency_code or "1"],
            _LINE_OF_BUSINESS[claim.line_of_business],
            _TEXT[claim.financial_class],
            _TEXT[claim.insurance_type],
            _TEXT[claim.insurance_plan_id],
            _TEXT[claim.payer_id],
            _TEXT[claim.place_of_service],
            _TEXT[claim.type_of_bill],
            _TEXT[claim.drg_code],
            _TEXT[billing.npi],
            _TEXT[billing.last_or_org_name],
            _TEXT[claim.rendering_provider.npi],
            _TEXT[attending.npi],
            _TEXT[attending.last_or_org_name],
            _TEXT[diagnoses[0] if diagnoses else ""],
            _TEXTS[diagnoses],
        )
    )


LINE_COLUMNS: Final = (
    *_KEY,
    *("line_number", "charge_cents", "allowed_cents", "payable_cents"),
    *("service_date", "service_to_date", "procedure_code", "modifier_codes", "revenue_code"),
    *("place_of_service", "diagnosis_pointers", "units", "unit_basis", "rendering_provider_npi"),
    *("rvu_total", "price_status", "disposition"),
)
_LINE_HEAD: Final = len(LINE_COLUMNS).to_bytes(2, "big")
_LINE_INTEGERS: Final = Struct(">ihiq")
_NO_PRICE: Final = score_pb2.LineResult()


def line_rows(claims: Sequence[LoadClaim], owner: Owner) -> bytes:
    """Return a row for each line, with its price; a line without dates has the claim's."""
    fields: list[bytes] = []
    head = _LINE_HEAD + owner.tenant
    for item in claims:
        _add_line_rows(fields, item, head + item.key)
    return b"".join(fields)


def _add_line_rows(fields: list[bytes], item: LoadClaim, head: bytes) -> None:
    claim, results = item.claim, item.result.lines[:]
    lines = claim.lines[:]
    claim_from, claim_to = claim.service_from_date, claim.service_to_date
    claim_place, claim_npi = claim.place_of_service, claim.rendering_provider.npi
    prices = results if len(results) == len(lines) else repeat(_NO_PRICE, len(lines))
    for line, price in zip(lines, prices, strict=True):
        first = line.service_from_date
        own_npi = line.rendering_provider.npi if line.HasField("rendering_provider") else ""
        fields += (
            head,
            _LINE_INTEGERS.pack(2, line.line_number, 8, line.charge_cents),
            _CENTS[price.allowed_cents] if price.HasField("allowed_cents") else _NULL,
            _CENTS[price.payable_cents] if price.HasField("payable_cents") else _NULL,
            _DAY[first or claim_from],
            _DAY[line.service_to_date or first or claim_to],
            _TEXT[line.procedure_code],
            _TEXTS[tuple(line.modifiers[:])],
            _TEXT[line.revenue_code],
            _TEXT[line.place_of_service or claim_place],
            _SMALLINTS[tuple(line.diagnosis_pointers[:])],
            _E3[line.units_milli],
            _TEXT[line.unit_basis or "UN"],
            _TEXT[own_npi or claim_npi],
            _E4[price.rvu_total_e4],
            _PRICE[price.price_status],
            _DISPOSITION[price.disposition],
        )


RESULT_COLUMNS: Final = (
    *_KEY,
    *("result_no", "unpriced_lines", "exposure_cents", "provenance_id", "history_watermark"),
    *("allowed_cents", "batch_id", "decision", "risk_category", "ml_status", "exposure_basis"),
    *("fraud_score", "rule_score", "ml_prediction_score", "degraded", "answer"),
)
_RESULT_HEAD: Final = len(RESULT_COLUMNS).to_bytes(2, "big")
_RESULT_INTEGERS: Final = Struct(">ihihiqiqiq")


def result_rows(claims: Sequence[LoadClaim], owner: Owner) -> bytes:
    """Return the rows of the answers: each is the first of its claim."""
    head, batch = _RESULT_HEAD + owner.tenant, owner.batch
    return b"".join([_result_row(item, head, batch) for item in claims])


def _result_row(item: LoadClaim, head: bytes, batch: bytes) -> bytes:
    result, (provenance_id, watermark) = item.result, item.provenance
    has, answer = result.HasField, result.SerializeToString()
    return b"".join(
        (
            head,
            item.key,
            _RESULT_INTEGERS.pack(
                *(2, 1, 2, result.unpriced_lines, 8, result.exposure_cents),
                *(8, provenance_id, 8, watermark),
            ),
            _CENTS[result.allowed_cents] if has("allowed_cents") else _NULL,
            batch,
            _DECISION[result.decision],
            _RISK[result.risk_category],
            _MODEL[result.model_status],
            _BASIS[result.exposure_basis],
            _E4[score_e4(result.fraud_score)],
            _E4[score_e4(result.rule_score)],
            _E4[score_e4(result.approval_probability)] if has("approval_probability") else _NULL,
            _TEXTS[tuple(result.degraded[:])],
            len(answer).to_bytes(4, "big"),
            answer,
        )
    )


HIT_COLUMNS: Final = (
    *_KEY,
    *("result_no", "hit_no", "exposure_cents", "suppressed", "rule_id", "variant", "category"),
    *("scope", "line_numbers", "codes", "action", "certainty", "severity", "weight", "carc"),
    *("dataset_release", "evidence", "shadow"),
)
_HIT_HEAD: Final = len(HIT_COLUMNS).to_bytes(2, "big")
_HIT_INTEGERS: Final = Struct(">ihihiq")
_JSONB_VERSION: Final = b"\1"


def hit_rows(claims: Sequence[LoadClaim], owner: Owner) -> bytes:
    """Return a row for each finding."""
    head = _HIT_HEAD + owner.tenant
    return b"".join(
        [
            _hit_row(head + item.key, number, hit)
            for item in claims
            if item.hits
            for number, hit in enumerate(item.result.hits[:], 1)
        ]
    )


def _hit_row(head: bytes, number: int, hit: score_pb2.RuleHit) -> bytes:
    evidence = json.dumps(dict(hit.evidence), separators=(",", ":"))
    return b"".join(
        (
            head,
            _HIT_INTEGERS.pack(2, 1, 2, number, 8, hit.exposure_cents),
            _TRUE if hit.suppressed else _FALSE,
            _TEXT[hit.rule_id],
            _TEXT[hit.variant],
            _CATEGORY[hit.category],
            _SCOPE[hit.scope],
            _SMALLINTS[tuple(hit.line_numbers[:])],
            _TEXTS[tuple(hit.codes[:])],
            _ACTION[hit.action],
            _CERTAINTY[hit.certainty],
            _SEVERITY[hit.severity],
            _E4[score_e4(hit.weight)],
            _TEXT[hit.carc],
            _TEXT[hit.dataset_release],
            _field(_JSONB_VERSION + evidence.encode()),
            _TRUE if hit.shadow else _FALSE,
        )
    )


HISTORY_COLUMNS: Final = (
    *_KEY,
    *("billing_npi", "billing_taxonomy", "line_count", "distinct_lines", "format"),
    *("takes_the_place", "batch_id", "member_key", "service_to_date", "facts", "lines"),
)
_HISTORY_HEAD: Final = len(HISTORY_COLUMNS).to_bytes(2, "big")
_HISTORY_INTEGERS: Final = Struct(">iqiqiiiiih")


def history_rows(claims: Sequence[LoadClaim], owner: Owner) -> bytes:
    """Return the rows by which later claims are judged: claims read as the service reads them."""
    batch = decode_unjudged([score_pb2.ClaimBatch(claims=[item.claim for item in claims])])
    in_process = np.array([item.status == "needs_review" for item in claims], np.bool_)
    denied = np.fromiter(chain.from_iterable(map(_denied, claims)), np.bool_)
    packed = pack(batch, in_process, denied)
    head, rows = _HISTORY_HEAD + owner.tenant, list[bytes]()
    for item, facts, lines, count, distinct, npi, taxonomy, takes in zip(
        claims,
        packed.facts,
        packed.lines,
        packed.line_count,
        packed.distinct_lines,
        packed.billing_npi,
        packed.billing_taxonomy,
        packed.takes_the_place,
        strict=True,
    ):
        rows += (
            head,
            item.key,
            _HISTORY_INTEGERS.pack(8, npi, 8, taxonomy, 4, count, 4, distinct, 2, FORMAT),
            _TRUE if takes else _FALSE,
            owner.batch,
            _field(item.leased.member_key),
            _DAY[item.claim.service_to_date],
            len(facts).to_bytes(4, "big"),
            facts,
            len(lines).to_bytes(4, "big"),
            lines,
        )
    return b"".join(rows)


def _denied(item: LoadClaim) -> Iterable[bool]:
    """Tell of each line whether it was denied for certain; a line without an answer was not."""
    lines = item.result.lines[:]
    if len(lines) != item.lines:
        return [False] * item.lines
    return [line.disposition == score_pb2.DISPOSITION_DENY for line in lines]


# Rows of small tables, which are sent as values.
# --------------------------------------------------------------------------------------------------


def provenance_row(provenance: score_pb2.Provenance) -> Row:
    """Return the row that keeps a set of releases once; its id follows from its content."""
    texts = (
        provenance.reference_release,
        provenance.policy_version,
        provenance.model_version,
        provenance.engine_version,
    )
    lists = (sorted(provenance.stand_ins), sorted(provenance.partial_rule_ids))
    gaps = sorted((gap.reason, sorted(gap.rule_ids)) for gap in provenance.not_evaluated)
    digest = sha256(json.dumps([texts, lists, gaps]).encode()).digest()
    unjudged = json.dumps([{"reason": reason, "rule_ids": ids} for reason, ids in gaps])
    return int.from_bytes(digest[:8], signed=True), *texts, *lists, unjudged


def failed_row(failed: FailedClaim) -> Row:
    """Return the row of a claim that failed."""
    leased = failed.leased
    return (
        leased.claim_id,
        leased.claim_version,
        leased.content_sha256,
        failed.category,
        failed.stage,
        storable(json.dumps(failed.reasons, ensure_ascii=False)),
        leased.payload_encrypted,
        leased.attempts,
    )
