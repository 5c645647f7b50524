"""What a claim sees of other claims: earlier ones of its message, committed ones, never later."""

from dataclasses import replace

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.as_earlier import earlier_claims, earlier_lines
from engine.columns import Batch
from engine.decode import decode
from engine.examples import claim_of
from engine.history import History
from engine.past import Past
from engine.rules.rule import example, line


def claim(claim_id: str, *lines, **fields):
    return claim_of(example("a", *(lines or (line("99213"),)), **fields), claim_id)


def batch_of(*messages) -> Batch:
    batches = [score_pb2.ClaimBatch(claims=claims) for claims in messages]
    return decode(batches, allow_zero_charge=True)


def history_of(*claims) -> History:
    batch = batch_of(claims)
    return replace(
        History.of_strangers(1),
        claim_ids=[each.claim_id for each in claims],
        claims=earlier_claims(batch, np.arange(len(batch.claims))),
        lines=earlier_lines(batch, np.arange(len(batch.lines)), batch.lines.claim),
    )


def seen(batch: Batch, history: History | None = None) -> dict[str, list[str]]:
    """By claim the ids of the claims whose lines of the same day it sees."""
    past = Past.of(batch, history)
    pairs = past.pairs_of_day(batch, np.arange(len(batch.lines)))
    found: dict[str, list[str]] = {each: [] for each in batch.received.claim_ids}
    for row, earlier in zip(pairs.line.tolist(), pairs.earlier.tolist(), strict=True):
        own = batch.received.claim_ids[batch.claims.ordinal[batch.lines.claim[row]]]
        found[own].append(past.claim_ids[past.lines.claim[earlier]])
    return {each: sorted(ids) for each, ids in found.items() if ids}


def test_a_claim_sees_earlier_claims_of_its_message_and_no_later_ones():
    assert seen(batch_of([claim("A"), claim("B"), claim("C")])) == {"B": ["A"], "C": ["A", "B"]}


def test_a_claim_sees_nothing_of_another_message():
    assert seen(batch_of([claim("A")], [claim("B")])) == {}


def test_a_claim_sees_nothing_of_another_member():
    assert seen(batch_of([claim("A"), claim("B", person_id="OTHER")])) == {}


def test_every_message_sees_committed_claims():
    batch = batch_of([claim("A")], [claim("B")])

    assert seen(batch, history_of(claim("OLD"))) == {"A": ["OLD"], "B": ["OLD"]}


def test_the_same_claim_again_does_not_see_itself():
    assert seen(batch_of([claim("A")]), history_of(claim("A"))) == {}


@pytest.mark.parametrize("frequency", ["7", "8"])
def test_a_replacement_or_void_hides_the_original_it_names(frequency):
    takes = claim("B", frequency_code=frequency, payer_claim_control_number="a")
    after = {"7": {"C": ["B"]}, "8": {}}[frequency]

    assert seen(batch_of([claim("A"), takes, claim("C")])) == after
    assert seen(batch_of([takes, claim("C")]), history_of(claim("A"))) == after


def test_a_replacement_in_one_message_hides_nothing_in_another():
    takes = claim("B", frequency_code="7", payer_claim_control_number="OLD")

    assert seen(batch_of([takes], [claim("C")]), history_of(claim("OLD"))) == {"C": ["OLD"]}


def test_a_later_version_hides_the_earlier_one():
    later = claim("A", claim_version=2)

    assert seen(batch_of([claim("A"), later, claim("C")])) == {"C": ["A"]}


def test_lines_are_found_between_two_days():
    batch = batch_of([claim("A", line("99213", day="2025-10-10")), claim("B")])
    past, rows = Past.of(batch, None), np.array([1])
    on = batch.lines.service_from[rows]

    def found(before: int, after: int) -> int:
        return len(past.pairs(batch, rows, on - before, on + after))

    assert (found(5, 0), found(4, 0), found(5, -5), found(5, -6)) == (1, 0, 1, 0)


def test_lines_of_claims_in_process_and_denied_lines_do_not_count():
    batch, history = batch_of([claim("A")]), history_of(claim("OLD"))
    yes = np.ones(1, np.bool_)
    in_process = replace(history, claims=replace(history.claims, in_process=yes))
    denied = replace(history, lines=replace(history.lines, denied=yes))

    for given, count in ((history, 1), (in_process, 0), (denied, 0)):
        past = Past.of(batch, given)
        pairs = past.pairs_of_day(batch, np.array([0]))
        assert len(pairs) == 1
        assert len(past.counted(pairs)) == count


def provider(batch: Batch, history: History | None = None) -> list[bool]:
    past = Past.of(batch, history)
    pairs = past.pairs_of_day(batch, np.arange(len(batch.lines)))
    return past.same_provider(batch, pairs).tolist()


def test_one_renderer_is_one_provider_whoever_bills():
    rendered = {"rendering_provider": {"npi": "1003000126"}}

    assert provider(
        batch_of([claim("A", **rendered), claim("B", npi="1184722773", **rendered)])
    ) == [True]


def test_a_group_and_specialty_is_one_provider():
    def by(npi: str, specialty: str):
        return {"rendering_provider": {"npi": npi, "specialty": specialty}}

    one = claim("A", **by("1003000126", "06"))
    assert provider(batch_of([one, claim("B", **by("1184722773", "06"))])) == [True]
    assert provider(batch_of([one, claim("B", **by("1184722773", "11"))])) == [False]


def test_a_facility_and_a_professional_are_two_providers():
    facility = claim("B", line("99213"), institutional=True)

    assert provider(batch_of([claim("A"), facility])) == [False]


def test_of_a_crowded_day_the_first_lines_are_compared_and_the_rest_is_said_to_be_missing():
    batch = batch_of([claim(f"N{number}") for number in range(300)])

    past = Past.of(batch, None)
    pairs = past.pairs_of_day(batch, np.arange(len(batch.lines)))

    compared = np.bincount(pairs.line, minlength=300)
    assert compared.tolist() == [min(number, 256) for number in range(300)]
    assert set(pairs.earlier.tolist()) == set(range(256))
    assert np.flatnonzero(past.crowded).tolist() == list(range(257, 300))


def test_no_day_is_crowded_by_other_messages_members_or_days():
    day = "2025-03-11"
    batch = batch_of(
        [claim(f"A{number}") for number in range(200)],
        [claim(f"B{number}") for number in range(200)],
        [claim(f"C{number}", person_id="OTHER") for number in range(200)]
        + [claim(f"D{number}") for number in range(200)]
        + [claim(f"E{number}", day=day) for number in range(200)],
    )
    history = history_of(*(claim(f"H{number}") for number in range(200)))

    assert not Past.of(batch, None).crowded.any()
    assert not Past.of(batch, history).crowded.any()


def test_of_a_crowded_day_in_history_the_latest_claims_are_compared():
    """Which they are does not depend on how far back the pass reads."""
    day, ends = "2025-10-14", ("2025-10-14", "2025-10-15")
    stays = [
        claim(f"H{number}", line("99213", day=day), service_to_date=ends[number >= 150])
        for number in range(350)
    ]
    batch = batch_of([claim("A", line("99213", day=day)), claim("B", person_id="OTHER")])

    def compared(*history) -> set[str]:
        past = Past.of(batch, history_of(*history))
        assert past.crowded.tolist() == [len(history) > 256, False]
        seen = past.pairs_of_day(batch, np.array([0])).earlier
        return {past.claim_ids[each] for each in past.lines.claim[seen]}

    latest = {f"H{number}" for number in range(150, 350)}
    assert compared(*stays) == latest | {f"H{number}" for number in range(56)}
    assert compared(*stays[150:]) == latest


def test_a_crowd_that_no_claim_looks_back_to_is_no_gap():
    history = history_of(
        *(
            claim(f"H{number}", line("99213", day="2020-01-10"), day="2020-01-10")
            for number in range(300)
        )
    )

    assert not Past.of(batch_of([claim("A")]), history).crowded.any()
