"""Claims of a pass as earlier claims: what others that come after them may see of them."""

import numpy as np

from engine.columns import Batch, Ints
from engine.history import EarlierClaims, EarlierLines


def earlier_lines(batch: Batch, line: Ints, claim: Ints) -> EarlierLines:
    """Return lines of a pass as lines of earlier claims.

    Args:
        batch: The pass.
        line: Rows of the lines, shape (n,).
        claim: Row of each line's claim among the earlier ones, shape (n,).
    """
    lines = batch.lines
    return EarlierLines(
        member=batch.claims.member[lines.claim[line]],
        claim=claim,
        number=lines.number[line],
        procedure=lines.procedure[line],
        modifiers=lines.modifiers[line],
        revenue=lines.revenue[line],
        ndc=lines.ndc[line],
        service_from=lines.service_from[line],
        service_to=lines.service_to[line],
        units_milli=lines.units_milli[line],
        unit_basis=lines.unit_basis[line],
        charge_cents=lines.charge_cents[line],
        place_of_service=lines.place_of_service[line],
        rendering_npi=lines.rendering_npi[line],
        specialty=lines.specialty[line],
        diagnoses=pointed_diagnoses(batch, line),
        is_rental=lines.is_rental[line],
        denied=np.zeros(len(line), np.bool_),
    )


def earlier_claims(batch: Batch, claim: Ints) -> EarlierClaims:
    """Return claims of a pass as earlier claims."""
    claims = batch.claims
    return EarlierClaims(
        member=claims.member[claim],
        type=claims.type[claim],
        type_of_bill=claims.type_of_bill[claim],
        frequency=claims.frequency[claim],
        version=claims.version[claim],
        billing_npi=claims.billing_npi[claim],
        service_from=claims.service_from[claim],
        service_to=claims.service_to[claim],
        received_date=claims.received_date[claim],
        total_charge_cents=claims.total_charge_cents[claim],
        in_process=np.zeros(len(claim), np.bool_),
    )


def pointed_diagnoses(batch: Batch, line: Ints) -> Ints:
    """Return the diagnoses that lines point to, as codes; 0 for none. Shape (lines, 4)."""
    counts = np.bincount(batch.diagnoses.claim, minlength=len(batch.claims))
    starts = np.cumsum(counts) - counts
    pointers, claim = batch.lines.pointers[line], batch.lines.claim[line]
    within = (pointers >= 1) & (pointers <= counts[claim][:, None])
    row = np.where(within, starts[claim][:, None] + pointers - 1, -1)
    return np.append(batch.diagnoses.code, 0)[row]
