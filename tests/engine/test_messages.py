"""Claims as they came in: read from their bytes where these are beyond doubt, else by protobuf."""

import pytest
from claimgate.v1 import claim_pb2
from claimgate.v1 import score_pb2 as pb
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from engine.checks_native import claims_in, entries_in
from engine.decode import decode
from engine.entries import entries_of, entries_within
from engine.examples import claim_of
from engine.messages import Rows, as_message
from engine.rules.rule import example, line
from loader.synthetic import synthetic_claims

CLAIM = claim_of(example("plain", line("99213-25"), line("71046")), "Çlaim")
BATCH = pb.ClaimBatch(claims=[CLAIM, CLAIM]).SerializeToString()

compiled = pytest.mark.usefixtures("compiled")


def wrapped(claim: bytes) -> bytes:
    """The bytes of a batch of one claim."""
    assert len(claim) < 1 << 14
    return b"\x0a" + bytes([len(claim) & 0x7F | 0x80, len(claim) >> 7]) + claim


def charge(cents: int) -> bytes:
    return claim_pb2.Claim(total_charge_cents=cents).SerializeToString()


UNUSUAL = {
    "a field that nobody knows": CLAIM.SerializeToString() + b"\xfa\x3e\x01x",
    "a number that comes twice": CLAIM.SerializeToString() + charge(7),
    "a text that comes twice": claim_pb2.Claim(facility_id="A").SerializeToString()
    + CLAIM.SerializeToString(),
    "a provider in two parts": CLAIM.SerializeToString()
    + claim_pb2.Claim(
        billing_provider=claim_pb2.Provider(last_or_org_name="B")
    ).SerializeToString(),
    "a group that nobody knows": CLAIM.SerializeToString() + b"\xfb\x3e\xfc\x3e",
    "a key that comes twice": CLAIM.SerializeToString()
    + claim_pb2.Claim(attributes={"a": "b"}).SerializeToString() * 60,
}
MALFORMED = {
    "cut off": BATCH[:-1],
    "text that is no UTF-8": BATCH.replace("Ç".encode(), b"\xc3\x28"),
    "a surrogate": BATCH.replace(b"99213", b"\xed\xa0\x8013"),
    "an overlong character": BATCH.replace(b"99213", b"\xc0\xaf213"),
    "a field numbered 0": BATCH + b"\x00\x00",
    "a number without end": wrapped(b"\x10" + b"\xff" * 11),
    "a group without end": BATCH + b"\xfb\x3e",
}


@compiled
def test_claims_as_protobuf_writes_them_are_beyond_doubt():
    claims = list(synthetic_claims(500, seed=5))

    assert claims_in(pb.ClaimBatch(claims=claims).SerializeToString()) == 500
    assert claims_in(BATCH) == 2
    assert claims_in(b"") == 0


@pytest.mark.parametrize("content", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_bytes_are_read_as_protobuf_reads_them(content):
    content = wrapped(content)
    meant = decode([pb.ClaimBatch.FromString(content)], allow_zero_charge=True, reader="python")

    assert claims_in(content) is None
    sent = Rows.read(content)
    found = decode([sent], allow_zero_charge=True)

    assert sent.rows() == pb.ClaimBatch.FromString(content)
    assert found.violations == meant.violations
    assert found.claims.total_charge_cents.tolist() == meant.claims.total_charge_cents.tolist()
    assert found.claims.billing_name.tolist() == meant.claims.billing_name.tolist()


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_bytes_that_protobuf_refuses_are_refused(content):
    with pytest.raises(DecodeError):
        pb.ClaimBatch.FromString(content)

    with pytest.raises(DecodeError):
        Rows.read(content)


@compiled
@given(st.binary(max_size=40))
def test_text_is_beyond_doubt_exactly_where_it_is_unicode(text):
    content = wrapped(b"\x0a" + bytes([len(text)]) + text)
    try:
        text.decode()
    except UnicodeDecodeError:
        assert claims_in(content) is None
    else:
        assert claims_in(content) == 1


def test_claims_are_the_same_whatever_they_came_as():
    batch = pb.ClaimBatch.FromString(BATCH)

    for sent in (Rows.read(BATCH), Rows.of(batch), as_message(batch)):
        assert sent.claims == 2
        assert sent.rows() == batch
        assert sent.content == BATCH
        assert as_message(sent) is sent
        assert "laim" not in repr(sent)


@compiled
def test_entries_are_all_messages_in_lists_at_any_depth():
    claims = list(synthetic_claims(50, seed=5))
    content = pb.ClaimBatch(claims=claims).SerializeToString()

    assert entries_of(content) == entries_within(pb.ClaimBatch.FromString(content)) > 200
    assert entries_in(b"") == 0
    assert entries_in(pb.ClaimBatch(claims=[{"attributes": {"a": "b"}}]).SerializeToString()) == 2


@compiled
@pytest.mark.parametrize("content", UNUSUAL.values(), ids=UNUSUAL)
def test_entries_are_counted_where_claims_are_not_beyond_doubt(content):
    claim = pb.ClaimBatch.FromString(BATCH).claims[0]
    for _ in range(1_000):
        claim.lines.add()
    content = wrapped(content) + pb.ClaimBatch(claims=[claim]).SerializeToString()

    assert claims_in(content) is None
    assert entries_in(content) >= entries_within(pb.ClaimBatch.FromString(content)) > 1_000


@compiled
@given(st.binary(max_size=60))
def test_entries_of_any_bytes_are_no_more_than_there_is_room_for(content):
    assert 0 <= entries_in(content) <= len(content) / 2
