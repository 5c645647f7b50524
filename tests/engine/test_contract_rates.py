"""Rates of contracts: which holds, what factors leave of them, and what the fee schedule keeps."""

import csv
import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from random import Random

import pytest
from claimgate.v1 import claim_pb2, score_pb2

from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.policy import Policy
from engine.pricing import Allowed, PriceBasis, PriceReason, PriceStatus, price
from engine.pricing.beside import Schedule
from engine.pricing.contract import Rates
from engine.pricing.trace import steps_of
from engine.reference import Reference
from engine.rules.rule import example, line
from loader.snapshot.build import build

SAMPLE = Path(__file__).parents[2] / "ops" / "reference-sample"
HEADER = (
    "tenant_id,code_from,code_to,contract,plan,billing_npi,billing_tin,modifier,setting,"
    "rate_kind,rate,net,effective_from,effective_to\n"
)
NPI, TIN, OTHER = "1234567893", "123456789", "1111111112"
RATES = f"""\
,99213,,,,,,,any,cents_per_unit,90.00,no,2025-01-01,2025-10-31
,99213,,C1,,,,,any,cents_per_unit,95.00,no,,
,99213,,C1,,,,,facility,cents_per_unit,60.00,no,,
,99213,,C1,GOLD,,,,any,cents_per_unit,99.00,no,,
,99213,,C1,,{NPI},,,any,cents_per_unit,97.00,no,,
,99213,,,,,{TIN},,any,cents_per_unit,91.00,no,,
,99214,99215,,,,,,any,percent_of_fee,1.25,no,,
,99203,,,,,,,any,percent_of_charge,0.6,no,,
,99396,,,,,,,any,cents_per_unit,120.00,no,,
,64999,,,,,,,any,cents_per_unit,500.00,yes,,
,J1100,,,,,,,any,cents_per_unit,0.1234,no,,
,20610,,,,,,,any,cents_per_unit,200.00,no,,
,11042,,NET,,,,,any,cents_per_unit,300.00,yes,,
,17110,,NET,,,,,any,percent_of_fee,2,yes,,
,71046,,,,,,,any,cents_per_unit,50.00,no,,
,71046,,,,,,26,any,cents_per_unit,12.00,no,,
,70551,,,,,,,any,percent_of_fee,1.1,no,,
,E0601,,,,,,RR,any,cents_per_unit,80.00,no,,
,97110,,,,,,,any,percent_of_fee,0.8,no,,
,00100,,,,,,,any,cents_per_unit,40.00,no,,
,00100,,NET,,,,,any,cents_per_unit,50.00,yes,,
,00142,,,,,,,any,percent_of_fee,1.5,no,,
,27447,,,,,,,any,cents_per_unit,2000.00,no,,
,99215,,C2,,,,,any,percent_of_charge,0.5,no,,
OWN,99213,,,,,,,any,cents_per_unit,70.00,no,,
"""
DAY = "2025-10-15"
PROFESSIONAL_CLAIM = claim_pb2.CLAIM_TYPE_PROFESSIONAL


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Reference:
    """The sample tables with a contract or two."""
    folder = tmp_path_factory.mktemp("made")
    for each in SAMPLE.iterdir():
        if each.name != "claimgate":
            (folder / each.name).symlink_to(each)
    (folder / "claimgate").mkdir()
    for each in (SAMPLE / "claimgate").iterdir():
        (folder / "claimgate" / each.name).symlink_to(each)
    (folder / "claimgate" / "contract_rates.csv").write_text(HEADER + RATES)
    build(folder, folder / "snapshot")
    return Reference.open(folder / "snapshot")


def message(*lines, contract: str = "", npi: str = OTHER, tin: str = "", **fields):
    lines = [plain(each) if isinstance(each, str) else each for each in lines]
    billing = {"npi": npi, "tin": tin, "contract_id": contract}
    return claim_of(example("a", *lines, day=DAY, billing_provider=billing, **fields))


def plain(text: str, **fields):
    return line(text, **{"charge": 99_999, **fields})


def priced(reference: Reference, *lines, policy: Policy | None = None, **fields):
    batch = decode(
        [score_pb2.ClaimBatch(claims=[message(*lines, **fields)])], allow_zero_charge=True
    )
    assert not batch.violations
    facts, policy = look_up(batch, reference), policy or Policy()
    allowed = price(batch, reference, facts, policy)
    traces = [steps_of(allowed, batch, facts, reference, policy, at) for at in range(len(allowed))]
    return allowed, traces


def cents(reference: Reference, *lines, **fields) -> list[int]:
    allowed, _ = priced(reference, *lines, **fields)
    return allowed.allowed_cents.tolist()


def by_schedule(reference: Reference, *lines, **fields) -> list[int]:
    """What the same lines cost a tenant who has no contract."""
    return cents(reference, *lines, **fields)


def told(allowed: Allowed) -> list[tuple[str, str, str]]:
    return [
        (PriceStatus(status).name, PriceReason(reason).name, PriceBasis(basis).name)
        for status, reason, basis in zip(
            allowed.status.tolist(), allowed.reason.tolist(), allowed.basis.tolist(), strict=True
        )
    ]


def share(cents_: int, rate: str) -> int:
    return int((Decimal(cents_) * Decimal(rate)).quantize(Decimal(1), ROUND_HALF_UP))


# --- which rate holds


@pytest.mark.parametrize(
    ("fields", "amount"),
    [
        ({}, 90_00),
        ({"contract": "C1"}, 95_00),
        ({"contract": "c1"}, 95_00),
        ({"contract": "C9"}, 90_00),
        ({"contract": "C1", "pos": "22"}, 60_00),
        ({"contract": "C1", "insurance_plan_id": "gold"}, 99_00),
        ({"contract": "C1", "insurance_plan_id": "gold", "npi": NPI}, 97_00),
        ({"contract": "C1", "tin": TIN}, 95_00),
        ({"tin": TIN}, 91_00),
        ({"insurance_plan_id": "GOLD"}, 90_00),
    ],
)
def test_rate_that_names_most_holds(made, fields, amount):
    allowed, _ = priced(made, "99213", **fields)

    assert allowed.allowed_cents.tolist() == [amount]
    assert told(allowed) == [("PRICED", "NONE", "CONTRACT")]


def test_rate_of_another_day_does_not_hold(made):
    first, later = priced(made, plain("99213", day="2025-10-31"), plain("99213", day="2025-11-01"))[
        0
    ].basis.tolist()

    assert (first, later) == (PriceBasis.CONTRACT, PriceBasis.FEE_SCHEDULE)


def test_rate_of_a_tenant_is_seen_by_no_other(made):
    assert cents(made.for_tenant("OWN"), "99213") == [70_00]
    assert cents(made.for_tenant("OTHER"), "99213") == [90_00]


def test_rate_of_a_whole_service_is_not_that_of_its_parts(made):
    allowed, _ = priced(made, "71046", "71046-26", "71046-TC")

    assert allowed.fee_cents.tolist()[:2] == [50_00, 12_00]
    assert told(allowed)[2] == ("PRICED", "NONE", "FEE_SCHEDULE")


def test_rate_with_another_modifier_is_for_lines_that_carry_it(made):
    rented, _ = priced(made, "E0601-KX-RR")
    bought, _ = priced(made, "E0601-NU")

    assert rented.allowed_cents.tolist() == [80_00]
    assert told(bought)[0][0] == "NO_PRICE"


def test_share_without_a_modifier_holds_for_the_parts_too(made):
    [whole, part] = priced(made, "70551", plain("70551-26", day="2025-10-16"))[0].basis.tolist()

    assert whole == part == PriceBasis.CONTRACT


# --- before the gate of the fee schedule


@pytest.mark.parametrize(
    ("asked", "amount"),
    [
        ("99396", 120_00),  # not covered
        ("64999", 500_00),  # priced by the contractor
        (plain("J1100", units=1000), 120_00),  # a row without values: 0.12 a unit
        (plain("27447", pos="11"), 2000_00),  # no price in the setting
    ],
)
def test_contract_prices_what_the_schedule_does_not(made, asked, amount):
    allowed, [steps] = priced(made, asked)

    assert allowed.allowed_cents.tolist() == [amount]
    assert told(allowed) == [("PRICED", "NONE", "CONTRACT")]
    assert "contract" in [step for step, _, _ in steps]


def test_contract_prices_where_the_locality_is_unknown(made):
    assert cents(made, plain("20610", facility_provider={"zip": "99999"})) == [200_00]


def test_contract_prices_a_facility_bill(made):
    allowed, [steps] = priced(made, "99213", institutional=True)

    assert told(allowed) == [("PRICED", "NONE", "CONTRACT")]
    assert steps[0][0] == "contract"


def test_reductions_of_physicians_do_not_touch_a_facility_bill(made):
    assert cents(made, plain("20610-50", units=2), "27447", institutional=True) == [400_00, 2000_00]


def test_share_of_a_fee_needs_a_fee(made):
    allowed, _ = priced(made, plain("99214", facility_provider={"zip": "99999"}))

    assert told(allowed) == [("NO_PRICE", "LOCALITY", "NONE")]


def test_simple_formula_knows_no_contract(made):
    allowed, _ = priced(made, "99213", policy=Policy(price_formula="simple"))

    assert told(allowed) == [("PRICED", "NONE", "FEE_SCHEDULE")]


# --- what factors leave


def test_dollars_count_by_sides_units_and_roles(made):
    assert cents(made, plain("20610-50", units=2)) == [600_00]
    assert cents(made, plain("27447-80", pos="22")) == [320_00]
    assert told(priced(made, "20610-22")[0]) == [("BY_REPORT", "REPORT", "NONE")]


def test_dollars_are_ranked_with_other_surgery(made, sample_reference):
    [alone] = by_schedule(sample_reference, "11042")

    assert cents(made, "20610", "11042") == [200_00, share(alone, "0.5")]


def test_net_rate_is_final(made, sample_reference):
    [wart] = by_schedule(sample_reference, "17110")

    found = cents(made, plain("11042-50", units=2), "17110", "20610", contract="NET")

    assert found == [600_00, 2 * wart, 200_00], "neither takes a place in the ranking"


def test_dollars_have_no_parts_for_other_tests_to_reduce(made, sample_reference):
    found = cents(made, "71046", "70551-TC")
    [alone] = by_schedule(sample_reference, "70551-TC")

    assert found == [50_00, share(alone, "1.1")]


@pytest.mark.parametrize(
    "lines",
    [("99214",), (plain("97110", units=3), "97140"), ("70551", "70553"), ("99214", "99215-80")],
)
def test_share_is_taken_of_what_the_schedule_comes_to(made, sample_reference, lines):
    rates = {"99214": "1.25", "99215": "1.25", "97110": "0.8", "70551": "1.1"}
    codes = [(each if isinstance(each, str) else each.code)[:5] for each in lines]

    schedule = by_schedule(sample_reference, *lines)

    assert cents(made, *lines) == [
        share(amount, rates.get(code, "1")) for code, amount in zip(codes, schedule, strict=True)
    ]


def test_share_of_the_charge_counts_nothing_else(made):
    allowed, [steps] = priced(made, plain("99203-50", units=3, charge=200.01))

    assert allowed.allowed_cents.tolist() == [120_01]
    assert told(allowed) == [("PRICED", "NONE", "CHARGE")]
    assert [step for step, _, _ in steps] == ["release", "row", "place", "contract"]
    assert steps[-1][1].startswith("200.01 x 0.6 of the charge, contract_rates")


def test_charge_limits_a_contract(made):
    assert cents(made, plain("99213", charge=80)) == [80_00]


def test_other_lines_are_priced_by_the_schedule_as_ever(made, sample_reference):
    others = ("99212", "45385", "45380-59", plain("G0283", units=2))

    assert cents(made, "99213", *others)[1:] == by_schedule(sample_reference, "99213", *others)[1:]


# --- anesthesia


def minutes(text: str):
    return plain(text, units=60, unit_basis="MJ")


def test_dollars_of_anesthesia_are_for_a_unit_of_it(made):
    allowed, [steps] = priced(made, minutes("00100-QK"))

    assert allowed.allowed_cents.tolist() == [180_00]  # (5 + 4.0) x 40 x 0.5
    assert told(allowed) == [("PRICED", "NONE", "CONTRACT")]
    assert "x 40.0000" in steps[3][1]
    assert "contract_rates" in steps[3][1]


def test_net_rate_of_anesthesia_is_not_divided(made):
    assert cents(made, minutes("00100-QK"), contract="NET") == [450_00]  # 9.0 x 50


def test_share_of_anesthesia_is_taken_in_the_end(made, sample_reference):
    [fee] = by_schedule(sample_reference, minutes("00142"))

    assert cents(made, minutes("00142")) == [share(fee, "1.5")]


# --- the trace, the answer and the rule


def test_trace_names_the_contract(made):
    _, [dollars, shared] = priced(
        made, plain("99213", units=2), "99214", contract="C1", insurance_plan_id="GOLD"
    )

    release = made.release_name("contract_rates", 0)
    detail = f"99 a unit, contract_rates {release} for 99213, the contract, the plan"
    assert dollars[3:] == [("contract", detail, 99_00), ("units", "x 2", 198_00)]
    assert [step for step, _, _ in shared[3:]] == ["fee", "units", "contract"]
    fee = shared[3][2]
    terms = f"the contract's share of the fee, contract_rates {release} for 99214 to 99215"
    assert shared[-1] == ("contract", f"{fee / 100:.2f} x 1.25, {terms}", share(fee, "1.25"))


def result(reference: Reference, *lines, **fields) -> score_pb2.ClaimResult:
    engine = Engine.with_all_rules(reference)
    read = engine.read([score_pb2.ClaimBatch(claims=[message(*lines, **fields)])])
    [answer] = engine.score(read, Gathered(ModelAnswer.disabled()), [score_pb2.VIEW_EVIDENCE])
    return answer.results[0]


def test_answer_says_what_the_price_rests_on(made):
    found = result(made, "99213", "99212", "99203", "99397")

    assert [each.price_basis for each in found.lines] == [
        score_pb2.PRICE_BASIS_CONTRACT,
        score_pb2.PRICE_BASIS_FEE_SCHEDULE,
        score_pb2.PRICE_BASIS_CHARGE,
        score_pb2.PRICE_BASIS_UNSPECIFIED,
    ]


@pytest.mark.parametrize(("charge", "hit"), [(135.00, False), (135.01, True)])
def test_charges_are_compared_with_the_contract(made, charge, hit):
    found = result(made, plain("99213", charge=charge))

    hits = [each for each in found.hits if each.rule_id == "PRICING_EXCEEDS_FEE"]
    assert bool(hits) == hit
    for each in hits:
        assert each.evidence["reference_cents"] == "9000"
        assert each.evidence["basis"] == "contract"


def test_charge_is_not_compared_with_its_own_share(made):
    found = result(made, plain("99203", charge=900))

    assert "PRICING_EXCEEDS_FEE" not in [each.rule_id for each in found.hits]
    assert any(
        "PRICING_EXCEEDS_FEE" in each.rule_ids and each.reason == "no_price"
        for each in found.not_evaluated
    )


# --- any lines together

ASKED = (
    "99213", "99214", "99215-80", "99203", "99396", "64999", "20610", "20610-50", "11042", "17110",
    "17110-22", "71046", "71046-26", "70551", "70551-TC", "70553", "97110", "97140", "27447-54",
    "45385", "45380-59", "E0601-RR", "36591", "99000",
)  # fmt: skip


def random_claims(random: Random, count: int) -> list[claim_pb2.Claim]:
    claims = []
    for number in range(count):
        lines = [
            plain(
                random.choice(ASKED),
                units=random.choice((1, 1, 1, 2, 1.5)),
                charge=random.choice((99_999, 99_999, 123.45)),
            )
            for _ in range(random.randint(1, 5))
        ]
        if random.random() < 0.3:
            lines.append(minutes(random.choice(("00100-QK-P3", "00142", "00840", "00300-AD"))))
        claim = message(
            *lines,
            contract=random.choice(("", "C1", "C2", "NET")),
            npi=random.choice((NPI, OTHER)),
            tin=random.choice(("", TIN)),
            pos=random.choice(("11", "22")),
            insurance_type="CI",
            insurance_plan_id=random.choice(("", "GOLD")),
            institutional=random.random() < 0.1,
        )
        claim.claim_id = f"R-{number}"
        claims.append(claim)
    return claims


def whole(reference: Reference, claims: list[claim_pb2.Claim]):
    batch = decode([score_pb2.ClaimBatch(claims=claims)], allow_zero_charge=True)
    assert not batch.violations
    facts, policy = look_up(batch, reference), Policy()
    allowed = price(batch, reference, facts, policy)
    return [
        (told_, cents_, steps_of(allowed, batch, facts, reference, policy, at))
        for at, (told_, cents_) in enumerate(
            zip(told(allowed), allowed.allowed_cents.tolist(), strict=True)
        )
    ]


def test_price_by_contract_does_not_depend_on_other_claims(made):
    claims = random_claims(Random(5), 120)

    together = whole(made, claims)

    assert together == [each for claim in claims for each in whole(made, [claim])]


def chosen(claim: claim_pb2.Claim, each: claim_pb2.ServiceLine) -> int:
    """The row that holds for a line, found by reading the table from top to bottom; -1 for none."""
    best = (-1, (False,))
    facility = claim.place_of_service == "22"
    for number, row in enumerate(csv.DictReader((HEADER + RATES).splitlines())):
        asked = {
            "contract": claim.billing_provider.contract_id,
            "billing_npi": claim.billing_provider.npi,
            "billing_tin": claim.billing_provider.tin,
            "plan": claim.insurance_plan_id,
        }
        days = row["effective_from"] or "0000", row["effective_to"] or "9999"
        about = (
            not row["tenant_id"]
            and row["code_from"] <= each.procedure_code <= (row["code_to"] or row["code_from"])
            and days[0] <= each.service_from_date <= days[1]
            and all(row[name] in ("", value) for name, value in asked.items())
            and row["setting"] in ("any", "facility" if facility else "non_facility")
            and (not row["modifier"] or row["modifier"] in each.modifiers)
        )
        parts = {"26", "TC"} & set(each.modifiers)
        if parts and not row["modifier"] and row["rate_kind"] == "cents_per_unit":
            about = False
        named = tuple(bool(row[name]) for name in (*asked, "modifier"))
        score = (*named, row["setting"] != "any")
        if about and (best[0] < 0 or score > best[1]):
            best = (number, score)
    return best[0]


def test_rates_are_those_that_a_reader_of_the_table_finds(made):
    claims = [
        each for each in random_claims(Random(7), 600) if each.claim_type == PROFESSIONAL_CLAIM
    ]
    batch = decode([score_pb2.ClaimBatch(claims=claims)], allow_zero_charge=True)
    rates = Rates.of(Schedule.of(batch, made, look_up(batch, made)))

    found = dict(zip(rates.line.tolist(), rates.row.tolist(), strict=True))

    expected = [chosen(claim, each) for claim in claims for each in claim.lines]
    assert [found.get(at, -1) for at in range(len(expected))] == expected
    assert len(set(expected)) > 15


def test_steps_of_contracts_and_anesthesia_can_be_computed_again(made):
    seen = set()
    for (status, _, _), cents_, steps in whole(made, random_claims(Random(6), 600)):
        if status == "PRICED":
            assert replayed(steps) == cents_, steps
            seen.update(step for step, _, _ in steps)

    assert seen >= {"contract", "anesthesia", "anesthesia_role", "multiple_procedures", "therapy"}


def replayed(steps: list[tuple[str, str, int]]) -> int:
    """What the steps after the place come to, computed from their words alone."""
    amount = Decimal(0)
    for step, detail, after in steps:
        if step in ("release", "row", "place"):
            continue
        if step == "units":
            amount = rounded(amount * Decimal(detail.removeprefix("x ")))
        elif step in ("cap", "charge_limit"):
            assert after < amount * 100
            amount = Decimal(after) / 100
        elif step == "contract" and " a unit, " in detail:
            amount = rounded(Decimal(detail.split(" ")[0]))
        elif step in ("fee", "anesthesia"):
            terms, factor = re.match(r"\((.+)\) x ([\d.]+)", detail).groups()
            amount = rounded(sum(map(product, terms.split(" + "))) * Decimal(factor))
        else:
            terms = re.split(r", | of the charge", detail)[0].split(" + ")
            amount = max(sum(rounded(product(each)) for each in terms), Decimal(0))
        assert amount * 100 == after, (step, detail, after)
    return int(amount * 100)


def product(term: str) -> Decimal:
    value, _, factor = term.partition(" x ")
    return Decimal(value.split(" ")[0]) * Decimal(factor or 1)


def rounded(dollars: Decimal) -> Decimal:
    return dollars.quantize(Decimal("0.01"), ROUND_HALF_UP)


@pytest.mark.parametrize("rule", ["PRICING_EXCEEDS_FEE", "REIMB_OUTLIER"])
def test_charge_is_not_compared_with_a_share_of_itself(made, rule):
    engine = Engine.with_all_rules(made)

    def rules_of(code: str) -> list[str]:
        claim = message(plain(code), contract="C2")
        read = engine.read([score_pb2.ClaimBatch(claims=[claim])])
        [answer] = engine.score(read, Gathered(ModelAnswer.disabled()), [score_pb2.VIEW_EVIDENCE])
        return [hit.rule_id for hit in answer.results[0].hits]

    assert rule in rules_of("99214")
    assert rule not in rules_of("99215")
