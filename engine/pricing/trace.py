"""The price of one line step by step, in words and figures that can be computed again."""

from typing import Final

from engine.codes import text36
from engine.columns import Batch
from engine.facts import Facts
from engine.policy import Policy
from engine.pricing.allowed import Allowed, PriceStatus
from engine.pricing.modifiers import EFFECTS, ROLES
from engine.pricing.steps import Changes, Step, of_line
from engine.reference import Reference

TracedStep = tuple[str, str, int]
"""Name, what was multiplied by what, and the amount after it in cents."""

_REMARK: Final = {
    Step.BILATERAL: "both sides",
    Step.ENDOSCOPY: "beside another endoscopy of its family",
    Step.MULTIPLE_PROCEDURES: "several procedures",
    Step.IMAGING: "technical and professional part, several images",
    Step.CARDIOVASCULAR: "technical and professional part, several tests",
    Step.OPHTHALMOLOGY: "technical and professional part, several tests",
    Step.THERAPY: "full, and with half the practice expense",
    Step.SURGICAL_ROLE: "modifiers",
}


def steps_of(
    allowed: Allowed, batch: Batch, facts: Facts, reference: Reference, policy: Policy, row: int
) -> list[TracedStep]:
    """Return how one line with a price came to it; nothing for a line without one."""
    if allowed.status[row] == PriceStatus.BUNDLED:
        return [("bundled", f"status {chr(reference.mpfs.status[facts.mpfs[row]])}", 0)]
    if allowed.status[row] != PriceStatus.PRICED:
        return []
    steps = [("fee", _fee_detail(facts, reference, policy, row), int(allowed.fee_cents[row]))]
    if allowed.capped_cents[row] != allowed.fee_cents[row]:
        steps.append(("cap", "outpatient price of imaging", int(allowed.capped_cents[row])))
    changes = of_line(allowed.changes, row)
    sides = changes["step"] == Step.BILATERAL
    steps += _changed(changes[sides], batch)
    units = _decimal(int(batch.lines.units_milli[row]), 3)
    steps.append(("units", f"x {units}", int(allowed.amount_cents[row])))
    steps += _changed(changes[~sides], batch)
    limited = int(allowed.allowed_cents[row])
    if limited != steps[-1][2]:
        steps.append(("charge_limit", "not above the charge", limited))
    return steps


def _fee_detail(facts: Facts, reference: Reference, policy: Policy, row: int) -> str:
    """Return relative values, indices, conversion factor, setting and release."""
    mpfs, places = reference.mpfs, reference.localities
    entry, place = facts.mpfs[row], facts.locality[row]
    practice = mpfs.facility_pe_e2[entry] if facts.facility[row] else mpfs.non_facility_pe_e2[entry]
    rvus = (mpfs.work_e2[entry], practice, mpfs.malpractice_e2[entry])
    if policy.price_formula == "simple":
        indices, factor = ["1", "1", "1"], _fixed(policy.legacy_cf_e4, 4)
    else:
        gpcis = (places.work_e3[place], places.pe_e3[place], places.mp_e3[place])
        indices = [_fixed(int(each), 3) for each in gpcis]
        factor = _fixed(int(mpfs.conversion_factor_e4[entry]), 4)
    terms = " + ".join(f"{_fixed(int(r), 2)} x {g}" for r, g in zip(rvus, indices, strict=True))
    setting = "facility" if facts.facility[row] else "non-facility"
    release = reference.release_name("mpfs", int(mpfs.release[entry]))
    return f"({terms}) x {factor}, {setting}, {release}"


def _changed(changes: Changes, batch: Batch) -> list[TracedStep]:
    """Return changes of a line: amounts times factors, then why."""
    traced = []
    for line, number, cents, factor_e5, other, other_e5, rank, result in changes.tolist():
        step = Step(number)
        terms = [f"{_fixed(cents, 2)} x {_decimal(factor_e5, 5)}"]
        terms += [f"{_fixed(other, 2)} x {_decimal(other_e5, 5)}"] if other else []
        remark = _REMARK[step]
        if step is Step.SURGICAL_ROLE:
            codes = map(text36, batch.lines.modifiers[line].tolist())
            remark += "".join(f" {code}" for code in codes if EFFECTS.get(code, 0) & ROLES)
        remark += f", rank {rank}" if rank else ""
        traced.append((step.name.lower(), f"{' + '.join(terms)}, {remark}", result))
    return traced


def _fixed(value: int, places: int) -> str:
    return f"{value // 10**places}.{value % 10**places:0{places}d}"


def _decimal(value: int, places: int) -> str:
    """Return a number with as many places as it needs."""
    sign = "-" if value < 0 else ""
    return sign + _fixed(abs(value), places).rstrip("0").rstrip(".")
