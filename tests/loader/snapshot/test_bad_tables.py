"""The same faults in every dataset: each is refused whole, by file, row, reason and expectation."""

import gzip
import re
from dataclasses import dataclass

import pytest

from engine.reference import Reference
from loader.snapshot.build import OWN, PUBLISHED, build
from loader.snapshot.published import ReferenceFileError


@dataclass(frozen=True)
class Sample:
    """A file of a dataset, and what can be wrong with it: a pattern and what takes its place."""

    name: str
    header: tuple[str, str] | None
    """None where the layout has no header."""
    code: tuple[str, str]
    """A code, or what stands for one, that cannot be."""
    row: str
    """A row that may not come twice."""
    reversed: tuple[str, str] | None = None
    """Two days the wrong way round; None where a row has none."""
    overlap: tuple[str, str] | None = None
    """A second row of one key that is in force on the same day; None where a key has one row."""
    may_repeat: bool = False
    """The publisher repeats rows: a second one says nothing else."""
    head: int = 1
    """Lines above the first row."""


HEADER_ROWS_MAX = 15
DATES_OF_LEVEL_2 = r"^(G0101,.*,),(\d{4}-\d\d-\d\d),"

SAMPLES = {
    "mpfs": Sample(
        "mpfs/PPRRVU_sample.csv",
        header=(r"^HCPCS,MOD", "HCPCS,MODIFIER"),
        code=(r"^99213,", "9921,"),
        row=r"^99213,,.*\r\n",
        head=10,
    ),
    "opps_cap": Sample(
        "mpfs/OPPSCAP_sample.csv",
        header=(r"^HCPCS,MOD", "HCPCS,MODIFIER"),
        code=(r"^70496,", "7049Z6,"),
        row=r"^70496,TC,.,10112,00,.*\r\n",
    ),
    "gpci": Sample(
        "gpci/GPCI2025_sample.csv",
        header=(r"PW GPCI", "WORK INDEX"),
        code=(r"^10112,", "10X12,"),
        row=r"^10112,AL,.*\r\n",
        head=3,
    ),
    "anesthesia_cf": Sample(
        "gpci/ANES2025_sample.csv",
        header=(r"^Contractor,Locality", "Contractor,Area"),
        code=(r"^10112 ", "1011 "),
        row=r"^10112 ,00 ,.*\r\n",
    ),
    "zip_locality": Sample(
        "gpci/ZIP5_sample.txt",
        header=None,
        code=(r"^NY10001", "XX10001"),
        row=r"^NY10001.*\r\n",
        head=0,
    ),
    **{
        f"ncci_ptp_{setting}": Sample(
            name,
            header=(r"^Column 1\t", "Column A\t"),
            code=(r"^43239\t43235", "43239\tABCDE"),
            row=r"^43239\t43235\t.*\r\n",
            reversed=(r"^(43239\t43235\t.*?\t)(\t\*)", r"\g<1>20250201\t20250131"),
            overlap=(
                r"^(43239\t43235\t.*?\t)\t\*(\t.*\r\n)",
                r"\g<1>20200101\t20241231\2\g<1>20241231\t*\2",
            ),
            head=6,
        )
        for setting, name in (
            ("practitioner", "ncci/ccipra_sample.txt"),
            ("hospital", "ncci/ccioph_sample.txt"),
        )
    },
    **{
        f"ncci_mue_{setting}": Sample(
            f"ncci/MCR_MUE_{name}_sample.csv",
            header=("MUE Adjudication Indicator", "Indicator"),
            code=(rf"^{code},", f"{code[:-1]},"),
            row=rf"^{code},.*\r\n",
            head=5,
        )
        for setting, name, code in (
            ("practitioner", "PractitionerServices", "97110"),
            ("hospital", "OutpatientHospitalServices", "97110"),
            ("dme", "DMESupplierServices", "A4206"),
        )
    },
    "ncci_aoc": Sample(
        "ncci/AOC_sample.csv",
        header=("AOC_EDIT_EFF_YEAR", "EFF_YEAR"),
        code=(r"^11045,1,11042", "11045,1,1104"),
        row=r"^11045,.*\n",
        reversed=(r"^(11045,1,11042,2013,),", r"\g<1>2012,"),
        overlap=(
            r"^(11045,1,11042,)2013,,(.*\n)",
            r"\g<1>2013,2015,\2\g<1>2015,,\2",
        ),
    ),
    "leie": Sample(
        "leie/UPDATED_sample.csv",
        header=('"EXCLDATE"', '"EXCLUDED"'),
        code=('"2000001000"', '"200000100"'),
        row=r'^.*"2000001000".*\r\n',
        reversed=('"20250420","00000000"', '"20250420","20250419"'),
        may_repeat=True,
    ),
    "icd10cm": Sample(
        "codes/icd10cm_order_sample.txt",
        header=None,
        code=(r"^(\d{5}) E119 ", r"\1 1119 "),
        row=r"^\d{5} E119 .*\r\n",
        head=0,
    ),
    "hcpcs": Sample(
        "codes/hcpcs_level2_sample.csv",
        header=("DATE_TERM", "TERM_DATE"),
        code=(r"^G0101,", "GO101,"),
        row=r"^G0101,.*\n",
        reversed=(DATES_OF_LEVEL_2, r"\g<1>1990-01-01,\2,"),
    ),
    "place_of_service": Sample(
        "codes/place_of_service_sample.csv",
        header=("^POS_CODE", "POS"),
        code=(r"^11,", "1A,"),
        row=r"^11,.*\n",
    ),
    "modifiers": Sample(
        "codes/modifiers_sample.csv",
        header=("^MODIFIER", "MOD"),
        code=(r"^25,", "2-,"),
        row=r"^25,.*\n",
        may_repeat=True,
    ),
    "evaluation_management": Sample(
        "claimgate/evaluation_management.csv",
        header=("^code_from", "from"),
        code=(r"^99202,", "9920X,"),
        row=r"^99202,.*\n",
        reversed=(r"^(99202,99215),,", r"\1,2025-02-01,2025-01-31"),
        overlap=(
            r"^(99202,99215),,(.*\n)",
            r"\1,,2024-12-31\2\1,2024-12-31,\2",
        ),
    ),
    "ncci_modifiers": Sample(
        "claimgate/ncci_modifiers.csv",
        header=("^modifier,", "mod,"),
        code=(r"^LT,", "LEFT,"),
        row=r"^LT,anatomic\n",
    ),
    "diagnosis_age_class": Sample(
        "claimgate/diagnosis_age_class.csv",
        header=("age_from", "from_age"),
        code=(r"^Z38,", "338,"),
        row=r"^Z38,Z38,.*\n",
        reversed=(r"^(Z38,Z38,newborn,0,0),,", r"\1,2025-02-01,2025-01-31"),
        overlap=(
            r"^(Z38,Z38,newborn,0,0),,(.*\n)",
            r"\1,,2024-12-31\2\1,2024-12-31,\2",
        ),
    ),
}

OF_EVERY = [pytest.param(sample, id=dataset) for dataset, sample in SAMPLES.items()]
ONCE_ONLY = [p for p in OF_EVERY if not p.values[0].may_repeat]
WITH_HEADER = [p for p in OF_EVERY if p.values[0].header]
WITH_DAYS = [p for p in OF_EVERY if p.values[0].reversed]
WITH_SEVERAL_ROWS = [p for p in OF_EVERY if p.values[0].overlap]


def change(source, name, old, new):
    """Replace the first match of a pattern; return the line where it stands."""
    path = source / name
    text = path.read_bytes().decode()
    match = re.search(old, text, re.MULTILINE)
    assert match, f"{name} no longer holds {old}"
    path.write_bytes((text[: match.start()] + match.expand(new) + text[match.end() :]).encode())
    return text[: match.start()].count("\n") + 1


def refused(source, tmp_path, sample):
    """Build, expect a refusal that names the file, and nothing in the folder of the snapshot."""
    out = tmp_path / "out" / "snapshot"

    with pytest.raises(ReferenceFileError) as error:
        build(source, out)

    assert error.value.file.removesuffix(".gz") == sample.name
    assert error.value.reason
    assert error.value.expected
    assert str(error.value).startswith(error.value.file)
    assert list(out.parent.iterdir()) == []
    return error.value


def test_every_dataset_has_a_sample():
    assert set(SAMPLES) == {*PUBLISHED, *OWN}


@pytest.mark.parametrize("sample", WITH_HEADER)
def test_another_header(source, tmp_path, sample):
    change(source, sample.name, *sample.header)

    error = refused(source, tmp_path, sample)

    assert "header" in error.reason or "column" in error.reason
    assert 1 <= error.row <= HEADER_ROWS_MAX


@pytest.mark.parametrize("sample", OF_EVERY)
def test_a_code_that_is_none(source, tmp_path, sample):
    line = change(source, sample.name, *sample.code)

    assert refused(source, tmp_path, sample).row == line


@pytest.mark.parametrize("sample", ONCE_ONLY)
def test_a_row_that_comes_twice(source, tmp_path, sample):
    line = change(source, sample.name, sample.row, r"\g<0>\g<0>")

    assert refused(source, tmp_path, sample).row == line + 1


@pytest.mark.parametrize("sample", [p for p in OF_EVERY if p.values[0].may_repeat])
def test_a_row_that_the_publisher_repeats_changes_nothing(source, tmp_path, sample):
    once = build(source, tmp_path / "once")
    change(source, sample.name, sample.row, r"\g<0>\g<0>")

    twice = build(source, tmp_path / "twice")

    assert once.arrays == twice.arrays
    assert once.snapshot != twice.snapshot  # the file is another one


@pytest.mark.parametrize("sample", WITH_DAYS)
def test_days_the_wrong_way_round(source, tmp_path, sample):
    line = change(source, sample.name, *sample.reversed)

    assert refused(source, tmp_path, sample).row == line


@pytest.mark.parametrize("sample", WITH_SEVERAL_ROWS)
def test_two_rows_in_force_on_one_day(source, tmp_path, sample):
    line = change(source, sample.name, *sample.overlap)

    assert refused(source, tmp_path, sample).row == line + 1


@pytest.mark.parametrize("sample", [p for p in OF_EVERY if p.id in PUBLISHED])
def test_half_a_gzip_file(source, tmp_path, sample):
    path = source / sample.name
    packed = gzip.compress(path.read_bytes())
    path.with_name(path.name + ".gz").write_bytes(packed[: len(packed) // 2])
    toml = source / "releases.toml"
    toml.write_text(toml.read_text().replace(sample.name, sample.name + ".gz"))

    assert "compressed file is damaged" in refused(source, tmp_path, sample).reason


@pytest.mark.parametrize("sample", OF_EVERY)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_another_encoding(source, tmp_path, sample, encoding):
    path = source / sample.name
    path.write_bytes(path.read_bytes().decode().encode(encoding))

    error = refused(source, tmp_path, sample)

    assert "UTF-16" in error.reason or "NUL" in error.reason


@pytest.mark.parametrize("sample", OF_EVERY)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04 ...", "workbook"),
        (b"\xd0\xcf\x11\xe0 ...", "workbook"),
        (b"\x1f\x8b ...", "compressed"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_what_is_no_text(source, tmp_path, sample, content, reason):
    (source / sample.name).write_bytes(content)

    assert reason in refused(source, tmp_path, sample).reason


@pytest.mark.parametrize("sample", OF_EVERY)
def test_an_empty_file(source, tmp_path, sample):
    (source / sample.name).write_bytes(b"")

    refused(source, tmp_path, sample)


@pytest.mark.parametrize("sample", [p for p in WITH_HEADER if p.id != "leie"])
def test_a_header_and_no_row(source, tmp_path, sample):
    path = source / sample.name
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: sample.head]))

    refused(source, tmp_path, sample)


@pytest.mark.parametrize("sample", OF_EVERY)
def test_a_row_that_is_cut_off(source, tmp_path, sample):
    path = source / sample.name
    content = path.read_bytes().rstrip()
    last = content.rfind(b"\n") + 1
    path.write_bytes(content[: last + 3] + b"\r\n")

    error = refused(source, tmp_path, sample)

    assert error.row == content.count(b"\n") + 1


@pytest.mark.parametrize("sample", OF_EVERY)
def test_the_snapshot_in_use_stays(source, tmp_path, sample):
    current = tmp_path / "current"
    before = build(source, current)
    change(source, sample.name, *sample.code)

    refused(source, tmp_path, sample)

    assert Reference.open(current, verify=True).manifest == before


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("gpci/GPCI2025_sample.csv", "0.869", "-0.869", "pe is '-0.869'"),
        ("gpci/GPCI2025_sample.csv", "0.869", "0.000", "pe is '0.000'"),
        ("gpci/ANES2025_sample.csv", "19.31", "0.00", "Factor is '0.00'"),
        ("mpfs/PPRRVU_sample.csv", r"^(99213,.*)32\.3465", r"\g<1>0.0000", "CONV FACTOR is"),
        (
            "mpfs/PPRRVU_sample.csv",
            r"^(99213,.*,09,0,99),0.00",
            r"\1,99999999.99",
            "is '99999999.99'",
        ),
        ("mpfs/OPPSCAP_sample.csv", r"^(70496,TC,.,10112,00,)", r"\1-", "FACILITY PRICE is"),
        (
            "ncci/ccipra_sample.txt",
            r"\t20191231\t",
            r"\t00191231\t",
            "a date is no calendar date",
        ),
        ("leie/UPDATED_sample.csv", '"20250420"', '"02500420"', "EXCLDATE is '02500420'"),
        ("leie/NPI_list_sample.csv", r"^2000090219", "2000090201", "a second time"),
        (
            "ncci/MCR_MUE_PractitionerServices_sample.csv",
            "Practitioner Services MUE",
            "DME Supplier Services MUE",
            "header",
        ),
        (
            "claimgate/diagnosis_age_class.csv",
            "maternity,9,64",
            "maternity,64,9",
            "ages from 64 to 9",
        ),
    ],
)
def test_values_that_cannot_be(source, tmp_path, name, old, new, reason):
    change(source, name, old, new)

    with pytest.raises(ReferenceFileError) as error:
        build(source, tmp_path / "snapshot")

    assert error.value.file == name
    assert reason in error.value.reason


def test_a_text_of_another_code_page_is_no_fault(source, tmp_path):
    path = source / "leie" / "UPDATED_sample.csv"
    path.write_bytes(path.read_bytes().replace(b"SAMPLE MEDICAL", b"SEN\xcdOR M\xc9DICAL"))

    build(source, tmp_path / "snapshot")
