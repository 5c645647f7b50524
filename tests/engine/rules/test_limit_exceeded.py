"""Limited benefits over many claims: the columns say the same as one claim after another."""

from collections import defaultdict
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.as_earlier import earlier_claims, earlier_lines
from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.history import History
from engine.members import Accumulators, Members
from engine.pipeline import Engine
from engine.rules.rule import example, line
from engine.words import word_key

RULE = "ELIGIBILITY_LIMIT_EXCEEDED"
PLANS = {"A": "SAMPLE-PLAN-A", "B": "SAMPLE-PLAN-B"}
SPLITS = {"A": True, "B": False}
BILLERS = ("1234567893", "1003000126")


@pytest.fixture(scope="module")
def engine(sample_reference) -> Engine:
    return Engine.with_all_rules(sample_reference)


def accumulators(benefit: str, used: dict[int, int], as_of: str | None = None) -> Accumulators:
    rows = len(used)
    return Accumulators(
        member=np.array([*used], np.int64),
        benefit=np.full(rows, word_key(benefit)),
        period_from=np.full(rows, np.datetime64("2025-01-01")),
        period_to=np.full(rows, np.datetime64("2025-12-31")),
        used_milli=np.array([*used.values()], np.int64) * 1000,
        as_of=np.full(rows, np.datetime64(as_of or "NaT", "D")),
    )


def history_of(engine: Engine, *claims) -> History:
    sent = [claim_of(claim, f"EARLIER-{n}") for n, claim in enumerate(claims)]
    batch = engine.read([score_pb2.ClaimBatch(claims=sent)]).batch
    return replace(
        History.of_strangers(1),
        claim_ids=[claim.claim_id for claim in sent],
        claims=earlier_claims(batch, np.arange(len(batch.claims))),
        lines=earlier_lines(batch, np.arange(len(batch.lines)), batch.lines.claim),
    )


def beyond(engine: Engine, messages, on_file: Accumulators, history: History | None = None):
    """Units beyond the limit by message, claim and line number."""
    sent = [
        score_pb2.ClaimBatch(claims=[claim_of(c, f"{m}-{n}") for n, c in enumerate(claims)])
        for m, claims in enumerate(messages)
    ]
    gathered = Gathered(ModelAnswer.disabled(), history, Members(accumulators=on_file))
    answers = engine.score(engine.read(sent), gathered, [score_pb2.VIEW_EVIDENCE] * len(sent))
    return {
        (m, n, hit.line_numbers[0]): float(hit.evidence["beyond"])
        for m, answer in enumerate(answers)
        for n, result in enumerate(answer.results)
        for hit in result.hits
        if hit.rule_id == RULE
    }


def drawn(random: np.random.Generator, code: str, most: int):
    """A claim of one of six members, half of them in either plan."""
    member = int(random.integers(6))
    lines = [
        line(
            code,
            units=int(random.integers(1, most + 1)),
            day=str(date(2025, 3, 1) + timedelta(int(random.integers(4)))),
        )
        for _ in range(int(random.integers(1, 4)))
    ]
    return example(
        "",
        *lines,
        person_id=f"M{member}",
        insurance_plan_id=PLANS["AB"[member % 2]],
        received="2025-04-01",
        npi=BILLERS[int(random.integers(2))],
    )


def numbered(messages) -> dict[str, int]:
    """Number of each member in the pass, by first appearance."""
    names = dict.fromkeys(c.fields["person_id"] for claims in messages for c in claims)
    return {name: number for number, name in enumerate(names)}


@pytest.mark.parametrize("seed", range(6))
def test_units_are_given_out_as_if_one_after_another(engine: Engine, seed: int) -> None:
    random = np.random.default_rng(seed)
    messages = [[drawn(random, "T1019", 9) for _ in range(20)] for _ in range(2)]
    numbers = numbered(messages)
    used = {number: int(random.integers(60, 101)) for number in numbers.values()}

    expected = {}
    for m, claims in enumerate(messages):
        left = {name: 100 - used[number] for name, number in numbers.items()}
        for n, claim in enumerate(claims):
            name = claim.fields["person_id"]
            splits = claim.fields["insurance_plan_id"] == PLANS["A"]
            for number, service in enumerate(claim.lines, 1):
                asked = service.fields["units"]
                got = min(asked, left[name]) if splits or asked <= left[name] else 0
                left[name] -= got
                if got < asked:
                    expected[m, n, number] = asked - got

    assert beyond(engine, messages, accumulators("personal care", used)) == expected
    assert expected


@pytest.mark.parametrize("seed", range(6))
def test_lines_of_one_day_and_biller_are_one_visit(engine: Engine, seed: int) -> None:
    random = np.random.default_rng(seed)
    messages = [[drawn(random, "98940", 1) for _ in range(25)]]
    numbers = numbered(messages)
    used = {number: int(random.integers(13, 20)) for number in numbers.values()}

    expected, visits = {}, defaultdict(set)
    for n, claim in enumerate(messages[0]):
        name = claim.fields["person_id"]
        if claim.fields["insurance_plan_id"] != PLANS["A"]:
            continue
        for number, service in enumerate(claim.lines, 1):
            visit = (service.fields["day"], claim.fields["npi"])
            if visit not in visits[name] and used[numbers[name]] + len(visits[name]) >= 20:
                expected[0, n, number] = 1.0
            else:
                visits[name].add(visit)

    assert beyond(engine, messages, accumulators("spinal manipulation", used)) == expected
    assert expected


def test_messages_of_one_pass_do_not_see_each_other(engine: Engine) -> None:
    claim = example("", line("98940"), insurance_plan_id=PLANS["A"], person_id="M0")

    found = beyond(engine, [[claim], [claim]], accumulators("spinal manipulation", {0: 19}))

    assert not found


def test_the_accumulator_knows_the_benefit_year(engine: Engine) -> None:
    days = ("2025-03-31", "2025-04-01")
    claims = [
        example("", line("98940", day=day), insurance_plan_id=PLANS["A"], received="2025-05-01")
        for day in days
    ]
    on_file = Accumulators(
        member=np.zeros(1, np.int64),
        benefit=np.array([word_key("Spinal Manipulation")]),
        period_from=np.array(["2025-04-01"], "datetime64[D]"),
        period_to=np.array(["NaT"], "datetime64[D]"),
        used_milli=np.array([20_000]),
        as_of=np.array(["NaT"], "datetime64[D]"),
    )

    assert beyond(engine, [claims], on_file) == {(0, 1, 1): 1.0}


@pytest.mark.parametrize(
    ("as_of", "over"),
    [
        ("2025-05-01", False),  # received on the day up to which the accumulator counts
        ("2025-04-30", True),  # received after it: one more visit is used
        (None, False),  # the accumulator holds all that was committed
    ],
)
def test_paid_claims_count_once(engine: Engine, as_of: str | None, over: bool) -> None:
    plan = {"insurance_plan_id": PLANS["A"]}
    paid = example("", line("98940", day="2025-04-15"), received="2025-05-01", **plan)
    now = example("", line("98940", day="2025-05-20"), received="2025-06-01", **plan)

    on_file = accumulators("spinal manipulation", {0: 19}, as_of)
    found = beyond(engine, [[now]], on_file, history_of(engine, paid))

    assert bool(found) == over


def test_without_an_accumulator_paid_claims_are_what_is_used(engine: Engine) -> None:
    plan = {"insurance_plan_id": PLANS["A"]}
    paid = [
        example("", line("98940", day=f"2025-04-{day:02d}"), received="2025-05-01", **plan)
        for day in range(1, 21)
    ]
    now = example("", line("98940", day="2025-05-20"), received="2025-06-01", **plan)
    nobody = accumulators("spinal manipulation", {})

    assert beyond(engine, [[now]], nobody, history_of(engine, *paid)) == {(0, 0, 1): 1.0}
    assert not beyond(engine, [[now]], nobody, history_of(engine, *paid[1:]))
