"""Repairs are kept, shown by field, and undone; values stay sealed."""

import pytest

from loader.failed.payload import claim_of
from loader.failed.repairs import RepairError, repair, repair_open, undo, values_of
from loader.failed.store import get_failed
from loader.failed.words import AS_PRINCIPAL, FailedStatus
from loader.lookup import VaultError
from loader.source import tenant_transaction
from loader.vault import Vault


@pytest.fixture
def within(loading, tenant):
    async def run(action, *arguments, **options):
        async with tenant_transaction(loading, tenant):
            await loading.execute(AS_PRINCIPAL, "ann")
            return await action(loading, *arguments, **options)

    return run


@pytest.fixture
def two_faults(make_claim):
    claim = make_claim("C1", total_charge_cents=0)
    claim.lines[1].line_number = 1
    return claim


async def test_a_repair_is_kept_and_the_claim_is_due(
    within, add_failed, two_faults, vault, tenant, production
):
    one = await add_failed(two_faults)

    repaired = await within(repair, vault, tenant, one)

    assert [(each.step, each.fields) for each in repaired] == [
        ("renumber_lines", ["lines[1].line_number"])
    ]
    found = await within(get_failed, tenant, one)
    assert (found.row.repairs, found.row.next_attempt_at is not None) == (1, True)
    [kept] = found.repairs
    assert (kept.step, kept.repaired_by, kept.automatic) == ("renumber_lines", "ann", False)
    row = await production.fetchrow("SELECT * FROM claim_repairs WHERE failed_id = $1", one)
    values = values_of(vault, tenant, row["after_sha256"], row["values_encrypted"])
    assert values == {"lines[1].line_number": [1, 2]}
    claim = await within(claim_of, vault, tenant, one)
    assert [line.line_number for line in claim.lines] == [1, 2]


async def test_undoing_takes_back_one_repair_after_the_other(
    within, add_failed, two_faults, vault, tenant, production
):
    one = await add_failed(two_faults, code="V08")
    await within(repair, vault, tenant, one)
    await production.execute(
        """UPDATE failed_claims SET reasons = '[{"code": "V05", "field": "t", "message": "m"}]'
        WHERE failed_id = $1""",
        one,
    )
    await within(repair, vault, tenant, one, ["rederive_total"])

    undone = [await within(undo, tenant, one) for _ in range(2)]

    assert [each.step for each in undone] == ["rederive_total", "renumber_lines"]
    assert await within(claim_of, vault, tenant, one) == two_faults
    found = await within(get_failed, tenant, one)
    assert [each.undone_by for each in found.repairs] == ["ann", "ann"]
    assert found.row.next_attempt_at is None
    with pytest.raises(RepairError, match=f"failed claim {one} has no repair to undo"):
        await within(undo, tenant, one)


async def test_a_dry_run_says_what_would_change(within, add_failed, two_faults, vault, tenant):
    one = await add_failed(two_faults)

    repaired = await within(repair, vault, tenant, one, dry_run=True)

    found = await within(get_failed, tenant, one)
    assert [each.step for each in repaired] == ["renumber_lines"]
    assert (found.repairs, found.row.next_attempt_at) == ([], None)


async def test_a_step_that_is_no_remedy_for_the_reasons_is_not_tried(
    within, add_failed, two_faults, vault, tenant
):
    one = await add_failed(two_faults, code="V06")

    assert await within(repair, vault, tenant, one) == []


async def test_automatic_steps_are_marked_so_and_tried_once(
    within, add_failed, two_faults, make_claim, vault, tenant
):
    one = await add_failed(two_faults)
    await add_failed(make_claim("GOOD"))

    looked_at, repaired = await within(repair_open, vault, tenant, ["renumber_lines"])
    again = await within(repair_open, vault, tenant, ["renumber_lines"])
    other = await within(repair_open, vault, tenant, ["renumber_lines", "plain_codes"])

    found = await within(get_failed, tenant, one)
    assert (looked_at, [each.failed_id for each in repaired]) == (2, [one])
    assert (again, other[0]) == ((0, []), 2)
    assert [each.automatic for each in found.repairs] == [True]


@pytest.mark.parametrize("status", [FailedStatus.RESUBMITTED])
async def test_a_claim_under_way_is_neither_repaired_nor_undone(
    within, add_failed, two_faults, vault, tenant, production, status
):
    one = await add_failed(two_faults)
    await production.execute(
        "UPDATE failed_claims SET status = $2 WHERE failed_id = $1", one, status
    )

    for action in ((repair, vault, tenant, one), (undo, tenant, one)):
        with pytest.raises(RepairError, match=f"failed claim {one} is resubmitted"):
            await within(*action)


async def test_what_is_not_there_is_refused_by_name(within, add_failed, vault, tenant):
    one = await add_failed("C1")

    with pytest.raises(RepairError, match="there is no failed claim 999999999"):
        await within(repair, vault, tenant, 999_999_999)
    with pytest.raises(RepairError, match="there is no repair step 'x'; expected some of rederive"):
        await within(repair, vault, tenant, one, ["x"])


async def test_another_key_repairs_nothing_and_says_why(within, add_failed, two_faults, tenant):
    one = await add_failed(two_faults)

    with pytest.raises(RepairError, match="cannot be opened") as caught:
        await within(repair, Vault(bytes(32)), tenant, one)

    assert "Canarysson" not in str(caught.value)


async def test_values_of_a_repair_do_not_open_for_another_tenant(
    within, add_failed, two_faults, vault, tenant, production
):
    one = await add_failed(two_faults)
    await within(repair, vault, tenant, one)
    row = await production.fetchrow("SELECT * FROM claim_repairs WHERE failed_id = $1", one)

    with pytest.raises(VaultError):
        values_of(vault, "somebody", row["after_sha256"], row["values_encrypted"])


async def test_no_table_of_failed_claims_holds_patient_data_in_the_open(
    within, add_failed, two_faults, vault, tenant, production
):
    one = await add_failed(two_faults)
    await within(repair, vault, tenant, one)

    for table in ("failed_claims", "claim_repairs", "failed_claim_status_changes"):
        rows = await production.fetch(
            f"SELECT t::text AS text FROM {table} AS t WHERE tenant_id = $1",  # noqa: S608
            tenant,
        )
        assert rows
        for word in ("Canarysson", "1960-02-29", "MEMBER-C1", "ACCOUNT-C1"):
            assert not any(word in row["text"] for row in rows)
            assert not any(word.encode().hex() in row["text"] for row in rows)
