"""A loaded claim amended: the next version is scored and loaded, the others stay as they are."""

import asyncio
from datetime import date

import asyncpg
import pytest
from claimgate.v1.claim_pb2 import Claim, Provider, ServiceLine

from loader import embedded, source
from loader.claims.amend import VersionConflictError, amend
from loader.claims.amendment import Amendment, LineChange
from loader.claims.patch import amendment_of, patch_of
from loader.claims.versions import (
    ArchivedError,
    NoSuchClaimError,
    claim_of,
    get_result,
    list_versions,
    version_of,
)
from loader.failed.filter import FieldError
from loader.run import run
from loader.source import Submitted, tenant_transaction

TODAY = date(2025, 11, 3)


@pytest.fixture
def load(staging, vault, tenant, settings):
    """Take claims in and load them."""

    async def put(*claims):
        await source.stage_claims(staging, vault, tenant, map(Submitted, claims))
        return await run(settings)

    return put


@pytest.fixture
def change(postgres, vault, tenant):
    async def submit(claim_id, amendment, *, of=tenant):
        staging = await asyncpg.connect(postgres.loading_url(embedded.STAGING))
        production = await asyncpg.connect(postgres.loading_url(embedded.PRODUCTION))
        try:
            async with tenant_transaction(production, of), tenant_transaction(staging, of):
                return await amend(
                    production, staging, vault, of, claim_id, amendment, by="ann", today=TODAY
                )
        finally:
            await staging.close()
            await production.close()

    return submit


@pytest.fixture
def versions(loading, tenant):
    async def read(claim_id, *, of=tenant):
        async with tenant_transaction(loading, of):
            return await list_versions(loading, of, claim_id)

    return read


@pytest.fixture
def opened(loading, vault, tenant, versions):
    async def read(claim_id, number=0):
        version = version_of(await versions(claim_id), number)
        async with tenant_transaction(loading, tenant):
            return await claim_of(loading, vault, tenant, version)

    return read


def of(base=1, **fields) -> Amendment:
    return Amendment(base, tuple(fields), Claim(**fields))


async def test_an_amendment_becomes_the_next_version_and_history_stays(
    load, change, versions, opened, settings, make_claim
):
    claim = make_claim("deny-1", batch_id="B")
    await load(claim)

    done = await change("deny-1", of(patient_last_name="Corrected"))
    await run(settings)

    first, second = await versions("deny-1")
    after = await opened("deny-1")
    assert await opened("deny-1", 1) == claim
    assert (done.claim_version, done.content_sha256) == (2, second.content_sha256)
    assert (first.frequency_code, first.superseded_by) == ("1", 2)
    assert (second.frequency_code, second.superseded_by) == ("7", None)
    assert [r.decision for r in first.results + second.results] == ["deny", "deny"]
    assert (first.results[0].exposure_cents, first.results[0].allowed_cents) == (4_000, 9_123)
    assert first.commit_seq < second.commit_seq
    assert first.batch_id != second.batch_id
    assert after.payer_claim_control_number == "deny-1"
    assert (after.received_date, after.batch_id) == ("2025-11-03", "")
    claim.MergeFrom(
        Claim(
            claim_version=2,
            frequency_code="7",
            patient_last_name="Corrected",
            payer_claim_control_number="deny-1",
            received_date="2025-11-03",
        )
    )
    claim.ClearField("batch_id")
    assert after == claim


async def test_only_the_amended_claim_is_scored_again(load, change, settings, scorer, make_claim):
    await load(*(make_claim(f"ok-{n}", batch_id="B") for n in range(5)))

    await change("ok-3", of(drg_code="470"))
    summary = await run(settings)

    assert summary.scored == 1
    assert scorer.calls == {f"ok-{n}": 1 + (n == 3) for n in range(5)}


async def test_a_void_is_a_version_with_the_same_content(
    load, change, versions, opened, settings, make_claim
):
    await load(make_claim("ok-1", type_of_bill="0131", payer_claim_control_number="ICN-1"))

    await change("ok-1", Amendment(1, void=True))
    await run(settings)

    after = await opened("ok-1")
    assert [v.frequency_code for v in await versions("ok-1")] == ["1", "8"]
    assert (after.type_of_bill, after.payer_claim_control_number) == ("0138", "ICN-1")
    with pytest.raises(FieldError, match="a claim that is not void"):
        await change("ok-1", of(2, drg_code="470"))


async def test_an_amended_claim_goes_before_others(
    load, change, staging, vault, tenant, make_claim
):
    await load(make_claim("ok-1"))
    await source.stage_claims(
        staging, vault, tenant, [Submitted(make_claim("old", priority=7))], high_value_cents=1
    )

    await change("ok-1", of(drg_code="470"))

    leased = await source.lease(staging, tenant, "me", claims=1, seconds=60)
    assert [(each.claim_id, each.claim_version) for each in leased] == [("ok-1", 2)]


async def test_a_change_to_another_version_is_a_conflict(load, change, settings, make_claim):
    await load(make_claim("ok-1"))
    await change("ok-1", of(drg_code="470"))

    with pytest.raises(VersionConflictError, match=r"has version 2 \(pending\)") as waiting:
        await change("ok-1", of(drg_code="471"))
    await run(settings)
    with pytest.raises(VersionConflictError, match=r"has version 2 \(loaded\)") as loaded:
        await change("ok-1", of(drg_code="471"))
    with pytest.raises(VersionConflictError):
        await change("ok-1", of(7, drg_code="471"))

    assert (waiting.value.version, waiting.value.status) == (2, "pending")
    assert (loaded.value.base_version, loaded.value.version) == (1, 2)


async def test_of_two_amendments_at_once_one_is_made(load, change, make_claim, staging, tenant):
    await load(make_claim("ok-1"))

    ends = await asyncio.gather(
        *(change("ok-1", of(drg_code=f"47{n}")) for n in range(4)), return_exceptions=True
    )

    refused = [end for end in ends if isinstance(end, VersionConflictError)]
    assert len(refused) == 3
    assert (await source.count_by_status(staging, tenant))["pending"] == 1


async def test_the_same_amendment_again_finds_the_first(load, change, make_claim, staging, tenant):
    await load(make_claim("ok-1"))

    first = await change("ok-1", of(drg_code="470"))
    second = await change("ok-1", of(drg_code="470"))

    assert first == second
    assert await source.count_by_status(staging, tenant) == {"completed": 1, "pending": 1}


async def test_an_amendment_that_failed_may_be_made_again_or_otherwise(
    load, change, staging, tenant, make_claim, settings
):
    await load(make_claim("ok-1"))
    first = await change("ok-1", of(drg_code="470"))
    [leased] = await source.lease(staging, tenant, "me", claims=1, seconds=60)
    await source.finish(staging, tenant, "me", [(leased.staging_id, "failed")])

    again = await change("ok-1", of(drg_code="470"))
    [leased] = await source.lease(staging, tenant, "me", claims=1, seconds=60)
    await source.finish(staging, tenant, "me", [(leased.staging_id, "failed")])
    other = await change("ok-1", of(drg_code="471"))
    summary = await run(settings)

    assert again == first
    assert other.claim_version == 2
    assert summary.loaded == 1


async def test_who_amended_is_on_record(load, change, staging, tenant, make_claim):
    await load(make_claim("ok-1"))

    await change("ok-1", of(drg_code="470"))

    async with tenant_transaction(staging, tenant):
        by = await staging.fetchval(
            "SELECT changed_by FROM claim_status_changes WHERE tenant_id = $1 "
            "ORDER BY change_id DESC LIMIT 1",
            tenant,
        )
    assert by == "ann"


async def test_a_claim_of_another_tenant_is_not_there(load, change, versions, tenant, make_claim):
    await load(make_claim("ok-1"))

    with pytest.raises(NoSuchClaimError):
        await versions("ok-1", of=f"{tenant}-other")
    with pytest.raises(NoSuchClaimError):
        await change("ok-1", of(drg_code="470"), of=f"{tenant}-other")


async def test_a_claim_whose_month_is_archived_keeps_its_versions(
    load, change, versions, production, tenant, make_claim
):
    await load(make_claim("ok-1"))
    await production.execute("DELETE FROM claim_results WHERE tenant_id = $1", tenant)
    await production.execute("DELETE FROM claims WHERE tenant_id = $1", tenant)

    [version] = await versions("ok-1")

    assert (version.archived, version.frequency_code, version.results) == (True, "", ())
    with pytest.raises(ArchivedError, match="storage restore"):
        await change("ok-1", of(drg_code="470"))


async def test_a_stored_answer_comes_back_whole(load, loading, tenant, make_claim):
    await load(make_claim("deny-1"))

    async with tenant_transaction(loading, tenant):
        found = await get_result(loading, tenant, "deny-1")
        with pytest.raises(NoSuchClaimError, match="no such version"):
            await get_result(loading, tenant, "deny-1", version=2)
        with pytest.raises(NoSuchClaimError, match="no such result"):
            await get_result(loading, tenant, "deny-1", result_no=2)

    assert found.result.hits[0].rule_id == "NCCI_PTP"
    assert [line.line_number for line in found.result.lines] == [1, 2]
    assert found.provenance.reference_release == "snapshot-1"
    assert found.provenance.history_watermark == 3
    assert found.provenance.partial_rule_ids == ["DUPLICATE_SAME_DAY"]


# What may change. ---------------------------------------------------------------------------------


async def test_lines_change_by_number_and_lists_as_a_whole(
    load, change, opened, settings, make_claim
):
    await load(make_claim("ok-1"))

    line = LineChange(2, ("units_milli", "modifiers"), ServiceLine(units_milli=3_000))
    provider = Provider(zip="60601")
    await change(
        "ok-1",
        Amendment(
            1,
            ("billing_provider.zip", "condition_codes"),
            Claim(billing_provider=provider, condition_codes=["AA"]),
            (line,),
        ),
    )
    await run(settings)

    after = await opened("ok-1")
    assert [each.units_milli for each in after.lines] == [1_500, 3_000]
    assert [list(each.modifiers) for each in after.lines] == [["25", "59"], []]
    assert after.billing_provider == Provider(
        npi="1234567893", last_or_org_name="Clinic", zip="60601"
    )
    assert after.condition_codes == ["AA"]


async def test_what_is_named_and_left_out_is_emptied(load, change, opened, settings, make_claim):
    await load(make_claim("ok-1"))

    await change("ok-1", Amendment(1, ("billing_provider.last_or_org_name", "diagnoses")))
    await run(settings)

    after = await opened("ok-1")
    assert after.billing_provider == Provider(npi="1234567893")
    assert list(after.diagnoses) == []


@pytest.mark.parametrize(
    ("amendment", "field", "told"),
    [
        (Amendment(1, ("drg_cod",)), "update_mask.paths[0]", "not drg_cod, but one of"),
        (Amendment(1, ("billing_provider.zap",)), "update_mask.paths[0]", "billing_provider.zip"),
        (Amendment(1, ("lines.ndc",)), "update_mask.paths[0]", "billing_provider.…"),
        (Amendment(1, ("claim_id",)), "update_mask.paths[0]", "not claim_id, but one of"),
        (Amendment(1, ("is_test",)), "update_mask.paths[0]", "facility_id"),
        (
            Amendment(1, ("drg_code",), Claim(), (LineChange(9, ("ndc",), ServiceLine()),)),
            "lines[0].line_number",
            "a line that the claim has",
        ),
        (
            Amendment(1, lines=(LineChange(1, ("line_number",), ServiceLine()),)),
            "lines[0].update_mask.paths[0]",
            "units_milli",
        ),
        (Amendment(1), "update_mask", "a change"),
        (Amendment(1, ("facility_id",), Claim(facility_id="F1")), "update_mask", "a change"),
        (Amendment(1, ("facility_id",), Claim(), void=True), "void", "no other change"),
    ],
)
async def test_what_cannot_be_changed_is_refused_by_name(
    load, change, staging, tenant, make_claim, amendment, field, told
):
    await load(make_claim("ok-1"))

    with pytest.raises(FieldError) as refused:
        await change("ok-1", amendment)

    assert refused.value.field == field
    assert told in refused.value.expected
    assert "Canarysson" not in str(refused.value)
    assert await source.count_by_status(staging, tenant) == {"completed": 1}


async def test_a_claim_id_that_is_no_control_number_asks_for_one(load, change, make_claim):
    name = "ok-" + "x" * 60
    await load(make_claim(name))

    with pytest.raises(FieldError, match="payer_claim_control_number"):
        await change(name, Amendment(1, void=True))
    done = await change(name, of(payer_claim_control_number="ICN-1"))

    assert done.claim_version == 2


def test_a_patch_is_written_field_by_field():
    patch = patch_of(
        ["drg_code=0470", "billing_provider.zip=60601", "lines.2.units_milli=2000",
         "is_encounter=true", 'condition_codes=["AA"]', "patient_sex=null"]
    )  # fmt: skip

    amendment = amendment_of(patch, base_version=3)

    assert amendment.base_version == 3
    assert set(amendment.fields) == {
        "drg_code", "billing_provider.zip", "is_encounter", "condition_codes", "patient_sex",
    }  # fmt: skip
    assert amendment.claim == Claim(
        drg_code="0470",
        billing_provider=Provider(zip="60601"),
        is_encounter=True,
        condition_codes=["AA"],
    )
    assert amendment.lines == (LineChange(2, ("units_milli",), ServiceLine(units_milli=2000)),)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["drg_code"], "--set 1: expected field=value"),
        (["drg_code=1", "drg_code=2"], "--set 2: expected field=value, each field once"),
        (["total_charge_cents=Canarysson"], "total_charge_cents: expected a value"),
        (["lines.x.ndc=1"], "lines: expected line numbers"),
        (["lines.2.charge_cents=Canarysson"], "lines.2.charge_cents: expected a value"),
        (["name=Canarysson"], "not name, but one of"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused_without_its_value(settings, told):
    with pytest.raises(FieldError) as refused:
        amendment_of(patch_of(settings), base_version=1)

    assert told in str(refused.value)
    assert "Canarysson" not in str(refused.value)
