"""Answers: how much each view says, what they rest on, and that no patient data is in them."""

import re
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from claimgate.v1 import claim_pb2
from claimgate.v1 import score_pb2 as pb

from engine.encode import ENGINE_VERSION
from engine.examples import claim_of
from engine.gathered import OK, Gathered, ModelAnswer
from engine.history import History
from engine.pipeline import Engine
from engine.policy import Policy
from engine.rules import all_rules
from engine.rules.rule import Kind, example, line
from loader.synthetic import synthetic_claims

VIEWS = (pb.VIEW_DECISION, pb.VIEW_EVIDENCE, pb.VIEW_TRACE)
PAIR = example("a pair", line("45385", pos="22"), line("45380", pos="22"), line("99213", units=2))
EXAMPLES = [each for rule in all_rules() for each in rule.examples]


@pytest.fixture(scope="module")
def engine(sample_reference) -> Engine:
    return Engine.with_all_rules(sample_reference)


def answers(engine: Engine, *messages, view: int = pb.VIEW_EVIDENCE, model=None, history=None):
    """Score messages, each a list of claims."""
    read = engine.read([pb.ClaimBatch(claims=claims) for claims in messages])
    gathered = Gathered(model or ModelAnswer.disabled(), history)
    return engine.score(read, gathered, [view] * len(messages))


def result(engine: Engine, each, **how) -> pb.ClaimResult:
    claim = each if isinstance(each, claim_pb2.Claim) else claim_of(each)
    return answers(engine, [claim], **how)[0].results[0]


def names(message) -> set[str]:
    return {field.name for field, _ in message.ListFields()}


def no_history() -> History:
    """History of members who were never seen."""
    return History.of_strangers(42)


# --- views

FOUND = ("release", "row", "place")


def test_decision_view_says_rule_lines_action_and_certainty_only(engine):
    found = result(engine, PAIR, view=pb.VIEW_DECISION)

    assert found.hits
    for hit in found.hits:
        told = {"rule_id", "line_numbers", "action", "certainty", "weight", "suppressed"}
        assert names(hit) <= told
        assert {"rule_id", "action", "certainty", "weight"} <= names(hit)
    assert not any(each.trace for each in found.lines)


def test_evidence_view_adds_facts_citation_and_release(engine):
    found = result(engine, PAIR, view=pb.VIEW_EVIDENCE)

    [hit] = [each for each in found.hits if each.rule_id == "NCCI_PTP"]
    assert list(hit.line_numbers) == [2]
    assert list(hit.codes) == ["45380", "45385"]
    assert hit.evidence["partner_lines"] == "1"
    assert hit.dataset_release == "ncci_ptp_practitioner 2024Q3"
    assert hit.citation
    assert hit.category == pb.CATEGORY_NCCI
    assert hit.exposure_cents == found.lines[1].allowed_cents > 0
    assert not any(each.trace for each in found.lines)


def test_trace_view_adds_the_steps_of_each_price(engine):
    found = result(engine, PAIR, view=pb.VIEW_TRACE)

    assert [[step.step for step in each.trace] for each in found.lines] == [
        [*FOUND, "fee", "units", "charge_limit"],
        [*FOUND, "fee", "units", "endoscopy"],
        [*FOUND, "fee", "units", "charge_limit"],
    ]


def test_no_view_is_the_evidence_view(engine):
    assert result(engine, PAIR, view=pb.VIEW_UNSPECIFIED) == result(engine, PAIR)


def test_views_differ_in_nothing_else(engine):
    decision, evidence, trace = (result(engine, PAIR, view=view) for view in VIEWS)

    for each in trace.lines:
        each.ClearField("trace")
    assert trace == evidence
    for each in evidence.hits:
        for name in names(each) - {"rule_id", "line_numbers", "action", "certainty", "weight"}:
            each.ClearField(name)
    assert decision.hits == evidence.hits
    decision.ClearField("hits")
    evidence.ClearField("hits")
    assert decision == evidence


def test_messages_of_a_pass_have_views_of_their_own(engine):
    claim = claim_of(PAIR)
    read = engine.read([pb.ClaimBatch(claims=[claim])] * 3)

    together = engine.score(read, Gathered(ModelAnswer.disabled()), list(VIEWS))

    assert [each.results[0] for each in together] == [
        result(engine, PAIR, view=view) for view in VIEWS
    ]


# --- prices


FEE = re.compile(r"\((.+)\) x ([\d.]+), (?:non-)?facility, \w")


def replayed(trace) -> int:
    """The amount that the steps of a trace come to, computed from what they say."""
    amount = Decimal(0)
    for step in trace:
        if step.step == "fee":
            terms, factor = FEE.match(step.detail).groups()
            pairs = [term.split(" x ") for term in terms.split(" + ")]
            amount = sum(Decimal(a) * Decimal(b) for a, b in pairs) * Decimal(factor) * 100
        elif step.step == "anesthesia":
            units, factor = re.match(r"\((.+)\) x ([\d.]+), ", step.detail).groups()
            counts = [Decimal(each.split(" ")[0]) for each in units.split(" + ")]
            amount = sum(counts) * Decimal(factor) * 100
        elif step.step == "units":
            amount *= Decimal(step.detail.removeprefix("x "))
        elif step.step in ("cap", "charge_limit"):
            assert step.amount_cents < amount
            amount = Decimal(step.amount_cents)
        elif step.step in ("bundled", *FOUND):
            pass
        else:
            terms = step.detail.partition(", ")[0].split(" + ")
            products = [Decimal(a) * Decimal(b) * 100 for a, b in (t.split(" x ") for t in terms)]
            amount = max(sum(each.quantize(Decimal(1), ROUND_HALF_UP) for each in products), 0)
            amount = Decimal(amount)
        amount = amount.quantize(Decimal(1), ROUND_HALF_UP)
        assert amount == step.amount_cents, step
    return int(amount)


@pytest.mark.parametrize("formula", ["full", "simple"])
def test_steps_of_a_trace_add_up_to_the_allowed_amount(sample_reference, formula):
    engine = Engine.with_all_rules(sample_reference, Policy(price_formula=formula))
    claims = list(synthetic_claims(300, seed=11))
    imaging = example("a", line("70496", charge=9_000), line("99213", units=1.5), line("99070"))

    [answer] = answers(engine, [*claims, claim_of(imaging)], view=pb.VIEW_TRACE)

    steps = set()
    for each in answer.results:
        for priced in each.lines:
            assert priced.trace
            steps.update(step.step for step in priced.trace)
            if priced.HasField("allowed_cents"):
                assert replayed(priced.trace) == priced.allowed_cents
    assert steps >= {"fee", "units", "charge_limit", "bundled"}
    assert ({"bilateral", "therapy", "multiple_procedures"} <= steps) == (formula == "full")
    assert ("cap" in steps) == (formula == "full")


def test_claim_is_allowed_the_sum_of_its_lines(engine):
    [answer] = answers(engine, list(synthetic_claims(300, seed=12)))

    for each in answer.results:
        amounts = [
            priced.allowed_cents for priced in each.lines if priced.HasField("allowed_cents")
        ]
        assert each.HasField("allowed_cents") == bool(amounts)
        assert each.allowed_cents == sum(amounts)
        assert each.unpriced_lines == len(each.lines) - len(amounts)


def test_line_without_a_price_says_why_and_names_no_amount(engine):
    priced, bundled, unknown, excluded, contractor = result(
        engine, example("a", *map(line, ("99213", "99070", "5555X", "36415", "0042T")))
    ).lines

    assert names(priced) >= {"allowed_cents", "payable_cents", "rvu_total_e4", "locality"}
    assert priced.locality == "1011200"
    assert bundled.price_status == pb.PRICE_STATUS_BUNDLED
    assert bundled.HasField("allowed_cents")
    assert bundled.allowed_cents == 0
    for each, reason in ((unknown, "no_row"), (excluded, "status"), (contractor, "contractor")):
        assert each.price_status == pb.PRICE_STATUS_NO_PRICE
        assert each.no_price_reason == reason
        assert not names(each) & {"allowed_cents", "payable_cents", "rvu_total_e4", "locality"}


def test_claim_without_a_single_price_has_no_total(engine):
    found = result(engine, example("a", line("5555X"), line("36415")))

    assert not found.HasField("allowed_cents")
    assert found.unpriced_lines == 2


@pytest.mark.parametrize(("code", "basis"), [("45380", "ALLOWED"), ("5555X", "CHARGE")])
def test_basis_of_the_money_at_risk_is_told(engine, code, basis):
    lines = (line("45385"), line(code)) if code == "45380" else (line("99213"), line(f"{code}-ZZ"))

    found = result(engine, example("a", *lines))

    assert found.exposure_cents > 0
    assert pb.ExposureBasis.Name(found.exposure_basis) == f"EXPOSURE_BASIS_{basis}"


def test_nothing_at_risk_has_no_basis(engine):
    found = result(engine, example("a", line("99213", charge=80)))

    assert found.decision == pb.DECISION_APPROVE
    assert (found.exposure_cents, found.exposure_basis) == (0, 0)


# --- provenance


def test_answer_names_what_it_rests_on(engine):
    model = ModelAnswer(OK, np.array([0.9], np.float32), "7/litert-int8")

    [answer] = answers(engine, [claim_of(PAIR)], model=model, history=no_history())

    told = answer.provenance
    assert told.reference_release == engine.reference.release != ""
    assert told.policy_version == engine.policy.version
    assert told.model_version == "7/litert-int8"
    assert told.engine_version == ENGINE_VERSION
    assert told.history_watermark == 42
    assert list(told.partial_rule_ids) == []


def test_without_history_the_rules_that_want_it_are_named_partial(engine):
    [answer] = answers(engine, [claim_of(PAIR)])

    wanting = [rule.id for rule in engine.rules if rule.uses_history]
    assert list(answer.provenance.partial_rule_ids) == wanting != []
    assert answer.provenance.history_watermark == 0
    assert answer.provenance.model_version == ""


@pytest.mark.parametrize(
    ("day", "standing_in", "own"),
    [
        ("2025-10-15", {"ncci_ptp_practitioner 2024Q3", "icd10cm FY2024"}, {"mpfs RVU25D"}),
        ("2026-02-15", {"mpfs RVU25D", "opps_cap RVU25D"}, {"gpci GPCI2026"}),
        ("2024-05-15", {"ncci_ptp_practitioner 2024Q3"}, {"mpfs RVU24B-worked-examples"}),
    ],
)
def test_releases_that_stand_in_are_named(engine, day, standing_in, own):
    [answer] = answers(engine, [claim_of(example("a", line("99213"), day=day, received=day))])

    told = set(answer.provenance.stand_ins)
    assert standing_in <= told
    assert not own & told


def test_each_message_names_the_releases_of_its_own_days(engine):
    days = {"A": "2025-10-15", "B": "2026-02-15"}
    claims = [
        claim_of(example("a", line("99213"), day=day, received=day), claim_id)
        for claim_id, day in days.items()
    ]

    autumn, winter = answers(engine, *([claim] for claim in claims))
    [both] = answers(engine, claims)

    assert "mpfs RVU25D" not in autumn.provenance.stand_ins
    assert "mpfs RVU25D" in winter.provenance.stand_ins
    assert set(both.provenance.stand_ins) == {
        *autumn.provenance.stand_ins,
        *winter.provenance.stand_ins,
    }


# --- the model


def test_probability_and_status_of_the_model_are_told(engine):
    model = ModelAnswer(OK, np.array([0.625], np.float32), "7")

    found = result(engine, PAIR, model=model)

    assert found.model_status == pb.MODEL_STATUS_OK
    assert found.approval_probability == 0.625
    assert list(found.degraded) == []


def test_model_that_is_out_is_told_and_gives_no_number(engine):
    found = result(engine, PAIR, model=ModelAnswer.unavailable("timeout"))

    assert found.model_status == pb.MODEL_STATUS_UNAVAILABLE
    assert not found.HasField("approval_probability")
    assert list(found.degraded) == ["model: timeout"]


def test_service_without_a_model_is_not_degraded(engine):
    found = result(engine, PAIR)

    assert found.model_status == pb.MODEL_STATUS_DISABLED
    assert not found.HasField("approval_probability")
    assert list(found.degraded) == []


def test_imputed_feature_is_named(engine):
    known, unknown = PAIR, example("a", line("99213"), birth="")

    assert list(result(engine, known).imputed_features) == []
    assert list(result(engine, unknown).imputed_features) == ["patient_age"]


# --- what was not evaluated


def test_rules_with_the_same_gap_are_told_together(engine):
    found = result(engine, example("a", line("99213"), line("55555-80-62")))

    [gap] = [each for each in found.not_evaluated if each.reason == "no_row"]
    assert list(gap.rule_ids) == [
        "MODIFIER_INVALID",
        "SURGICAL_ASSISTANT_NOT_ALLOWED",
        "SURGICAL_COSURGEON_NOT_ALLOWED",
    ]
    assert list(gap.line_numbers) == [2]


def test_rules_with_gaps_on_other_lines_are_told_apart(engine):
    found = result(engine, example("a", line("55555-80"), line("55555-62")))

    told = defaultdict(set)
    for each in found.not_evaluated:
        if each.reason == "no_row":
            for rule_id in each.rule_ids:
                told[rule_id].update(each.line_numbers)
    assert told["SURGICAL_ASSISTANT_NOT_ALLOWED"] == {1}
    assert told["SURGICAL_COSURGEON_NOT_ALLOWED"] == {2}


def test_gap_of_a_whole_claim_names_no_lines(engine):
    found = result(engine, example("a", line("99213"), birth=""))

    [gap] = [each for each in found.not_evaluated if each.reason == "no_birth_date"]
    assert list(gap.rule_ids) == ["LCD_AGE_CONFLICT"]
    assert list(gap.line_numbers) == []


def test_day_without_releases_is_not_evaluated_and_never_silent(engine):
    found = result(engine, example("a", line("99213-25"), day="2028-01-10", received="2028-01-11"))

    told = {rule_id for gap in found.not_evaluated for rule_id in gap.rule_ids}
    assert told >= {"NCCI_PTP", "NCCI_MUE", "PRICING_EXCEEDS_FEE", "OIG_EXCLUSION"}
    assert found.lines[0].no_price_reason == "no_release"


# --- claims that could not be scored


def test_claim_that_cannot_be_scored_says_every_reason_and_nothing_else(engine):
    claim = claim_of(PAIR, "BAD")
    claim.facility_id = ""
    claim.lines[1].units_milli = 0
    claim.is_test = True
    claim.claim_version = 3

    found = result(engine, claim, view=pb.VIEW_TRACE)

    assert {(each.field, each.code) for each in found.violations} == {
        ("facility_id", "V02"),
        ("lines[1].units_milli", "V09"),
    }
    assert names(found) == {"claim_id", "claim_version", "decision", "violations", "is_test"}
    assert (found.claim_id, found.claim_version) == ("BAD", 3)
    assert found.decision == pb.DECISION_REJECT


# --- no patient data

CANARIES = {
    name: f"CANARY {name}"[:50].upper()
    for name in (
        "patient_account_number",
        "medical_record_number",
        "person_id",
        "subscriber_id",
        "patient_first_name",
        "patient_middle_name",
        "patient_last_name",
        "payer_claim_control_number",
        "prior_authorization_number",
        "referral_number",
        "insurance_plan_id",
        "financial_class",
        "batch_id",
    )
}
BIRTH, BIRTH_AFTER, TAX_ID = "1937-03-07", "2041-03-07", "987654329"
TRACES = ("CANARY", "1937", "2041-03", "19370307", TAX_ID)


def marked(each, birth: str) -> claim_pb2.Claim:
    """A claim whose patient fields are words and days that nothing else has."""
    claim = claim_of(each)
    for name, value in CANARIES.items():
        setattr(claim, name, value)
    claim.patient_date_of_birth = birth
    claim.attributes["CANARY"] = "CANARY"
    claim.other_payers.add(payer_id="OTHER", insured_id="CANARY")
    claim.billing_provider.tin = TAX_ID
    for provider in (claim.billing_provider, claim.rendering_provider, claim.referring_provider):
        provider.last_or_org_name = "CANARY"
        provider.first_name = "CANARY"
        provider.npi = provider.npi or claim.billing_provider.npi
    return claim


def texts_of(message) -> str:
    return f"{message}{message.SerializeToString()!r}"


@pytest.mark.parametrize("birth", [BIRTH, BIRTH_AFTER])
def test_no_patient_data_is_in_the_answers_to_claims_of_every_rule(engine, birth):
    claims = [marked(each, birth) for each in EXAMPLES]
    for number, claim in enumerate(claims):
        claim.claim_id = f"C{number}"
        # A few claims of one person: with all of them sums of money reach any number.
        claim.person_id = f"CANARY {number // 4}"

    [answer] = answers(engine, claims, view=pb.VIEW_TRACE)

    fired = {hit.rule_id for each in answer.results for hit in each.hits}
    assert len(fired) > 0.8 * len(engine.rules)
    if birth == BIRTH_AFTER:
        assert "FORMAT_INVALID_DATE" in fired
    text = texts_of(answer)
    assert not [trace for trace in TRACES if trace in text]


def test_no_patient_data_is_in_the_faults_of_claims_that_cannot_be_scored(engine):
    claims = []
    for name in CANARIES:
        for fault in ("CANARY\x00", "CANARY" * 20):
            claims.append(marked(PAIR, "CANARY"))
            setattr(claims[-1], name, fault)
    for number, claim in enumerate(claims):
        claim.claim_id = f"C{number}"
        claim.lines[0].rendering_provider.last_or_org_name = "CANARY" * 50
        claim.billing_provider.tin = "CANARY" * 5

    [answer] = answers(engine, claims)

    assert {each.decision for each in answer.results} == {pb.DECISION_REJECT}
    assert not [trace for trace in TRACES if trace in texts_of(answer)]


def test_claim_id_is_given_back_as_it_was_sent(engine):
    claim = claim_of(PAIR, " Çlaim/1 ")

    assert result(engine, claim).claim_id == " Çlaim/1 "


def test_evidence_reads_as_its_kind_says(engine):
    """Amounts are whole cents, ratios have two decimals, days are ISO."""
    shapes = {
        Kind.COUNT: r"-?\d+",
        Kind.UNITS: r"\d+(\.\d+)?",
        Kind.CENTS: r"\d+",
        Kind.RATIO_E2: r"\d+\.\d\d",
        Kind.RATIO_E4: r"\d+\.\d{4}",
        Kind.CODE: r"[0-9A-Z]+",
        Kind.POS: r"\d\d",
        Kind.DATE: r"\d{4}-\d\d-\d\d",
        Kind.TEXT: r"[ -~]+",
        Kind.EARLIER_CLAIM: r".+",
    }
    claims = [claim_of(each, f"C{number}") for number, each in enumerate(EXAMPLES)]
    kinds = {rule.id: rule for rule in engine.rules}

    [answer] = answers(engine, claims)

    seen = set()
    for hit in (hit for each in answer.results for hit in each.hits):
        for name, text in hit.evidence.items():
            kind = kinds[hit.rule_id].evidence.get(name)
            if kind is Kind.NAME:
                assert text in kinds[hit.rule_id].names[name]
            elif kind is not None:
                assert re.fullmatch(shapes[kind], text), (hit.rule_id, name, text)
            seen.add(kind)
    assert seen >= {Kind.COUNT, Kind.CENTS, Kind.CODE, Kind.POS, Kind.DATE, Kind.NAME, Kind.TEXT}
