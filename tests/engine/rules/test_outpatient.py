"""What examples of the rules on bills, stays, telehealth and bundles cannot show: many at once."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.codes import UNCODABLE, code36
from engine.decode import decode
from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.reference import Reference
from engine.rules.oce import observation_excessive, revenue_code_conflict
from engine.rules.oce.observation import observation
from engine.rules.rule import example, line
from engine.tables.listing import Listings
from engine.tables.listings import LISTINGS as SPECS
from loader.snapshot.build import build

SAMPLE = Path(__file__).parents[3] / "ops" / "reference-sample"
LISTINGS = {
    "OCE_INPATIENT_ONLY": "inpatient_only",
    "OCE_REVENUE_CODE_INVALID": "revenue_codes",
    "OCE_REVENUE_CODE_CONFLICT": "revenue_code_conflicts",
    "PRICING_DRG_MISMATCH": "drg_rules",
    "PRICING_DRG_WEIGHT_MISMATCH": "drg_weights",
    "PRICING_REVENUE_CODE_MISMATCH": "revenue_code_procedures",
    "PRICING_UNITS_EXCEED": "unit_limits",
    "SPECIALTY_TELEHEALTH_NOT_ELIGIBLE": "telehealth_procedures",
    "SPECIALTY_TELEHEALTH_PROVIDER": "telehealth_providers",
    "SPECIALTY_UNBUNDLING": "comprehensive_procedures",
}


def batch_of(*examples):
    claims = [claim_of(each, f"CLAIM-{n}") for n, each in enumerate(examples)]
    return decode([score_pb2.ClaimBatch(claims=claims)], allow_zero_charge=True)


def emptied(reference: Reference) -> Reference:
    """The same tables without a row in any listing."""
    tables = {
        name: (spec, {column: values[:0] for column, values in columns.items()})
        for name, (spec, columns) in reference.listings.tenants.items()
    }
    return replace(reference, listings=Listings.of(tables).for_tenant(""))


def judged(reference: Reference, *examples):
    engine = Engine.with_all_rules(reference)
    claims = [claim_of(each, f"CLAIM-{n}") for n, each in enumerate(examples)]
    for n, claim in enumerate(claims):
        claim.person_id = f"MEMBER-{n}"
    read = engine.read([score_pb2.ClaimBatch(claims=claims)])
    return engine.judge(read, Gathered(ModelAnswer.disabled()))


def hits_of(scored, rule_id: str):
    at = next(n for n, rule in enumerate(scored.findings.rules) if rule.id == rule_id)
    return scored.findings.by_rule[at]


@pytest.mark.parametrize("rule_id", sorted(LISTINGS))
def test_without_its_listing_a_rule_says_so_and_hits_nothing(sample_reference, rule_id):
    rule = next(
        each for each in Engine.with_all_rules(sample_reference).rules if each.id == rule_id
    )
    firing = [each for each in rule.examples if each.hit and not each.params and not each.earlier]

    with_rows = judged(sample_reference, *firing)
    without = judged(emptied(sample_reference), *firing)

    assert len(hits_of(with_rows, rule_id)) > 0
    assert len(hits_of(without, rule_id)) == 0
    assert "no_dataset" in {gap.reason for gap in hits_of(without, rule_id).not_evaluated}


@pytest.mark.parametrize("rule_id", sorted(LISTINGS))
def test_claims_of_one_pass_do_not_meet(sample_reference, rule_id):
    rule = next(
        each for each in Engine.with_all_rules(sample_reference).rules if each.id == rule_id
    )
    examples = [each for each in rule.examples if not each.params and not each.earlier]

    together = hits_of(judged(sample_reference, *examples), rule_id)

    assert sorted(set(together.claim.tolist())) == [
        n for n, each in enumerate(examples) if each.hit
    ]
    owner = together.claim[together.line_hit]
    batch = batch_of(*examples)
    assert (batch.lines.claim[together.line] == owner).all()


def test_hours_are_added_by_claim_and_whole_hours_only_at_the_end():
    half = line("G0378", units=24.4, revenue_code="0762")
    batch = batch_of(
        example("", half, half, institutional=True),
        example("", line("99213")),
        example("", half, institutional=True),
    )

    found = observation(batch)

    assert found is not None
    assert found.hours.tolist() == [48, 0, 24]
    assert found.lines.tolist() == [2, 0, 1]


def test_a_pass_without_observation_has_none():
    assert observation(batch_of(example("", line("99213")))) is None


def test_three_lines_of_a_pair_give_a_hit_for_each_two(sample_reference):
    batch = batch_of(
        example(
            "",
            line("99213", revenue_code="0519"),
            line("99283", revenue_code="0526"),
            line("99284", revenue_code="0529"),
            institutional=True,
        )
    )

    hits = revenue_code_conflict.find.find(batch=batch, reference=sample_reference)

    assert batch.lines.number[hits.line].reshape(-1, 2).tolist() == [[1, 2], [1, 3]]


def test_of_two_panels_the_larger_names_the_members(sample_reference):
    members = ("82310", "82374", "82435", "82565", "82947", "84132", "84295", "84520")
    scored = judged(
        sample_reference,
        example("", *map(line, members)),
        example("", *map(line, members[1:])),
        example("", *map(line, members), line("82947")),
    )

    hits = hits_of(scored, "SPECIALTY_UNBUNDLING")

    shown = {
        int(claim): int(count)
        for claim, count in zip(hits.claim, hits.evidence["components"], strict=True)
    }
    assert shown == {0: 8, 1: 4, 2: 9}


def test_a_bill_of_a_thousand_listed_lines_is_judged(sample_reference):
    lines = [line("A6402"), *(line("11042") for _ in range(900))]
    scored = judged(sample_reference, example("", *lines, institutional=True))

    hits = hits_of(scored, "SPECIALTY_INCIDENTAL")

    assert len(hits) == 1
    assert len(hits.partner) == 900


def test_what_a_tenant_lists_is_added_to_what_all_list(sample_reference):
    listing = sample_reference.listing("inpatient_only")
    spec, columns = sample_reference.listings.tenants["inpatient_only"]
    own = {name: np.append(values, values[:1]) for name, values in columns.items()}
    own["tenant"][-1] = b"OTHER"
    own["code_first"][-1] = own["code_last"][-1] = code36("27447")
    tables = {**sample_reference.listings.tenants, "inpatient_only": (spec, own)}
    bill = example("", line("27447"), institutional=True)

    counts = [
        len(
            hits_of(
                judged(
                    replace(sample_reference, listings=Listings.of(tables).for_tenant(tenant)), bill
                ),
                "OCE_INPATIENT_ONLY",
            )
        )
        for tenant in ("", "OTHER")
    ]

    assert counts == [0, 1]
    assert len(listing) + 1 == len(own["tenant"])


def test_a_taxonomy_that_is_no_code_is_no_kind_of_provider(sample_reference):
    unreadable = {"npi": "1003000126", "taxonomy": "207-Q"}
    urgent_care = {"npi": "1003000126", "taxonomy": "261QU0200X"}
    scored = judged(
        sample_reference,
        example("", line("99213", pos="21"), rendering_provider=unreadable),
        example("", line("99213", pos="21"), rendering_provider=urgent_care),
    )

    assert scored.batch.lines.taxonomy[0] == UNCODABLE
    assert hits_of(scored, "POS_PROVIDER_MISMATCH").claim.tolist() == [1]


def test_a_pass_without_lines_is_judged(sample_reference):
    scored = judged(sample_reference)

    assert all(len(hits) == 0 for hits in scored.findings.by_rule)


def test_limits_of_hours_may_differ_by_claim():
    batch = batch_of(
        *(
            example("", line("G0378", units=40, revenue_code="0762"), institutional=True)
            for _ in range(2)
        )
    )

    hits = observation_excessive.find.find(batch=batch, params={"hours_max": np.array([36, 48])})

    assert hits.claim.tolist() == [0]


@pytest.fixture(scope="module")
def published(shared_data, tmp_path_factory) -> tuple[Reference, list[str], list[str]]:
    """The sample with the published telehealth list and revenue codes in place of its own rows."""
    folder = tmp_path_factory.mktemp("published_lists")
    shutil.copytree(SAMPLE, folder / "source")
    rows = (shared_data / "codes" / "telehealth_cy2026.excerpt.txt").read_text().splitlines()
    codes = [row.split("\t")[0] for row in rows[2:]]
    # One row of the file is a whole category, 091X.
    listed = (shared_data / "codes" / "revenue_center_codes.csv").read_text().split()
    revenue = [each for each in listed if each.isdigit()]
    tables = {
        "telehealth_procedures": [f",{each},,medicare_ffs,yes,no,2026-01-01," for each in codes],
        "revenue_codes": [f",{each},,none,,,," for each in revenue],
    }
    for name, lines in tables.items():
        text = "\n".join([",".join(SPECS[name].headers), *lines]) + "\n"
        (folder / "source" / "claimgate" / f"{name}.csv").write_text(text)
    build(folder / "source", folder / "snapshot")
    return Reference.open(folder / "snapshot"), codes, revenue


def test_every_service_of_the_published_list_is_telehealth(published):
    reference, codes, _ = published
    dates = {"day": "2026-03-02", "received": "2026-03-10"}
    claims = [example("", line(f"{each}-95", pos="10"), **dates) for each in [*codes, "27447"]]

    hits = hits_of(judged(reference, *claims), "SPECIALTY_TELEHEALTH_NOT_ELIGIBLE")

    assert len(codes) == 58
    assert hits.claim.tolist() == [58]


def test_only_published_revenue_codes_are_assigned(published):
    reference, _, revenue = published
    every = [f"{n:04d}" for n in range(1, 3200)]
    lines = [line("99213", revenue_code=each) for each in every]
    bills = [
        example("", *lines[at : at + 400], institutional=True) for at in range(0, len(every), 400)
    ]

    scored = judged(reference, *bills)
    hits = hits_of(scored, "OCE_REVENUE_CODE_INVALID")

    assert len(scored.batch.lines) == len(every)
    assert {every[n] for n in hits.line.tolist()} == set(every) - set(revenue)
