"""The whole calculation: what a claim is answered with never depends on its company."""

from collections import defaultdict
from dataclasses import fields
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from claimgate.v1 import claim_pb2
from claimgate.v1 import score_pb2 as pb
from claimgate.v1.scoring_service_pb2 import MessageResult
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.columns import Table
from engine.examples import claim_of
from engine.findings import Coverage
from engine.gathered import OK, Gathered, ModelAnswer
from engine.pipeline import Engine, Pass, coverage_of
from engine.policy import Policy
from engine.pricing import price
from engine.rules import all_rules
from engine.rules.rule import example, line
from loader.synthetic import synthetic_claims

CLAIMS = 2_000
MESSAGES = 60
PLAIN = example("plain", line("99213-25"), line("20610-RT"), line("5555X"))
HOSPITAL = example("hospital", line("99213"), line(""), institutional=True)


@pytest.fixture(scope="module")
def engine(sample_reference) -> Engine:
    return Engine.with_all_rules(sample_reference, Policy(ml_reject_policy="review"))


def probabilities(read: Pass) -> ModelAnswer:
    """A model whose answer to a claim depends on that claim alone."""
    values = read.features.values
    p = (np.abs(values).sum(axis=1) % 1).astype(np.float32)
    return ModelAnswer(OK, p, "test")


def score(engine: Engine, messages: list[pb.ClaimBatch], view: int = pb.VIEW_TRACE) -> list[bytes]:
    """The answers as bytes, in the order of the messages."""
    read = engine.read(messages)
    answers = engine.score(read, Gathered(probabilities(read)), [view] * len(messages))
    return [each.SerializeToString(deterministic=True) for each in answers]


def results(engine: Engine, *claims: claim_pb2.Claim) -> list[pb.ClaimResult]:
    [answer] = score(engine, [pb.ClaimBatch(claims=claims)], pb.VIEW_EVIDENCE)
    return list(read_answer(answer).results)


def read_answer(data: bytes) -> MessageResult:
    from claimgate.v1.scoring_service_pb2 import MessageResult

    return MessageResult.FromString(data)


def damaged(claim: claim_pb2.Claim, random: Random) -> None:
    """Make a claim one that cannot be scored."""
    match random.randrange(6):
        case 0:
            claim.facility_id = ""
        case 1:
            del claim.lines[:]
        case 2:
            claim.lines[-1].units_milli = -1
        case 3:
            claim.service_to_date = "not a day"
        case 4:
            claim.lines[0].diagnosis_pointers[:] = [99]
        case _:
            claim.claim_type = claim_pb2.CLAIM_TYPE_UNSPECIFIED


@pytest.fixture(scope="module")
def messages() -> list[pb.ClaimBatch]:
    """Claims of members in messages of their own: planted problems, rules' examples, damage."""
    random = Random(5)
    by_member = defaultdict(list)
    for claim in synthetic_claims(CLAIMS, seed=20251001):
        by_member[claim.person_id].append(claim)
        if random.random() < 0.04:
            damaged(claim, random)
    groups = [[] for _ in range(MESSAGES)]
    for number, claims in enumerate(by_member.values()):
        groups[number % MESSAGES].extend(claims)
    examples = [each for rule in all_rules() for each in rule.examples]
    groups.append([claim_of(each, f"E{number}") for number, each in enumerate(examples)])
    return [pb.ClaimBatch(claims=claims) for claims in groups]


@pytest.fixture(scope="module")
def together(engine, messages) -> list[bytes]:
    return score(engine, messages)


# --- the answer to a message does not depend on the pass


def test_claims_of_the_tests_are_of_every_kind(together):
    found = [each for data in together for each in read_answer(data).results]

    assert len(found) > CLAIMS
    assert {each.decision for each in found} == set(pb.Decision.values()) - {0}
    assert sum(each.decision == pb.DECISION_REJECT for each in found) > 50
    assert sum(bool(each.hits) for each in found) > 300


def test_messages_one_by_one_are_answered_as_together(engine, messages, together):
    alone = [score(engine, [message])[0] for message in messages]

    assert alone == together


def side_of(number: int, p: np.ndarray) -> ModelAnswer:
    """Whose answer a message gets: of three one each by two versions, and one by nobody."""
    if number % 3 == 2:
        return ModelAnswer.unavailable("candidate_timeout")
    return ModelAnswer(OK, p if number % 3 == 0 else p / 2, f"{number % 3 + 1}/test")


def test_messages_answered_by_different_versions_are_answered_as_alone(engine, messages):
    read = engine.read(messages)
    p, message = probabilities(read).probability, read.batch.claims.message
    sides = tuple(side_of(number, p[message == number]) for number in range(len(messages)))
    merged = np.full(len(p), np.nan, np.float32)
    for number, side in enumerate(sides):
        if side.probability is not None:
            merged[message == number] = side.probability
    model = ModelAnswer(OK, merged, by_message=sides)
    together = engine.score(read, Gathered(model), [pb.VIEW_TRACE] * len(messages))

    alone = [
        engine.score(engine.read([each]), Gathered(side), [pb.VIEW_TRACE])[0]
        for each, side in zip(messages, sides, strict=True)
    ]

    assert [each.SerializeToString(deterministic=True) for each in together] == [
        each.SerializeToString(deterministic=True) for each in alone
    ]
    assert {each.provenance.model_version for each in together} == {"1/test", "2/test", ""}
    assert {tuple(each.degraded) for answer in together for each in answer.results} == {
        (),
        ("model: candidate_timeout",),
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_messages_in_other_passes_are_answered_as_together(engine, messages, together, seed):
    random = Random(seed)
    order = random.sample(range(len(messages)), len(messages))
    cuts = sorted({0, len(order), *random.sample(range(1, len(order)), 6)})

    answers = {}
    for first, last in pairwise(cuts):
        numbers = order[first:last]
        found = score(engine, [messages[number] for number in numbers])
        answers |= dict(zip(numbers, found, strict=True))

    assert [answers[number] for number in range(len(messages))] == together


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_members_in_other_messages_are_answered_as_before(engine, messages, together, seed):
    """Only claims of one member belong together; whose company they keep beyond that is chance."""
    random = Random(seed)
    by_member = defaultdict(list)
    for message in messages:
        for claim in message.claims:
            by_member[claim.payer_id, claim.person_id].append(claim)
    members = random.sample(sorted(by_member), len(by_member))
    cuts = sorted({0, len(members), *random.sample(range(1, len(members)), 4 * 10 ** (seed - 1))})
    others = [
        pb.ClaimBatch(claims=[c for member in members[first:last] for c in by_member[member]])
        for first, last in pairwise(cuts)
    ]

    answers = score(engine, others)

    assert by_claim(others, answers) == by_claim(messages, together)


def by_claim(messages: list[pb.ClaimBatch], answers: list[bytes]) -> dict[bytes, bytes]:
    """The bytes of each claim's result, by the bytes of the claim."""
    return {
        claim.SerializeToString(deterministic=True): result.SerializeToString(deterministic=True)
        for message, answer in zip(messages, answers, strict=True)
        for claim, result in zip(message.claims, read_answer(answer).results, strict=True)
    }


def test_messages_of_others_between_change_nothing(engine, messages, together):
    strangers = list(synthetic_claims(300, seed=99))
    chosen = range(0, len(messages), 6)
    mixed = []
    for at in chosen:
        part = [strangers.pop() for _ in range(20)]
        mixed += [pb.ClaimBatch(claims=part), messages[at], pb.ClaimBatch()]

    answers = score(engine, mixed)

    assert answers[1::3] == [together[at] for at in chosen]


def test_same_claims_in_another_message_are_no_company(engine, messages, together):
    """A message that is sent twice in one pass is answered twice alike."""
    assert score(engine, [messages[0], messages[1], messages[0]]) == [
        together[0],
        together[1],
        together[0],
    ]


def test_claim_that_cannot_be_scored_changes_no_other(engine):
    claims = [claim_of(each, f"C{n}") for n, each in enumerate((PLAIN, HOSPITAL, PLAIN))]
    bad = claim_of(PLAIN, "BAD")
    bad.facility_id = ""

    clean = results(engine, *claims)
    mixed = results(engine, claims[0], bad, *claims[1:])

    assert [mixed[0], *mixed[2:]] == clean


def test_gaps_are_told_alike_in_any_company(engine):
    message = pb.ClaimBatch(claims=[claim_of(example("a", line("55555-80-62")))])
    other = pb.ClaimBatch(claims=[claim_of(example("b", line("55555-80")))])

    [alone], [mixed, _] = score(engine, [message]), score(engine, [message, other])

    assert read_answer(mixed) == read_answer(alone)


# --- order, empty passes


def test_every_claim_is_answered_in_order(engine, messages):
    read = engine.read(messages)

    answers = engine.score(read, Gathered(probabilities(read)), [pb.VIEW_DECISION] * len(messages))

    sent = [[(c.claim_id, [x.line_number for x in c.lines]) for c in m.claims] for m in messages]
    for message, answer in zip(sent, answers, strict=True):
        assert [each.claim_id for each in answer.results] == [claim_id for claim_id, _ in message]
        for (_, numbers), each in zip(message, answer.results, strict=True):
            if each.decision != pb.DECISION_REJECT:
                assert [priced.line_number for priced in each.lines] == numbers


def test_hits_are_in_the_order_of_rule_ids(together):
    for data in together:
        for each in read_answer(data).results:
            ids = [hit.rule_id for hit in each.hits]
            assert ids == sorted(ids)


@pytest.mark.parametrize("claims", [[], [[]], [[], []]])
def test_pass_without_claims_is_answered(engine, claims):
    answers = score(engine, [pb.ClaimBatch(claims=each) for each in claims])

    assert len(answers) == len(claims)
    for data in answers:
        answer = read_answer(data)
        assert len(answer.results) == 0
        assert answer.provenance.policy_version == engine.policy.version


def test_pass_of_claims_that_cannot_be_scored_is_answered(engine):
    claims = [claim_of(PLAIN, f"C{number}") for number in range(3)]
    for claim in claims:
        claim.facility_id = ""

    answers = score(engine, [pb.ClaimBatch(claims=claims[:2]), pb.ClaimBatch(claims=claims[2:])])

    found = [read_answer(data) for data in answers]
    assert [[each.claim_id for each in a.results] for a in found] == [["C0", "C1"], ["C2"]]
    assert {each.decision for a in found for each in a.results} == {pb.DECISION_REJECT}
    assert all(list(a.provenance.stand_ins) == [] for a in found)


def test_what_would_keep_claims_from_being_scored_is_told_without_scoring(engine, messages):
    validated = engine.validate(messages[:5])

    for message, violations, data in zip(
        messages[:5], validated, score(engine, messages[:5]), strict=True
    ):
        assert len(violations) == len(message.claims)
        told = [[(v.field, v.code) for v in r.violations] for r in read_answer(data).results]
        assert [[(v.field, v.code) for v in each] for each in violations] == told


def test_coverage_of_prices_counts_lines_with_a_code(engine):
    read = engine.read([pb.ClaimBatch(claims=[claim_of(PLAIN), claim_of(HOSPITAL, "H")])])

    counted = coverage_of(engine.judge(read, Gathered(ModelAnswer.disabled())))

    assert counted["PRICE"] == Coverage(lines=4, evaluated=2)
    assert set(counted) <= {"PRICE", *(rule.id for rule in engine.rules)}
    assert all(0 <= each.evaluated <= each.lines == 4 for each in counted.values())


# --- read-only columns


def test_columns_of_a_pass_cannot_be_written(engine):
    read = engine.read([pb.ClaimBatch(claims=[claim_of(PLAIN), claim_of(HOSPITAL, "H")])])
    allowed = price(read.batch, engine.reference, read.facts, engine.policy)
    verdict = engine.judge(read, Gathered(ModelAnswer.disabled())).verdict
    batch = read.batch
    tables = (batch.claims, batch.lines, batch.diagnoses, batch.icd_procedures)

    for table in (*tables, read.facts, allowed, verdict.hits):
        assert isinstance(table, Table)
        for column in fields(table):
            values = getattr(table, column.name)
            assert not values.flags.writeable, column.name
            if len(values):
                with pytest.raises(ValueError, match="read-only"):
                    values[0] = values[0]


# --- corrupted claims

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "",
            " ",
            "\x00",
            "0",
            "-1",
            "٣",  # a digit that is not ASCII
            "²",
            "9" * 30,
            "Z" * 11,
            "ﬀ",
            "ß",
            "İ",
            "🏥" * 3,
            "A" * 500,
            "2025-02-29",
            "2024-02-29",
            "0001-01-01",
            "9999-12-31",
            "20251015",
            "10/15/2025",
            "1900-01-01",
            "2100-12-31",
            "99213",
            "0131",
            "0111",
            "8",
        ]
    ),
)


def whole(bits: int) -> st.SearchStrategy[int]:
    limit = 2 ** (bits - 1)
    edges = [0, 1, -1, limit - 1, -limit, 999, 1000, 10**6 % limit]
    return st.one_of(st.integers(-limit, limit - 1), st.sampled_from(edges))


SCALARS = {
    FieldDescriptor.TYPE_STRING: TEXTS,
    FieldDescriptor.TYPE_INT32: whole(32),
    FieldDescriptor.TYPE_ENUM: whole(32),
    FieldDescriptor.TYPE_INT64: whole(64),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
}


def corrupt(message: Message, draw) -> None:
    """Put anything that the wire can carry into one field of a message or of one below it."""
    choices = message.DESCRIPTOR.fields
    field = choices[draw(st.integers(0, len(choices) - 1))]
    values = getattr(message, field.name)
    if field.name == "attributes":
        values[draw(TEXTS)] = draw(TEXTS)
    elif field.is_repeated and draw(st.integers(0, 4)) == 0:
        message.ClearField(field.name)
    elif field.is_repeated and field.message_type is not None:
        at = draw(st.integers(0, len(values)))
        corrupt(values[at] if at < len(values) else values.add(), draw)
    elif field.is_repeated:
        values.extend(draw(st.lists(SCALARS[field.type], max_size=6)))
    elif field.message_type is not None:
        corrupt(values, draw)
    else:
        setattr(message, field.name, draw(SCALARS[field.type]))


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_claims_that_hold_anything_are_answered(engine, data):
    claims = [claim_of(each, f"C{n}") for n, each in enumerate((PLAIN, HOSPITAL, PLAIN))]
    for claim in claims[:2]:
        for _ in range(data.draw(st.integers(1, 4))):
            corrupt(claim, data.draw)

    found = results(engine, *claims)

    assert len(found) == 3
    for claim, each in zip(claims, found, strict=True):
        assert each.claim_id == claim.claim_id
        assert (each.decision == pb.DECISION_REJECT) == bool(each.violations)
        if not each.violations:
            assert 0 <= each.fraud_score <= 1
            assert len(each.lines) == len(claim.lines)
            for answer, sent in zip(each.lines, claim.lines, strict=True):
                assert 0 <= answer.payable_cents <= answer.allowed_cents <= sent.charge_cents


@pytest.mark.parametrize("field", ["units_milli", "charge_cents"])
def test_largest_amounts_that_are_accepted_do_not_overflow(engine, field):
    most = {"units_milli": 999_999_999_999, "charge_cents": 99_999_999_999}
    claim = claim_of(example("a", *[line("99222", pos="21")] * 50))
    claim.total_charge_cents = most["charge_cents"]
    for each in claim.lines:
        each.charge_cents = most["charge_cents"]
        setattr(each, field, most[field])

    [found] = results(engine, claim)

    assert not found.violations
    amounts = [each.allowed_cents for each in found.lines]
    assert len(set(amounts)) == 1
    assert 0 < amounts[0] <= most["charge_cents"]
    assert found.allowed_cents == 50 * amounts[0]
