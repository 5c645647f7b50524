"""Files of claims are told apart by what is in them, not by their names."""

import gzip
from datetime import date

import pytest
from claimgate.v1 import claim_pb2
from google.protobuf import json_format

from loader.intake import IntakeClaim, IntakeError, IntakeProblem, read_claims

DAY = date(2025, 11, 21)


def ids(path):
    return [i.claim.claim_id for i in read_claims(path, ingest_date=DAY) if hasattr(i, "claim")]


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\r\n  "])
def test_837_is_known_by_its_isa(tmp_path, professional, before):
    path = tmp_path / "claims.txt"
    path.write_bytes(before + professional)

    assert ids(path) == ["DEMO-P-0001", "DEMO-P-0002", "DEMO-P-0003"]


def test_gzip_is_known_by_its_content(tmp_path, professional):
    path = tmp_path / "claims.837"
    path.write_bytes(gzip.compress(professional))

    assert len(ids(path)) == 3


def test_batch_id_is_the_name_of_the_file(tmp_path, professional):
    path = tmp_path / "monday.837"
    path.write_bytes(professional)

    items = list(read_claims(path, ingest_date=DAY))

    assert {item.claim.batch_id for item in items} == {"monday.837"}


def test_json_lines_give_claims_as_they_were_written(tmp_path):
    claims = [claim_pb2.Claim(claim_id=name, total_charge_cents=5) for name in ("a", "b")]
    path = tmp_path / "claims.jsonl"
    path.write_text("\n".join(json_format.MessageToJson(c, indent=None) for c in claims) + "\n\n")

    items = list(read_claims(path, ingest_date=DAY))

    assert items == [IntakeClaim(claims[0], 1), IntakeClaim(claims[1], 2)]


@pytest.mark.parametrize(
    "line", [b'{"claim_id": 5}', b'{"claim_id": "x"', b'{"nope": 1}', b"\xff", b"[" * 100_000]
)
def test_a_bad_json_line_is_reported_and_its_neighbours_load(tmp_path, line):
    path = tmp_path / "claims.jsonl"
    path.write_bytes(b'{"claimId": "first"}\n' + line + b'\n{"claimId": "last"}\n')

    items = list(read_claims(path, ingest_date=DAY))

    assert [i.claim.claim_id for i in items if isinstance(i, IntakeClaim)] == ["first", "last"]
    (problem,) = [i for i in items if isinstance(i, IntakeProblem)]
    assert (problem.segment, problem.level, problem.code) == (2, "error", "json")


@pytest.mark.parametrize("content", [b"", b"   \n", b"claim_id,charge\n1,2\n", b"%PDF-1.7", b"[]"])
def test_what_is_neither_is_refused_with_a_reason(tmp_path, content):
    path = tmp_path / "claims.bin"
    path.write_bytes(content)

    with pytest.raises(IntakeError, match=r"claims\.bin: neither an 837 nor JSON lines; expected"):
        list(read_claims(path, ingest_date=DAY))


def test_a_cut_off_gzip_file_is_refused_after_what_could_be_read(tmp_path, professional):
    path = tmp_path / "claims.837.gz"
    path.write_bytes(gzip.compress(professional)[:-40])

    with pytest.raises(IntakeError, match="gzip file is damaged or cut off"):
        list(read_claims(path, ingest_date=DAY))


def test_a_json_line_without_end_is_refused(tmp_path):
    path = tmp_path / "claims.jsonl"
    path.write_bytes(b'{"claimId": "' + b"x" * (5 * 1024 * 1024))

    with pytest.raises(IntakeError, match="longer than 4194304 bytes"):
        list(read_claims(path, ingest_date=DAY))
