"""Scored claims as rows: what the temporary tables of a load take, column by column."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import repeat
from typing import Final

from claimgate.v1 import claim_pb2, score_pb2

from loader.source import Leased, Status, days, storable
from loader.vault import Vault

Row = tuple[object, ...]
Reason = dict[str, str]


def _names(enum: object, prefix: str) -> dict[int, str]:
    """Return an enum's words as tables hold them: lower case, without the enum's own name."""
    values: Iterable[tuple[str, int]] = enum.items()  # type: ignore[attr-defined]
    return {number: name.removeprefix(prefix).lower() for name, number in values}


DECISION: Final = _names(score_pb2.Decision, "DECISION_")
_ACTION: Final = _names(score_pb2.Action, "ACTION_")
_BASIS: Final = _names(score_pb2.ExposureBasis, "EXPOSURE_BASIS_")
_CATEGORY: Final = _names(score_pb2.Category, "CATEGORY_")
_CERTAINTY: Final = _names(score_pb2.Certainty, "CERTAINTY_")
_CLAIM_TYPE: Final = _names(claim_pb2.ClaimType, "CLAIM_TYPE_")
_DISPOSITION: Final = _names(score_pb2.Disposition, "DISPOSITION_")
_LINE_OF_BUSINESS: Final = _names(claim_pb2.LineOfBusiness, "LINE_OF_BUSINESS_")
_MODEL: Final = _names(score_pb2.ModelStatus, "MODEL_STATUS_")
_PRICE: Final = _names(score_pb2.PriceStatus, "PRICE_STATUS_")
_RISK: Final = _names(score_pb2.RiskCategory, "RISK_CATEGORY_")
_SCOPE: Final = _names(score_pb2.Scope, "SCOPE_")
_SEVERITY: Final = _names(score_pb2.Severity, "SEVERITY_")

_NO_PRICE: Final = score_pb2.LineResult()


@dataclass(frozen=True, slots=True)
class LoadClaim:
    """A scored claim on its way into production."""

    leased: Leased
    status: Status
    claim: Row
    lines: list[Row]
    hits: list[Row]


@dataclass(frozen=True, slots=True)
class FailedClaim:
    """A claim that cannot go on, with every reason."""

    leased: Leased
    category: str
    stage: str
    reasons: list[Reason]


# The columns of the temporary tables, in the order of the rows below.
CLAIM_COLUMNS: Final = """
    staging_id bigint, claim_id text, claim_version integer, content_sha256 bytea, member_key bytea,
    patient_account_key bytea, payload_encrypted bytea, claim_type text, facility_id text,
    service_from_date date, service_to_date date, admission_date date, discharge_date date,
    received_date date,
    frequency_code text, line_of_business text, financial_class text, insurance_type text,
    insurance_plan_id text,
    payer_id text, place_of_service text, type_of_bill text, drg_code text,
    billing_provider_npi text, billing_provider_name text, rendering_provider_npi text,
    attending_provider_npi text, attending_provider_name text, primary_diagnosis_code text,
    diagnosis_codes text,
    total_charge_cents bigint, patient_paid_cents bigint, line_count integer, priority smallint,
    decision text, fraud_score_e4 integer, rule_score_e4 integer, risk_category text,
    ml_prediction_score_e4 integer, ml_status text, allowed_cents bigint, unpriced_lines integer,
    exposure_cents bigint, exposure_basis text, degraded text, provenance_id bigint,
    history_watermark bigint,
    answer bytea
"""
LINE_COLUMNS: Final = """
    staging_id bigint, line_number integer, service_date date, service_to_date date, procedure_code
    text,
    modifier_codes text, revenue_code text, place_of_service text, diagnosis_pointers text,
    units_milli bigint,
    unit_basis text, charge_cents bigint, rendering_provider_npi text, rvu_total_e4 bigint,
    price_status text,
    allowed_cents bigint, payable_cents bigint, disposition text
"""
HIT_COLUMNS: Final = """
    staging_id bigint, hit_no integer, rule_id text, variant text, category text, scope text,
    line_numbers text,
    codes text, action text, certainty text, severity text, weight_e4 integer, suppressed boolean,
    exposure_cents bigint, carc text, dataset_release text, evidence text
"""


def load_claim(
    leased: Leased,
    claim: claim_pb2.Claim,
    result: score_pb2.ClaimResult,
    provenance: tuple[int, int],
    vault: Vault,
    tenant: str,
) -> LoadClaim:
    """Return the rows of a claim and its answer; `provenance` is its id and the watermark."""
    needs_review = result.decision == score_pb2.DECISION_REVIEW
    return LoadClaim(
        leased=leased,
        status="needs_review" if needs_review else "completed",
        claim=_claim_row(
            leased,
            claim,
            result,
            provenance,
            vault.lookup(tenant, "account", claim.patient_account_number),
        ),
        lines=_line_rows(leased.staging_id, claim, result),
        hits=_hit_rows(leased.staging_id, result),
    )


def rejected(leased: Leased, result: score_pb2.ClaimResult) -> FailedClaim:
    """Return the failure of a claim whose structure the service refused."""
    reasons = [
        {"field": violation.field, "code": violation.code, "message": violation.message}
        for violation in result.violations
    ]
    return FailedClaim(leased, "structure", "score", reasons)


def _claim_row(
    leased: Leased,
    claim: claim_pb2.Claim,
    result: score_pb2.ClaimResult,
    provenance: tuple[int, int],
    account_key: bytes,
) -> Row:
    """Return the row of the claim and its result."""
    billing, attending = claim.billing_provider, claim.attending_provider
    diagnoses = [diagnosis.code for diagnosis in claim.diagnoses]
    return (
        leased.staging_id,
        leased.claim_id,
        leased.claim_version,
        leased.content_sha256,
        leased.member_key,
        account_key,
        leased.payload_encrypted,
        _CLAIM_TYPE[claim.claim_type],
        claim.facility_id,
        days[claim.service_from_date],
        days[claim.service_to_date],
        days[claim.admission_date],
        days[claim.discharge_date],
        days[claim.received_date],
        claim.frequency_code or "1",
        _LINE_OF_BUSINESS[claim.line_of_business],
        claim.financial_class,
        claim.insurance_type,
        claim.insurance_plan_id,
        claim.payer_id,
        claim.place_of_service,
        claim.type_of_bill,
        claim.drg_code,
        billing.npi,
        billing.last_or_org_name,
        claim.rendering_provider.npi,
        attending.npi,
        attending.last_or_org_name,
        diagnoses[0] if diagnoses else "",
        " ".join(diagnoses),
        claim.total_charge_cents,
        claim.patient_paid_cents,
        len(claim.lines),
        min(max(claim.priority, 1), 9),
        DECISION[result.decision],
        score_e4(result.fraud_score),
        score_e4(result.rule_score),
        _RISK[result.risk_category],
        score_e4(result.approval_probability) if result.HasField("approval_probability") else None,
        _MODEL[result.model_status],
        result.allowed_cents if result.HasField("allowed_cents") else None,
        result.unpriced_lines,
        result.exposure_cents,
        _BASIS[result.exposure_basis],
        "\n".join(result.degraded),
        *provenance,
        result.SerializeToString(),
    )


def _line_rows(staging_id: int, claim: claim_pb2.Claim, result: score_pb2.ClaimResult) -> list[Row]:
    """Return a row for each line, with its price; a line without dates has the claim's."""
    claim_from, claim_to = claim.service_from_date, claim.service_to_date
    claim_place, claim_npi = claim.place_of_service, claim.rendering_provider.npi
    priced = len(result.lines) == len(claim.lines)
    prices = result.lines if priced else repeat(_NO_PRICE, len(claim.lines))
    rows: list[Row] = []
    for line, price in zip(claim.lines, prices, strict=True):
        first = line.service_from_date
        own_npi = line.rendering_provider.npi if line.HasField("rendering_provider") else ""
        rows.append(
            (
                staging_id,
                line.line_number,
                days[first or claim_from],
                days[line.service_to_date or first or claim_to],
                line.procedure_code,
                " ".join(line.modifiers),
                line.revenue_code,
                line.place_of_service or claim_place,
                _numbers(tuple(line.diagnosis_pointers)),
                line.units_milli,
                line.unit_basis or "UN",
                line.charge_cents,
                own_npi or claim_npi,
                price.rvu_total_e4,
                _PRICE[price.price_status],
                price.allowed_cents if price.HasField("allowed_cents") else None,
                price.payable_cents if price.HasField("payable_cents") else None,
                _DISPOSITION[price.disposition],
            )
        )
    return rows


def _hit_rows(staging_id: int, result: score_pb2.ClaimResult) -> list[Row]:
    """Return a row for each finding."""
    return [
        (
            staging_id,
            number,
            hit.rule_id,
            hit.variant,
            _CATEGORY[hit.category],
            _SCOPE[hit.scope],
            _numbers(tuple(hit.line_numbers)),
            " ".join(hit.codes),
            _ACTION[hit.action],
            _CERTAINTY[hit.certainty],
            _SEVERITY[hit.severity],
            score_e4(hit.weight),
            hit.suppressed,
            hit.exposure_cents,
            hit.carc,
            hit.dataset_release,
            json.dumps(dict(hit.evidence), sort_keys=True, separators=(",", ":")),
        )
        for number, hit in enumerate(result.hits, 1)
    ]


def score_e4(score: float) -> int:
    """Return a score of nine decimals as four, half up, as tables keep it."""
    return (round(score * 1_000_000_000) + 50_000) // 100_000


@lru_cache(maxsize=4096)
def _numbers(numbers: tuple[int, ...]) -> str:
    """Return small numbers as the text of an array."""
    return "{" + ",".join(map(str, numbers)) + "}"


def provenance_row(provenance: score_pb2.Provenance) -> Row:
    """Return the row that keeps a set of releases once; its id follows from its content."""
    texts = (
        provenance.reference_release,
        provenance.policy_version,
        provenance.model_version,
        provenance.engine_version,
    )
    lists = (sorted(provenance.stand_ins), sorted(provenance.partial_rule_ids))
    digest = sha256(json.dumps([texts, lists]).encode()).digest()
    return int.from_bytes(digest[:8], signed=True), *texts, *lists


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
