"""ClaimService over gRPC, on a real Postgres: the caller's failed claims and no others."""

from contextlib import asynccontextmanager
from hashlib import sha256
from uuid import uuid4

import asyncpg
import pytest
from claimgate.client import CallError, Client
from claimgate.v1 import claim_pb2
from claimgate.v1 import failed_claim_pb2 as pb
from prometheus_client import CollectorRegistry

from loader import embedded
from loader.failed.backoff import Backoff
from loader.failed.ledger import write_failed
from loader.failed.words import Category, FailedStatus, Resolution
from loader.rows import FailedClaim
from loader.source import PAYLOAD_COLUMN, Leased, tenant_transaction
from loader.vault import Vault
from server.database import open_database
from server.failed_claims import ClaimServicer
from server.metrics import Metrics
from server.principal import Principal
from server.service import Parts, serving
from server.settings import Settings

KEY = bytes(range(32))
ANN = "ann"


@pytest.fixture
async def connection(postgres):
    opened = await asyncpg.connect(postgres.loading_url(embedded.PRODUCTION))
    yield opened
    await opened.close()


@pytest.fixture
def add(connection, tenant):
    """Write a failed claim, as a load does; gives its number."""

    async def write(
        claim_id, category=Category.VALIDATION, code="V08", *, cents=20_000, facility="F1"
    ):
        claim = claim_pb2.Claim(
            claim_id=claim_id,
            facility_id=facility,
            total_charge_cents=cents,
            patient_last_name="Canarysson",
        )
        payload = claim.SerializeToString(deterministic=True)
        digest = sha256(payload).digest()
        sealed = Vault(KEY).seal(payload, tenant, PAYLOAD_COLUMN, digest.hex())
        leased = Leased(1, claim_id, 1, digest, b"m", 1, sealed)
        reasons = [{"field": "lines", "code": code, "message": "is wrong"}]
        failed = FailedClaim(leased, category, "score", reasons, claim)
        async with tenant_transaction(connection, tenant):
            await write_failed(connection, tenant, uuid4(), [failed], Backoff())
            return await connection.fetchval(
                "SELECT failed_id FROM failed_claims WHERE claim_id = $1", claim_id
            )

    return write


@pytest.fixture
def serve(postgres, tenant, monkeypatch):
    """Run the service for a caller of this test's tenant; gives the client."""

    @asynccontextmanager
    async def run(*, of=tenant, key=KEY, with_database=True):
        monkeypatch.setattr("server.interceptors.identify", lambda _context: Principal(ANN, of))
        url = postgres.loading_url(embedded.PRODUCTION)

        async def nothing(*_arguments):
            raise AssertionError("no claim is scored here")

        settings = Settings(listen="127.0.0.1:0", reference="unused", metrics_listen="")
        async with open_database(url, connections_max=3, query_s=10) as database:
            claims = ClaimServicer(database if with_database else None, Vault(key) if key else None)
            metrics = Metrics(CollectorRegistry(), 0.8)
            parts = Parts(nothing, _NoReference(), nothing, metrics, claims)
            async with serving(settings, parts) as service, Client(service.address) as client:
                yield client.failed_claims

    return run


class _NoReference:
    """Every method is there and none is called."""

    def __getattr__(self, _name):
        return None


@pytest.fixture
async def failed(serve):
    async with serve() as surface:
        yield surface


async def listed(surface, *arguments, **options):
    return [each async for each in surface.list(*arguments, **options)]


async def refusal(awaited) -> CallError:
    with pytest.raises(CallError) as caught:
        await awaited
    return caught.value


async def test_failed_claims_are_listed_with_what_is_at_stake(failed, add):
    await add("SMALL", cents=100)
    one = await add("BIG", Category.SERVICE_FAULT, "INTERNAL")

    [first, second] = await listed(failed)

    assert (first.failed_id, first.claim_id, second.claim_id) == (one, "BIG", "SMALL")
    assert first.category == pb.FAILURE_CATEGORY_SERVICE_FAULT
    assert first.status == pb.FAILED_CLAIM_STATUS_OPEN
    assert (first.charge_cents, first.facility_id, first.stage) == (20_000, "F1", "score")
    assert first.HasField("next_attempt_time")
    assert not second.HasField("next_attempt_time")
    assert [(r.code, r.field) for r in first.reasons] == [("INTERNAL", "lines")]
    assert first.urgency > second.urgency


async def test_pages_hold_each_claim_once(failed, add, monkeypatch):
    for number in range(7):
        await add(f"C{number}", cents=1_000 + number % 2)
    monkeypatch.setattr("claimgate.failed_claims._PAGE", 3)

    for order in (pb.FAILED_CLAIM_ORDER_URGENCY, pb.FAILED_CLAIM_ORDER_AGE, 3):
        found = [each.claim_id for each in await listed(failed, order=order)]
        assert sorted(found) == [f"C{number}" for number in range(7)]


async def test_a_filter_leaves_what_fits(failed, add):
    await add("C1")
    await add("C2", Category.DECODE, "PAYLOAD_UNREADABLE", facility="F2", cents=900)

    async def ids(**fields):
        return {each.claim_id for each in await listed(failed, pb.FailedClaimFilter(**fields))}

    assert await ids(categories=[pb.FAILURE_CATEGORY_DECODE]) == {"C2"}
    assert await ids(reason_code="V08") == {"C1"}
    assert await ids(facility_id="F2") == {"C2"}
    assert await ids(charge_cents_max=900) == {"C2"}
    assert await ids(age_seconds_min=3_600) == set()
    assert await ids(age_seconds_max=3_600) == {"C1", "C2"}
    assert await ids(statuses=[pb.FAILED_CLAIM_STATUS_DEAD]) == set()
    assert await ids(assignee="bob") == set()


async def test_a_claim_is_worked_on_from_failure_to_end(failed, add):
    one = await add("C1")

    await failed.assign([one], "bob")
    await failed.add_note([one], "called the provider")
    due = await failed.retry([one])
    ended = await failed.resolve([one], pb.FAILED_CLAIM_RESOLUTION_DUPLICATE, note="as claim C9")
    again = await failed.reopen([one])
    detail = await failed.get(one)

    assert [list(each.changed_ids) for each in (due, ended, again)] == [[one]] * 3
    steps = [(each.after, each.author, each.assignee) for each in detail.changes[1:]]
    assert steps == [
        (pb.FAILED_CLAIM_STATUS_ASSIGNED, ANN, "bob"),
        (pb.FAILED_CLAIM_STATUS_RESOLVED, ANN, "bob"),
        (pb.FAILED_CLAIM_STATUS_ASSIGNED, ANN, "bob"),
    ]
    assert detail.changes[0].before == pb.FAILED_CLAIM_STATUS_UNSPECIFIED
    assert detail.changes[2].resolution == pb.FAILED_CLAIM_RESOLUTION_DUPLICATE
    assert [(n.text, n.author) for n in detail.notes] == [
        ("called the provider", ANN), ("as claim C9", ANN),
    ]  # fmt: skip
    assert not detail.HasField("payload")


async def test_a_payload_is_given_only_when_asked_for_and_that_is_logged(failed, add, logged):
    one = await add("C1")

    plain = await failed.get(one)
    full = await failed.get(one, include_payload=True)

    assert not plain.HasField("payload")
    assert full.payload.patient_last_name == "Canarysson"
    [record] = [each for each in logged() if each["event"] == "failed_claim_opened"]
    assert (record["principal"], record["failed_id"]) == (ANN, one)
    assert "Canarysson" not in str(logged())


async def test_what_is_refused_is_said_claim_by_claim(failed, add):
    one = await add("C1")

    outcome = await failed.reopen([one, 999_999_999])

    assert (list(outcome.changed_ids), outcome.matched) == ([], 1)
    assert [(each.failed_id, each.status) for each in outcome.refused] == [
        (one, pb.FAILED_CLAIM_STATUS_OPEN),
        (999_999_999, pb.FAILED_CLAIM_STATUS_UNSPECIFIED),
    ]


async def test_many_are_changed_by_a_filter_within_a_limit_after_a_dry_run(failed, add):
    for number in range(4):
        await add(f"C{number}", code="V08" if number else "V06")
    chosen = pb.FailedClaimFilter(reason_code="V08")

    tried = await failed.assign(chosen, "bob", dry_run=True)
    untouched = {each.assignee for each in await listed(failed)}
    done = await failed.assign(chosen, "bob", limit=2)

    assert (len(tried.changed_ids), tried.matched, untouched) == (3, 3, {""})
    assert (len(done.changed_ids), done.matched) == (2, 3)


async def test_figures_say_how_failed_claims_stand(failed, add):
    await add("C1")
    one = await add("C2")
    await failed.resolve([one], pb.FAILED_CLAIM_RESOLUTION_RETURNED)
    await failed.retry([(await listed(failed))[0].failed_id])

    found = await failed.stats()

    [open_] = found.unsettled
    [ended] = found.ended
    assert (open_.category, open_.claim_count, open_.charge_cents) == (
        pb.FAILURE_CATEGORY_VALIDATION, 1, 20_000,
    )  # fmt: skip
    assert (ended.resolution, ended.claim_count) == (pb.FAILED_CLAIM_RESOLUTION_RETURNED, 1)
    assert found.due_count == 1


async def test_another_tenant_sees_and_changes_nothing(serve, add, connection, tenant):
    one = await add("C1")

    async with serve(of=f"{tenant}-other") as other:
        seen = await listed(other)
        error = await refusal(other.get(one, include_payload=True))
        outcome = await other.resolve([one], pb.FAILED_CLAIM_RESOLUTION_RETURNED)

    assert (seen, error.reason) == ([], "ERROR_REASON_NOT_FOUND")
    assert [each.status for each in outcome.refused] == [pb.FAILED_CLAIM_STATUS_UNSPECIFIED]
    async with tenant_transaction(connection, tenant):
        assert await connection.fetchval("SELECT status FROM failed_claims") == "open"


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda f: listed(f, order=9), "order"),
        (lambda f: listed(f, pb.FailedClaimFilter(categories=[0])), "filter.categories[0]"),
        (lambda f: listed(f, pb.FailedClaimFilter(statuses=[99])), "filter.statuses[0]"),
        (lambda f: listed(f, pb.FailedClaimFilter(age_seconds_min=-1)), "filter.age_seconds_min"),
        (
            lambda f: listed(f, pb.FailedClaimFilter(charge_cents_max=2**62)),
            "filter.charge_cents_max",
        ),
        (lambda f: listed(f, pb.FailedClaimFilter(claim_id="a\0")), "filter.claim_id"),
        (lambda f: f.retry([]), "selection"),
        (lambda f: f.retry(range(1, 1_002)), "selection.failed_ids"),
        (lambda f: f.retry(pb.FailedClaimFilter(), limit=10_001), "selection.limit"),
        (lambda f: f.retry(pb.FailedClaimFilter(), limit=-1), "selection.limit"),
        (lambda f: f.assign([1], "x" * 101), "assignee"),
        (lambda f: f.resolve([1], 0), "resolution"),
        (lambda f: f.resolve([1], pb.FAILED_CLAIM_RESOLUTION_RELOADED), "resolution"),
        (lambda f: f.add_note([1], " "), "text"),
        (lambda f: f.stats(days=-1), "days"),
    ],
)
async def test_impossible_values_are_refused_with_their_field(failed, call, field):
    error = await refusal(call(failed))

    assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "ERROR_REASON_INVALID_FIELD")
    assert error.metadata["field"] == field


async def test_a_token_of_another_question_is_refused(failed, add):
    from claimgate.v1 import claim_service_pb2 as service

    await add("C1")
    await add("C2")
    request = service.ListFailedClaimsRequest(page_size=1)
    page = await failed._call(failed._stub.ListFailedClaims, request)
    request.page_token, request.order = page.next_page_token, pb.FAILED_CLAIM_ORDER_AGE

    error = await refusal(failed._call(failed._stub.ListFailedClaims, request))

    assert (error.metadata["field"], bool(page.next_page_token)) == ("page_token", True)


async def test_a_note_that_is_too_long_leaves_the_claim_open(failed, add):
    one = await add("C1")

    await refusal(failed.resolve([one], pb.FAILED_CLAIM_RESOLUTION_RETURNED, note="x" * 5_000))

    assert (await failed.get(one)).failed_claim.status == pb.FAILED_CLAIM_STATUS_OPEN


async def test_without_a_database_the_setting_is_named(serve):
    async with serve(with_database=False) as surface:
        error = await refusal(listed(surface))

    assert (error.code.name, error.metadata["setting"]) == (
        "FAILED_PRECONDITION", "CLAIMGATE_PRODUCTION_URL",
    )  # fmt: skip


@pytest.mark.parametrize("key", [None, bytes(32)])
async def test_without_the_key_no_payload_is_opened(serve, add, key):
    one = await add("C1")

    async with serve(key=key) as surface:
        plain = await surface.get(one)
        error = await refusal(surface.get(one, include_payload=True))

    assert plain.failed_claim.claim_id == "C1"
    assert error.metadata["setting"] == "CLAIMGATE_KEY_FILE"


@pytest.mark.parametrize(
    ("kind", "enum", "prefix"),
    [
        (Category, pb.FailureCategory, "FAILURE_CATEGORY_"),
        (FailedStatus, pb.FailedClaimStatus, "FAILED_CLAIM_STATUS_"),
        (Resolution, pb.FailedClaimResolution, "FAILED_CLAIM_RESOLUTION_"),
    ],
)
def test_the_words_of_the_store_are_those_of_the_api(kind, enum, prefix):
    assert {f"{prefix}{word.upper()}" for word in kind} | {f"{prefix}UNSPECIFIED"} == set(
        enum.keys()
    )
