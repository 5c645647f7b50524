"""Filing windows under other policies than the default."""

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.decode import decode
from engine.examples import claim_of
from engine.policy import Params
from engine.rules.rule import example, line
from engine.rules.timely_filing.invalid_exception import find as invalid_exception
from engine.rules.timely_filing.late import find as late
from engine.rules.timely_filing.no_exception import find as no_exception
from engine.rules.timely_filing.warning import find as warning

COMMERCIAL = 4


def hits(rule, *claims, **params):
    """Claim and line numbers of the hits of a rule on some claims."""
    batch = decode(
        [score_pb2.ClaimBatch(claims=[claim_of(c, str(n))]) for n, c in enumerate(claims)],
        allow_zero_charge=True,
    )
    found = rule.find(batch, Params({**rule.params, **params}, len(claims)))
    numbers = batch.lines.number[found.line]
    return [
        (int(claim), numbers[found.line_hit == hit].tolist())
        for hit, claim in enumerate(found.claim)
    ]


def filed(day, received, *lines, **fields):
    return example("", *(lines or (line("99213"),)), day=day, received=received, **fields)


def test_payer_counts_its_own_days():
    claim = filed("2025-01-01", "2025-04-02", line_of_business=COMMERCIAL)  # day 91

    assert hits(late, claim, days=90) == [(0, [1])]
    assert hits(late, claim, days=91) == []


def test_nine_tenths_of_the_days_are_no_warning_yet():
    ninety = filed("2025-01-01", "2025-04-01", line_of_business=COMMERCIAL)
    ninety_one = filed("2025-01-01", "2025-04-02", line_of_business=COMMERCIAL)

    assert hits(warning, ninety, ninety_one, days=100) == [(1, [1])]


def test_lines_of_business_count_side_by_side():
    medicare = filed("2024-01-13", "2025-01-13")
    commercial = filed("2024-01-13", "2025-01-13", line_of_business=COMMERCIAL)

    assert hits(late, medicare, commercial) == [(1, [1])]
    assert hits(late, medicare, commercial, calendar_year_for=("commercial",)) == [(0, [1])]


def test_correction_has_the_same_window_unless_the_payer_gives_another():
    correction = filed(
        "2024-01-10", "2025-03-10", frequency_code="7", payer_claim_control_number="ORIGINAL"
    )
    original = filed("2024-01-10", "2025-03-10")

    assert hits(late, original, correction) == [(0, [1]), (1, [1])]
    assert hits(late, original, correction, corrected_days=730) == [(0, [1])]


def test_only_a_claim_that_is_late_as_a_whole_is_denied_as_a_whole():
    partly = filed("2024-01-10", "2025-01-13", line("99213"), line("99214", day="2024-01-16"))
    wholly = filed("2024-01-10", "2025-01-13", line("99213"), line("99214"))

    assert hits(no_exception, partly, wholly) == [(1, [])]
    assert hits(late, partly, wholly) == [(0, [1]), (1, [1]), (1, [2])]


@pytest.mark.parametrize("word", ["hurricane_ian", "Hurricane Ian", "HURRICANE-IAN"])
def test_tenant_may_accept_its_own_words(word):
    claim = filed("2024-01-10", "2025-03-10", timely_filing_exception=word, has_documentation=True)

    assert len(hits(invalid_exception, claim)) == 1
    assert hits(invalid_exception, claim, medicare_exceptions=("hurricane_ian",)) == []
    assert hits(late, claim, medicare_exceptions=("hurricane_ian",)) == []


def test_each_claim_answers_for_its_own_excuse():
    good = filed(
        "2024-01-10",
        "2025-03-10",
        timely_filing_exception="retroactive_entitlement",
        has_documentation=True,
    )
    bad = filed("2024-01-10", "2025-03-10", timely_filing_exception="provider_vacation")

    assert hits(late, good, bad) == [(1, [1])]
    assert hits(invalid_exception, good, bad) == [(1, [])]


def test_claim_without_a_day_of_receipt_is_not_late():
    claim = filed("2020-01-10", "2025-03-10", received_date="")

    for rule in (late, warning, no_exception, invalid_exception):
        assert hits(rule, claim) == []


def test_pass_without_claims_has_no_hits():
    batch = decode([], allow_zero_charge=True)

    for rule in (late, warning, no_exception, invalid_exception):
        assert len(rule.find(batch, Params(rule.params, 0))) == 0


def test_late_days_count_from_the_rolled_deadline():
    batch = decode(
        [score_pb2.ClaimBatch(claims=[claim_of(filed("2024-01-13", "2025-01-14"))])],
        allow_zero_charge=True,
    )

    found = late.find(batch, Params(late.params, 1))

    assert found.evidence["deadline"] == np.datetime64("2025-01-13")
    assert found.evidence["days_late"].tolist() == [1]
