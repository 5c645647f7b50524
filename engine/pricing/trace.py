"""The price of one line step by step, in words and figures that can be computed again."""

from dataclasses import dataclass
from typing import Final

from engine.codes import text36
from engine.columns import LOB_MEDICARE_ADVANTAGE, LOB_MEDICARE_FFS, PROFESSIONAL, Batch, Dates
from engine.facts import Facts
from engine.policy import Policy
from engine.pricing.allowed import Allowed, PriceReason, PriceStatus
from engine.pricing.anesthesia import BASE_UNITS, SHARES_E5, amount_of
from engine.pricing.cents import half_up
from engine.pricing.contract import RateKind
from engine.pricing.fees import CONVERSION_FACTORS, own_factors_e4
from engine.pricing.modifiers import EFFECTS, ROLES
from engine.pricing.steps import Changes, Step, Units, of_line
from engine.pricing.terms import terms_of
from engine.reference import Reference
from engine.tables.fees import FeeSchedule
from engine.tables.listing import Listing
from engine.tenant_fees import CONTRACT_RATES, NO_FEES, TenantFees

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
    Step.ANESTHESIA_ROLE: "medical direction, modifiers",
    Step.CONTRACT: "the contract's share of the fee",
}
_MODIFIERS: Final = {
    Step.SURGICAL_ROLE: frozenset(code for code, effect in EFFECTS.items() if effect & ROLES),
    Step.ANESTHESIA_ROLE: frozenset(SHARES_E5),
}
"""Modifiers that the steps are taken by."""

_IN_PLACE_OF_FEE: Final = (RateKind.CENTS_PER_UNIT, RateKind.PERCENT_OF_CHARGE)

_STATUS_WORDS: Final = {
    "A": "active",
    "B": "bundled into other services",
    "C": "priced by the contractor",
    "E": "excluded by regulation",
    "I": "not valid for Medicare",
    "J": "anesthesia",
    "M": "measurement only",
    "N": "non-covered",
    "P": "bundled or excluded",
    "R": "restricted coverage",
    "T": "paid only where nothing else is",
    "X": "excluded by statute",
}

_WHY_NO_PRICE: Final = {
    PriceReason.NO_CODE: "the line has no procedure code",
    PriceReason.NO_RELEASE: "no fee schedule serves the day of service",
    PriceReason.NO_ROW: "the fee schedule has no row for the code and its 26, TC or 53",
    PriceReason.STATUS: "the status of the row is not payable by the fee schedule",
    PriceReason.CONTRACTOR: "the contractor sets the price",
    PriceReason.ANESTHESIA: "anesthesia is priced by base units and minutes, and the table "
    f"{BASE_UNITS} is not loaded or has no row for the code",
    PriceReason.MINUTES: "anesthesia, and nothing else, is priced by minutes (unit basis MJ)",
    PriceReason.ANESTHESIA_FACTOR: "the locality has no anesthesia conversion factor on the day",
    PriceReason.NOT_FOR_PAYMENT: "the relative values are informational, Medicare pays not by them",
    PriceReason.NA: "the fee schedule has no price for the code in this setting",
    PriceReason.ZERO: "all relative values are zero",
    PriceReason.LOCALITY: "the service ZIP is in no locality of the day",
    PriceReason.INSTITUTIONAL: "facility bills are not priced by the physician fee schedule",
    PriceReason.REDUCTION: "the tables lack what the reduction beside the other lines needs: the "
    "base of the endoscopy, the parts of the test, or the shares of the care",
    PriceReason.REPORT: "a person prices it from the report",
    PriceReason.INCIDENT_TO: "incident to a physician's service: not paid apart in a facility",
    PriceReason.FEES_UNAVAILABLE: "the tenant's fee schedule could not be asked, for the line or "
    "for another of its claim, day and provider",
}


def steps_of(
    allowed: Allowed,
    batch: Batch,
    facts: Facts,
    reference: Reference,
    policy: Policy,
    row: int,
    fees: TenantFees = NO_FEES,
) -> list[TracedStep]:
    """Return how one line came to its price, or why it has none."""
    line = _Line(allowed, batch, facts, reference, policy, row, fees)
    return [*line.found(), *line.came_to()]


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a priced pass."""

    allowed: Allowed
    batch: Batch
    facts: Facts
    reference: Reference
    policy: Policy
    row: int
    fees: TenantFees

    def found(self) -> list[TracedStep]:
        """Return which release, row, setting and locality hold: steps before any amount."""
        entry = int(self.facts.mpfs[self.row])
        reason = self.allowed.reason[self.row]
        professional = self.batch.claims.type[self.batch.lines.claim[self.row]] == PROFESSIONAL
        if not professional or reason in (PriceReason.NO_CODE, PriceReason.NO_RELEASE):
            return []
        if entry < 0 and self.allowed.contract[self.row] >= 0:
            return []
        steps = [("release", self._releases(), 0)]
        if entry >= 0:
            steps += [("row", self._row(entry), 0), ("place", self._place(), 0)]
        return steps

    def came_to(self) -> list[TracedStep]:
        """Return the steps from the fee to what is allowed, or the one that stands in the way."""
        status, row = self.allowed.status[self.row], self.row
        if status == PriceStatus.BUNDLED:
            letter = chr(self.reference.mpfs.status[self.facts.mpfs[row]])
            return [("bundled", f"status {letter}", 0)]
        if status != PriceStatus.PRICED:
            reason = PriceReason(int(self.allowed.reason[row]))
            return [(PriceStatus(int(status)).name.lower(), _WHY_NO_PRICE[reason], 0)]
        changes = of_line(self.allowed.changes, row)
        sides = changes["step"] == Step.BILATERAL
        steps = [
            *self._unit(),
            *self._changed(changes[sides]),
            *self._times_units(changes[sides]),
            *self._changed(changes[~sides]),
        ]
        limited = int(self.allowed.allowed_cents[row])
        if limited != steps[-1][2]:
            steps.append(("charge_limit", "not above the charge", limited))
        return steps

    def _releases(self) -> str:
        """Name the release of each table that prices the day; a stand-in says so."""
        used = ("mpfs",) if self._simple else ("mpfs", "gpci", "zip_locality")
        stand_ins = self.reference.stand_in_names(int(self.facts.stand_ins[self.row]))
        named = []
        for dataset in used:
            name = self._release(dataset)
            release = f"{dataset} {name}"
            if name:
                named.append(f"{release} (stands in)" if release in stand_ins else release)
        return ", ".join(named)

    def _row(self, entry: int) -> str:
        mpfs = self.reference.mpfs
        code = "-".join(filter(None, (text36(int(mpfs.code[entry])), _component(mpfs, entry))))
        letter = chr(mpfs.status[entry])
        return f"{code}, status {letter}: {_STATUS_WORDS.get(letter, 'unknown')}"

    def _place(self) -> str:
        """Return setting and locality; that a ZIP spans localities is said, not guessed away."""
        setting = "facility" if self.facts.facility[self.row] else "non-facility"
        places, lines = self.reference.localities, self.batch.lines
        label = places.label(int(self.facts.locality[self.row]))
        if self._simple or not label:
            return setting
        spans = bool(places.needs_plus_four(lines.zip5[[self.row]], self._day)[0])
        remark = " (zip5_only: the ZIP spans localities, its five digits decided)" if spans else ""
        return f"{setting}, locality {label}{remark}"

    @property
    def _simple(self) -> bool:
        return self.policy.price_formula == "simple"

    def _unit(self) -> list[TracedStep]:
        """Return how the price of a unit is found, or that of a line whose units do not count."""
        if len(self._anesthesia):
            amount = int(amount_of(self._anesthesia)[0])
            return [("anesthesia", self._anesthesia_detail(), amount)]
        return self._rate() if self._rate_kind in _IN_PLACE_OF_FEE else self._fee()

    @property
    def _anesthesia(self) -> Units:
        return self.allowed.units[self.allowed.units["line"] == self.row]

    @property
    def _rate_row(self) -> tuple[Listing, int]:
        """Table and row of the line's rate: the listing's, or the tenant's own beyond its end."""
        listed, row = self.reference.listing(CONTRACT_RATES), int(self.allowed.contract[self.row])
        own = self.fees.listing
        return (listed, row) if own is None or row < len(listed) else (own, row - len(listed))

    @property
    def _rate_kind(self) -> RateKind | None:
        rates, row = self._rate_row
        return RateKind(int(rates.columns["rate_kind"][row])) if row >= 0 else None

    def _times_units(self, sides: Changes) -> list[TracedStep]:
        """Return the step of the units, unless the price is of the line as a whole."""
        if len(self._anesthesia) or self._rate_kind is RateKind.PERCENT_OF_CHARGE:
            return []
        units = self.batch.lines.units_milli[[self.row]]
        unit = sides["result_cents"][-1:] if len(sides) else self.allowed.capped_cents[[self.row]]
        amount = int(half_up(unit * units, 1000)[0])
        return [("units", f"x {_decimal(int(units[0]), 3)}", amount)]

    def _rate(self) -> list[TracedStep]:
        """Return the contract's rate: what it is, what and whom it is for."""
        cents = int(self.allowed.capped_cents[self.row])
        rates, row = self._rate_row
        rate = _decimal(int(rates.columns["rate"][row]), 4)
        if self._rate_kind is RateKind.PERCENT_OF_CHARGE:
            charge = _fixed(int(self.batch.lines.charge_cents[self.row]), 2)
            rate = f"{charge} x {rate} of the charge"
        else:
            rate = f"{rate} a unit"
        return [("contract", f"{rate}, {self._terms()}", cents)]

    def _terms(self) -> str:
        rates, row = self._rate_row
        if rates is self.fees.listing:
            return terms_of(rates, row, f"fee schedule {self.fees.version}")
        return terms_of(rates, row, f"{CONTRACT_RATES} {self._release(CONTRACT_RATES)}")

    def _release(self, dataset: str) -> str:
        """Return the name of the dataset's release of the day."""
        ordinal = int(self.reference.dataset_release(dataset, self._day)[0])
        return self.reference.release_name(dataset, ordinal)

    def _anesthesia_detail(self) -> str:
        """Return units, minutes and factor, and where the factor is from."""
        [units] = self._anesthesia
        base = f"{BASE_UNITS} {self._release(BASE_UNITS)}"
        terms = f"{units['base']} base + {_fixed(int(units['time_e1']), 1)} time"
        terms += f" + {units['risk']} risk" if units["risk"] else ""
        minutes = _decimal(int(units["minutes_milli"]), 3)
        by_rate = self._rate_kind in _IN_PLACE_OF_FEE
        source = self._terms() if by_rate else self._release("anesthesia_cf")
        factor = _fixed(int(units["factor_e4"]), 4)
        return f"({terms}) x {factor}, {minutes} minutes, {base}, {source}"

    @property
    def _day(self) -> Dates:
        return self.batch.lines.service_from[[self.row]]

    def _fee(self) -> list[TracedStep]:
        fee = int(self.allowed.fee_cents[self.row])
        capped = int(self.allowed.capped_cents[self.row])
        steps = [("fee", self._fee_detail(), fee)]
        if capped != fee:
            steps.append(("cap", "outpatient price of imaging", capped))
        return steps

    def _fee_detail(self) -> str:
        """Return relative values, indices, conversion factor, setting and release."""
        mpfs, places, row = self.reference.mpfs, self.reference.localities, self.row
        entry, place = self.facts.mpfs[row], self.facts.locality[row]
        facility = bool(self.facts.facility[row])
        practice = mpfs.facility_pe_e2[entry] if facility else mpfs.non_facility_pe_e2[entry]
        rvus = (mpfs.work_e2[entry], practice, mpfs.malpractice_e2[entry])
        if self._simple:
            indices, factor = ["1", "1", "1"], _fixed(self.policy.legacy_cf_e4, 4)
        else:
            gpcis = (places.work_e3[place], places.pe_e3[place], places.mp_e3[place])
            indices = [_fixed(int(each), 3) for each in gpcis]
            factor = self._factor(int(mpfs.conversion_factor_e4[entry]))
        terms = " + ".join(f"{_fixed(int(r), 2)} x {g}" for r, g in zip(rvus, indices, strict=True))
        setting = "facility" if facility else "non-facility"
        release = self.reference.release_name("mpfs", int(mpfs.release[entry]))
        return f"({terms}) x {factor}, {setting}, {release}{self._warning()}"

    def _factor(self, published_e4: int) -> str:
        """Return the conversion factor, and say where it is the provider's own."""
        own = own_factors_e4(self.reference, self.batch.lines.rendering_npi[[self.row]], self._day)
        if own is None or not own[0]:
            return _fixed(published_e4, 4)
        release = f"{CONVERSION_FACTORS} {self._release(CONVERSION_FACTORS)}"
        return f"{_fixed(int(own[0]), 4)} of {release}"

    def _warning(self) -> str:
        """Say where a Medicare claim is priced by a factor that Medicare never had."""
        lob = self.batch.claims.line_of_business[self.batch.lines.claim[self.row]]
        if self._simple and lob in (LOB_MEDICARE_FFS, LOB_MEDICARE_ADVANTAGE):
            return "; not a Medicare price: the factor is the policy's own"
        return ""

    def _changed(self, changes: Changes) -> list[TracedStep]:
        """Return changes of the line: amounts times factors, then why."""
        traced = []
        for _, number, cents, factor_e5, other, other_e5, rank, result in changes.tolist():
            step = Step(number)
            terms = [f"{_fixed(cents, 2)} x {_decimal(factor_e5, 5)}"]
            terms += [f"{_fixed(other, 2)} x {_decimal(other_e5, 5)}"] if other else []
            remark = self._remark(step) + (f", rank {rank}" if rank else "")
            traced.append((step.name.lower(), f"{' + '.join(terms)}, {remark}", result))
        return traced

    def _remark(self, step: Step) -> str:
        """Return why an amount changes: with the modifiers that say so, or by which contract."""
        if step is Step.CONTRACT:
            return f"{_REMARK[step]}, {self._terms()}"
        codes = map(text36, self.batch.lines.modifiers[self.row].tolist())
        return " ".join([_REMARK[step], *(c for c in codes if c in _MODIFIERS.get(step, ()))])


def _component(mpfs: FeeSchedule, entry: int) -> str:
    return text36(int(mpfs.modifier[entry])) if mpfs.modifier[entry] else ""


def _fixed(value: int, places: int) -> str:
    return f"{value // 10**places}.{value % 10**places:0{places}d}"


def _decimal(value: int, places: int) -> str:
    """Return a number with as many places as it needs."""
    sign = "-" if value < 0 else ""
    return sign + _fixed(abs(value), places).rstrip("0").rstrip(".")
