"""Excluded providers: in every role, on every day, once a claim."""

import pytest
from claimgate.v1 import score_pb2

from engine.decode import decode
from engine.examples import claim_of
from engine.rules.fwa.oig_exclusion import find as oig_exclusion
from engine.rules.rule import Action, Certainty, example, line

EXCLUDED = "2000001372"  # since 2022-04-20
UNDATED = "2000090201"


def hits(reference, *claims):
    batch = decode(
        [score_pb2.ClaimBatch(claims=[claim_of(c, str(n)) for n, c in enumerate(claims)])],
        allow_zero_charge=True,
    )
    return oig_exclusion.find(batch, reference)


def roles(found):
    return [oig_exclusion.names["role"][role] for role in found.evidence["role"]]


@pytest.mark.parametrize(
    "role",
    ["billing", "rendering", "attending", "operating", "referring", "supervising", "facility"],
)
def test_every_role_of_a_claim_counts(role, sample_reference):
    claim = example("", line("99213"), **{f"{role}_provider": {"npi": EXCLUDED}})

    assert roles(hits(sample_reference, claim)) == [role]


@pytest.mark.parametrize("role", ["rendering", "ordering", "referring", "supervising", "facility"])
def test_every_role_of_a_line_counts(role, sample_reference):
    claim = example("", line("99213"), line("85025", **{f"{role}_provider": {"npi": EXCLUDED}}))

    assert roles(hits(sample_reference, claim)) == [f"{role} of a line"]


def test_claim_is_hit_once_however_many_roles_and_lines_match(sample_reference):
    claim = example(
        "",
        line("99213", npi=EXCLUDED),
        line("85025", npi=EXCLUDED),
        npi=EXCLUDED,
        referring_provider={"npi": EXCLUDED},
    )

    found = hits(sample_reference, claim, claim)

    assert found.claim.tolist() == [0, 1]
    assert roles(found) == ["billing", "billing"]


def test_dated_exclusion_weighs_more_than_the_undated_list(sample_reference):
    claim = example("", line("99213"), npi=UNDATED, referring_provider={"npi": EXCLUDED})

    found = hits(sample_reference, claim)

    assert roles(found) == ["referring"]
    assert oig_exclusion.cases[found.variant[0]].name == "npi"


def test_day_named_is_the_first_on_which_the_provider_is_excluded(sample_reference):
    claim = example(
        "",
        line("99213", day="2022-04-18"),
        line("99213", day="2022-04-22"),
        line("99213", day="2022-04-25"),
        npi=EXCLUDED,
    )

    found = hits(sample_reference, claim)

    assert found.evidence["service_date"].astype(str).tolist() == ["2022-04-22"]


@pytest.mark.parametrize("line_of_business", [1, 2, 3])
def test_federal_programs_deny_for_certain(line_of_business, sample_reference):
    claim = example("", line("99213"), npi=EXCLUDED, line_of_business=line_of_business)

    case = oig_exclusion.cases[hits(sample_reference, claim).variant[0]]

    assert (case.action, case.certainty) == (Action.DENY_CLAIM, Certainty.APPLY)


@pytest.mark.parametrize(
    "fields",
    [
        {"npi": EXCLUDED, "line_of_business": 4},
        {"npi": EXCLUDED, "line_of_business": 5},
        {"npi": EXCLUDED, "insurance_type": ""},
        {"npi": UNDATED},
    ],
    ids=["commercial", "other", "unknown", "undated list"],
)
def test_everything_else_is_left_to_a_person(fields, sample_reference):
    found = hits(sample_reference, example("", line("99213"), **fields))

    assert oig_exclusion.cases[found.variant[0]].action is Action.PEND


def test_emergency_on_one_line_of_two_changes_nothing(sample_reference):
    claim = example("", line("99283", emergency_indicator=True), line("85025"), npi=EXCLUDED)

    found = hits(sample_reference, claim)

    assert oig_exclusion.cases[found.variant[0]].name == "npi"


def test_days_before_the_list_are_not_judged(sample_reference):
    found = hits(sample_reference, example("", line("99213"), day="2001-05-05"))

    assert len(found) == 0
    assert [(gap.reason, gap.lines.tolist()) for gap in found.not_evaluated] == [
        ("no_release", [True])
    ]


WAIVED = "2000090052"  # excluded 2017-01-19, waived for Alabama 2018-03-01, reinstated 2020-12-10


@pytest.mark.parametrize(
    ("day", "zip5", "variant"),
    [
        ("2017-01-18", "35201", None),
        ("2017-01-19", "35201", "npi"),
        ("2018-02-28", "35201", "npi"),
        ("2018-02-28", "", "npi"),
        ("2018-03-01", "35201", None),
        ("2018-03-01", "10001", "npi"),
        ("2018-03-01", "", "waiver_unclear"),
        ("2018-03-01", "00001", "waiver_unclear"),
        ("2020-12-09", "35201", None),
        ("2020-12-09", "10001", "npi"),
        ("2020-12-10", "10001", None),
    ],
)
def test_a_waiver_counts_in_its_state_and_from_its_day(day, zip5, variant, sample_reference):
    claim = claim_of(example("", line("99213"), npi=WAIVED, day=day))
    claim.billing_provider.zip = zip5

    found = oig_exclusion.find(
        decode([score_pb2.ClaimBatch(claims=[claim])], allow_zero_charge=True), sample_reference
    )

    assert [oig_exclusion.cases[each].name for each in found.variant] == [variant][: len(found)]
    assert len(found) == (variant is not None)


def test_the_state_is_that_of_the_place_of_service_not_of_the_biller(sample_reference):
    claim = claim_of(example("", line("99213"), npi=WAIVED, day="2019-06-03"))
    claim.facility_provider.zip = "10001"

    found = oig_exclusion.find(
        decode([score_pb2.ClaimBatch(claims=[claim])], allow_zero_charge=True), sample_reference
    )

    assert [oig_exclusion.cases[each].name for each in found.variant] == ["npi"]


def test_another_provider_without_a_waiver_still_counts(sample_reference):
    claim = example(
        "", line("99213", day="2023-06-03"), npi=WAIVED, referring_provider={"npi": EXCLUDED},
        day="2023-06-03",
    )  # fmt: skip

    assert roles(hits(sample_reference, claim)) == ["referring"]
