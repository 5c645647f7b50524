"""National provider identifiers that cannot be one."""

from typing import Final

import numpy as np

from engine.codes import ABSENT
from engine.columns import Batch, Bools, Ints, rows_where
from engine.rules.format.faults import Faults, hits_of
from engine.rules.format.npi import is_npi
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    Scope,
    Severity,
    Stake,
    example,
    line,
    rule,
)

_CLAIM_ROLES: Final = (
    "billing",
    "rendering",
    "attending",
    "operating",
    "referring",
    "supervising",
    "facility",
)
_LINE_ROLES: Final = ("rendering", "ordering", "referring", "supervising", "facility")
_FIELDS: Final = (
    *(f"{role}_provider.npi" for role in _CLAIM_ROLES),
    *(f"lines.{role}_provider.npi" for role in _LINE_ROLES),
)
_PROBLEM: Final = "not ten digits that begin with 1 or 2 and end with the right check digit"


@rule(
    id="FORMAT_INVALID_NPI",
    category=Category.FORMAT,
    scope=Scope.CLAIM,
    severity=Severity.HIGH,
    weight=0.15,
    action=Action.REJECT,
    certainty=Certainty.APPLY,
    carc="16/208",
    stake=Stake.NONE,
    cites="45 CFR 162.406; CMS, Requirements for NPI Check Digit",
    evidence={"field": Kind.NAME, "problem": Kind.NAME},
    names={"field": _FIELDS, "problem": (_PROBLEM,) * len(_FIELDS)},
    caveat="A valid number need not exist: no registry is asked.",
    examples=[
        example(
            "a check digit that is wrong", line("99213"), npi="1234567890", hit=True, hit_lines=()
        ),
        example("the same number with the right one", line("99213"), npi="1234567893"),
        example("ten zeros", line("99213"), npi="0000000000", hit=True),
        example("one digit ten times", line("99213"), npi="1111111111", hit=True),
        example("nine digits", line("99213"), npi="123456789", hit=True),
        example("the right check digit behind a 3", line("99213"), npi="3000000008", hit=True),
        example(
            "a renderer of one line",
            line("99213"),
            line("99214", npi="1234567890"),
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "who ordered a line",
            line("99213", ordering_provider={"npi": "1234567890"}),
            hit=True,
            hit_lines=(1,),
        ),
        example(
            "who referred the patient",
            line("99213"),
            referring_provider={"npi": "1234567890"},
            hit=True,
        ),
        example("a provider without a number", line("99213"), referring_provider={"npi": ""}),
    ],
)
def find(batch: Batch) -> Hits:
    """A provider's number that is given is no possible NPI."""
    claims, lines = batch.claims, batch.lines
    on_claims = [getattr(claims, f"{role}_npi") for role in _CLAIM_ROLES]
    # A line without a renderer of its own shows the claim's or the biller's: fields of the claim.
    inherited = (lines.rendering_npi == batch.of_line(claims.rendering_npi)) | (
        lines.rendering_npi == batch.of_line(claims.billing_npi)
    )
    own = np.where(inherited, ABSENT, lines.rendering_npi)
    on_lines = [own, *(getattr(lines, f"{role}_npi") for role in _LINE_ROLES[1:])]
    return hits_of(
        [
            *(Faults.on_claims(kind, _impossible(npi)) for kind, npi in enumerate(on_claims)),
            *(
                Faults.on_lines(batch, kind, _impossible(npi))
                for kind, npi in enumerate(on_lines, len(on_claims))
            ),
        ]
    )


def _impossible(npi: Ints) -> Bools:
    given = rows_where(npi != ABSENT)
    impossible = np.zeros(len(npi), np.bool_)
    impossible[given] = ~is_npi(npi[given])
    return impossible
