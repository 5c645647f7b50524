"""Codes that stand for a service without a code of its own."""

from engine.columns import Batch
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.listed import gap_of, rows_of_lines
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    Scope,
    Severity,
    example,
    line,
    rule,
)


@rule(
    id="MISC_CODE",
    category=Category.PRICING,
    scope=Scope.LINE,
    severity=Severity.LOW,
    weight=0.05,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    carc="189",
    cites="Medicare Claims Processing Manual ch. 26; NCCI Policy Manual ch. I (unlisted codes)",
    datasets=("unlisted_procedures",),
    evidence={"documented": Kind.NAME},
    names={"documented": ("no documentation", "documentation attached")},
    caveat="Which codes are unlisted is a table, not a pattern: many that end in 99 are not.",
    examples=[
        example("an unlisted procedure", line("64999"), hit=True, hit_lines=(1,)),
        example(
            "another one beside a visit", line("99213"), line("47999"), hit=True, hit_lines=(2,)
        ),
        example("a drug not otherwise classified", line("J3490"), hit=True),
        example(
            "documentation is noted, a person still decides",
            line("64999"),
            hit=True,
            has_documentation=True,
        ),
        example("a code that ends in 99 and is not in the list", line("99199")),
        example("an active code that ends in 99", line("J3399")),
        example("on its first day in the list", line("J7999", day="2024-01-01"), hit=True),
        example("the day before", line("J7999", day="2023-12-31")),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """A line bills an unlisted or not otherwise classified code, which says not what was done."""
    listing = reference.listing("unlisted_procedures")
    listed = rows_of_lines(listing, batch, facts).found(len(batch.lines))
    return Hits.on_lines(
        batch,
        listed,
        evidence={"documented": batch.lines.has_documentation.astype("int64")},
        not_evaluated=gap_of(listing),
    )
