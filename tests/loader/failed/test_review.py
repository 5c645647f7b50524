"""What people do with failed claims, and what is kept of it."""

from dataclasses import replace

import asyncpg
import pytest

from loader.failed import review
from loader.failed.filter import Cursor, FailedFilter, FieldError, Order
from loader.failed.review import Chosen
from loader.failed.stats import stats
from loader.failed.store import get_failed, list_failed
from loader.failed.words import Category, FailedStatus, Resolution
from loader.source import tenant_transaction


@pytest.fixture
def act(loading, tenant):
    async def run(action, *arguments, by="ann", of=tenant):
        async with tenant_transaction(loading, of):
            return await getattr(review, action)(loading, of, by, *arguments)

    return run


@pytest.fixture
def detail(loading, tenant):
    async def read(failed_id, of=tenant):
        async with tenant_transaction(loading, of):
            return await get_failed(loading, of, failed_id)

    return read


@pytest.fixture
def page(loading, tenant):
    async def read(chosen=None, of=tenant, **options):
        chosen = chosen or FailedFilter()
        async with tenant_transaction(loading, of):
            return await list_failed(loading, of, chosen, **options)

    return read


@pytest.fixture
def set_status(production, tenant):
    async def write(failed_id, status):
        values = {
            "resolved": "resolution = 'duplicate', resolved_at = now(), resolved_by = 'ann'"
        }.get(status, "resolution = NULL, resolved_at = NULL, resolved_by = NULL")
        await production.execute(
            f"UPDATE failed_claims SET status = $2, next_attempt_at = NULL, {values} "  # noqa: S608
            "WHERE failed_id = $1",
            failed_id,
            status,
        )

    return write


async def test_every_step_of_a_review_is_kept_with_who_did_it(add_failed, act, detail):
    one = await add_failed("C1")
    chosen = Chosen.by_id([one])

    await act("assign", chosen, "bob")
    await act("note", chosen, "the provider was called", by="bob")
    await act("resolve", chosen, Resolution.RETURNED, by="bob")
    await act("reopen", chosen, by="cid")
    await act("assign", chosen, "")

    found = await detail(one)
    steps = [(c.from_status, c.to_status, c.changed_by, c.assignee) for c in found.changes[1:]]
    assert steps == [
        ("open", "assigned", "ann", "bob"),
        ("assigned", "resolved", "bob", "bob"),
        ("resolved", "assigned", "cid", "bob"),
        ("assigned", "open", "ann", ""),
    ]
    assert found.changes[2].resolution == "returned"
    assert [(n.text, n.written_by) for n in found.notes] == [("the provider was called", "bob")]
    assert (found.row.status, found.row.resolution) == (FailedStatus.OPEN, None)


ALLOWED = {
    "retry": {"open", "assigned"},
    "assign": {"open", "assigned"},
    "resolve": {"open", "assigned", "dead"},
    "reopen": {"resolved", "dead"},
    "note": {"open", "assigned", "resubmitted", "resolved", "dead"},
}
MORE = {"assign": ("bob",), "resolve": (Resolution.DUPLICATE,), "note": ("x",)}


@pytest.mark.parametrize("status", FailedStatus)
@pytest.mark.parametrize("action", ALLOWED)
async def test_a_status_allows_some_actions_and_refuses_the_others_with_a_reason(
    add_failed, act, set_status, detail, action, status
):
    one = await add_failed("C1")
    await set_status(one, status)

    done = await act(action, Chosen.by_id([one]), *MORE.get(action, ()))

    if status in ALLOWED[action]:
        assert (done.changed, done.refused) == ([one], [])
    else:
        [refused] = done.refused
        assert (done.changed, refused.failed_id, refused.status) == ([], one, status)
        assert "its status has to be" in refused.reason
        assert (await detail(one)).row.status == status


async def test_a_claim_that_was_loaded_is_not_reopened(add_failed, act, set_status, production):
    one = await add_failed("C1")
    await set_status(one, "resolved")
    await production.execute(
        "UPDATE failed_claims SET resolved_batch_id = gen_random_uuid() WHERE failed_id = $1", one
    )

    done = await act("reopen", Chosen.by_id([one]))

    assert [each.reason for each in done.refused] == ["it was loaded, and stays so"]


async def test_what_does_not_exist_is_refused_and_the_rest_is_done(add_failed, act):
    one = await add_failed("C1")

    done = await act("assign", Chosen.by_id([one, 999_999_999]), "bob")

    assert done.changed == [one]
    assert [(each.failed_id, each.status) for each in done.refused] == [(999_999_999, "")]


async def test_reopening_counts_retries_anew(add_failed, act, set_status, detail, production):
    one = await add_failed("C1")
    await set_status(one, "dead")
    await production.execute("UPDATE failed_claims SET retries = 5 WHERE failed_id = $1", one)

    await act("reopen", Chosen.by_id([one]))

    row = (await detail(one)).row
    assert (row.status, row.retries, row.next_attempt_at) == (FailedStatus.OPEN, 0, None)


async def test_who_looks_after_a_claim_is_not_overtaken_by_a_retry(add_failed, act, detail):
    one = await add_failed("C1", Category.SERVICE_FAULT)
    assert (await detail(one)).row.next_attempt_at is not None

    await act("assign", Chosen.by_id([one]), "bob")

    assert (await detail(one)).row.next_attempt_at is None


async def test_many_are_changed_by_what_they_have_in_common(add_failed, act, page):
    for number in range(6):
        await add_failed(f"C{number}", code="V08" if number % 2 else "V06")
    chosen = Chosen(FailedFilter(reason_code="V08"), most=2)

    tried = await act("assign", replace(chosen, dry_run=True), "bob")
    untouched = [row.assignee for row in await page()]
    done = await act("assign", chosen, "bob")

    assert (len(tried.changed), tried.matched, set(untouched)) == (2, 3, {""})
    assert (len(done.changed), done.matched) == (2, 3)
    assert {row.reasons[0]["code"] for row in await page(FailedFilter(assignee="bob"))} == {"V08"}


@pytest.mark.parametrize("most", [0, -1, 10_001])
async def test_a_call_changes_a_bounded_number(act, most):
    with pytest.raises(FieldError, match="limit: expected 1 to 10000"):
        await act("retry", Chosen(FailedFilter(), most=most))


@pytest.mark.parametrize(
    ("action", "value", "message"),
    [
        ("assign", "x" * 101, "assignee: expected at most 100"),
        ("assign", "a\nb", "assignee: expected at most 100 printable"),
        ("note", "  ", "text: expected 1 to 4000"),
        ("note", "x" * 4_001, "text: expected 1 to 4000"),
        ("note", "a\0b", "text: expected"),
        ("resolve", Resolution.RELOADED, "resolution: expected corrected, returned"),
    ],
)
async def test_impossible_values_are_refused_without_being_repeated(
    add_failed, act, action, value, message
):
    one = await add_failed("C1")

    with pytest.raises(FieldError, match=message) as caught:
        await act(action, Chosen.by_id([one]), value)

    assert "xxx" not in str(caught.value)


async def test_notes_and_history_are_never_changed(loading, add_failed, act, tenant):
    one = await add_failed("C1")
    await act("note", Chosen.by_id([one]), "first")

    for change in (
        "UPDATE failed_claim_notes SET text = 'x'",
        "DELETE FROM failed_claim_notes",
        "DELETE FROM failed_claim_status_changes",
        "UPDATE claim_repairs SET step = 'x'",
        "DELETE FROM claim_repairs",
        "DELETE FROM failed_claims",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with tenant_transaction(loading, tenant):
                await loading.execute(change)


@pytest.mark.parametrize("order", Order)
async def test_pages_show_each_claim_once_in_order(add_failed, page, make_claim, order):
    for number in range(13):
        await add_failed(make_claim(f"C{number}", total_charge_cents=1_000 * (1 + number % 4)))
    whole = [row.failed_id for row in await page(order=order)]

    seen, after = [], None
    while rows := await page(order=order, count=4, after=after):
        seen += [row.failed_id for row in rows]
        after = Cursor.of(rows[-1].cursor(order).token(), order)

    assert seen == whole
    assert len(set(seen)) == 13


async def test_a_page_goes_on_where_it_ended_though_claims_came_and_went(
    add_failed, page, act, make_claim
):
    for number in range(6):
        await add_failed(make_claim(f"C{number}", total_charge_cents=1_000 * (6 - number)))
    first = await page(count=3)

    await act("resolve", Chosen.by_id([first[0].failed_id]), Resolution.DUPLICATE)
    await add_failed(make_claim("NEW", total_charge_cents=9_000))
    rest = await page(after=first[-1].cursor(Order.URGENCY))

    assert [row.claim_id for row in rest] == ["C3", "C4", "C5"]


@pytest.mark.parametrize(
    "token", ["", "x", "dXJnZW5jeXxuYW58MQ==", "YWdlfDIwMjUtMDEtMDF8MQ==", "é", "A" * 5_000]
)
def test_a_token_that_is_none_is_refused(token):
    for order in Order:
        with pytest.raises(FieldError, match="page_token: expected next_page_token"):
            Cursor.of(token, order)


async def test_money_and_age_decide_what_is_urgent(add_failed, page, make_claim, production):
    small = await add_failed(make_claim("SMALL", total_charge_cents=10_000))
    big = await add_failed(make_claim("BIG", total_charge_cents=30_000))

    fresh = [row.failed_id for row in await page()]
    await production.execute(
        "UPDATE failed_claims SET failed_at = failed_at - interval '14 days' WHERE failed_id = $1",
        small,
    )
    aged = await page()

    assert fresh == [big, small]
    assert [row.failed_id for row in aged] == [small, big]
    assert aged[0].urgency == pytest.approx(13.29 + 2, abs=0.01)
    assert aged[0].age_s == pytest.approx(14 * 86_400, abs=60)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (FailedFilter(), {"C1", "C2"}),
        (FailedFilter(categories=(Category.SERVICE_FAULT,)), {"C2"}),
        (FailedFilter(statuses=(FailedStatus.RESOLVED,)), {"C3"}),
        (FailedFilter(facility_id="F2"), {"C2"}),
        (FailedFilter(reason_code="V06"), {"C2"}),
        (FailedFilter(claim_id="C1"), {"C1"}),
        (FailedFilter(assignee=""), {"C1", "C2"}),
        (FailedFilter(charge_cents_min=50_000), {"C2"}),
        (FailedFilter(charge_cents_max=49_999), {"C1"}),
    ],
)
async def test_a_filter_leaves_what_fits(
    add_failed, page, make_claim, set_status, chosen, expected
):
    await add_failed("C1")
    await add_failed(
        make_claim("C2", facility_id="F2", total_charge_cents=50_000),
        Category.SERVICE_FAULT,
        "V06",
    )
    await set_status(await add_failed("C3"), "resolved")

    assert {row.claim_id for row in await page(chosen)} == expected


async def test_tenants_neither_see_nor_change_each_others_claims(
    add_failed, act, page, detail, tenant
):
    mine, other = await add_failed("C1"), f"{tenant}-other"

    done = await act("resolve", Chosen.by_id([mine]), Resolution.DUPLICATE, of=other)

    assert [each.reason for each in done.refused] == ["there is no such failed claim"]
    assert (await page(of=other), await detail(mine, of=other)) == ([], None)
    assert (await detail(mine)).row.status == FailedStatus.OPEN


async def test_figures_say_what_is_open_and_how_others_ended(
    add_failed, act, loading, tenant, make_claim, production
):
    await add_failed(make_claim("C1", total_charge_cents=70_000))
    due = await add_failed("C2", Category.SERVICE_FAULT)
    lost = await add_failed("C3")
    await production.execute(
        "UPDATE failed_claims SET failed_at = failed_at - interval '2 days' WHERE failed_id = $1",
        lost,
    )
    await act("retry", Chosen.by_id([due]))
    await act("resolve", Chosen.by_id([lost]), Resolution.ACCEPTED_AS_LOST)

    async with tenant_transaction(loading, tenant):
        found = await stats(loading, tenant)

    assert [(u.category, u.status, u.claims, u.charge_cents) for u in found.unsettled] == [
        ("validation", "open", 1, 70_000),
        ("service_fault", "open", 1, 20_000),
    ]
    [ended] = found.ended
    assert (ended.resolution, ended.claims, ended.charge_cents) == ("accepted_as_lost", 1, 20_000)
    assert ended.mean_s == ended.median_s == pytest.approx(2 * 86_400, abs=60)
    assert found.due == 1
