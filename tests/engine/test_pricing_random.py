"""Random claims full of reductions cost what an oracle says, written from the specification alone.

The oracle prices a claim a line at a time in fractions; it shares no code with the engine. It reads
the newest release, and days within it.
"""

import csv
import gzip
import tomllib
from collections import defaultdict
from fractions import Fraction
from math import floor
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.decode import decode
from engine.examples import claim_of
from engine.facts import MOD_TC, look_up
from engine.policy import Policy
from engine.pricing import PriceReason, PriceStatus, price
from engine.pricing.fees import Values
from engine.pricing.steps import Step
from engine.reference import Reference
from engine.rules.rule import example, line
from loader.snapshot.build import build

SAMPLE = Path(__file__).parents[2] / "ops" / "reference-sample"
DAYS = ("2025-10-15", "2025-10-16")
NPIS = ("1234567893", "1111111112")
LINES_MIN = 20_000
OCTOBER = np.array(["2025-10-15"], "datetime64[D]")
CAPPED_TECHNICAL_PARTS = 8_393
CAPPED_BUT_PRICED_BY_CONTRACTORS = 5_232
FACILITY, OFFICE = "22", "11"
HALF = Fraction(1, 2)


def cents(amount: Fraction) -> Fraction:
    """Dollars, half a cent up."""
    return Fraction(floor(amount * 100 + HALF), 100)


class Oracle:
    """Prices claims from the published files of the release in force in October 2025."""

    def __init__(self, source: Path) -> None:
        own = source / "claimgate" / "anesthesia_base_units.csv"
        rows = own.read_text().splitlines() if own.is_file() else []
        self.base_units = {each[1] for each in csv.reader(rows)}
        files = {}
        for entry in tomllib.loads((source / "releases.toml").read_text())["release"]:
            if str(entry["from"]) <= DAYS[0] <= DAYS[1] <= str(entry["to"]):
                files[entry["dataset"]] = [text_of(source / each) for each in entry["files"]]
        self.fees = dict(pair for text in files["mpfs"] for pair in self._fees(text))
        self.indices = dict(pair for text in files["gpci"] for pair in self._indices(text))
        self.zips = {
            each[2:7]: each[7:14]
            for text in files["zip_locality"]
            for each in text.splitlines()
            if len(each) > 20
        }
        self.caps = dict(pair for text in files["opps_cap"] for pair in self._caps(text))
        self.memory = {}

    # --- the files

    @staticmethod
    def _fees(text: str):
        for each in csv.reader(text.splitlines()):
            if len(each) < 31 or not each[0].strip() or not each[24].replace(".", "").isdigit():
                continue
            values = [each[at].strip() for at in range(31)]
            yield (
                (values[0], values[1]),
                SimpleNamespace(
                    status=values[3],
                    flag=values[4],
                    work=Fraction(values[5]),
                    pe={OFFICE: Fraction(values[6]), FACILITY: Fraction(values[8])},
                    na={OFFICE: values[7] == "NA", FACILITY: values[9] == "NA"},
                    mp=Fraction(values[10]),
                    pctc=values[13],
                    days=values[14],
                    shares=[Fraction(each) for each in values[15:18]],
                    multiple=values[18],
                    bilateral=values[19],
                    base=values[23],
                    factor=Fraction(values[24]),
                    family=values[27],
                ),
            )

    @staticmethod
    def _indices(text: str):
        for each in csv.reader(text.splitlines()):
            if len(each) > 6 and each[0].isdigit():
                yield each[0] + each[2], [Fraction(value) for value in each[4:7]]

    @staticmethod
    def _caps(text: str):
        for each in csv.reader(text.splitlines()):
            if len(each) > 6 and each[3].isdigit():
                yield (
                    (each[0], each[1].strip(), each[3] + each[4]),
                    {FACILITY: Fraction(each[5]), OFFICE: Fraction(each[6])},
                )

    # --- one unit

    def reason(self, key: tuple[str, str], pos: str) -> str:
        row = self.fees.get(key)
        if row is None:
            return "NO_ROW"
        if row.status in "NXEIM":
            return "STATUS"
        if row.status == "C":
            return "CONTRACTOR"
        if row.status == "J":
            return "MINUTES" if key[0] in self.base_units else "ANESTHESIA"
        if row.status in "BP":
            return "BUNDLED"
        if row.flag == "+":
            return "NOT_FOR_PAYMENT"
        if row.na[pos]:
            return "NA"
        if row.pctc == "5" and pos == FACILITY:
            return "INCIDENT_TO"
        if row.work + row.pe[pos] + row.mp == 0:
            return "REPORT" if row.status == "R" else "ZERO"
        return ""

    def fee(self, key: tuple[str, str], pos: str, place: str, practice=Fraction(1)) -> Fraction:
        known = (key, pos, place, practice)
        if known not in self.memory:
            row, (work, pe, mp) = self.fees[key], self.indices[place]
            total = row.work * work + row.pe[pos] * pe * practice + row.mp * mp
            self.memory[known] = cents(total * row.factor)
        return self.memory[known]

    def capped(self, key: tuple[str, str], pos: str, place: str) -> Fraction:
        fee, cap = self.fee(key, pos, place), self.caps.get((*key, place))
        return fee if cap is None else min(fee, cap[pos])

    # --- one claim

    def claim(self, lines: list[SimpleNamespace]) -> list[tuple]:
        for each in lines:
            self._until_units(each)
        sessions = defaultdict(list)
        for each in lines:
            if not each.reason:
                sessions[each.day, each.npi, assists(each)].append(each)
        for session in sessions.values():
            self._surgeries([each for each in session if each.row.multiple in "123"])
            self._tests([each for each in session if each.row.multiple == "4"], "1/2", "19/20")
            self._tests([each for each in session if each.row.multiple == "6"], "3/4", "1")
            self._tests([each for each in session if each.row.multiple == "7"], "4/5", "1")
            self._therapy([each for each in session if each.row.multiple == "5"])
        for each in lines:
            self._role(each)
        return [self._answer(each) for each in lines]

    def _until_units(self, each: SimpleNamespace) -> None:
        part = next((m for m in each.modifiers if m in ("26", "TC")), "")
        component = part or ("53" if "53" in each.modifiers else "")
        if component == "53" and (each.code, "53") not in self.fees:
            component = ""
        each.key = (each.code, component)
        each.reason, each.report, each.unknown = self.reason(each.key, each.pos), False, False
        if each.reason:
            return
        each.row, each.place = self.fees[each.key], self.zips[each.zip]
        each.fee = self.fee(each.key, each.pos, each.place)
        each.capped = self.capped(each.key, each.pos, each.place)
        each.report = bool({"22", "52", "66"} & set(each.modifiers)) or (
            "53" in each.modifiers and component != "53"
        )
        each.sides = Fraction(1)
        if "50" in each.modifiers:
            each.sides = {"1": Fraction(3, 2), "3": Fraction(2)}.get(each.row.bilateral, each.sides)
        each.amount = each.money = self._times(each, each.capped)

    @staticmethod
    def _times(each: SimpleNamespace, unit: Fraction) -> Fraction:
        return cents(cents(unit * each.sides) * each.units)

    def _surgeries(self, lines: list[SimpleNamespace]) -> None:
        lines = [each for each in lines if each.row.days != "ZZZ"]
        families = defaultdict(list)
        for each in lines:
            if each.row.multiple == "3":
                families[each.row.base].append(each)
        procedures = []
        for base, members in families.items():
            best = max(members, key=lambda each: (each.money, -each.number))
            for each in members:
                if each is best:
                    continue
                if self.reason((base, ""), each.pos):
                    each.unknown, each.money = True, Fraction(0)
                else:
                    less = self._times(each, self.capped((base, ""), each.pos, each.place))
                    each.money = max(each.money - less, Fraction(0))
            bases = [each for each in lines if each.row.multiple != "3" and each.code == base]
            for each in bases:
                each.money = Fraction(0)
            procedures.append([*members, *bases])
        in_family = {each.number for procedure in procedures for each in procedure}
        procedures += [[each] for each in lines if each.number not in in_family]
        procedures.sort(
            key=lambda p: (-sum(each.money for each in p), min(each.number for each in p))
        )
        for place, procedure in enumerate(procedures):
            for each in procedure:
                each.money = cents(each.money * (1 if place == 0 else HALF))
                each.report |= place >= 5

    def _tests(self, lines: list[SimpleNamespace], technical: str, professional: str) -> None:
        lines = [each for each in lines if each.row.multiple != "4" or each.row.family == "88"]
        for each in lines:
            each.parts = self._parts(each)
            each.factors = [Fraction(1), Fraction(1)]
        for sort, factor in enumerate((technical, professional)):
            having = [each for each in lines if each.parts is None or each.parts[sort]]
            having.sort(
                key=lambda each, sort=sort: (
                    (1, 0, each.number)
                    if each.parts is None
                    else (0, -each.parts[sort], each.number)
                )
            )
            for each in having[1:]:
                each.factors[sort] = Fraction(factor)
        for each in lines:
            if each.factors == [1, 1]:
                continue
            if each.parts is None:
                each.unknown = True
            else:
                pairs = zip(each.parts, each.factors, strict=True)
                each.money = sum(cents(part * factor) for part, factor in pairs)

    def _parts(self, each: SimpleNamespace) -> list[Fraction] | None:
        if each.key[1] == "TC" or each.row.pctc == "3":
            return [each.money, Fraction(0)]
        if each.key[1] == "26" or each.row.pctc == "2":
            return [Fraction(0), each.money]
        keys = [(each.code, "TC"), (each.code, "26")]
        if each.row.pctc != "1" or any(self.reason(key, each.pos) for key in keys):
            return None
        return [self._times(each, self.capped(key, each.pos, each.place)) for key in keys]

    def _therapy(self, lines: list[SimpleNamespace]) -> None:
        def practice(each: SimpleNamespace) -> tuple[Fraction, int]:
            return each.row.pe[each.pos] * self.indices[each.place][1], -each.number

        for each in lines:
            first = each is max(lines, key=practice)
            full = min(each.units, Fraction(1)) if first else Fraction(0)
            if each.units == full:
                continue
            whole = cents(each.fee * each.sides)
            half = cents(self.fee(each.key, each.pos, each.place, HALF) * each.sides)
            each.money = cents(whole * full) + cents(half * (each.units - full))

    @staticmethod
    def _role(each: SimpleNamespace) -> None:
        if each.reason:
            return
        share, given = Fraction(1), set(each.modifiers)
        if "AS" in given:
            share = Fraction(136, 1000)
        elif {"80", "81", "82"} & given:
            share = Fraction(16, 100)
        elif "62" in given:
            share = Fraction(625, 1000)
        if each.row.days in ("010", "090") and {"54", "55", "56", "78"} & given:
            pre, intra, post = each.row.shares
            if pre + intra + post == 0:
                each.unknown = True
            elif "78" in given:
                share *= intra
            else:
                share *= (
                    (pre if {"54", "56"} & given else 0)
                    + (intra if "54" in given else 0)
                    + (post if "55" in given else 0)
                )
        each.money = cents(each.money * share)

    @staticmethod
    def _answer(each: SimpleNamespace) -> tuple:
        if each.reason == "BUNDLED":
            return "BUNDLED", "NONE", 0, 0, 0, 0
        if each.reason == "REPORT" or (not each.reason and each.report):
            return "BY_REPORT", "REPORT", 0, 0, 0, 0
        if each.reason or each.unknown:
            return "NO_PRICE", each.reason or "REDUCTION", 0, 0, 0, 0
        amounts = (each.fee, each.capped, each.amount, min(each.money, each.charge))
        return "PRICED", "NONE", *(int(amount * 100) for amount in amounts)


def assists(each: SimpleNamespace) -> bool:
    return bool({"80", "81", "82", "AS"} & set(each.modifiers))


def text_of(file: Path) -> str:
    content = file.read_bytes()
    return (gzip.decompress(content) if file.suffix == ".gz" else content).decode("latin-1")


# --- random claims

MODIFIERS = (
    *("22", "50", "50", "50", "52", "53", "54", "55", "56", "62", "66", "78", "80", "81", "82"),
    *("AS", "59", "51", "LT", "RT", "79", "ZZ"),
)
UNITS = ("1", "1", "1", "1", "1", "2", "3", "4", "0.5", "1.25", "0.001")


def pools(oracle: Oracle) -> list[list[list[tuple[str, str]]]]:
    """Rows that are reduced together: by family, by indicator, and everything else."""
    # Status T depends on what else is payable that day; that is another test.
    kept = {key: row for key, row in oracle.fees.items() if row.status != "T"}
    paid = {key: row for key, row in kept.items() if row.status in "AR" and row.flag != "+"}
    by_multiple, families = defaultdict(list), defaultdict(list)
    for key, row in sorted(paid.items()):
        by_multiple[row.multiple].append(key)
        if row.multiple == "3":
            families[row.base].append(key)
    for base, members in families.items():
        members.extend([(base, "")] * (1 + len(members) // 4))
    surgery = [by_multiple["2"], by_multiple["3"], *families.values()]
    split = [key for key in by_multiple["2"] if paid[key].days in ("010", "090")]
    alike = [key for key in by_multiple["2"] if paid[key].bilateral in "123"]
    return [
        [surgery[0], split, alike],
        list(families.values()) or [surgery[0]],
        surgery,
        *([by_multiple[each]] for each in "4567" if by_multiple[each]),
        [sorted(kept)],
    ]


def random_claims(oracle: Oracle, seed: int, lines_min: int) -> list[list[SimpleNamespace]]:
    random, rows = Random(seed), pools(oracle)
    places = sorted(each for each, place in oracle.zips.items() if place in oracle.indices)
    claims: list[list[SimpleNamespace]] = []
    count = 0
    while count < lines_min:
        claims.append(random_lines(rows, random, places))
        count += len(claims[-1])
    return claims


def random_lines(
    rows: list[list[list[tuple[str, str]]]], random: Random, places: list[str]
) -> list[SimpleNamespace]:
    chosen, more = (random.choice(random.choice(rows)) for _ in range(2))
    lines, zip5 = [], random.choice(places)
    for number in range(1, random.choice((1, 2, 2, 3, 4, 6, 9, 12)) + 1):
        code, component = random.choice(chosen if random.random() < 0.8 else more)
        modifiers = random.sample(MODIFIERS, random.choice((0, 0, 0, 0, 1, 1, 2)))
        if component:
            modifiers.insert(random.randrange(len(modifiers) + 1), component)
        lines.append(
            SimpleNamespace(
                number=number,
                code=code,
                modifiers=modifiers,
                day=random.choice((DAYS[0], DAYS[0], DAYS[0], DAYS[1])),
                npi=random.choice((NPIS[0], NPIS[0], NPIS[0], NPIS[1])),
                pos=OFFICE if random.random() < 0.7 else FACILITY,
                units=Fraction(random.choice(UNITS)),
                zip=zip5 if random.random() < 0.9 else random.choice(places),
                charge=Fraction(random.choice((random.randrange(100_000), 9_000_000)), 100),
            )
        )
    return lines


def as_claim(lines: list[SimpleNamespace], number: int):
    return claim_of(
        example(
            "a",
            *(
                line(
                    "-".join((each.code, *each.modifiers)),
                    day=each.day,
                    npi=each.npi,
                    pos=each.pos,
                    units=float(each.units),
                    charge=float(each.charge),
                    facility_provider={"zip": each.zip},
                )
                for each in lines
            ),
            total=1,
        ),
        f"R-{number}",
    )


def priced(reference: Reference, claims: list[list[SimpleNamespace]]):
    messages = [as_claim(lines, number) for number, lines in enumerate(claims)]
    batch = decode([score_pb2.ClaimBatch(claims=messages)], allow_zero_charge=True)
    assert not batch.violations
    allowed = price(batch, reference, look_up(batch, reference), Policy())
    rows = zip(
        [PriceStatus(each).name for each in allowed.status.tolist()],
        [PriceReason(each).name for each in allowed.reason.tolist()],
        allowed.fee_cents.tolist(),
        allowed.capped_cents.tolist(),
        allowed.amount_cents.tolist(),
        allowed.allowed_cents.tolist(),
        strict=True,
    )
    return list(rows), allowed


def compare(reference: Reference, source: Path, seed: int) -> None:
    oracle = Oracle(source)
    claims = random_claims(oracle, seed, LINES_MIN)

    found, allowed = priced(reference, claims)

    expected = [each for lines in claims for each in oracle.claim(lines)]
    lines = [(number, each) for number, lines in enumerate(claims) for each in lines]
    differ = [at for at, each in enumerate(found) if each != expected[at]]
    first = [
        (each.code, each.modifiers, each.day, each.npi, each.pos, str(each.units), found[at])
        for at, (number, each) in enumerate(lines)
        if differ and number == lines[differ[0]][0]
    ]
    assert not differ, (len(differ), first, expected[differ[0]])
    seen = set(map(Step, allowed.changes["step"].tolist()))
    assert seen == set(Step) - {Step.ANESTHESIA_ROLE, Step.CONTRACT}
    assert {each[1] for each in found} >= {"NONE", "REPORT", "REDUCTION", "NA", "STATUS"}
    assert len(allowed.changes) > LINES_MIN // 5


def test_random_reductions_over_the_sample_cost_what_the_oracle_says(sample_reference):
    compare(sample_reference, SAMPLE, 20251015)


@pytest.fixture(scope="module")
def fee_tables(shared_data, tmp_path_factory) -> Path:
    """The published files that prices rest on, without the large edit tables."""
    folder = tmp_path_factory.mktemp("fees")
    for each in ("mpfs", "gpci", "codes"):
        (folder / each).symlink_to(shared_data / each)
    entries = (shared_data / "releases.toml").read_text().split("[[release]]")[1:]
    wanted = ("mpfs", "opps_cap", "gpci", "zip_locality", "place_of_service")
    kept = [each for each in entries if tomllib.loads(each)["dataset"] in wanted]
    (folder / "releases.toml").write_text("".join(f"[[release]]{each}" for each in kept))
    return folder


@pytest.fixture(scope="module")
def published(fee_tables) -> Reference:
    build(fee_tables, fee_tables / "snapshot")
    return Reference.open(fee_tables / "snapshot")


def test_random_reductions_over_the_full_schedule_cost_what_the_oracle_says(published, fee_tables):
    compare(published, fee_tables, 7)


def test_price_of_a_claim_does_not_depend_on_its_company(sample_reference):
    claims = random_claims(Oracle(SAMPLE), seed=3, lines_min=700)

    together, _ = priced(sample_reference, claims)

    alone = [each for lines in claims for each in priced(sample_reference, [lines])[0]]
    assert together == alone


# --- the published caps


def test_capped_technical_parts_are_the_fee_by_the_values_for_outpatient_payment(published):
    mpfs, places, caps = published.mpfs, published.localities, published.opps_cap
    technical = np.flatnonzero(mpfs.modifier[:-1] == MOD_TC)
    place = np.flatnonzero(places.release[:-1] == places.release_at(OCTOBER)[0])
    row, at = (each.ravel() for each in np.meshgrid(technical, place))
    day = np.repeat(OCTOBER, len(row))

    caps_facility, caps_elsewhere = caps.prices(mpfs.code[row], mpfs.modifier[row], at, day)

    capped = caps_facility >= 0
    assert int(capped.sum()) == CAPPED_TECHNICAL_PARTS
    assert int((mpfs.status[row[capped]] == ord("C")).sum()) == CAPPED_BUT_PRICED_BY_CONTRACTORS
    for cap, practice in (
        (caps_facility, mpfs.opps_facility_pe_e2),
        (caps_elsewhere, mpfs.opps_non_facility_pe_e2),
    ):
        values = Values(
            mpfs.work_e2[row].astype(np.int64) * places.work_e3[at],
            practice[row].astype(np.int64) * places.pe_e3[at],
            mpfs.opps_malpractice_e2[row].astype(np.int64) * places.mp_e3[at],
            mpfs.conversion_factor_e4[row].astype(np.int64),
        )
        assert (values.fee_cents == cap)[capped].all()
