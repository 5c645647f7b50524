"""Policies in use: each tenant its own, new versions soon, and never half a policy."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import asyncpg
import grpc
import pytest
from claimgate.v1 import policy_pb2, score_pb2
from claimgate.v1 import reference_service_pb2 as reference
from claimgate.v1 import scoring_service_pb2 as scoring
from claimgate.v1.reference_service_pb2_grpc import ReferenceServiceStub
from claimgate.v1.scoring_service_pb2_grpc import ScoringServiceStub
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from prometheus_client import CollectorRegistry

from engine.examples import claim_of
from engine.pipeline import Engine
from engine.policy import Policy, PolicyError
from engine.policy_document import policy_of
from engine.rules.rule import example, line
from loader import embedded
from server.comparison import Comparison
from server.database import Database, open_database
from server.engines import Engines, TenantScorers
from server.errors import DatabaseUnavailableError, PolicyChangedError, PolicyUnusableError
from server.metrics import Metrics
from server.policies import Loaded, Policies, PolicyStore, PolicyVersion, Refused
from server.policy_database import PolicyDatabase
from server.policy_files import PolicyFiles
from server.policy_messages import document_in, whole_message_of
from server.principal import Principal
from server.reference import ReferenceServicer
from server.service import Parts, serving
from server.settings import Settings, SettingsError

PAIR = claim_of(example("a", line("45385"), line("45380")))
NOT_A_TOKEN = reference.ListPolicyVersionsRequest(page_size=1)
NOT_A_TOKEN.page_token = "x"  # noqa: S105 - of a page
OFF = policy_pb2.PolicyOverride(rule_id="NCCI_PTP", enabled=False)


@pytest.fixture
async def database(postgres) -> AsyncIterator[Database]:
    url = postgres.loading_url(embedded.PRODUCTION)
    async with open_database(url, connections_max=3, query_s=10) as opened:
        yield opened


@pytest.fixture
def store(database) -> PolicyDatabase:
    return PolicyDatabase(database)


def new(document: dict | None = None, **facts) -> PolicyVersion:
    policy = policy_of({"name": "acme", **(document or {})})
    return PolicyVersion(
        policy, **{"author": "ann", "approver": "bob", "reason": "a test", **facts}
    )


def metrics() -> tuple[Metrics, CollectorRegistry]:
    registry = CollectorRegistry()
    return Metrics(registry, 0.8), registry


# --- stored versions


async def test_version_is_read_back_as_it_was_written(store, tenant):
    document = {
        "review_min": 0.2,
        "overrides": [
            {"rule_id": "HIGH_DOLLAR", "params": {"tier_1_cents": 5}},
            {"rule_id": "NCCI_PTP", "weight": 0.5, "match": {"service_from": "2025-01-01"}},
        ],
    }

    added = await store.add(tenant, new(document), 0)
    loaded = await store.load(tenant)

    assert loaded == Loaded(loaded.version)
    assert loaded.version.policy.version == added.policy.version == new(document).policy.version
    assert (added.version, loaded.version.version) == (1, 1)
    assert (loaded.version.author, loaded.version.approver) == ("ann", "bob")


async def test_database_without_policies_ends_the_start_and_says_what_to_run(postgres, store):
    await store.check()
    url = postgres.loading_url("postgres")

    async with open_database(url, connections_max=1, query_s=10) as bare:
        with pytest.raises(SettingsError, match="claimgate migrate production"):
            await PolicyDatabase(bare).check()


async def test_versions_are_kept_and_listed_newest_first(store, tenant):
    for number in range(3):
        await store.add(tenant, new({"review_min": number / 10}), number)

    rows = await store.versions(tenant, 2, None)
    rest = await store.versions(tenant, 2, rows[-1].version)

    assert [row.version for row in (*rows, *rest)] == [3, 2, 1]
    assert [row.document.get("review_min") for row in (*rows, *rest)] == [0.2, 0.1, 0.0]
    assert (await store.version(tenant, 2)).document["review_min"] == 0.1
    assert await store.version(tenant, 4) is None


async def test_change_to_another_version_than_the_newest_is_refused_and_both_named(store, tenant):
    await store.add(tenant, new(), 0)
    await store.add(tenant, new({"review_min": 0.1}), 1)

    with pytest.raises(PolicyChangedError, match=r"at version 2.*to version 1"):
        await store.add(tenant, new({"review_min": 0.2}), 1)


async def test_of_two_changes_at_once_one_is_stored(store, tenant):
    changes = [store.add(tenant, new({"review_min": at / 10}), 0) for at in range(3)]

    done = await asyncio.gather(*changes, return_exceptions=True)

    assert sorted(type(each).__name__ for each in done) == [
        "PolicyChangedError",
        "PolicyChangedError",
        "PolicyVersion",
    ]
    assert len(await store.versions(tenant, 9, None)) == 1


async def test_same_change_sent_again_is_stored_once(store, tenant):
    first = await store.add(tenant, new({"review_min": 0.1}), 0)
    again = await store.add(tenant, new({"review_min": 0.1}), 0)

    assert (first.version, again.version) == (1, 1)
    with pytest.raises(PolicyChangedError):
        await store.add(tenant, new({"review_min": 0.1}, reason="another"), 0)


async def test_version_in_force_is_the_highest_whose_interval_holds_now(store, tenant):
    now = datetime.now(UTC)
    day = timedelta(days=1)
    await store.add(tenant, new({"review_min": 0.1}), 0)
    await store.add(
        tenant, new({"review_min": 0.2}, valid_from=now - 2 * day, valid_to=now - day), 1
    )
    before = (await store.load(tenant)).version.version
    await store.add(tenant, new({"review_min": 0.25}, valid_from=now + day), 2)

    assert before == (await store.load(tenant)).version.version == 1
    assert [row.in_force for row in await store.versions(tenant, 9, None)] == [False, False, True]


async def test_tenant_sees_no_other_tenants_policy(store, tenant):
    await store.add(tenant, new(), 0)

    assert await store.load(f"{tenant}-other") == Loaded(None)
    assert await store.versions(f"{tenant}-other", 9, None) == []


async def test_each_version_leaves_a_row_in_the_changelog(store, tenant, database):
    await store.add(tenant, new({"review_min": 0.1, "auto_partial": True}), 0)
    await store.add(tenant, new({"review_min": 0.2}, reason="second"), 1)

    async with database.transaction(tenant) as connection:
        rows = await connection.fetch("SELECT * FROM policy_changes ORDER BY version")

    assert [json.loads(row["changed"]) for row in rows][1] == {
        "review_min": {"before": 0.1, "after": 0.2},
        "auto_partial": {"before": True, "after": None},
    }
    assert [(row["version"], row["reason"], row["changed_by"]) for row in rows] == [
        (1, "a test", embedded.LOADING_ROLE),
        (2, "second", embedded.LOADING_ROLE),
    ]


def insertion(tenant: str, version: int, approver: str) -> str:
    return (
        "INSERT INTO policies (tenant_id, version, policy_version, document, author, approver, "  # noqa: S608 - of this test
        f"reason) VALUES ({tenant}, {version}, 'v', '{{}}', 'ann', '{approver}', 'r')"
    )


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("UPDATE policies SET reason = 'x'", asyncpg.InsufficientPrivilegeError),
        ("DELETE FROM policies", asyncpg.InsufficientPrivilegeError),
        ("DELETE FROM policy_changes", asyncpg.InsufficientPrivilegeError),
        (
            insertion("current_tenant()", 1, "ann"),
            asyncpg.CheckViolationError,
        ),
        (
            insertion("current_tenant()", 7, "bob"),
            asyncpg.IntegrityConstraintViolationError,
        ),
        (
            insertion("'somebody'", 1, "bob"),
            asyncpg.InsufficientPrivilegeError,
        ),
    ],
)
async def test_database_itself_keeps_versions_as_they_are(database, tenant, statement, error):
    async def run() -> None:
        async with database.transaction(tenant) as connection:
            await connection.execute(statement)

    with pytest.raises(error):
        await run()


async def store_unusable(database: Database, tenant: str, version: int) -> None:
    """A version of an engine that knew a rule which this one does not."""
    document = json.dumps({"overrides": [{"rule_id": "GONE", "weight": 0.5}]})
    async with database.transaction(tenant) as connection:
        await connection.execute(
            "INSERT INTO policies (tenant_id, version, policy_version, document, author, approver, "
            "reason) VALUES ($1, $2, 'v', $3, 'ann', 'bob', 'r')",
            tenant,
            version,
            document,
        )


async def test_newest_version_that_can_be_used_is_in_force(store, database, tenant):
    await store.add(tenant, new({"review_min": 0.1}), 0)
    await store_unusable(database, tenant, 2)

    loaded = await store.load(tenant)

    assert loaded.version.version == 1
    assert [(each.version, each.error.field) for each in loaded.refused] == [
        (2, "overrides[0].rule_id")
    ]


# --- what is held


@dataclass
class Shelf(PolicyStore):
    """A store that holds one policy, and can be out."""

    loaded: Loaded
    at: int = 0
    out: bool = False
    loads: int = 0

    async def mark(self, _tenant):
        if self.out:
            raise DatabaseUnavailableError("ConnectionRefusedError")
        return self.at

    async def load(self, _tenant):
        self.loads += 1
        return self.loaded

    def put(self, loaded: Loaded) -> None:
        self.loaded, self.at = loaded, self.at + 1


def usable(review_min: float) -> Loaded:
    return Loaded(PolicyVersion(Policy(review_min=review_min), 1))


UNUSABLE = Loaded(None, (Refused(2, PolicyError("overrides[0].rule_id", "the id of a rule")),))


def held(shelf: Shelf | None, poll_ms: int = 10) -> tuple[Policies, CollectorRegistry]:
    counted, registry = metrics()
    return Policies(Policy(), shelf, counted, poll_ms), registry


async def test_without_a_store_or_a_policy_the_default_is_in_use():
    for shelf in (None, Shelf(Loaded(None))):
        policies, _ = held(shelf)

        assert (await policies.of("t")).policy.version == Policy().version


async def test_policy_is_read_once_and_again_when_it_changed():
    shelf = Shelf(usable(0.1))
    policies, _ = held(shelf)

    first = [await policies.of("t") for _ in range(3)]
    await policies.look("t")
    loads = shelf.loads
    shelf.put(usable(0.2))
    await policies.look("t")

    assert {each.policy.review_min for each in first} == {0.1}
    assert (loads, shelf.loads) == (1, 2)
    assert (await policies.of("t")).policy.review_min == 0.2


async def test_last_good_policy_stays_when_the_new_one_cannot_be_used(logged):
    shelf = Shelf(usable(0.1))
    policies, registry = held(shelf)
    await policies.of("t")

    shelf.put(UNUSABLE)
    await policies.look("t")
    await policies.look("t")

    assert (await policies.of("t")).policy.review_min == 0.1
    assert registry.get_sample_value("claimgate_policy_faults_total", {"fault": "refused"}) == 1
    [refused] = [each for each in logged() if each["event"] == "policy_refused"]
    assert (refused["tenant"], refused["setting"]) == ("t", "overrides[0].rule_id")


async def test_tenant_without_a_usable_policy_is_not_scored_under_another():
    shelf = Shelf(UNUSABLE)
    policies, _ = held(shelf)

    for _ in range(2):
        with pytest.raises(PolicyUnusableError, match=r"overrides\[0\]"):
            await policies.of("t")
    shelf.put(usable(0.1))
    await policies.look("t")

    assert shelf.loads == 2
    assert (await policies.of("t")).policy.review_min == 0.1


async def test_policy_that_was_read_outlives_its_store(until):
    shelf = Shelf(usable(0.1))
    policies, registry = held(shelf)
    await policies.of("t")
    shelf.out = True

    watch = asyncio.ensure_future(policies.watch())
    await until(
        lambda: registry.get_sample_value("claimgate_policy_faults_total", {"fault": "unread"})
    )
    kept = await policies.of("t")
    shelf.out = False
    shelf.put(usable(0.2))
    await until(lambda: policies._held["t"].policy.review_min == 0.2)
    watch.cancel()

    assert kept.policy.review_min == 0.1
    shelf.out = True
    with pytest.raises(DatabaseUnavailableError):
        await policies.of("somebody else")


# --- files


def test_start_names_file_and_field_at_fault(tmp_path):
    (tmp_path / "acme.toml").write_text("review_min = 2")

    with pytest.raises(SettingsError, match=r"acme\.toml: review_min: expected 0 to 1"):
        PolicyFiles(tmp_path).check()
    (tmp_path / "acme.toml").write_text("review_min = ")
    with pytest.raises(SettingsError, match=r"acme\.toml: file: expected TOML"):
        PolicyFiles(tmp_path).check()
    with pytest.raises(SettingsError, match="no folder"):
        PolicyFiles(tmp_path / "none").check()


async def test_file_of_the_tenant_is_its_policy_and_changes_are_seen(tmp_path):
    files = PolicyFiles(tmp_path)
    (tmp_path / "acme.toml").write_text('name = "acme"\nreview_min = 0.1')
    counted, _ = metrics()
    policies = Policies(Policy(), files, counted, 1000)

    before = await policies.of("acme")
    other = await policies.of("other")
    (tmp_path / "acme.toml").write_text('name = "acme"\nreview_min = 0.25')
    await policies.look("acme")
    after = await policies.of("acme")
    (tmp_path / "acme.toml").write_text("nothing = 1")
    await policies.look("acme")

    assert (before.policy.review_min, after.policy.review_min) == (0.1, 0.25)
    assert other.policy.version == Policy().version
    assert (await policies.of("acme")).policy.review_min == 0.25


async def test_name_of_a_tenant_never_leads_out_of_the_folder(tmp_path):
    (tmp_path / "secret.toml").write_text("review_min = 0.1")
    folder = tmp_path / "policies"
    folder.mkdir()

    assert await PolicyFiles(folder).load("../secret") == Loaded(None)


# --- messages


def test_policy_survives_the_api():
    document = {
        "name": "acme",
        "deny_min": 0.9,
        "overrides": [
            {
                "tier": "payer", "rule_id": "NCCI_PTP", "weight": 0.5, "severity": "low",
                "action": "pend", "certainty": "advise", "shadow": False, "locked": ["weight"],
                "match": {"claim_types": ["professional"], "lines_of_business": ["commercial"],
                          "service_from": "2025-01-01", "codes": ["99213", "J0000-J9999"]},
            },
            {"rule_id": "HIGH_DOLLAR", "params": {"tier_1_cents": 5}},
            {"rule_id": "MODIFIER_INVALID", "params": {"payer_modifiers": ["Z9"]}},
            {"review_min": 0.0},
        ],
    }  # fmt: skip
    policy = policy_of(document)

    message = whole_message_of(policy)

    assert policy_of(document_in(message)).version == policy.version
    assert message.review_min == Policy().review_min
    assert message.overrides[0].tier == policy_pb2.POLICY_TIER_PAYER


def test_value_of_an_enumeration_that_nobody_knows_is_refused():
    message = policy_pb2.Policy(overrides=[{"rule_id": "NCCI_PTP", "action": 99}])

    with pytest.raises(PolicyError) as raised:
        policy_of(document_in(message))
    assert raised.value.field == "overrides[0].action"


# --- a real service with two tenants


@dataclass
class Service:
    """A service as one of its tenants sees it."""

    channel: grpc.aio.Channel
    registry: CollectorRegistry
    tenant: str

    def of(self, tenant: str) -> "Service":
        return replace(self, tenant=tenant)

    async def score(self, *claims) -> scoring.ScoreBatchResponse:
        batch = score_pb2.ClaimBatch(claims=claims or [PAIR])
        return await ScoringServiceStub(self.channel).ScoreBatch(
            scoring.ScoreBatchRequest(batch=batch), metadata=(("tenant", self.tenant),)
        )

    async def call(self, method: str, request):
        return await getattr(ReferenceServiceStub(self.channel), method)(
            request, metadata=(("tenant", self.tenant),)
        )

    async def policy(self, version: int | None = None) -> reference.GetPolicyResponse:
        return await self.call("GetPolicy", reference.GetPolicyRequest(version=version))

    async def update(self, **request) -> reference.UpdatePolicyResponse:
        defaults = {"reason": "a test", "approver": "bob"}
        return await self.call("UpdatePolicy", reference.UpdatePolicyRequest(**defaults | request))


@pytest.fixture
def serve(monkeypatch, sample_reference):
    """Serve with policies of a store; the header `tenant` says who calls."""
    from server import interceptors

    def identify(context) -> Principal:
        return Principal("ann", dict(context.invocation_metadata())["tenant"])

    monkeypatch.setattr(interceptors, "identify", identify)

    @asynccontextmanager
    async def start(store, tenant: str, poll_ms: int = 20) -> AsyncIterator[Service]:
        counted, registry = metrics()
        engines = Engines(Engine.with_all_rules(sample_reference))
        policies = Policies(engines.engine.policy, store, counted, poll_ms)
        database = store if isinstance(store, PolicyDatabase) else None

        async def gather(_read, _wanted):
            from engine.gathered import Gathered, ModelAnswer

            return Gathered(ModelAnswer.disabled())

        parts = Parts(
            TenantScorers(engines, policies).scorer,
            ReferenceServicer(engines, policies, Comparison(gather, 10), database),
            gather,
            counted,
        )
        settings = Settings(listen="127.0.0.1:0", reference="unused", metrics_listen="")
        watch = asyncio.ensure_future(policies.watch())
        async with (
            serving(settings, parts) as service,
            grpc.aio.insecure_channel(service.address) as channel,
        ):
            yield Service(channel, registry, tenant)
        watch.cancel()

    return start


def rules_in(answer: scoring.ScoreBatchResponse) -> set[str]:
    return {hit.rule_id for result in answer.results for hit in result.hits}


async def refusal(call) -> tuple[grpc.StatusCode, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    details = dict(raised.value.trailing_metadata())["grpc-status-details-bin"]
    info = ErrorInfo()
    Status.FromString(details).details[0].Unpack(info)
    return raised.value.code(), dict(info.metadata)


async def test_policy_of_one_tenant_does_not_touch_another(serve, store, tenant):
    async with serve(store, tenant) as one:
        other = one.of(f"{tenant}-other")
        before = [await one.score(), await other.score()]

        await one.update(policy=policy_pb2.Policy(name="one", overrides=[OFF]))
        after = [await one.score(), await other.score()]
        shown = [await one.policy(), await other.policy()]

    assert all("NCCI_PTP" in rules_in(answer) for answer in (*before, after[1]))
    assert "NCCI_PTP" not in rules_in(after[0])
    assert after[1] == before[1] == before[0]
    assert [answer.provenance.policy_version for answer in after] == [
        response.policy_version for response in shown
    ]
    assert [response.version.version for response in shown] == [1, 0]
    assert shown[0].policy.overrides == [
        policy_pb2.PolicyOverride(
            rule_id="NCCI_PTP", enabled=False, tier=policy_pb2.POLICY_TIER_TENANT
        )
    ]


async def test_other_process_takes_a_new_version_up(serve, store, tenant):
    async with serve(store, tenant) as one, serve(store, tenant) as two:
        await two.score()
        stored = await one.update(policy=policy_pb2.Policy(overrides=[OFF]))
        async with asyncio.timeout(10):
            while (await two.score()).provenance.policy_version != stored.version.policy_version:
                pass

        assert "NCCI_PTP" not in rules_in(await two.score())


async def test_named_fields_are_replaced_and_the_others_kept(serve, store, tenant):
    async with serve(store, tenant) as service:
        await service.update(
            policy=policy_pb2.Policy(name="acme", review_min=0.1, auto_partial=True)
        )
        changed = await service.update(
            policy=policy_pb2.Policy(review_min=0.2, deny_min=0.9),
            update_mask=FieldMask(paths=["review_min", "auto_partial"]),
            expected_version=1,
        )

    assert changed.policy.name == "acme"
    assert (changed.policy.review_min, changed.policy.deny_min) == (0.2, 0.8)
    assert not changed.policy.auto_partial
    assert changed.version.version == 2


async def test_stale_change_is_aborted_naming_both_versions(serve, store, tenant):
    async with serve(store, tenant) as service:
        await service.update(policy=policy_pb2.Policy(review_min=0.1))
        await service.update(policy=policy_pb2.Policy(review_min=0.2), expected_version=1)

        stale = await refusal(
            service.update(policy=policy_pb2.Policy(review_min=0.25), expected_version=1)
        )
        ahead = await refusal(
            service.update(policy=policy_pb2.Policy(review_min=0.25), expected_version=9)
        )

    assert stale == (grpc.StatusCode.ABORTED, {"expected_version": "1", "version": "2"})
    assert ahead == (grpc.StatusCode.ABORTED, {"expected_version": "9", "version": "2"})


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        (
            {"policy": {"overrides": [{"rule_id": "NO_SUCH", "weight": 0.1}]}},
            "policy.overrides[0].rule_id",
        ),
        (
            {"policy": {"overrides": [{"rule_id": "NCCI_PTP", "weight": 1.5}]}},
            "policy.overrides[0].weight",
        ),
        ({"policy": {"review_min": 0.9}}, "policy.review_min"),
        ({"policy": {"name": "no spaces"}}, "policy.name"),
        ({"policy": {}, "update_mask": {"paths": ["name", "weight"]}}, "update_mask.paths[1]"),
        ({"policy": {}, "reason": " "}, "reason"),
        ({"policy": {}, "approver": ""}, "approver"),
        ({"policy": {}, "approver": "ann"}, "approver"),
        ({"policy": {}, "expected_version": -1}, "expected_version"),
        ({"policy": {}, "valid_to_time": {"seconds": 86_400}}, "valid_to_time"),
        ({"policy": {}, "valid_from_time": {"seconds": 2**60}}, "valid_from_time"),
    ],
)
async def test_change_that_cannot_be_meant_names_its_field(
    serve, store, tenant, request_fields, field
):
    async with serve(store, tenant) as service:
        code, facts = await refusal(service.update(**request_fields))

        assert (code, facts["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, field)
        assert await store.versions(tenant, 9, None) == []


async def test_versions_are_listed_and_shown(serve, store, tenant):
    async with serve(store, tenant) as service:
        for number in range(3):
            await service.update(
                policy=policy_pb2.Policy(review_min=number / 10), expected_version=number
            )
        page = await service.call(
            "ListPolicyVersions", reference.ListPolicyVersionsRequest(page_size=2)
        )
        rest = await service.call(
            "ListPolicyVersions",
            reference.ListPolicyVersionsRequest(page_size=2, page_token=page.next_page_token),
        )
        second = await service.policy(2)
        missing = await refusal(service.policy(9))
        wrong = await refusal(service.call("ListPolicyVersions", NOT_A_TOKEN))

    assert [each.version for each in (*page.versions, *rest.versions)] == [3, 2, 1]
    assert (page.next_page_token != "", rest.next_page_token) == (True, "")
    assert page.versions[0].author == "ann"
    assert second.policy.review_min == 0.1
    assert second.version.policy_version == page.versions[1].policy_version
    assert missing[0] == grpc.StatusCode.NOT_FOUND
    assert (wrong[0], wrong[1]["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "page_token")


async def test_without_a_database_a_change_says_which_setting_it_needs(serve, tmp_path):
    async with serve(PolicyFiles(tmp_path), "acme") as service:
        code, facts = await refusal(service.update(policy=policy_pb2.Policy()))

        assert (await service.policy()).version.version == 0
        assert (code, facts["setting"]) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "CLAIMGATE_PRODUCTION_URL",
        )


async def test_tenant_whose_policy_cannot_be_used_is_told_and_the_others_are_scored(
    serve, store, database, tenant
):
    await store_unusable(database, tenant, 1)
    async with serve(store, tenant) as service:
        code, facts = await refusal(service.score())
        other = await service.of(f"{tenant}-other").score()
        mended = await service.update(policy=policy_pb2.Policy(name="right"), expected_version=1)
        after = await service.score()

    assert (code, facts["field"]) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "overrides[0].rule_id",
    )
    assert rules_in(other)
    assert after.provenance.policy_version == mended.version.policy_version


async def compared(service: Service, *claims, **choices) -> reference.ComparePoliciesResponse:
    batch = score_pb2.ClaimBatch(claims=claims or [PAIR])
    request = reference.ComparePoliciesRequest(batch=batch, **choices)
    return await service.call("ComparePolicies", request)


async def test_claims_are_compared_under_two_policies_and_nothing_is_stored(serve, store, tenant):
    plain = claim_of(example("a", line("99213-25")), "PLAIN")
    async with serve(store, tenant) as service:
        in_force = await service.score(PAIR, plain)
        answer = await compared(
            service, PAIR, plain, candidate={"policy": {"name": "draft", "overrides": [OFF]}}
        )
        same = await compared(service)

        assert await store.versions(tenant, 9, None) == []
    changed, unchanged = answer.comparisons
    assert [changed.base, unchanged.base] == list(in_force.results)
    assert answer.base_provenance == in_force.provenance
    assert answer.candidate_provenance.policy_version.startswith("draft-")
    assert {"hits", "lines"} <= set(changed.differing_fields)
    assert "NCCI_PTP" not in {hit.rule_id for hit in changed.candidate.hits}
    assert list(unchanged.differing_fields) == []
    assert list(same.comparisons[0].differing_fields) == []


async def test_stored_versions_are_compared(serve, store, tenant):
    async with serve(store, tenant) as service:
        await service.update(policy=policy_pb2.Policy(overrides=[OFF]))
        await service.update(policy=policy_pb2.Policy(review_min=0.2), expected_version=1)

        answer = await compared(service, base={"version": 1}, candidate={"version": 2})
        missing = await refusal(compared(service, candidate={"version": 9}))

    [changed] = answer.comparisons
    assert "NCCI_PTP" not in {hit.rule_id for hit in changed.base.hits}
    assert "NCCI_PTP" in {hit.rule_id for hit in changed.candidate.hits}
    assert missing[0] == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"candidate": {"policy": {"review_min": 2}}}, "candidate.policy.review_min"),
        ({"base": {"version": 0}}, "base.version"),
        ({"view": 99}, "view"),
    ],
)
async def test_comparison_that_cannot_be_meant_names_its_field(
    serve, store, tenant, request_fields, field
):
    async with serve(store, tenant) as service:
        code, facts = await refusal(compared(service, **request_fields))
        too_many, _ = await refusal(compared(service, *[PAIR] * 11))

    assert (code, facts["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert too_many == grpc.StatusCode.INVALID_ARGUMENT


async def test_policy_of_equal_content_answers_with_equal_bits(serve, store, tenant):
    async with serve(store, tenant) as one:
        two = one.of(f"{tenant}-two")
        for service in (one, two):
            await service.update(policy=policy_pb2.Policy(name="same", review_min=0.1))
        await two.update(
            policy=policy_pb2.Policy(name="same", review_min=0.1), expected_version=1,
            reason="the same again",
        )  # fmt: skip

        assert await one.score() == await two.score()
