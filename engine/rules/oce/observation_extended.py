"""Observation into a second day without documentation."""

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
    example,
    line,
    rule,
)


@rule(
    id="OCE_OBSERVATION_EXTENDED",
    category=Category.OCE,
    scope=Scope.CLAIM,
    severity=Severity.MEDIUM,
    weight=0.10,
    action=Action.INFO,
    certainty=Certainty.ADVISE,
    cites=OBSERVATION_CITES,
    params={"hours_usual": 24, "hours_max": 48},
    evidence=OBSERVATION_EVIDENCE,
    caveat="[U] 24 and 48 hours are usage, not a limit of payment. Beyond `hours_max` "
    "OCE_OBSERVATION_EXCESSIVE speaks: change both together.",
    examples=[
        example(
            "thirty hours",
            line("G0378", units=30, revenue_code="0762"),
            institutional=True,
            hit=True,
            hit_lines=(),
        ),
        example("twenty hours", line("G0378", units=20, revenue_code="0762"), institutional=True),
        example("exactly 24", line("G0378", units=24, revenue_code="0762"), institutional=True),
        example(
            "24 and a half: the begun hour does not count",
            line("G0378", units=24.5, revenue_code="0762"),
            institutional=True,
        ),
        example("25", line("G0378", units=25, revenue_code="0762"), institutional=True, hit=True),
        example(
            "exactly 48", line("G0378", units=48, revenue_code="0762"), institutional=True, hit=True
        ),
        example(
            "49 is excessive, another rule",
            line("G0378", units=49, revenue_code="0762"),
            institutional=True,
        ),
        example(
            "documentation with the claim",
            line("G0378", units=30, revenue_code="0762"),
            institutional=True,
            has_documentation=True,
        ),
        example(
            "documentation with the line",
            line("G0378", units=30, revenue_code="0762", has_documentation=True),
            institutional=True,
        ),
        example(
            "documentation with a line that is no observation",
            line("G0378", units=30, revenue_code="0762"),
            line("80053", revenue_code="0301", has_documentation=True),
            institutional=True,
            hit=True,
        ),
        example(
            "the revenue code alone",
            line("", units=30, revenue_code="0762"),
            institutional=True,
            hit=True,
        ),
        example("the treatment room", line("", units=30, revenue_code="0760"), institutional=True),
        example(
            "the patient was admitted",
            line("G0378", units=30, revenue_code="0762"),
            institutional=True,
            tob="0111",
        ),
    ],
)
def find(batch: Batch, params: Params) -> Hits:
    """Observation lasted into a second day, and no documentation says why."""
    found = observation(batch)
    if found is None:
        return Hits.none()
    usual = params["hours_usual"]
    extended = (found.hours > usual) & (found.hours <= params["hours_max"])
    return Hits.on_claims(
        extended & ~found.documented,
        evidence={"hours": found.hours, "hours_limit": usual, "lines_counted": found.lines},
    )
