"""A claim that was billed before, line by line."""

import numpy as np

from engine.columns import Batch
from engine.past import Past
from engine.rules.duplicate.claims import IN_PROCESS, repeated_claims
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    Kind,
    Scope,
    Severity,
    claim_before,
    example,
    line,
    rule,
)


@rule(
    id="DUPLICATE_EXACT",
    category=Category.DUPLICATE,
    scope=Scope.CLAIM,
    severity=Severity.CRITICAL,
    weight=0.20,
    action=Action.DENY_CLAIM,
    certainty=Certainty.APPLY,
    families=(Family.DUPLICATE,),
    carc="18",
    cites="Medicare Claims Processing Manual ch. 1 s. 120",
    evidence={
        "earlier_claim": Kind.EARLIER_CLAIM,
        "earlier_received": Kind.DATE,
        "earlier_state": Kind.NAME,
        "equal_claims": Kind.COUNT,
        "lines": Kind.COUNT,
        "total_charge_cents": Kind.CENTS,
    },
    names={"earlier_state": IN_PROCESS},
    uses_history=True,
    caveat="Lines may stand in another order, and modifiers too; their days and drug codes must "
    "agree as well. Claims whose review is open count. The frequency in the last place of a type "
    "of bill is not compared. Of two claims in one message the later in the message is the "
    "duplicate; days of receipt are not compared.",
    examples=[
        example(
            "the same claim under a new id",
            line("99213"),
            line("71046"),
            earlier=[claim_before(line("99213"), line("71046"))],
            hit=True,
            hit_lines=(),
        ),
        example(
            "its lines in another order",
            line("71046"),
            line("99213"),
            earlier=[claim_before(line("99213"), line("71046"))],
            hit=True,
        ),
        example(
            "its modifiers in another order",
            line("20610-59-RT"),
            earlier=[claim_before(line("20610-RT-59"))],
            hit=True,
        ),
        example(
            "the same codes on another day",
            line("99213"),
            earlier=[claim_before(line("99213"), day="2025-10-14")],
        ),
        example(
            "a replacement of the original is none",
            line("99213"),
            earlier=[claim_before(line("99213"))],
            frequency_code="7",
            payer_claim_control_number="EARLIER-1",
        ),
        example(
            "a replacement that names the original by a number of the payer's own",
            line("99213"),
            earlier=[claim_before(line("99213"))],
            frequency_code="7",
            payer_claim_control_number="ICN-20251015-1",
        ),
        example(
            "a void of the original",
            line("99213"),
            earlier=[claim_before(line("99213"))],
            frequency_code="8",
            payer_claim_control_number="EARLIER-1",
        ),
        example(
            "the same replacement twice",
            line("99213"),
            earlier=[
                claim_before(line("99213", charge=90)),
                claim_before(
                    line("99213"), frequency_code="7", payer_claim_control_number="EARLIER-1"
                ),
            ],
            frequency_code="7",
            payer_claim_control_number="EARLIER-1",
            hit=True,
        ),
        example(
            "the original was voided",
            line("99213"),
            earlier=[
                claim_before(line("99213")),
                claim_before(
                    line("99213"), frequency_code="8", payer_claim_control_number="EARLIER-1"
                ),
            ],
        ),
        example(
            "a later version of the same claim",
            line("99213"),
            claim_id="SENT-TWICE",
            claim_version=2,
            earlier=[claim_before(line("99213"), claim_id="SENT-TWICE")],
        ),
        example("said to be a repeat", line("71046-76"), earlier=[claim_before(line("71046"))]),
        example("the other side", line("20610-LT"), earlier=[claim_before(line("20610-RT"))]),
        example(
            "the same side again",
            line("20610-RT"),
            earlier=[claim_before(line("20610-RT"))],
            hit=True,
        ),
        example("other units", line("97110", units=2), earlier=[claim_before(line("97110"))]),
        example("another charge", line("99213"), earlier=[claim_before(line("99213", charge=90))]),
        example("another place", line("99213", pos="12"), earlier=[claim_before(line("99213"))]),
        example(
            "one line more",
            line("99213"),
            line("71046"),
            earlier=[claim_before(line("99213"))],
        ),
        example(
            "another biller",
            line("99213"),
            earlier=[claim_before(line("99213"), npi="1003000126")],
        ),
        example(
            "a hospital's bill twice",
            line("99284", revenue_code="0450"),
            institutional=True,
            earlier=[claim_before(line("99284", revenue_code="0450"), institutional=True)],
            hit=True,
        ),
        example(
            "another type of bill",
            line("99284", revenue_code="0450"),
            institutional=True,
            tob="0851",
            earlier=[claim_before(line("99284", revenue_code="0450"), institutional=True)],
        ),
        example(
            "another cost centre",
            line("99284", revenue_code="0456"),
            institutional=True,
            earlier=[claim_before(line("99284", revenue_code="0450"), institutional=True)],
        ),
        example(
            "the hospital's bill and the physician's",
            line("99284"),
            earlier=[claim_before(line("99284", revenue_code="0450"), institutional=True)],
        ),
        example("a single claim", line("99213")),
    ],
)
def find(batch: Batch, past: Past) -> Hits:
    """An earlier claim of the member has the same biller, days, charge and lines."""
    pairs = repeated_claims(batch, past)
    claim, first, count = np.unique(pairs.claim, return_index=True, return_counts=True)
    earlier = pairs.earlier[first]
    return Hits(
        claim=claim,
        evidence={
            "earlier_claim": earlier,
            "earlier_received": past.claims.received_date[earlier],
            "earlier_state": past.claims.in_process[earlier].astype(np.int64),
            "equal_claims": count,
            "lines": batch.claims.lines[claim],
            "total_charge_cents": batch.claims.total_charge_cents[claim],
        },
    )
