"""What is due is archived or deleted; what a legal hold names stays, whatever is due."""

import asyncio
import json
from datetime import date

import asyncpg
import pytest
from claimgate.v1 import claim_pb2

from loader.lookup import MEMBER
from loader.storage import hold_commands, retention_commands
from loader.storage.archive import archive, parts
from loader.storage.holds import holds, place, release
from loader.storage.month import Month
from loader.storage.owner import StorageError, owner_session
from loader.storage.restore import restore
from loader.storage.retention import actions, apply, due
from loader.storage.retention_policies import RetentionPolicy, policies, set_policy
from loader.storage.summaries import check, refresh

TODAY = date(2026, 11, 25)
OLD = "2018-03"
BY = {"reason": "matter 1", "by": "counsel"}


class Killed(BaseException):
    """Stands for a kill."""


async def ids(everything, table="claims"):
    rows = await everything.fetch(f"SELECT claim_id FROM {table} ORDER BY 1")  # noqa: S608
    return [row[0] for row in rows]


async def test_claims_are_due_whole_months_after_their_month_ended(owner, load):
    for month in ("2023-10", "2023-11", "2026-10"):
        await load("acme", load.scored("acme", month, month=month))

    on = {day: [str(each.month) for each in await due(owner, day)] for day in (
        date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 30), date(2026, 12, 1))}  # fmt: skip

    assert list(on.values()) == [[], ["2023-10"], ["2023-10"], ["2023-10", "2023-11"]]


async def test_a_month_that_is_due_for_all_is_archived_whole(owner, everything, load, folder):
    for tenant in ("acme", "bolt"):
        old = load.scored(tenant, tenant, month=OLD)
        await load(tenant, old, load.scored(tenant, f"new {tenant}"))

    await apply(owner, folder, TODAY)

    [part] = await parts(owner)
    assert (str(part.month), part.tenant, part.state, part.claims) == (OLD, None, "archived", 2)
    assert await ids(everything) == ["new acme", "new bolt"]
    names = ("tenant", "action", "claims", "rows", "part")
    done = [tuple(each[name] for name in names) for each in await actions(owner)]
    assert done == [("acme", "archive", 1, 5, 1), ("bolt", "archive", 1, 5, 1)]


async def test_only_the_tenant_that_is_due_is_archived(owner, everything, load, contents, folder):
    for tenant in ("acme", "bolt"):
        await load(tenant, *(load.scored(tenant, f"{tenant}{n}", month=OLD) for n in range(7)))
    before = await contents(everything)
    await set_policy(owner, RetentionPolicy("bolt", "claims", "keep", 36, "trial", "clerk"))

    await apply(owner, folder, TODAY, at_once=3)
    left = await ids(everything)
    await restore(owner, Month.read(OLD), None)

    [part] = await parts(owner)
    assert (part.tenant, part.claims, part.rows) == ("acme", 7, 35)
    assert left == [f"bolt{n}" for n in range(7)]
    assert await contents(everything) == before
    assert [a["claims"] for a in await actions(owner)] == [3, 3, 1]


NPI = "1497758544"
HELD = {
    "claim": ("held", {}),
    "facility": ("FACILITY", {"facility_id": "FACILITY"}),
    "member": (b"HELD............", {"person_id": "HELD"}),
    "provider": (NPI, {"attending_provider": claim_pb2.Provider(npi=NPI)}),
    "provider of a line": (NPI, {"line_npi": NPI}),
}


@pytest.mark.parametrize("action", ["archive", "delete"])
@pytest.mark.parametrize("named", HELD)
async def test_what_a_hold_names_is_never_taken(
    owner, everything, load, folder, delete, contents, named, action
):
    value, fields = HELD[named]
    await load("acme", load.scored("acme", "held", month=OLD, hits=3, **fields))
    before = await contents(everything)
    await load("acme", *(load.scored("acme", f"free{n}", month=OLD) for n in range(3)))
    await place(owner, "acme", named.split()[0], value, **BY)
    if action == "delete":
        await delete("acme")

    [planned] = await due(owner, TODAY)
    await apply(owner, folder, TODAY, at_once=2)

    assert (planned.claims, planned.held) == (3, 1)
    assert await contents(everything) == before
    assert [(a["claims"], a["held"]) for a in await actions(owner)] == [(2, 1), (1, 0)]
    assert len(await parts(owner)) == (action == "archive")


@pytest.mark.parametrize("action", ["archive", "delete"])
async def test_a_hold_on_a_tenant_holds_everything_until_it_is_released(
    owner, everything, load, folder, delete, action
):
    await load("acme", load.scored("acme", "C1", month=OLD))
    if action == "delete":
        await delete("acme")
        await delete("acme", "history")
    hold = await place(owner, "acme", "tenant", "", **BY)

    await apply(owner, folder, TODAY)
    held = await ids(everything), await ids(everything, "claim_history")
    await release(owner, "acme", hold.hold_id, by="counsel")
    await apply(owner, folder, TODAY)

    assert held == (["C1"], ["C1"])
    assert await ids(everything) == []
    assert len(await ids(everything, "claim_history")) == (action == "archive")


async def test_a_hold_of_another_tenant_holds_nothing(owner, everything, load, folder):
    await load("acme", load.scored("acme", "C1", month=OLD))
    await place(owner, "bolt", "claim", "C1", **BY)

    await apply(owner, folder, TODAY)

    assert await ids(everything) == []


async def test_a_hold_that_is_placed_meanwhile_waits_for_the_step_and_holds_the_rest(
    owner, everything, load, folder, delete, database
):
    await load("acme", *(load.scored("acme", f"C{n}", month=OLD) for n in range(6)))
    await delete("acme")
    placed = []

    async def hold_everything():
        async with owner_session(database.owner, alone=False) as counsel:
            placed.append(await place(counsel, "acme", "tenant", "", **BY))

    tasks = []

    def step(name):
        if name.endswith("acme 2") and not tasks:
            tasks.append(asyncio.create_task(hold_everything()))

    await apply(owner, folder, TODAY, at_once=2, step=step)
    await tasks[0]
    left = await ids(everything)
    await apply(owner, folder, TODAY)

    assert placed
    assert await ids(everything) == left


async def test_a_month_with_a_held_claim_is_not_archived_by_hand(owner, load, folder):
    await load("acme", load.scored("acme", "C1"), load.scored("acme", "C2"))
    await place(owner, "acme", "claim", "C1", **BY)

    with pytest.raises(StorageError, match="1 claims of 2025-10 are under a legal hold"):
        await archive(owner, Month(2025, 10), folder, TODAY)

    assert await parts(owner) == []


async def test_history_is_deleted_by_its_own_policy_and_ids_stay_taken(
    owner, everything, load, folder, delete
):
    await load("acme", *(load.scored("acme", f"C{n}", month=OLD) for n in range(5)))
    await load("acme", load.scored("acme", "NEW"))
    await delete("acme", "history")
    await delete("acme")
    await place(owner, "acme", "claim", "C0", **BY)

    await apply(owner, folder, TODAY, at_once=3)

    assert await ids(everything) == await ids(everything, "claim_history") == ["C0", "NEW"]
    assert len(await ids(everything, "claim_keys")) == 6


async def test_a_hold_on_a_provider_holds_all_history_of_the_tenant(
    owner, everything, load, folder, delete
):
    await load("acme", load.scored("acme", "C1", month=OLD))
    await delete("acme", "history")
    await place(owner, "acme", "provider", NPI, **BY)

    await apply(owner, folder, TODAY)

    assert await ids(everything, "claim_history") == ["C1"]


@pytest.mark.parametrize("then", ["archive", "delete", "restore"])
async def test_retention_that_was_killed_goes_on_or_is_taken_back(
    database, everything, load, folder, contents, then
):
    action = "delete" if then == "delete" else "archive"
    await load("acme", *(load.scored("acme", f"C{n}", month=OLD) for n in range(6)))
    await load("bolt", load.scored("bolt", "KEPT", month=OLD))
    before = await contents(everything)
    async with owner_session(database.owner) as owner:
        await set_policy(owner, RetentionPolicy("bolt", "claims", "keep", 36, "trial", "clerk"))
        await set_policy(owner, RetentionPolicy("acme", "claims", action, 72, "law", "clerk"))

    async def killed():
        async with owner_session(database.owner) as owner:

            def step(name):
                if name.endswith("acme 2"):
                    owner.terminate()
                    raise Killed

            await apply(owner, folder, TODAY, at_once=2, step=step)

    with pytest.raises(Killed):
        await killed()
    async with owner_session(database.owner) as owner:
        if then == "restore":
            await restore(owner, Month.read(OLD), None)
            assert await contents(everything) == before
        await apply(owner, folder, TODAY, at_once=2)
        done = await actions(owner)
        left = await ids(everything)
        if action == "archive":
            await restore(owner, Month.read(OLD), None)

    assert left == ["KEPT"]
    assert sum(each["claims"] for each in done) == (8 if then == "restore" else 6)
    if action == "archive":
        assert await contents(everything) == before


async def test_rows_of_default_partitions_are_due_like_others(
    owner, everything, load, folder, contents
):
    await load("acme", load.scored("acme", "C1", month="1931-05"), load.scored("acme", "NEW"))
    before = await contents(everything)

    await apply(owner, folder, TODAY)
    left = await ids(everything)
    await restore(owner, Month(1931, 5), None)

    assert left == ["NEW"]
    assert await contents(everything) == before


async def test_claims_are_counted_in_the_summaries_before_they_go(
    owner, everything, load, folder, delete
):
    await load("acme", load.scored("acme", "C1", month=OLD))
    await delete("acme")

    await apply(owner, folder, TODAY)

    assert await everything.fetchval("SELECT sum(claims) FROM daily_claim_summary") == 1
    assert (await check(owner, "acme")).left_out == (OLD,)
    assert (await refresh(owner, "acme")).batches == 0


async def test_nothing_is_deleted_before_six_years(owner):
    early = RetentionPolicy("acme", "claims", "delete", 71, "haste", "clerk")

    with pytest.raises(ValueError, match="nothing is deleted before 72 months"):
        await set_policy(owner, early)
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute(
            "INSERT INTO retention_policies (tenant_id, kind, action, keep_months, reason) "
            "VALUES ('acme', 'claims', 'delete', 71, 'haste')"
        )


async def test_what_was_done_and_what_was_held_stays_written(owner, load, folder):
    await load("acme", load.scored("acme", "C1", month=OLD))
    await place(owner, "bolt", "claim", "C1", **BY)
    await apply(owner, folder, TODAY)

    for statement in ("DELETE FROM retention_actions", "UPDATE retention_actions SET claims = 0",
                      "DELETE FROM legal_holds"):  # fmt: skip
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await owner.execute(statement)


async def test_a_hold_is_released_once_and_stays_listed(owner):
    hold = await place(owner, "acme", "facility", "F1", **BY)

    gone = await release(owner, "acme", hold.hold_id, by="judge")

    assert (gone.released_by, await holds(owner)) == ("judge", [])
    assert await holds(owner, released=True) == [gone]
    with pytest.raises(StorageError, match="no hold"):
        await release(owner, "acme", hold.hold_id, by="judge")


async def test_every_tenant_has_a_retention_without_a_row(owner, load):
    await load("acme", load.scored("acme", "C1"))

    found = [(p.tenant, p.kind, p.action, p.keep_months) for p in await policies(owner)]

    assert found == [
        ("acme", "claims", "archive", 36),
        ("acme", "failed", "keep", 72),
        ("acme", "history", "keep", 72),
        ("acme", "staging", "keep", 72),
    ]


async def test_months_that_hold_nothing_due_are_left_alone(owner, everything, load, folder):
    await load("acme", load.scored("acme", "C1"), load.scored("acme", "C2", month="2025-11"))

    done = await apply(owner, folder, date(2026, 1, 1))

    assert (done, await parts(owner), await actions(owner)) == ([], [], [])
    assert await ids(everything) == ["C1", "C2"]


async def test_commands_hold_plan_apply_and_list(
    database, everything, load, folder, capsys, monkeypatch
):
    monkeypatch.setenv("CLAIMGATE_KEY_HEX", bytes(range(32)).hex())
    await load("acme", load.scored("acme", "C1", month=OLD), load.scored("acme", "C2", month=OLD))
    key = load.vault.lookup("acme", MEMBER, "MEMBER-C1")
    await everything.execute("UPDATE claims SET member_key = $1 WHERE claim_id = 'C1'", key)

    def run(command, *arguments, **options):
        assert command(*arguments, url=database.owner, as_json=True, **options) == 0
        return json.loads(capsys.readouterr().out)

    def in_turn():
        return (
            run(hold_commands.holds_place, tenant="acme", member="MEMBER-C1", **BY),
            run(hold_commands.holds_list),
            run(retention_commands.retention_show),
            run(retention_commands.retention_apply, to=folder, dry_run=True),
            run(retention_commands.retention_apply, to=folder),
            run(retention_commands.retention_actions, tenant="acme"),
        )

    placed, listed, shown, planned, done, acted = await asyncio.to_thread(in_turn)

    assert placed == listed
    assert "MEMBER" not in json.dumps(placed)
    assert [each["kind"] for each in shown["policies"]] == [
        "claims",
        "failed",
        "history",
        "staging",
    ]
    assert planned["due"] == done["done"]
    assert [(each["claims"], each["held"]) for each in planned["due"]] == [(1, 1)]
    assert [(each["claims"], each["held"]) for each in acted["actions"]] == [(1, 1)]
    assert await ids(everything) == ["C1"]


@pytest.mark.parametrize("named", [{}, {"claim": "C1", "facility": "F1"}])
def test_a_hold_names_one_thing(named):
    with pytest.raises(ValueError, match="a hold names one thing"):
        hold_commands.holds_place(tenant="acme", **BY, **named)
