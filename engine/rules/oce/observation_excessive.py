"""Observation for longer than two days."""

import numpy as np

from engine.columns import Batch
from engine.policy import Params
from engine.rules.oce.observation import OBSERVATION_CITES, OBSERVATION_EVIDENCE, observation
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Scope,
    Severity,
    claim_before,
    example,
    line,
    rule,
)


@rule(
    id="OCE_OBSERVATION_EXCESSIVE",
    category=Category.OCE,
    scope=Scope.CLAIM,
    severity=Severity.HIGH,
    weight=0.16,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    carc="152",
    cites=OBSERVATION_CITES,
    params={"hours_max": 48},
    evidence=OBSERVATION_EVIDENCE,
    caveat="[U] 48 hours is what the manual calls rarely exceeded, not a limit of payment "
    "(`hours_max`). Fractions of the sum do not count. Hours before an admission stand on the "
    "inpatient bill and are not judged.",
    examples=[
        example(
            "sixty hours",
            line("G0378", units=60, revenue_code="0762"),
            institutional=True,
            hit=True,
            hit_lines=(),
        ),
        example("exactly 48", line("G0378", units=48, revenue_code="0762"), institutional=True),
        example(
            "48 and three quarters: the begun hour does not count",
            line("G0378", units=48.75, revenue_code="0762"),
            institutional=True,
        ),
        example(
            "halves of two lines make the 49th hour",
            line("G0378", units=24.5, revenue_code="0762"),
            line("G0378", units=24.5, revenue_code="0762", day="2025-10-16"),
            institutional=True,
            service_to_date="2025-10-16",
            hit=True,
        ),
        example(
            "the revenue code without a code counts hours",
            line("", units=60, revenue_code="0762"),
            institutional=True,
            hit=True,
        ),
        example(
            "a line with both counts once",
            line("G0378", units=40, revenue_code="0762"),
            institutional=True,
        ),
        example(
            "the treatment room is no observation",
            line("", units=60, revenue_code="0760"),
            institutional=True,
        ),
        example(
            "G0378 counts under whatever revenue code",
            line("G0378", units=60, revenue_code="0760"),
            institutional=True,
            hit=True,
        ),
        example(
            "a direct admission is one service, not an hour",
            line("G0379", revenue_code="0762"),
            line("G0378", units=48, revenue_code="0762"),
            institutional=True,
        ),
        example(
            "days are no hours",
            line("", units=60, unit_basis="DA", revenue_code="0762"),
            institutional=True,
        ),
        example(
            "the patient was admitted",
            line("G0378", units=60, revenue_code="0762"),
            institutional=True,
            tob="0111",
        ),
        example(
            "documentation does not shorten it",
            line("G0378", units=60, revenue_code="0762"),
            institutional=True,
            has_documentation=True,
            hit=True,
        ),
        example(
            "a payer that looks from 36 hours on",
            line("G0378", units=40, revenue_code="0762"),
            institutional=True,
            params={"hours_max": 36},
            hit=True,
        ),
        example(
            "hours of an earlier claim are its own",
            line("G0378", units=30, revenue_code="0762"),
            institutional=True,
            earlier=[
                claim_before(
                    line("G0378", units=30, revenue_code="0762"),
                    institutional=True,
                    day="2025-10-10",
                )
            ],
        ),
    ],
)
def find(batch: Batch, params: Params) -> Hits:
    """The hours of observation on an outpatient bill exceed two days."""
    found = observation(batch)
    if found is None:
        return Hits.none()
    limit = params["hours_max"]
    return Hits.on_claims(
        np.greater(found.hours, limit),
        evidence={"hours": found.hours, "hours_limit": limit, "lines_counted": found.lines},
    )
