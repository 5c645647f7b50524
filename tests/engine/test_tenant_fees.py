"""A tenant's own fees: they price like the same rows of the listing, or leave no price at all."""

from dataclasses import replace
from itertools import count
from random import Random

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.codes import code36
from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.policy import Policy
from engine.pricing import PriceBasis, PriceReason, PriceStatus, price
from engine.pricing.trace import steps_of
from engine.rules.rule import example, line
from engine.tables.listing import Listings
from engine.tenant_fees import CONTRACT_RATES, FEE, NO_DAY, NO_FEES, SPEC, TenantFees
from engine.words import word_key

_NUMBERS = count(1)
DAY = "2025-10-15"
NPI, TIN, OTHER = "1234567893", "123456789", "1111111112"
DOLLARS, OF_FEE, OF_CHARGE = range(3)
ANYWHERE, FACILITY, _ = range(3)


def row(code, kind, rate, *, net=False, contract="", plan="", npi=0, tin=0, **more):
    values = {
        "code": code36(code),
        "contract": word_key(contract),
        "plan": word_key(plan),
        "billing_npi": npi,
        "billing_tin": tin,
        "rate": round(rate * 10_000),
        "effective": more.get("begins", NO_DAY),
        "deletion": more.get("ends", NO_DAY),
        "modifier": code36(more.get("modifier", "")),
        "setting": more.get("setting", ANYWHERE),
        "rate_kind": kind,
        "net": net,
    }
    return tuple(values[name] for name in FEE.names)


def days(text):
    return int(np.datetime64(text, "D").astype(int))


ROWS = np.array(
    sorted(
        [
            row("99213", DOLLARS, 90, begins=days("2025-01-01"), ends=days("2025-10-31")),
            row("99213", DOLLARS, 70, begins=days("2025-11-01")),
            row("99213", DOLLARS, 95, contract="C1"),
            row("99213", DOLLARS, 60, contract="C1", setting=FACILITY),
            row("99213", DOLLARS, 99, contract="C1", plan="GOLD"),
            row("99213", DOLLARS, 97, contract="C1", npi=int(NPI)),
            row("99213", DOLLARS, 91, tin=code36(TIN)),
            row("99214", OF_FEE, 1.25),
            row("99203", OF_CHARGE, 0.6),
            row("64999", DOLLARS, 500, net=True),
            row("20610", DOLLARS, 200),
            row("11042", DOLLARS, 300, contract="NET", net=True),
            row("17110", OF_FEE, 2, contract="NET", net=True),
            row("71046", DOLLARS, 50),
            row("71046", DOLLARS, 12, modifier="26"),
            row("97110", OF_FEE, 0.8),
            row("00100", DOLLARS, 40),
            row("27447", DOLLARS, 2000),
        ]
    ),
    FEE,
)
ASKED = (
    *("99213", "99214", "99203", "64999", "20610", "11042", "17110", "71046", "71046-26"),
    *("97110", "27447", "99215", "45378", "97140", "93000"),
)


def listed(reference, rows, tenant=b""):
    """The same tables with these rows as the listing of contract rates."""
    columns = {name: np.empty(len(rows), each.dtype) for name, each in SPEC.columns.items()}
    columns["tenant"][:] = tenant
    columns["code_first"][:] = columns["code_last"][:] = rows["code"]
    for name in FEE.names[1:]:
        if name not in ("effective", "deletion"):
            columns[name][:] = rows[name]
    for name in ("effective", "deletion"):
        as_days = [None if day == NO_DAY else int(day) for day in rows[name]]
        columns[name][:] = np.array(as_days, "datetime64[D]")
    stored = {**reference.listings.tenants, CONTRACT_RATES: (SPEC, columns)}
    return replace(reference, listings=Listings.of(stored))


@pytest.fixture(scope="module")
def bare(sample_reference):
    """The sample tables without any contract."""
    return listed(sample_reference, ROWS[:0])


def claim(*lines, **fields):
    billing = {"npi": fields.pop("npi", OTHER), "tin": fields.pop("tin", "")}
    billing["contract_id"] = fields.pop("contract", "")
    lines = [line(each, charge=99_999) if isinstance(each, str) else each for each in lines]
    made = example("a", *lines, day=DAY, billing_provider=billing, **fields)
    return claim_of(made, f"C-{next(_NUMBERS)}")


def pass_of(claims, reference):
    batch = decode([score_pb2.ClaimBatch(claims=claims)], allow_zero_charge=True)
    assert not batch.violations
    return batch, look_up(batch, reference)


def prices(reference, claims, fees=NO_FEES, policy=None):
    batch, facts = pass_of(claims, reference)
    return price(batch, reference, facts, policy or Policy(), fees)


def random_claims(seed, claims):
    random = Random(seed)
    found = []
    for _ in range(claims):
        lines = [
            line(
                random.choice(ASKED),
                units=random.choice((1, 1, 2, 1.5)),
                charge=random.choice((99_999, 123.45)),
            )
            for _ in range(random.randint(1, 5))
        ]
        found.append(
            claim(
                *lines,
                contract=random.choice(("", "C1", "NET")),
                npi=random.choice((NPI, OTHER)),
                tin=random.choice(("", TIN)),
                pos=random.choice(("11", "22")),
                insurance_type="CI",
                insurance_plan_id=random.choice(("", "GOLD")),
                institutional=random.random() < 0.1,
            )
        )
    return found


def figures(allowed):
    """Everything that a price says but which table it rests on."""
    changes = allowed.changes[np.lexsort((allowed.changes["step"], allowed.changes["line"]))]
    columns = ("status", "reason", "fee_cents", "capped_cents", "amount_cents", "allowed_cents")
    return [getattr(allowed, name).tolist() for name in columns] + [changes.tolist()]


def test_the_same_rows_price_the_same_as_listing_and_as_fee_schedule(bare):
    claims = random_claims(3, 300)

    as_listing = prices(listed(bare, ROWS), claims)
    as_schedule = prices(bare, claims, TenantFees(1, ROWS))

    assert figures(as_schedule) == figures(as_listing)
    by_rate = as_listing.basis == PriceBasis.CONTRACT
    assert by_rate.sum() > 200
    assert (as_schedule.basis == PriceBasis.TENANT_FEE).tolist() == by_rate.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_it_does_not_matter_which_of_the_two_holds_a_row(bare, seed):
    claims = random_claims(seed, 100)
    here = np.array([Random(seed * 100 + at).random() < 0.5 for at in range(len(ROWS))])

    parted = prices(listed(bare, ROWS[here]), claims, TenantFees(1, ROWS[~here]))

    assert figures(parted) == figures(prices(listed(bare, ROWS), claims))


def test_own_row_holds_before_one_for_all_that_names_as_much(bare):
    own, for_all = (np.array([row("99213", DOLLARS, rate)], FEE) for rate in (50, 80))

    for_everybody = prices(listed(bare, for_all), [claim("99213")], TenantFees(1, own))
    more_named = np.array([row("99213", DOLLARS, 75, contract="C1")], FEE)
    named = prices(listed(bare, more_named), [claim("99213", contract="C1")], TenantFees(1, own))

    assert for_everybody.allowed_cents.tolist() == [50_00]
    assert named.allowed_cents.tolist() == [75_00]


def test_listing_holds_before_the_schedule_where_both_are_the_tenants_own(bare):
    own, in_listing = (np.array([row("99213", DOLLARS, rate)], FEE) for rate in (50, 80))
    reference = listed(bare, in_listing, b"T").for_tenant("T")

    found = prices(reference, [claim("99213")], TenantFees(1, own))

    assert found.allowed_cents.tolist() == [80_00]
    assert found.basis.tolist() == [PriceBasis.CONTRACT]


def test_price_does_not_depend_on_the_order_of_the_codes(bare):
    claims = random_claims(9, 100)
    codes = np.unique(ROWS["code"])[::-1]
    turned = np.concatenate([ROWS[ROWS["code"] == code] for code in codes])

    found = prices(bare, claims, TenantFees(1, turned))

    assert figures(found) == figures(prices(bare, claims, TenantFees(1, ROWS)))


def test_basis_and_trace_name_the_version(bare):
    claims, fees = [claim("99214", "99203", "99213", "93000")], TenantFees(7, ROWS)
    batch, facts = pass_of(claims, bare)
    allowed = price(batch, bare, facts, Policy(), fees)

    traces = [steps_of(allowed, batch, facts, bare, Policy(), at, fees) for at in range(4)]

    own, charge, schedule = PriceBasis.TENANT_FEE, PriceBasis.CHARGE, PriceBasis.FEE_SCHEDULE
    assert allowed.basis.tolist() == [own, charge, own, schedule]
    details = [[detail for step, detail, _ in trace if step == "contract"] for trace in traces]
    assert all("fee schedule 7 for " in detail[0] for detail in details[:3])
    assert details[2][0].startswith("90 a unit, fee schedule 7 for 99213, from 2025-01-01")
    assert details[3] == []


def unknown(*codes):
    return TenantFees(unknown=np.array(sorted(map(code36, codes)), np.int64))


def test_line_whose_fee_is_not_known_has_no_price(bare):
    allowed = prices(bare, [claim("99213"), claim("93000")], unknown("99213"))

    assert allowed.status.tolist() == [PriceStatus.NO_PRICE, PriceStatus.PRICED]
    assert allowed.reason.tolist() == [PriceReason.FEES_UNAVAILABLE, PriceReason.NONE]
    assert (allowed.allowed_cents[0], allowed.fee_cents[0], allowed.basis[0]) == (0, 0, 0)


def test_line_beside_one_whose_fee_is_not_known_has_no_price_either(bare):
    """The unknown fee may rank before it: of several procedures only the dearest is paid whole."""
    together, alone = claim("20610", "11042"), claim("11042")

    allowed = prices(bare, [together, alone], unknown("20610"))

    withheld = PriceReason.FEES_UNAVAILABLE
    assert allowed.reason.tolist() == [withheld, withheld, PriceReason.NONE]


def test_listing_does_not_price_what_the_fee_schedule_may_price_closer(bare):
    allowed = prices(listed(bare, ROWS), [claim("99213")], unknown("99213"))

    assert allowed.reason.tolist() == [PriceReason.FEES_UNAVAILABLE]


def test_simple_formula_asks_no_fee_schedule(bare):
    simple = Policy(price_formula="simple")

    allowed = prices(bare, [claim("99213")], unknown("99213"), simple)

    assert allowed.status.tolist() == [PriceStatus.PRICED]
    assert figures(allowed) == figures(prices(bare, [claim("99213")], TenantFees(1, ROWS), simple))


def test_answer_names_the_version_and_why_a_line_has_no_price(bare):
    engine = Engine.with_all_rules(bare)
    read = engine.read([score_pb2.ClaimBatch(claims=[claim("99213"), claim("20610")])])
    fees = TenantFees(12, ROWS[ROWS["code"] == code36("20610")], unknown("99213").unknown)

    gathered = Gathered(ModelAnswer.disabled(), fees=fees, degraded=("fees: timeout",))
    [answer] = engine.score(read, gathered, [score_pb2.VIEW_TRACE])

    first, second = answer.results
    assert answer.provenance.fee_schedule_version == 12
    assert first.lines[0].no_price_reason == "fees_unavailable"
    assert "could not be asked" in first.lines[0].trace[-1].detail
    assert second.lines[0].price_basis == score_pb2.PRICE_BASIS_TENANT_FEE
    assert list(first.degraded) == ["fees: timeout"]
