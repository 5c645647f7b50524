"""The correct coding rules against the published rows themselves, and where no release speaks."""

import shutil
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from claimgate.v1 import claim_pb2, score_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.codes import code36, text36
from engine.columns import Batch
from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.findings import find_hits
from engine.gathered import Gathered, ModelAnswer
from engine.policy import Override, Policy
from engine.reference import Reference
from engine.rules.ncci import addon_no_primary, mue, mutually_exclusive, pair_edits, ptp
from engine.rules.rule import Hits, LineExample, Rule, example, line
from loader.snapshot.build import build

PTP, EXCLUSIVE, MUE, ADDON = ptp.find, mutually_exclusive.find, mue.find, addon_no_primary.find
SAMPLE = Path(__file__).parents[3] / "ops" / "reference-sample"
PAIRS = SAMPLE / "ncci" / "ccipra_sample.txt"
DAY = "20251015"


@pytest.fixture(scope="module")
def reference_without_ncci(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("without_ncci")
    shutil.copytree(SAMPLE, folder / "source")
    releases = folder / "source" / "releases.toml"
    head, *entries = releases.read_text(encoding="utf-8").split("[[release]]")
    kept = [entry for entry in entries if 'dataset = "ncci_' not in entry]
    releases.write_text("[[release]]".join([head, *kept]), encoding="utf-8")
    build(folder / "source", folder / "snapshot")
    return Reference.open(folder / "snapshot")


def batch_of(claims: Sequence[claim_pb2.Claim]) -> Batch:
    for number, each in enumerate(claims):
        each.claim_id, each.person_id = str(number), f"MEMBER-{number}"
    return decode([score_pb2.ClaimBatch(claims=claims)], allow_zero_charge=True)


ALL = (ptp.find, mutually_exclusive.find, mue.find, addon_no_primary.find)
NOTHING = Gathered(ModelAnswer.disabled())


def found(
    rule: Rule,
    reference: Reference,
    batch: Batch,
    policy: Policy | None = None,
    gathered: Gathered = NOTHING,
) -> Hits:
    facts = look_up(batch, reference)
    findings = find_hits(ALL, batch, reference, facts, gathered, None, policy or Policy())
    return findings.by_rule[ALL.index(rule)]


def claim(*lines: LineExample, **fields) -> claim_pb2.Claim:
    return claim_of(example("", *lines, **fields))


def live_pairs() -> dict[tuple[str, str], tuple[str, bool]]:
    """Indicator and rationale of the sample's practitioner pairs that are live on the day."""
    rows = [row.split("\t") for row in PAIRS.read_text(encoding="utf-8").splitlines()[6:]]
    return {
        (row[0], row[1]): (row[5], row[6].strip() == "Mutually exclusive procedures")
        for row in rows
        if row[5] != "9" and (row[4] == "*" or row[4] >= DAY)
    }


LIVE = live_pairs()


def test_every_live_pair_fires_exactly_one_of_the_two_rules_on_column_2(
    sample_reference: Reference,
) -> None:
    pairs = sorted(LIVE)
    batch = batch_of([claim(line(column1), line(column2)) for column1, column2 in pairs])

    hits = {rule.id: found(rule, sample_reference, batch) for rule in (PTP, EXCLUSIVE)}

    assert len(pairs) > 1000
    for rule_id, of_exclusive in ((PTP.id, False), (EXCLUSIVE.id, True)):
        expected = {
            (text36(int(code36(a))), b)
            for (a, b), (_, exclusive) in LIVE.items()
            if exclusive is of_exclusive
        }
        fired = hits[rule_id]
        codes = batch.lines.procedure
        assert {
            (text36(int(codes[a])), text36(int(codes[b])))
            for a, b in zip(fired.partner, fired.line, strict=True)
        } == expected


@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["17110", "17000", "20610", "99213", "99214", "45385", "45380", "11042"]
            ),
            st.sampled_from(["", "-59", "-25", "-RT", "-LT", "-XS"]),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_claim_is_judged_as_its_pairs_are_one_by_one(sample_reference: Reference, codes) -> None:
    lines = [line(code + modifier) for code, modifier in codes]
    whole = found(PTP, sample_reference, batch_of([claim(*lines)]))

    alone = {
        second
        for first, second in permutations(range(len(lines)), 2)
        for hits in [found(PTP, sample_reference, batch_of([claim(lines[first], lines[second])]))]
        if 1 in hits.line
    }

    assert set(whole.line.tolist()) == alone


def test_59_on_column_1_counts_since_july_2019_only(sample_reference: Reference) -> None:
    with_59, without = np.array([[code36("59")], [0], [0], [0]]), np.zeros((4, 1), np.int64)
    no = np.array([False])

    before = pair_edits._separating(sample_reference, with_59, without, no, no, no)
    since = pair_edits._separating(sample_reference, with_59, without, no, no, ~no)
    column2 = pair_edits._separating(sample_reference, without, with_59, no, no, no)

    assert (before.item(), since.item(), column2.item()) == (False, True, True)


def test_a_facility_bill_of_999_lines_is_judged_whole(sample_reference: Reference) -> None:
    lines = [line("45385"), *[line("85025")] * 996, line("45380"), line("45380-59")]

    hits = found(PTP, sample_reference, batch_of([claim(*lines, institutional=True)]))

    assert hits.line.tolist() == [997]


@pytest.mark.parametrize("rule", [PTP, EXCLUSIVE, MUE, ADDON], ids=lambda rule: rule.id)
def test_a_day_that_no_release_serves_is_not_evaluated(
    sample_reference: Reference, rule: Rule
) -> None:
    long_ago = {"day": "2019-05-01", "received": "2019-05-02"}
    batch = batch_of(
        [
            claim(line("45385"), line("45380"), line("11045"), line("20610", units=9), **long_ago),
            claim(line("45385"), line("11042")),
        ]
    )

    hits = found(rule, sample_reference, batch)

    assert len(hits) == 0
    gaps = {gap.reason: gap.lines for gap in hits.not_evaluated if gap.lines.any()}
    assert list(gaps) == ["no_release"]
    assert np.flatnonzero(gaps["no_release"]).tolist() == [0, 1, 2, 3]
    if hits.evaluated is not None:
        assert np.flatnonzero(hits.evaluated).tolist() == [4, 5]


@pytest.mark.parametrize("rule", [PTP, EXCLUSIVE, MUE, ADDON], ids=lambda rule: rule.id)
def test_a_snapshot_without_the_tables_is_not_evaluated(
    reference_without_ncci: Reference, rule: Rule
) -> None:
    batch = batch_of([claim(line("45385"), line("45380")), claim(line("20610", units=9))])

    hits = found(rule, reference_without_ncci, batch)

    assert len(hits) == 0
    gaps = {gap.reason: gap.lines for gap in hits.not_evaluated if gap.lines.any()}
    assert list(gaps) == ["no_dataset"]
    assert gaps["no_dataset"].all()


def test_inpatient_bills_are_neither_judged_nor_missed(sample_reference: Reference) -> None:
    inpatient = {"institutional": True, "tob": "0111", "admission_date": "2025-10-15"}
    batch = batch_of([claim(line("45385"), line("45380"), **inpatient)])

    hits = found(PTP, sample_reference, batch)

    assert len(hits) == 0
    assert not any(gap.lines.any() for gap in hits.not_evaluated)
    assert not hits.evaluated.any()


def test_a_line_without_a_published_limit_is_not_counted_as_judged(
    sample_reference: Reference,
) -> None:
    batch = batch_of([claim(line("20610"), line("J3490"))])

    hits = found(MUE, sample_reference, batch)

    assert hits.evaluated.tolist() == [True, False]


def test_a_policy_may_count_all_units_of_a_span_on_its_first_day(
    sample_reference: Reference,
) -> None:
    batch = batch_of([claim(line("97110", units=12, service_to_date="2025-10-16"))])
    policy = Policy(overrides=(Override(MUE.id, params={"divide_spans": 0}),))

    divided, whole = (found(MUE, sample_reference, batch, p) for p in (Policy(), policy))

    assert len(divided) == 0
    assert whole.evidence["counted"].tolist() == [12_000]


def test_a_policy_may_count_postoperative_care(sample_reference: Reference) -> None:
    batch = batch_of([claim(line("27447-55"), line("27447-54"))])
    policy = Policy(overrides=(Override(MUE.id, params={"modifiers_excluded": ()}),))

    left_out, counted = (found(MUE, sample_reference, batch, p) for p in (Policy(), policy))

    assert len(left_out) == 0
    assert counted.line.tolist() == [0, 1]


def test_half_a_unit_a_day_rounds_up(sample_reference: Reference) -> None:
    batch = batch_of([claim(line("97110", units=13, service_to_date="2025-10-16"))])

    hits = found(MUE, sample_reference, batch)

    assert hits.evidence["counted"].tolist() == [7_000]


def test_minutes_are_not_compared_with_units(sample_reference: Reference) -> None:
    batch = batch_of([claim(line("97110", units=60, unit_basis="MJ"))])

    hits = found(MUE, sample_reference, batch)

    assert len(hits) == 0
    assert not hits.evaluated.any()


def test_what_an_add_on_needs_from_the_contractor_is_said(sample_reference: Reference) -> None:
    batch = batch_of([claim(line("61781"), line("G2211"), line("11045"))])

    hits = found(ADDON, sample_reference, batch)

    assert hits.line.tolist() == [2]
    gaps = {gap.reason: np.flatnonzero(gap.lines).tolist() for gap in hits.not_evaluated}
    assert gaps == {"contractor_defined": [0], "no_addon_row": [1]}


def test_a_policy_may_share_the_care_of_other_add_ons(sample_reference: Reference) -> None:
    batch = batch_of([claim(line("11042", npi="1003000126"), line("11045"))])
    policy = Policy(overrides=(Override(ADDON.id, params={"shared_care_codes": ("11045",)}),))

    strict, shared = (found(ADDON, sample_reference, batch, p) for p in (Policy(), policy))

    assert strict.line.tolist() == [1]
    assert len(shared) == 0
