"""Results to wire bytes, in C: the same answers as `encode`, many times faster.

Everything is laid out here as columns and pieces; no loop runs over claims, lines or hits but the
rare ones: claims that could not be scored, and traces.
"""

from collections.abc import Sequence

import numpy as np
from claimgate.v1 import score_pb2 as pb
from claimgate.v1.scoring_service_pb2 import MessageResult
from numpy.typing import NDArray

from engine.columns import Ints, rows_where
from engine.encode import (
    AGE_FEATURE,
    NO_PRICE,
    Opinion,
    Scored,
    exposure_basis,
    opinions,
    provenance,
    stand_ins_of,
    totals_of,
    trace,
)
from engine.gaps import Gaps
from engine.hits_native import hit_tables
from engine.wire_tables import (
    ABSENT,
    NO_PIECE,
    Cell,
    Column,
    Run,
    Tables,
    Texts,
    number,
    optional,
    optional_real,
    piece,
    real,
    rows,
    text,
)

_MESSAGE_BYTES, _CLAIM_BYTES, _LINE_BYTES, _HIT_BYTES = 2_000, 400, 100, 800
"""About what each takes at most; more room is made where it is not enough."""


def encode(scored: Scored, gaps: Gaps, views: Sequence[int]) -> list[bytes] | None:
    """Return each message's answer as the bytes of a `MessageResult` without its sequence.

    None where something has to be written by Python's rules, as a day after the year 9999.

    Args:
        scored: The pass.
        gaps: What could not be judged in it.
        views: How much each message's answer says, a `View` per message.
    """
    texts = Texts()
    tables = Tables(texts)
    view = np.array(views, np.int64)[scored.batch.claims.message]
    claims = _claims(scored, gaps, view, texts, tables)
    received = scored.batch.received
    messages = tables.add(
        MessageResult.DESCRIPTOR,
        [
            ("results", rows(Run.of(np.array(received.message_claims, np.int64)), claims)),
            ("", piece(_provenances(scored, texts))),
        ],
    )
    room = (
        len(received.message_claims) * _MESSAGE_BYTES
        + len(received.claim_ids) * _CLAIM_BYTES
        + len(scored.batch.lines) * _LINE_BYTES
        + len(scored.findings) * _HIT_BYTES
    )
    return tables.write(messages, len(received.message_claims), room)


def _provenances(scored: Scored, texts: Texts) -> Ints:
    """Pieces of what messages rest on: they differ by model and by the releases that stand in."""
    said = [
        (each.version, mask)
        for each, mask in zip(opinions(scored), stand_ins_of(scored).tolist(), strict=True)
    ]
    places = {
        each: texts.add(MessageResult(provenance=provenance(scored, *each)).SerializeToString())
        for each in dict.fromkeys(said)
    }
    return np.array([places[each] for each in said], np.int64)


class _Spread:
    """Columns of the scored claims as columns of all that came in; the others have 0."""

    def __init__(self, scored: Scored) -> None:
        self.count = len(scored.batch.received.claim_ids)
        self.ordinal = scored.batch.claims.ordinal

    def __call__(self, column: Column, absent: int = 0) -> Column:
        """Return such a column."""
        if len(column) == self.count:
            return column
        spread = np.full(self.count, absent, column.dtype)
        spread[self.ordinal] = column
        return spread

    def run(self, run: Run) -> Run:
        """Return the runs of such a column."""
        return Run(*(self(each.astype(np.int64, copy=False)) for each in run))


def _claims(
    scored: Scored, gaps: Gaps, view: NDArray[np.int64], texts: Texts, tables: Tables
) -> int:
    """Add the table of all claims that came in, with what is within them."""
    received, verdict, claims = scored.batch.received, scored.verdict, scored.batch.claims
    spread = _Spread(scored)
    totals, unpriced = totals_of(scored)
    decision = np.full(spread.count, pb.DECISION_REJECT, np.int64)
    decision[spread.ordinal] = verdict.decision
    lines = _lines(scored, view == pb.VIEW_TRACE, texts, tables)
    first_id = texts.add_all(received.claim_ids)
    fields: list[tuple[str, Cell]] = [
        ("claim_id", text(np.arange(first_id, first_id + spread.count))),
        ("claim_version", number(np.array(received.versions, np.int64))),
        ("decision", number(decision)),
        ("fraud_score", real(spread(verdict.fraud_score))),
        ("rule_score", real(spread(verdict.rule_score))),
        ("risk_category", number(spread(verdict.risk))),
        ("", piece(_of_pass(scored, texts))),
        ("allowed_cents", optional(spread(_where(unpriced < claims.lines, totals), ABSENT))),
        ("unpriced_lines", number(spread(unpriced))),
        ("exposure_cents", number(spread(verdict.exposure_cents))),
        ("exposure_basis", number(spread(exposure_basis(scored)))),
        ("", piece(spread(_of_gaps(gaps, len(claims), texts), NO_PIECE))),
        ("lines", rows(spread.run(Run(claims.line_start, claims.lines)), lines)),
        ("is_test", number(np.array(received.is_test, np.bool_))),
    ]
    probability = scored.gathered.model.probability
    if probability is not None:
        # No negative zero: its bits are those of what is left out.
        bits = (probability.astype(np.float64) + 0.0).view(np.int64)
        if scored.gathered.model.by_message:
            bits = np.where(np.isnan(probability), ABSENT, bits)
        fields.append(("approval_probability", optional_real(spread(bits, ABSENT))))
    fields += [
        ("hits", rows(spread.run(run), table, order))
        for run, table, order in hit_tables(scored, view, texts, tables)
    ]
    return tables.add(pb.ClaimResult.DESCRIPTOR, fields)


def _where(mask: Column, values: Column, absent: int = ABSENT) -> Column:
    return np.where(mask, values, values.dtype.type(absent))


def _of_pass(scored: Scored, texts: Texts) -> Ints:
    """Pieces of what scored claims have in common, and of what is wrong with the others."""
    places = np.full(len(scored.batch.received.claim_ids), NO_PIECE, np.int64)
    said, claims = opinions(scored), scored.batch.claims
    pieces = {each: _of_opinion(each, texts) for each in dict.fromkeys(said)}
    known, imputed = np.array([pieces[each] for each in said], np.int64).reshape(-1, 2).T
    places[claims.ordinal] = np.where(
        scored.features.age_imputed, imputed[claims.message], known[claims.message]
    )
    for ordinal, violations in scored.batch.violations.items():
        faulty = pb.ClaimResult()
        for each in violations:
            faulty.violations.add(field=each.field, code=each.code, message=each.message)
        places[ordinal] = texts.add(faulty.SerializeToString())
    return places


def _of_opinion(said: Opinion, texts: Texts) -> tuple[int, int]:
    """Pieces of what the model said, without and with a feature that had to be filled in."""
    alike = pb.ClaimResult(model_status=said.status, degraded=said.degraded)
    known = texts.add(alike.SerializeToString())
    alike.imputed_features.append(AGE_FEATURE)
    return known, texts.add(alike.SerializeToString())


def _of_gaps(gaps: Gaps, claims: int, texts: Texts) -> Ints:
    """Pieces of what could not be judged."""
    places = np.full(claims, NO_PIECE, np.int64)
    pieces = [
        texts.add(
            pb.ClaimResult(
                not_evaluated=[pb.NotEvaluated(**gap._asdict()) for gap in pattern]
            ).SerializeToString()
        )
        for pattern in gaps.patterns
    ]
    places[gaps.claim] = np.array(pieces, np.int64)[gaps.pattern]
    return places


def _lines(scored: Scored, traced: NDArray[np.bool_], texts: Texts, tables: Tables) -> int:
    """Add the table of the lines."""
    allowed, verdict = scored.allowed, scored.verdict
    priced = allowed.priced
    reason = np.array([texts.add_text(NO_PRICE[each]) for each in sorted(NO_PRICE)], np.int64)
    fields = [
        ("line_number", number(scored.batch.lines.number)),
        ("disposition", number(verdict.disposition)),
        ("price_status", number(allowed.status)),
        ("no_price_reason", text(_where(~priced, reason[allowed.reason], NO_PIECE))),
        ("allowed_cents", optional(_where(priced, allowed.allowed_cents))),
        ("payable_cents", optional(_where(priced, verdict.payable_cents))),
        ("rvu_total_e4", number(_where(priced, allowed.rvu_total_e4, 0))),
        ("locality", text(_where(priced, _localities(scored, texts), NO_PIECE))),
        ("price_basis", number(_where(priced, allowed.basis, 0))),
    ]
    if traced.any():
        fields.append(("", piece(_traces(scored, scored.batch.of_line(traced), texts))))
    return tables.add(pb.LineResult.DESCRIPTOR, fields)


def _localities(scored: Scored, texts: Texts) -> Ints:
    """Texts of the localities that the prices of the lines are for."""
    locality = scored.allowed.locality
    label, used = scored.reference.localities.label, np.bincount(locality + 1)
    places = np.full(len(used), NO_PIECE, np.int64)
    for row in rows_where(used[1:]).tolist():
        places[row + 1] = texts.add_text(label(row))
    return places[locality + 1]


def _traces(scored: Scored, traced: NDArray[np.bool_], texts: Texts) -> Ints:
    """Pieces of the prices step by step, of the lines of which they are asked."""
    places = np.full(len(traced), NO_PIECE, np.int64)
    for line in rows_where(traced).tolist():
        steps = pb.LineResult(trace=trace(scored, line))
        places[line] = texts.add(steps.SerializeToString())
    return places
