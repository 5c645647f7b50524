"""Scored claims as rows: the bytes that COPY takes, table by table.

Postgres' binary COPY format, written here: of a value that repeats (a code, a day, a word of an
enum) the bytes are made once, the integers of a row are packed in one step, and the key is the same
for all rows of a claim.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import repeat
from struct import Struct
from typing import Final, NamedTuple, Self
from uuid import UUID

from claimgate.v1 import claim_pb2, score_pb2

from loader.copy_format import (
    CENTS,
    DAY,
    E3,
    E4,
    FALSE,
    INTEGER,
    NULL,
    SMALLINTS,
    TEXT,
    TEXTS,
    TRUE,
    enum_fields,
    enum_names,
    sized,
    text_field,
)
from loader.failed.words import Category
from loader.opened import Opened
from loader.source import PRIORITY_MAX, Leased, Status
from loader.vault import Vault

Row = tuple[object, ...]
Reason = dict[str, str]


class LoadClaim(NamedTuple):
    """A scored claim on its way into production."""

    leased: Leased
    status: Status
    opened: Opened
    result: score_pb2.ClaimResult
    answer: bytes
    """The result, serialized."""

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
    category: Category
    stage: str
    reasons: list[Reason]
    claim: claim_pb2.Claim | None = field(default=None, repr=False)
    """The claim, where it could be read."""


def load_claim(
    opened: Opened,
    result: score_pb2.ClaimResult,
    provenance: tuple[int, int],
    vault: Vault,
    tenant: str,
) -> LoadClaim:
    """Return a claim with its answer; `provenance` is its id and the watermark."""
    needs_review = result.decision == score_pb2.DECISION_REVIEW
    leased, facts = opened.leased, opened.facts
    key = (
        DAY[facts.service_from],
        text_field(leased.claim_id),
        INTEGER.pack(4, leased.claim_version),
    )
    return LoadClaim(
        leased,
        "needs_review" if needs_review else "completed",
        opened,
        result,
        result.SerializeToString(),
        provenance,
        facts.lines,
        len(result.hits),
        vault.lookup(tenant, "account", facts.account_number),
        b"".join(key),
    )


def rejected(opened: Opened, result: score_pb2.ClaimResult) -> FailedClaim:
    """Return the failure of a claim whose structure the service refused, or that it failed on."""
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
    of_service = any(fault["code"] == _FAULT_OF_SERVICE for fault in faults)
    structural = Category.VALIDATION if faults else Category.POLICY_REJECTED
    category = Category.SERVICE_FAULT if of_service else structural
    return FailedClaim(opened.leased, category, "score", faults or hits, opened.claim())


def score_e4(score: float) -> int:
    """Return a score of nine decimals as four, half up, as tables keep it."""
    return (round(score * 1_000_000_000) + 50_000) // 100_000


_FAULT_OF_SERVICE: Final = "V00"
DECISION: Final = enum_names(score_pb2.Decision, "DECISION_")
_DECISION: Final = enum_fields(score_pb2.Decision, "DECISION_")
_ACTION: Final = enum_fields(score_pb2.Action, "ACTION_")
_BASIS: Final = enum_fields(score_pb2.ExposureBasis, "EXPOSURE_BASIS_")
_CATEGORY: Final = enum_fields(score_pb2.Category, "CATEGORY_")
_CERTAINTY: Final = enum_fields(score_pb2.Certainty, "CERTAINTY_")
_CLAIM_TYPE: Final = enum_fields(claim_pb2.ClaimType, "CLAIM_TYPE_")
_DISPOSITION: Final = enum_fields(score_pb2.Disposition, "DISPOSITION_")
_LINE_OF_BUSINESS: Final = enum_fields(claim_pb2.LineOfBusiness, "LINE_OF_BUSINESS_")
_MODEL: Final = enum_fields(score_pb2.ModelStatus, "MODEL_STATUS_")
_PRICE: Final = enum_fields(score_pb2.PriceStatus, "PRICE_STATUS_")
_RISK: Final = enum_fields(score_pb2.RiskCategory, "RISK_CATEGORY_")
_SCOPE: Final = enum_fields(score_pb2.Scope, "SCOPE_")
_SEVERITY: Final = enum_fields(score_pb2.Severity, "SEVERITY_")


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
        return cls(text_field(tenant), sized(batch_id.bytes))


KEY_COLUMNS: Final = ("tenant_id", "service_from_date", "claim_id", "claim_version")

CLAIM_COLUMNS: Final = (
    *KEY_COLUMNS,
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
    leased, claim, key = item.leased, item.opened.claim(), item.key
    billing, attending = claim.billing_provider, claim.attending_provider
    diagnoses = tuple([diagnosis.code for diagnosis in claim.diagnoses[:]])
    payload = leased.payload_encrypted
    return b"".join(
        (
            head,
            key,
            _CLAIM_INTEGERS.pack(
                *(8, claim.total_charge_cents, 8, claim.patient_paid_cents),
                *(2, item.lines, 2, min(max(claim.priority, 1), PRIORITY_MAX)),
            ),
            batch,
            sized(leased.content_sha256),
            sized(item.account_key),
            sized(leased.member_key),
            len(payload).to_bytes(4, "big"),
            payload,
            DAY[claim.service_to_date],
            DAY[claim.admission_date],
            DAY[claim.discharge_date],
            DAY[claim.received_date],
            _CLAIM_TYPE[claim.claim_type],
            TEXT[claim.facility_id],
            TEXT[claim.frequency_code or "1"],
            _LINE_OF_BUSINESS[claim.line_of_business],
            TEXT[claim.financial_class],
            TEXT[claim.insurance_type],
            TEXT[claim.insurance_plan_id],
            TEXT[claim.payer_id],
            TEXT[claim.place_of_service],
            TEXT[claim.type_of_bill],
            TEXT[claim.drg_code],
            TEXT[billing.npi],
            TEXT[billing.last_or_org_name],
            TEXT[claim.rendering_provider.npi],
            TEXT[attending.npi],
            TEXT[attending.last_or_org_name],
            TEXT[diagnoses[0] if diagnoses else ""],
            TEXTS[diagnoses],
        )
    )


LINE_COLUMNS: Final = (
    *KEY_COLUMNS,
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
    claim, results = item.opened.claim(), item.result.lines[:]
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
            CENTS[price.allowed_cents] if price.HasField("allowed_cents") else NULL,
            CENTS[price.payable_cents] if price.HasField("payable_cents") else NULL,
            DAY[first or claim_from],
            DAY[line.service_to_date or first or claim_to],
            TEXT[line.procedure_code],
            TEXTS[tuple(line.modifiers[:])],
            TEXT[line.revenue_code],
            TEXT[line.place_of_service or claim_place],
            SMALLINTS[tuple(line.diagnosis_pointers[:])],
            E3[line.units_milli],
            TEXT[line.unit_basis or "UN"],
            TEXT[own_npi or claim_npi],
            E4[price.rvu_total_e4],
            _PRICE[price.price_status],
            _DISPOSITION[price.disposition],
        )


RESULT_COLUMNS: Final = (
    *KEY_COLUMNS,
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
    has, answer = result.HasField, item.answer
    return b"".join(
        (
            head,
            item.key,
            _RESULT_INTEGERS.pack(
                *(2, 1, 2, result.unpriced_lines, 8, result.exposure_cents),
                *(8, provenance_id, 8, watermark),
            ),
            CENTS[result.allowed_cents] if has("allowed_cents") else NULL,
            batch,
            _DECISION[result.decision],
            _RISK[result.risk_category],
            _MODEL[result.model_status],
            _BASIS[result.exposure_basis],
            E4[score_e4(result.fraud_score)],
            E4[score_e4(result.rule_score)],
            E4[score_e4(result.approval_probability)] if has("approval_probability") else NULL,
            TEXTS[tuple(result.degraded[:])],
            len(answer).to_bytes(4, "big"),
            answer,
        )
    )


HIT_COLUMNS: Final = (
    *KEY_COLUMNS,
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
            TRUE if hit.suppressed else FALSE,
            TEXT[hit.rule_id],
            TEXT[hit.variant],
            _CATEGORY[hit.category],
            _SCOPE[hit.scope],
            SMALLINTS[tuple(hit.line_numbers[:])],
            TEXTS[tuple(hit.codes[:])],
            _ACTION[hit.action],
            _CERTAINTY[hit.certainty],
            _SEVERITY[hit.severity],
            E4[score_e4(hit.weight)],
            TEXT[hit.carc],
            TEXT[hit.dataset_release],
            sized(_JSONB_VERSION + evidence.encode()),
            TRUE if hit.shadow else FALSE,
        )
    )


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
    version = provenance.fee_schedule_version
    # Without a fee schedule the id is the one from before there were any.
    content = [texts, lists, gaps, *([version] if version else ())]
    digest = sha256(json.dumps(content).encode()).digest()
    unjudged = json.dumps([{"reason": reason, "rule_ids": ids} for reason, ids in gaps])
    return int.from_bytes(digest[:8], signed=True), *texts, *lists, unjudged, version
