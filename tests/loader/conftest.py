"""A real gRPC service that judges by the claim's id, and claims to put in."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import uuid4

import asyncpg
import grpc
import pytest
from claimgate.v1 import claim_pb2, score_pb2, scoring_service_pb2
from claimgate.v1.scoring_service_pb2_grpc import (
    ScoringServiceServicer,
    add_ScoringServiceServicer_to_server,
)

from loader import embedded
from loader.failed.backoff import Backoff
from loader.failed.ledger import write_failed
from loader.failed.words import Category
from loader.rows import FailedClaim
from loader.settings import LoaderSettings
from loader.source import PAYLOAD_COLUMN, Leased, tenant_transaction
from loader.vault import Vault

KEY = bytes(range(32))


@pytest.fixture
def vault() -> Vault:
    return Vault(KEY)


@pytest.fixture
async def staging(postgres: embedded.EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """A connection to staging as the loader."""
    connection = await asyncpg.connect(postgres.loading_url(embedded.STAGING))
    yield connection
    await connection.close()


@pytest.fixture
async def production(postgres: embedded.EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """A connection to production as the superuser, who sees what is really there."""
    connection = await asyncpg.connect(postgres.superuser_url(embedded.PRODUCTION))
    yield connection
    await connection.close()


@pytest.fixture
def make_claim() -> Callable[..., claim_pb2.Claim]:
    """Return a maker of small valid claims; any field can be given another value."""
    return new_claim


def new_claim(claim_id: str, *, lines: int = 2, member: str = "", **fields: Any) -> claim_pb2.Claim:
    """Return a small valid claim; any field can be given another value."""
    values: dict[str, Any] = {
        "claim_id": claim_id,
        "claim_type": claim_pb2.CLAIM_TYPE_PROFESSIONAL,
        "facility_id": "F1",
        "patient_account_number": f"ACCOUNT-{claim_id}",
        "person_id": member or f"MEMBER-{claim_id}",
        "patient_last_name": "Canarysson",
        "patient_date_of_birth": "1960-02-29",
        "service_from_date": "2025-10-06",
        "service_to_date": "2025-10-06",
        "received_date": "2025-10-20",
        "total_charge_cents": 10_000 * lines,
        "payer_id": "PAYER",
        "place_of_service": "11",
        "diagnoses": [claim_pb2.Diagnosis(code="E119"), claim_pb2.Diagnosis(code="I10")],
        "billing_provider": claim_pb2.Provider(npi="1234567893", last_or_org_name="Clinic"),
        "lines": [_line(number) for number in range(1, lines + 1)],
    }
    return claim_pb2.Claim(**(values | fields))


def _line(number: int) -> claim_pb2.ServiceLine:
    return claim_pb2.ServiceLine(
        line_number=number,
        service_from_date="2025-10-06",
        procedure_code="99213",
        modifiers=["25", "59"],
        units_milli=1_500,
        charge_cents=10_000,
        diagnosis_pointers=[1, 2],
    )


@dataclass
class Scorer(ScoringServiceServicer):
    """Judges by the claim's id: review-…, deny-…, reject-…, aside-… (V00), poison-… (fails)."""

    calls: Counter[str] = field(default_factory=Counter)
    messages: list[list[str]] = field(default_factory=list)
    address: str = ""

    async def ScoreClaims(  # noqa: N802  the API's name
        self, requests: Any, context: Any
    ) -> AsyncIterator[Any]:
        async for request in requests:
            if request.WhichOneof("content") == "batch":
                results = await self._judge_all(request.batch, context)
                self.messages.append([claim.claim_id for claim in request.batch.claims])
                answer = scoring_service_pb2.MessageResult(
                    sequence=request.sequence, results=results, provenance=PROVENANCE
                )
                yield scoring_service_pb2.ScoreClaimsResponse(messages=[answer])

    async def ScoreBatch(  # noqa: N802  the API's name
        self, request: Any, context: Any
    ) -> scoring_service_pb2.ScoreBatchResponse:
        results = await self._judge_all(request.batch, context)
        return scoring_service_pb2.ScoreBatchResponse(results=results, provenance=PROVENANCE)

    async def _judge_all(self, batch: score_pb2.ClaimBatch, context: Any) -> list[Any]:
        self.calls.update(claim.claim_id for claim in batch.claims)
        if any(claim.claim_id.startswith("poison") for claim in batch.claims):
            await context.abort(grpc.StatusCode.INTERNAL, "error id 1")
        return [judge(claim) for claim in batch.claims]


PROVENANCE = score_pb2.Provenance(
    reference_release="snapshot-1",
    policy_version="policy-1",
    model_version="7/litert",
    engine_version="0.1.0",
    history_watermark=3,
    partial_rule_ids=["DUPLICATE_SAME_DAY"],
)


def judge(claim: claim_pb2.Claim) -> score_pb2.ClaimResult:
    verdict = claim.claim_id.partition("-")[0]
    decision = getattr(score_pb2, f"DECISION_{verdict.upper()}", score_pb2.DECISION_APPROVE)
    result = score_pb2.ClaimResult(
        claim_id=claim.claim_id,
        claim_version=claim.claim_version or 1,
        decision=decision,
        is_test=claim.is_test,
    )
    if verdict == "aside":
        result.decision = score_pb2.DECISION_REJECT
        result.violations.add(code="V00", message="the service failed on this claim")
        return result
    if decision == score_pb2.DECISION_REJECT:
        for field_name, code in (("lines", "V06"), ("facility_id", "V02")):
            result.violations.add(field=field_name, code=code, message="missing, expected one")
        return result
    result.fraud_score = 0.06425
    result.risk_category = score_pb2.RISK_CATEGORY_LOW
    result.model_status = score_pb2.MODEL_STATUS_OK
    result.approval_probability = 0.93
    result.allowed_cents = 9_123
    if decision in {score_pb2.DECISION_REVIEW, score_pb2.DECISION_DENY}:
        result.exposure_cents = 4_000
        result.hits.add(
            rule_id="NCCI_PTP",
            line_numbers=[2],
            codes=["45380", "45385"],
            weight=0.18,
            action=score_pb2.ACTION_DENY_LINE,
            evidence={"partner_lines": "1"},
            exposure_cents=4_000,
        )
    for line in claim.lines:
        result.lines.add(
            line_number=line.line_number,
            price_status=score_pb2.PRICE_STATUS_PRICED,
            disposition=score_pb2.DISPOSITION_PAY,
            allowed_cents=4_561,
            rvu_total_e4=26_800,
        )
    return result


@pytest.fixture
async def scorer() -> AsyncIterator[Scorer]:
    """A running service on a free port."""
    servicer = Scorer()
    server = grpc.aio.server()
    add_ScoringServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    servicer.address = f"127.0.0.1:{port}"
    yield servicer
    await server.stop(None)


@pytest.fixture
def settings(postgres: embedded.EmbeddedPostgres, tenant: str, scorer: Scorer) -> LoaderSettings:
    """Settings of a loader for this test's tenant and service, with small batches."""
    return LoaderSettings(
        tenant=tenant,
        staging_url=postgres.loading_url(embedded.STAGING),
        production_url=postgres.loading_url(embedded.PRODUCTION),
        service_address=scorer.address,
        key_hex=KEY.hex(),
        batch_claims=20,
        lease_claims=25,
        message_claims=10,
    )


@pytest.fixture
async def loading(postgres: embedded.EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """A connection to production as the loader, which sees what its tenant may see."""
    connection = await asyncpg.connect(postgres.loading_url(embedded.PRODUCTION))
    yield connection
    await connection.close()


@pytest.fixture
def add_failed(
    loading: asyncpg.Connection, tenant: str, vault: Vault, make_claim: Callable[..., Any]
) -> Callable[..., Any]:
    """Return a writer of failed claims, as a load writes them; gives the failed id."""

    async def add(
        claim: claim_pb2.Claim | str,
        category: Category = Category.VALIDATION,
        code: str = "V08",
        *,
        of: str = tenant,
    ) -> int:
        if isinstance(claim, str):
            claim = make_claim(claim)
        payload = claim.SerializeToString(deterministic=True)
        digest = sha256(payload).digest()
        sealed = vault.seal(payload, of, PAYLOAD_COLUMN, digest.hex())
        leased = Leased(1, claim.claim_id, claim.claim_version or 1, digest, b"m", 1, sealed)
        reasons = [{"field": "lines", "code": code, "message": "is wrong"}]
        failed = FailedClaim(leased, category, "score", reasons, claim)
        async with tenant_transaction(loading, of):
            await write_failed(loading, of, uuid4(), [failed], Backoff())
            return await loading.fetchval(
                "SELECT failed_id FROM failed_claims WHERE tenant_id = $1 AND claim_id = $2 "
                "AND content_sha256 = $3",
                of,
                claim.claim_id,
                digest,
            )

    return add
