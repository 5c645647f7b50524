"""ClaimService over gRPC, on a real Postgres: loaded claims, their versions, and batches."""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import pytest
from claimgate.client import CallError, Client
from claimgate.v1 import claim_life_pb2 as pb
from claimgate.v1 import score_pb2
from claimgate.v1.claim_pb2 import Claim, Diagnosis, Provider, ServiceLine
from google.protobuf.field_mask_pb2 import FieldMask
from prometheus_client import CollectorRegistry

from loader import embedded, source
from loader.batch import Batch
from loader.failed.backoff import Backoff
from loader.link import Link
from loader.messages import read
from loader.rows import load_claim, provenance_row
from loader.sink import Sink
from loader.source import Submitted, tenant_transaction
from loader.vault import Vault
from server.claims import ClaimLifeServicer
from server.database import STAGING_URL, open_database
from server.metrics import Metrics
from server.principal import Principal
from server.service import Parts, serving
from server.settings import Settings

VAULT = Vault(bytes(range(32)))
ANN = "ann"


def claim(claim_id, **fields) -> Claim:
    return Claim(
        **{
            "claim_id": claim_id,
            "claim_type": 1,
            "facility_id": "F1",
            "patient_account_number": "A1",
            "person_id": "MEMBER",
            "patient_last_name": "Canarysson",
            "patient_date_of_birth": "1960-02-29",
            "service_from_date": "2025-10-06",
            "service_to_date": "2025-10-06",
            "received_date": "2025-10-20",
            "total_charge_cents": 20_000,
            "payer_id": "PAYER",
            "place_of_service": "11",
            "diagnoses": [Diagnosis(code="E119")],
            "billing_provider": Provider(npi="1234567893"),
            "lines": [
                ServiceLine(
                    line_number=number, service_from_date="2025-10-06", procedure_code="99213",
                    units_milli=1_000, charge_cents=10_000, diagnosis_pointers=[1],
                )
                for number in (1, 2)
            ],
        }
        | fields
    )  # fmt: skip


@pytest.fixture
async def staging(postgres):
    opened = await asyncpg.connect(postgres.loading_url(embedded.STAGING))
    yield opened
    await opened.close()


@pytest.fixture
def stage(staging, tenant):
    async def put(*claims):
        await source.stage_claims(staging, VAULT, tenant, map(Submitted, claims))

    return put


@pytest.fixture
def lease(staging, tenant):
    async def take(claims=100):
        return await source.lease(staging, tenant, "loader", claims=claims, seconds=60)

    return take


@pytest.fixture
def load(postgres, staging, tenant, lease):
    """Load what waits, as a loader does, with this answer to each claim."""

    async def run(decision=score_pb2.DECISION_APPROVE, claims=100):
        provenance = score_pb2.Provenance(
            reference_release="tables-1", policy_version="p1", model_version="m1",
            engine_version="e1", history_watermark=5,
        )  # fmt: skip
        row = provenance_row(provenance)
        batch = Batch(provenances={row[0]: row})
        for opened in read(await lease(claims), VAULT, tenant):
            result = score_pb2.ClaimResult(
                claim_id=opened.leased.claim_id, decision=decision, exposure_cents=4_000,
                fraud_score=0.5,
            )  # fmt: skip
            for line in opened.claim().lines:
                result.lines.add(line_number=line.line_number)
            batch.claims.append(load_claim(opened, result, (row[0], 5), VAULT, tenant))
        async with Link(postgres.loading_url(embedded.PRODUCTION), attempts=1) as link:
            loaded = await Sink(link, tenant, backoff=Backoff()).load(batch)
        await source.finish(staging, tenant, "loader", loaded.outcomes)

    return run


@pytest.fixture
def serve(postgres, tenant, monkeypatch):
    """Run the service for a caller of this test's tenant; gives the client."""

    @asynccontextmanager
    async def run(*, of=tenant, vault=VAULT, with_staging=True, with_production=True):
        monkeypatch.setattr("server.interceptors.identify", lambda _context: Principal(ANN, of))

        async def nothing(*_arguments):
            raise AssertionError("no claim is scored here")

        settings = Settings(listen="127.0.0.1:0", reference="unused", metrics_listen="", drain_ms=0)
        production_url = postgres.loading_url(embedded.PRODUCTION)
        staging_url = postgres.loading_url(embedded.STAGING)
        async with (
            open_database(production_url, connections_max=3, query_s=10) as production,
            open_database(
                staging_url, connections_max=3, query_s=10, setting=STAGING_URL
            ) as staging,
        ):
            claims = ClaimLifeServicer(
                production if with_production else None, vault, staging if with_staging else None
            )
            await claims.check()
            metrics = Metrics(CollectorRegistry(), 0.8)
            parts = Parts(nothing, _NoReference(), nothing, metrics, claims)
            async with serving(settings, parts) as service, Client(service.address) as client:
                client.metrics = metrics
                client.service = service
                yield client

    return run


class _NoReference:
    """Every method is there and none is called."""

    def __getattr__(self, _name):
        return None


@pytest.fixture
async def client(serve):
    async with serve() as opened:
        yield opened


async def refusal(awaited) -> CallError:
    with pytest.raises(CallError) as caught:
        await awaited
    assert "Canarysson" not in str(caught.value)
    assert "Canarysson" not in str(caught.value.metadata)
    return caught.value


async def reports(client, batch_id="B", **options):
    return [each async for each in client.batches.watch(batch_id, **options)]


def handled(client, method, code) -> float:
    """Calls of a method that ended with a status."""
    return client.metrics.call_handled.labels(
        "server_stream", "claimgate.v1.ClaimService", method, code
    )._value.get()


# Stored answers and versions. ---------------------------------------------------------------------


async def test_a_stored_answer_is_shown_with_what_it_rests_on(client, stage, load):
    await stage(claim("C1"))
    await load(score_pb2.DECISION_REVIEW)

    found = await client.claims.get("C1")

    assert found.result.decision == score_pb2.DECISION_REVIEW
    assert [line.line_number for line in found.result.lines] == [1, 2]
    assert found.provenance.reference_release == "tables-1"
    assert found.provenance.history_watermark == 5
    assert (found.version.claim_version, found.version.frequency_code) == (1, "1")
    assert found.version.results[0].exposure_cents == 4_000
    assert not found.version.results[0].HasField("allowed_cents")
    assert not found.HasField("payload")


async def test_the_claim_itself_is_shown_only_where_asked_for_and_logged(
    serve, stage, load, monkeypatch
):
    logged = []
    monkeypatch.setattr(
        "server.claims._LOG.info", lambda event, **facts: logged.append((event, facts))
    )
    await stage(claim("C1"))
    await load()

    async with serve() as client:
        await client.claims.get("C1")
        assert logged == []
        found = await client.claims.get("C1", include_payload=True)
    async with serve(vault=None) as client:
        no_key = await refusal(client.claims.get("C1", include_payload=True))
    async with serve(vault=Vault(b"x" * 32)) as client:
        other_key = await refusal(client.claims.get("C1", include_payload=True))

    assert found.payload == claim("C1")
    [(event, facts)] = logged
    assert (event, facts["principal"]) == ("claim_opened", ANN)
    for error in (no_key, other_key):
        assert error.code.name == "FAILED_PRECONDITION"
        assert error.metadata["setting"] == "CLAIMGATE_KEY_FILE"


async def test_an_amended_claim_has_two_versions(client, stage, load):
    await stage(claim("C1"))
    await load(score_pb2.DECISION_DENY)

    done = await client.claims.amend(
        "C1",
        Claim(patient_last_name="Corrected"),
        base_version=1,
        fields=["patient_last_name"],
        lines=[
            pb.LineAmendment(
                line_number=2,
                update_mask=FieldMask(paths=["units_milli"]),
                line=ServiceLine(units_milli=2_000),
            )
        ],
    )
    await load()
    found = await client.claims.get("C1", include_payload=True)
    first, second = await client.claims.versions("C1")

    assert (done.claim_version, done.content_sha256) == (2, second.content_sha256)
    assert (first.superseded_by_version, second.superseded_by_version) == (2, 0)
    assert [v.frequency_code for v in (first, second)] == ["1", "7"]
    assert [v.results[0].decision for v in (first, second)] == [4, 1]
    assert found.payload.patient_last_name == "Corrected"
    assert [line.units_milli for line in found.payload.lines] == [1_000, 2_000]
    assert found.payload.payer_claim_control_number == "C1"


async def test_a_claim_is_voided_once(client, stage, load):
    await stage(claim("C1"))
    await load()

    await client.claims.void("C1", base_version=1)
    conflict = await refusal(client.claims.void("C1", base_version=7))
    await load()
    again = await refusal(client.claims.void("C1", base_version=2))

    assert [v.frequency_code for v in await client.claims.versions("C1")] == ["1", "8"]
    assert (conflict.code.name, conflict.reason) == ("ABORTED", "ERROR_REASON_CLAIM_CHANGED")
    assert again.metadata["field"] == "claim_id"


async def test_a_change_to_a_version_that_is_not_the_last_is_aborted(client, stage, load):
    await stage(claim("C1"))
    await load()
    await client.claims.amend("C1", Claim(drg_code="470"), base_version=1, fields=["drg_code"])

    error = await refusal(
        client.claims.amend("C1", Claim(drg_code="471"), base_version=1, fields=["drg_code"])
    )

    assert (error.code.name, error.reason) == ("ABORTED", "ERROR_REASON_CLAIM_CHANGED")
    assert error.metadata == {"base_version": "1", "version": "2", "status": "pending"}


async def test_an_unknown_field_is_refused_by_its_name(client, stage, load):
    await stage(claim("C1"))
    await load()

    error = await refusal(
        client.claims.amend("C1", Claim(), base_version=1, fields=["drg_code", "drg_cod"])
    )

    assert error.reason == "ERROR_REASON_INVALID_FIELD"
    assert error.metadata["field"] == "update_mask.paths[1]"
    assert error.metadata["expected"].startswith("not drg_cod, but one of facility_id, ")


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda c: c.claims.get(""), "claim_id"),
        (lambda c: c.claims.versions("x" * 300), "claim_id"),
        (lambda c: c.claims.void("C1", base_version=0), "base_version"),
        (lambda c: c.batches.cancel("", reason="r"), "batch_id"),
        (lambda c: c.batches.cancel("B", reason=" "), "reason"),
        (lambda c: reports(c, ""), "batch_id"),
    ],
)
async def test_impossible_values_are_refused_with_their_field(client, call, field):
    error = await refusal(call(client))

    assert (error.code.name, error.metadata["field"]) == ("INVALID_ARGUMENT", field)


async def test_what_is_of_another_tenant_is_not_found(serve, stage, load, tenant):
    await stage(claim("C1", batch_id="B"))
    await load()

    async with serve(of=f"{tenant}-other") as client:
        errors = [
            await refusal(call)
            for call in (
                client.claims.get("C1"),
                client.claims.versions("C1"),
                client.claims.void("C1", base_version=1),
                client.batches.cancel("B", reason="r"),
                reports(client),
            )
        ]

    assert {error.code.name for error in errors} == {"NOT_FOUND"}


async def test_without_a_setting_the_call_names_it(serve):
    async with serve(with_staging=False) as client:
        staging = [
            await refusal(client.claims.void("C1", base_version=1)),
            await refusal(client.batches.cancel("B", reason="r")),
            await refusal(reports(client)),
        ]
    async with serve(with_production=False) as client:
        production = [
            await refusal(client.claims.get("C1")),
            await refusal(client.claims.versions("C1")),
            await refusal(client.claims.void("C1", base_version=1)),
        ]

    for errors, setting in ((staging, STAGING_URL), (production, "CLAIMGATE_PRODUCTION_URL")):
        assert {error.reason for error in errors} == {"ERROR_REASON_NOT_CONFIGURED"}
        assert {error.metadata["setting"] for error in errors} == {setting}


# Batches. -----------------------------------------------------------------------------------------


async def test_a_watch_tells_changes_and_ends_with_the_batch(client, stage, load):
    await stage(*(claim(f"C{n}", person_id=f"M{n}", batch_id="B") for n in range(4)))

    heard = []
    async for progress in client.batches.watch("B"):
        heard.append(progress)
        await load(claims=2)

    assert heard[0].claims_by_status == {"pending": 4}
    assert (heard[0].claim_count, heard[0].left_count, heard[0].has_ended) == (4, 4, False)
    assert not heard[0].HasField("eta_seconds")
    assert heard[-1].claims_by_status == {"completed": 4}
    assert heard[-1].claims_by_decision == {"approve": 4}
    assert heard[-1].has_ended
    assert heard[-1].claims_per_second > 0


async def test_a_watch_of_an_ended_batch_tells_it_once(client, stage, load):
    await stage(claim("C1", batch_id="B"))
    await load()

    [only] = await reports(client)

    assert (only.has_ended, only.eta_seconds) == (True, 0)


async def test_a_watch_ends_at_its_deadline(client, stage, until):
    await stage(claim("C1", batch_id="B"))

    error = await refusal(reports(client, deadline_s=0.3))

    assert error.code.name == "DEADLINE_EXCEEDED"
    await until(lambda: handled(client, "WatchBatch", "CANCELLED") == 1)


async def test_a_watch_ends_when_its_caller_leaves(client, stage, until):
    await stage(claim("C1", batch_id="B"))

    watching = client.batches.watch("B")
    await anext(watching)
    await watching.aclose()

    await until(lambda: handled(client, "WatchBatch", "CANCELLED") == 1)


async def test_a_watch_ends_when_the_service_goes_away(client, stage):
    await stage(claim("C1", batch_id="B"))

    watching = client.batches.watch("B")
    await anext(watching)
    client.service.draining.set()

    error = await refusal(anext(watching))
    assert (error.code.name, error.reason) == ("UNAVAILABLE", "ERROR_REASON_DRAINING")


async def test_a_batch_is_cancelled_in_the_callers_name(client, stage, lease, staging, tenant):
    await stage(*(claim(f"C{n}", person_id=f"M{n}", batch_id="B") for n in range(4)))
    await lease(1)

    done = await client.batches.cancel("B", reason="sent twice")
    again = await client.batches.cancel("B", reason="sent twice")

    assert (done.cancelled_count, again.cancelled_count) == (3, 0)
    assert done.progress.claims_by_status == {"cancelled": 3, "processing": 1}
    assert (done.progress.left_count, done.progress.has_ended) == (1, False)
    async with tenant_transaction(staging, tenant):
        row = await staging.fetchrow("SELECT * FROM batch_cancellations")
    assert (row["cancelled_by"], row["reason"], row["claims"]) == (ANN, "sent twice", 3)


async def test_a_cancelled_batch_ends_a_watch(client, stage):
    await stage(claim("C1", batch_id="B"))

    heard = []
    async for progress in client.batches.watch("B"):
        heard.append(progress)
        await client.batches.cancel("B", reason="sent twice")

    assert [each.has_ended for each in heard] == [False, True]
    assert heard[-1].claims_by_status == {"cancelled": 1}


async def test_calls_beside_each_other_amend_once(client, stage, load):
    await stage(claim("C1"))
    await load()

    ends = await asyncio.gather(
        *(
            client.claims.amend("C1", Claim(drg_code=f"47{n}"), base_version=1, fields=["drg_code"])
            for n in range(3)
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(end, CallError) for end in ends) == 2
