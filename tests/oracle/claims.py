"""Claims made to be judged wrongly: real partners, limits and one more, corner days, odd company.

Seeded: the same seed over the same tables gives the same claims.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from random import Random

from claimgate.v1 import claim_pb2

from tests.oracle.bill import ANATOMIC
from tests.oracle.tables import CONTRACTOR_DEFINED, DAY, Tables

RENDERERS = ("1234567893", "1245319599", "1922000009")
BILLER = "1497758544"
SPECIALTIES = ("", "", "11", "02", "207Q00000X")
PLACES = ("11", "11", "11", "22", "22", "24", "21", "02", "10", "06", "08", "12", "99", "29")
DISTINCTIONS = ("59", "XE", "XS", "XP", "XU")
ON_PAIRS = (*DISTINCTIONS, "59", "25", "24", "57", "58", "78", "79", "91", "27", "LT", "RT", "F1",
            "F2", "TA", "E1", "LC", "RI", "51", "76", "77", "GP", "ZZ")  # fmt: skip
ON_PRICES = ("22", "50", "50", "50", "52", "53", "54", "55", "56", "62", "66", "78", "80", "81",
             "82", "AS", "59", "51", "LT", "RT", "79", "26", "TC", "ZZ")  # fmt: skip
ON_ANESTHESIA = ("AA", "QK", "QX", "QY", "QZ", "AD", "P1", "P3", "P4", "P5", "P6", "53", "23")
FRACTIONS = (1000, 1000, 1000, 1000, 1000, 1000, 2000, 2000, 3000, 4000, 500, 1250, 1, 2500)
MODIFIERS_MAX = 4
Chosen = list[claim_pb2.ServiceLine]


class Claims:
    """A source of claims over one set of tables."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        newest = {name: releases[-1].rows for name, releases in tables.releases.items()}
        self.pairs = {
            name: [(a, b) for a, partners in sorted(newest[name].items()) for b in partners]
            for name in ("ncci_ptp_practitioner", "ncci_ptp_hospital")
        }
        self.by_end = {
            name: sorted(
                (a, b, row.deleted)
                for a, partners in newest[name].items()
                for b, rows in partners.items()
                for row in rows
                if self._corner(row.deleted)
            )
            for name in self.pairs
        }
        self.exclusive = {
            name: [
                (a, b)
                for a, partners in sorted(newest[name].items())
                for b, rows in partners.items()
                if rows[-1].exclusive and rows[-1].deleted == date.max
            ]
            for name in self.pairs
        }
        self.add_ons = sorted(newest["ncci_aoc"])
        self.odd_add_ons = sorted(
            code
            for code, rows in newest["ncci_aoc"].items()
            if {row.kind for row in rows} not in ({1}, {2})
        )
        self.limits = {
            name: sorted(rows.items()) for name, rows in newest.items() if "_mue_" in name
        }
        self.line_limits = {
            name: [each for each in rows if each[1].mai == 1] for name, rows in self.limits.items()
        }
        self._group_fees(newest["mpfs"])
        self.zips = self._choose_zips(newest["zip_locality"])
        self.days = sorted(self._corner_days())
        self.plain_days = [date(2025, 10, 1) + n * DAY for n in range(0, 90, 7)]

    def _corner(self, day: date) -> bool:
        """Whether a pair edit that ends on a day can be seen to end."""
        return self.tables.rows("ncci_ptp_practitioner", day) is not None

    def _corner_days(self) -> set[date]:
        found = set()
        for releases in self.tables.releases.values():
            for each in releases:
                for day in (each.first, each.last, *(each.stands_in or ())):
                    if day < date.max:
                        found |= {day + n * DAY for n in (-1, 0, 1)}
        return found

    def _group_fees(self, fees: dict) -> None:
        """Rows that are reduced together, and those of each status."""
        self.rows = sorted(fees)
        groups = defaultdict(list)
        for (code, modifier), row in sorted(fees.items()):
            groups[f"status {row.status}"].append((code, modifier))
            if row.status in "ART" and not row.not_for_payment:
                groups[f"multiple {row.multiple}"].append((code, modifier))
                groups[f"bilateral {row.bilateral}"].append((code, modifier))
                if row.multiple == "3":
                    groups[f"family {row.base}"] += [(code, modifier)]
                if row.global_days in ("010", "090"):
                    groups["split"].append((code, modifier))
                if row.global_days == "ZZZ":
                    groups["zzz"].append((code, modifier))
        for name, rows in groups.items():
            if name.startswith("family "):
                rows.extend([(name.removeprefix("family "), "")] * (1 + len(rows) // 4))
        self.groups = dict(sorted(groups.items()))
        self.families = [name for name in self.groups if name.startswith("family ")]
        self.codes = sorted({code for code, _ in fees})

    def _choose_zips(self, zips: dict[str, str]) -> list[str]:
        """A ZIP of each locality, and some that nobody has."""
        by_place = {place: zip5 for zip5, place in sorted(zips.items())}
        return [*sorted(by_place.values()), "00000", "99999"]

    # --- claims

    def make(self, seed: int, count: int) -> Iterator[list[claim_pb2.Claim]]:
        """Yield messages of one member each, until they hold so many claims."""
        random, made = Random(seed), 0
        while made < count:
            claim = self.one(random, f"{seed}-{made}")
            message = self._parted(random, claim) if random.random() < 0.3 else [claim]
            made += len(message)
            yield message

    @staticmethod
    def _parted(random: Random, claim: claim_pb2.Claim) -> list[claim_pb2.Claim]:
        """Bill the lines of a claim on several claims, some of which replace or void others."""
        parts = [claim_pb2.Claim() for _ in range(random.choice((2, 2, 3)))]
        for number, part in enumerate(parts):
            part.CopyFrom(claim)
            part.claim_id = f"{claim.claim_id}-{number}"
            del part.lines[:]
        for line in claim.lines:
            random.choice(parts).lines.append(line)
        parts = [part for part in parts if part.lines]
        for number, part in enumerate(parts):
            part.service_from_date = min(line.service_from_date for line in part.lines)
            part.service_to_date = max(
                line.service_to_date or line.service_from_date for line in part.lines
            )
            part.received_date = max(part.received_date, part.service_to_date)
            part.total_charge_cents = max(sum(line.charge_cents for line in part.lines), 1)
            if random.random() < 0.1:
                part.billing_provider.npi = RENDERERS[0]
            if number and random.random() < 0.1:
                part.frequency_code = random.choice(("7", "8"))
                part.payer_claim_control_number = random.choice(parts[:number]).claim_id
            elif number and random.random() < 0.05:
                part.claim_id = parts[number - 1].claim_id
                part.claim_version = parts[number - 1].claim_version + 1
        return parts

    def one(self, random: Random, claim_id: str) -> claim_pb2.Claim:
        professional = random.random() < 0.85
        supplier = professional and random.random() < 0.05
        day = random.choice(self.days if random.random() < 0.3 else self.plain_days)
        makers = (
            *(self._of_pair, self._of_pair, self._of_limit, self._of_limit, self._of_add_on),
            *(self._of_prices, self._of_prices, self._of_rows, self._of_anesthesia),
        )
        setting = "dme" if supplier else "practitioner" if professional else "hospital"
        calm = random.random() < 0.3
        lines: Chosen = []
        for _ in range(1 if calm else random.choice((1, 1, 1, 2, 2, 3))):
            chosen, day_wanted = random.choice(makers)(random, setting)
            lines += chosen
            day = day_wanted or day
        random.shuffle(lines)
        claim = self._claim(random, claim_id, lines, day, professional, supplier)
        if calm:
            self._calm(random, claim)
        return claim

    @staticmethod
    def _calm(random: Random, claim: claim_pb2.Claim) -> None:
        """Make a claim one that few rules would stop."""
        del claim.lines[random.choice((1, 1, 2, 3)) :]
        if claim.place_of_service:
            claim.place_of_service = random.choice(("11", "22"))
        for line in claim.lines:
            line.ClearField("place_of_service")
            line.units_milli = 1000
            line.charge_cents = random.choice((100, 1_000, 5_000, 9_000, 20_000))
            if random.random() < 0.7:
                del line.modifiers[:]
        claim.received_date = claim.service_to_date
        claim.total_charge_cents = sum(line.charge_cents for line in claim.lines)

    def _claim(
        self,
        random: Random,
        claim_id: str,
        lines: Chosen,
        day: date,
        professional: bool,
        supplier: bool,
    ) -> claim_pb2.Claim:
        claim = claim_pb2.Claim(
            claim_id=claim_id,
            claim_version=1,
            claim_type=claim_pb2.CLAIM_TYPE_PROFESSIONAL
            if professional
            else claim_pb2.CLAIM_TYPE_INSTITUTIONAL,
            facility_id="FACILITY",
            patient_account_number="ACCOUNT",
            person_id=f"MEMBER-{claim_id}",
            patient_date_of_birth="1970-01-01",
            patient_sex="F",
            insurance_type="MB",
            payer_id="PAYER",
            payer_name="PAYER",
            diagnoses=[claim_pb2.Diagnosis(code="E119")],
        )
        claim.line_of_business = random.choice((0, 0, *claim_pb2.LineOfBusiness.values()))
        claim.billing_provider.npi = BILLER
        claim.billing_provider.zip = random.choice(self.zips)
        if professional:
            claim.place_of_service = random.choice(PLACES)
        else:
            claim.type_of_bill = random.choice(("0131", "0131", "0131", "0851", "0111", "0221"))
            claim.patient_status = "01"
        if supplier:
            claim.billing_provider.taxonomy = random.choice(("332B00000X", "335E00000X"))
        elif random.random() < 0.2:
            claim.billing_provider.taxonomy = random.choice(("207Q00000X", "261Q00000X"))
        if random.random() < 0.6:
            self._person(random, claim.rendering_provider)
        if random.random() < 0.3:
            claim.facility_provider.zip = random.choice(self.zips)
        several_days, several_people = random.random() < 0.25, random.random() < 0.3
        for number, line in enumerate(lines[:50], 1):
            line.line_number = number
            first = day + (random.choice((0, 0, 1)) * DAY if several_days else timedelta())
            span = random.choice((1, 2, 3, 6)) if line.service_to_date == "span" else 0
            line.service_from_date = first.isoformat()
            line.service_to_date = (first + span * DAY).isoformat() if span else ""
            line.charge_cents = random.choice(
                (0, 1, random.randrange(20_000), random.randrange(90_000), 5_000_000, 9_000_000)
            )
            if professional:
                line.diagnosis_pointers.append(1)
                line.has_documentation = random.random() < 0.1
                if random.random() < 0.1:
                    line.place_of_service = random.choice(PLACES)
                if random.random() < 0.05:
                    line.facility_provider.zip = random.choice(self.zips)
                if several_people and random.random() < 0.5:
                    self._person(random, line.rendering_provider)
            else:
                line.revenue_code = random.choice(("0360", "0510", "0450"))
            claim.lines.append(line)
        claim.service_from_date = min(line.service_from_date for line in claim.lines)
        claim.service_to_date = max(
            line.service_to_date or line.service_from_date for line in claim.lines
        )
        received = date.fromisoformat(claim.service_to_date) + DAY * random.choice((0, 5, 30, 400))
        claim.received_date = received.isoformat()
        claim.total_charge_cents = max(sum(line.charge_cents for line in claim.lines), 1)
        return claim

    @staticmethod
    def _person(random: Random, provider: claim_pb2.Provider) -> None:
        provider.npi = random.choice(RENDERERS)
        specialty = random.choice(SPECIALTIES)
        if len(specialty) == 2:
            provider.specialty = specialty
        else:
            provider.taxonomy = specialty

    @staticmethod
    def _line(
        random: Random, code: str, pool: Sequence[str], modifiers: Sequence[str] = ()
    ) -> claim_pb2.ServiceLine:
        more = random.sample(pool, random.choice((0, 0, 0, 1, 1, 2, 3)))
        given = list(dict.fromkeys((*modifiers, *more)))[:MODIFIERS_MAX]
        random.shuffle(given)
        line = claim_pb2.ServiceLine(
            procedure_code=code, modifiers=given, units_milli=random.choice(FRACTIONS)
        )
        if random.random() < 0.03:
            line.service_to_date = "span"
        return line

    # --- what lines are about: each returns lines and a day that they want, if any

    def _of_pair(self, random: Random, setting: str) -> tuple[Chosen, date | None]:
        name = "ncci_ptp_hospital" if setting == "hospital" else "ncci_ptp_practitioner"
        day = None
        if self.by_end[name] and random.random() < 0.1:
            first, second, end = random.choice(self.by_end[name])
            day = end + random.choice((0, 1)) * DAY
        else:
            pool = self.exclusive[name] if random.random() < 0.1 else self.pairs[name]
            first, second = random.choice(pool or self.pairs[name])
        partners = list(self.tables.releases[name][-1].rows[first])
        codes = [first, second]
        if random.random() < 0.3:
            codes.append(random.choice(partners))
        if random.random() < 0.1:
            codes.append(random.choice((first, second)))
        if random.random() < 0.1:
            codes.append(random.choice(("99213", "99202", "99291", "99292", "92014", "99499")))
        lines = [self._line(random, code, ON_PAIRS) for code in codes]
        if random.random() < 0.2:
            side = random.choice(sorted(ANATOMIC))
            for line in lines:
                if side not in line.modifiers and len(line.modifiers) < MODIFIERS_MAX:
                    line.modifiers.append(side)
        return lines, day

    def _of_limit(self, random: Random, setting: str) -> tuple[Chosen, date | None]:
        """Units at the limit, one more, one less, on one to three lines or over a span."""
        name = f"ncci_mue_{setting}"
        by_line = self.line_limits[name] if random.random() < 0.1 else ()
        code, limit = random.choice(by_line or self.limits[name])
        if random.random() < 0.1:
            code = random.choice(self.codes)
        total = max(int(limit.units) * 1000 + random.choice((-1000, 0, 0, 1, 500, 1000, 1000)), 1)
        parts = random.choice((1, 1, 2, 3))
        lines = []
        for part in range(parts):
            units = total // parts + (total % parts if part == 0 else 0)
            line = self._line(random, code, ("55", "59", "76", "77", "50", "LT", "RT", "91"))
            line.units_milli = max(units, 1)
            if random.random() < 0.15:
                line.service_to_date = "span"
                line.units_milli *= random.choice((1, 2, 3, 4))
            if random.random() < 0.02:
                line.unit_basis = "MJ"
            lines.append(line)
        return lines, None

    def _of_add_on(self, random: Random, setting: str) -> tuple[Chosen, date | None]:
        """An add-on with a primary, another code or nothing; perhaps with what denies either."""
        odd = self.odd_add_ons if random.random() < 0.1 else ()
        add_on = random.choice(odd or self.add_ons)
        codes, name = [add_on], f"ncci_mue_{setting}"
        if random.random() < 0.05:
            codes = ["99292", random.choice(("99291", "99213"))]
        rows = self.tables.releases["ncci_aoc"][-1].rows.get(add_on, [])
        primaries = [row.primary for row in rows if row.primary != CONTRACTOR_DEFINED]
        if primaries and random.random() < 0.6:
            primary = random.choice(primaries)
            codes.append(primary)
            above = self.tables.releases["ncci_aoc"][-1].rows.get(primary, [])
            if above and random.random() < 0.6:
                codes.append(random.choice(above).primary)
            if random.random() < 0.2:
                codes.append(self._denier(random, primary))
        lines = [self._line(random, code, ON_PAIRS) for code in codes if code]
        limits = dict(self.limits[name])
        for line in lines:
            if line.procedure_code in limits and random.random() < 0.1:
                line.units_milli = int(limits[line.procedure_code].units) * 1000 + 1000
        return lines, None

    def _denier(self, random: Random, code: str) -> str:
        """A code that the primary is part of."""
        if not hasattr(self, "_above"):
            self._above = defaultdict(list)
            for first, second in self.pairs["ncci_ptp_practitioner"]:
                self._above[second].append(first)
        return random.choice(self._above.get(code) or [code])

    def _of_prices(self, random: Random, setting: str) -> tuple[Chosen, date | None]:  # noqa: ARG002
        """Several lines that are reduced together."""
        group = random.choice(
            (
                *("multiple 2", "multiple 2", "multiple 4", "multiple 5", "multiple 6"),
                *("multiple 7", "split", "zzz", "status T", "bilateral 1", "bilateral 3"),
                *(random.choice(self.families or ["multiple 2"]),) * 4,
            )
        )
        pool = self.groups.get(group) or self.rows
        lines = []
        for _ in range(random.choice((1, 2, 2, 3, 4, 6, 9))):
            code, component = random.choice(pool if random.random() < 0.85 else self.rows)
            more = (component,) if component else ()
            lines.append(self._line(random, code, ON_PRICES, more))
        return lines, None

    def _of_rows(self, random: Random, setting: str) -> tuple[Chosen, date | None]:  # noqa: ARG002
        """Anything at all, also codes that no table knows and lines without one."""
        lines = []
        for _ in range(random.choice((1, 2, 3))):
            code, component = random.choice(
                self.rows
                if random.random() < 0.5
                else self.groups[random.choice(sorted(self.groups))]
            )
            if random.random() < 0.05:
                code = random.choice(("55555", "ZZZZZ", "J9999", "0042T"))
            more = (component,) if component else ()
            lines.append(self._line(random, code, ON_PRICES, more))
        return lines, None

    def _of_anesthesia(self, random: Random, setting: str) -> tuple[Chosen, date | None]:  # noqa: ARG002
        """Anesthesia in minutes, with what adds to it and what divides it."""
        codes = sorted(self.tables.base_units) or [code for code, _ in self.groups["status J"]]
        lines = [
            self._line(random, random.choice(codes), ON_ANESTHESIA)
            for _ in range(random.choice((1, 1, 2)))
        ]
        for line in lines:
            if random.random() < 0.9:
                line.unit_basis = "MJ"
                line.units_milli = random.choice((1000, 15_000, 52_000, 67_500, 90_000, 480_000))
        if random.random() < 0.4:
            code = random.choice(("99100", "99116", "99135", "99140"))
            lines.append(self._line(random, code, ON_ANESTHESIA))
        return lines, None
