"""59 and the X modifiers where there is nothing to keep apart."""

from typing import Final

import numpy as np

from engine.columns import Batch, Bools, Ints, distinct_values, rows_where
from engine.facts import SETTING_DME, SETTING_HOSPITAL, SETTING_PRACTITIONER, Facts
from engine.history import History
from engine.policy import Params
from engine.reference import DISTINCT, Reference
from engine.rules.billers import months_before
from engine.rules.ncci.pair_edits import FoundPairs
from engine.rules.pairs import codes_of_sessions
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    Variant,
    claim_before,
    example,
    line,
    rule,
)

_NO_PARTNER, _NEVER_BYPASSED, _RATE = range(3)
_BYPASS: Final = 1
_MAI_LINE: Final = 1
_ALL_E4: Final = 10_000

_BILLER: Final = "1234567893"


def _months(distinct: int) -> list[dict[str, object]]:
    """Six months of a biller with 100 lines each, some of them with 59."""
    return [
        {
            "billing_npi": _BILLER,
            "month": f"2025-{month:02d}-01",
            "claims": 50,
            "lines": 100,
            "distinct_lines": distinct,
        }
        for month in range(4, 10)
    ]


_PEERS: Final = [{"taxonomy": "", "distinct_p95_e4": 2000, "billers": 500}]


@rule(
    id="MODIFIER_59_ABUSE",
    category=Category.MODIFIER,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.11,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    variants={
        "no_partner": Variant(),
        "never_bypassed": Variant(),
        "rate_above_peers": Variant(),
    },
    carc="4",
    cites="NCCI Policy Manual ch. I s. E; MLN1783722",
    datasets=("ncci_ptp_practitioner", "ncci_ptp_hospital"),
    params={"lines_min": 100},
    evidence={
        "share_e4": Kind.COUNT,
        "peers_p95_e4": Kind.COUNT,
        "lines_counted": Kind.COUNT,
    },
    uses_history=True,
    caveat="59 also keeps apart lines of one code whose limit is by line, and edits of payers: "
    "a person decides. A biller's share counts from `lines_min` lines of the twelve months before.",
    examples=[
        example("59 alone on a claim", line("99000-59"), hit=True, variant="no_partner"),
        example("it keeps apart a pair", line("45385"), line("45380-59")),
        example("on column 1 it does so too", line("45385-59"), line("45380")),
        example(
            "no modifier helps this pair",
            line("43239"),
            line("43235-59"),
            hit=True,
            hit_lines=(2,),
            variant="never_bypassed",
        ),
        example("an X modifier is the same", line("85025-XU"), hit=True, variant="no_partner"),
        example(
            "the partner was billed on another day",
            line("45385", day="2025-10-14"),
            line("45380-59"),
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "the partner stands on an earlier claim of the day",
            line("45380-59"),
            earlier=[claim_before(line("45385"))],
        ),
        example(
            "two lines of a code whose limit is by line",
            line("J7190", units=20_000),
            line("J7190-59", units=20_000),
        ),
        example(
            "a biller who uses it far more than peers",
            line("45385"),
            line("45380-59"),
            hit=True,
            variant="rate_above_peers",
            on_file={"provider_months": _months(30), "peer_rates": _PEERS},
        ),
        example(
            "a biller as others are",
            line("45385"),
            line("45380-59"),
            on_file={"provider_months": _months(20), "peer_rates": _PEERS},
        ),
        example("no such modifier", line("45380")),
    ],
)
def find(
    batch: Batch,
    reference: Reference,
    facts: Facts,
    pair_edits: FoundPairs,
    history: History | None,
    params: Params,
) -> Hits:
    """59 or an X modifier stands where no edit needs it, where none helps, or far too often."""
    distinct = batch.has_modifier(*reference.ncci_modifiers.of_group(DISTINCT))
    if not distinct.any():
        return Hits.none(*_without_peers(history))
    served = distinct & pair_edits.lines.any
    alone = served & ~_in_pairs(pair_edits, len(distinct), _BYPASS)
    useless = alone & ~_apart_by_line(batch, reference, facts, alone)
    claim = distinct_values(batch.lines.claim[served])
    share, peers, counted = _shares(batch, history, claim, params["lines_min"])
    often = served & ~useless & batch.of_line(share > peers)
    never = _in_pairs(pair_edits, len(distinct), 0)
    return Hits.on_lines(
        batch,
        useless | often,
        variant=np.where(useless, np.where(never, _NEVER_BYPASSED, _NO_PARTNER), _RATE),
        evidence={
            "share_e4": batch.of_line(share),
            "peers_p95_e4": batch.of_line(peers),
            "lines_counted": batch.of_line(counted),
        },
        not_evaluated=tuple(
            NotEvaluated(gap.reason, lines=gap.lines & distinct)
            for gap in pair_edits.lines.not_evaluated
            if gap.lines is not None
        )
        + _without_peers(history),
    )


def _without_peers(history: History | None) -> tuple[NotEvaluated, ...]:
    """Say that shares were not compared; without any history the answer says `partial`."""
    known = history is None or len(history.peer_rates) > 0
    return () if known else (NotEvaluated("no_peer_rates"),)


def _in_pairs(found: FoundPairs, lines: int, indicator: int) -> Bools:
    """Lines in a pair of the indicator, in either column, with a line of this claim or another."""
    mask = np.zeros(lines, np.bool_)
    of_indicator = found.pairs.indicator == indicator
    mask[found.pairs.column1[of_indicator]] = True
    mask[found.pairs.column2[of_indicator]] = True
    mask[found.across.line[found.across.indicator == indicator]] = True
    return mask


def _apart_by_line(batch: Batch, reference: Reference, facts: Facts, lines: Bools) -> Bools:
    """Lines beside another of their code, whose published limit is by line."""
    code, day = batch.lines.procedure, batch.lines.service_from
    apart = np.zeros(len(lines), np.bool_)
    for setting, table in (
        (SETTING_PRACTITIONER, reference.mue_practitioner),
        (SETTING_HOSPITAL, reference.mue_hospital),
        (SETTING_DME, reference.mue_dme),
    ):
        asked = rows_where(lines & (facts.setting == setting))
        apart[asked] = table.mai[table.rows(code[asked], day[asked])] == _MAI_LINE
    if not apart.any():
        return apart
    coded = rows_where(code > 0)
    group = codes_of_sessions(batch, coded, facts.session)
    several = np.zeros(len(lines), np.bool_)
    several[coded] = np.bincount(group, minlength=len(lines))[group] > 1
    return apart & several


def _shares(
    batch: Batch, history: History | None, claim: Ints, lines_min: Ints
) -> tuple[Ints, Ints, Ints]:
    """Each biller's share of lines with 59, what peers stay below, and the lines counted.

    The share is 0 where there are too few lines, and what peers stay below is all where no peers
    are known.
    """
    share, lines = np.zeros((2, len(batch.claims)), np.int64)
    peers = np.full(len(batch.claims), _ALL_E4, np.int64)
    if history is None or not len(history.provider_months):
        return share, peers, lines
    months, rates = history.provider_months, history.peer_rates
    left, row = months_before(batch, claim, months)
    lines = np.bincount(left, months.lines[row], len(share)).astype(np.int64)
    distinct = np.bincount(left, months.distinct_lines[row], len(share)).astype(np.int64)
    share = np.where(lines >= lines_min, distinct * _ALL_E4 // np.maximum(lines, 1), 0)
    if len(rates):
        order = np.argsort(rates.taxonomy)
        known, p95 = rates.taxonomy[order], rates.distinct_p95_e4[order]
        at = np.minimum(known.searchsorted(batch.claims.billing_taxonomy), len(known) - 1)
        peers = np.where(known[at] == batch.claims.billing_taxonomy, p95[at], _ALL_E4)
    return share, peers, lines
