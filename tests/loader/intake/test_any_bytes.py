"""Whatever bytes come in: no exception, no hang, no memory that grows with the file."""

import io
import resource
from datetime import date
from pathlib import Path

import pytest
from claimgate.v1 import claim_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loader.intake import IntakeClaim, read_837

DAY = date(2025, 11, 21)
POSITIONS = st.integers(0, 10_000)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), POSITIONS, st.binary(min_size=1, max_size=3)),
        st.tuples(st.just("delete"), POSITIONS, st.integers(1, 120)),
        st.tuples(st.just("insert"), POSITIONS, st.binary(min_size=1, max_size=8)),
        st.tuples(st.just("repeat"), POSITIONS, st.integers(1, 400)),
        st.tuples(
            st.just("insert"),
            POSITIONS,
            st.sampled_from(
                [b"~", b"*", b":", b"~\nISA*", b"~\nHL*9*1*22*0~\n", b"~\nLX*1~\n", b"~\nCLM*"]
            ),
        ),
    ),
    min_size=1,
    max_size=6,
)


def edited(content, edits):
    for kind, position, what in edits:
        at = position % (len(content) + 1)
        if kind == "set":
            content = content[:at] + what + content[at + len(what) :]
        elif kind == "delete":
            content = content[:at] + content[at + what :]
        elif kind == "insert":
            content = content[:at] + what + content[at:]
        else:
            content = content[:at] + content[at : at + what] + content[at:]
    return content


def items_of(content):
    return list(read_837(io.BytesIO(content), file_name="x.837", ingest_date=DAY))


@pytest.fixture(scope="session")
def all_samples(samples):
    return [path.read_bytes() for path in sorted(samples.glob("*.837"))]


@settings(
    max_examples=400, deadline=20_000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(which=st.integers(0, 4), edits=EDITS)
def test_a_damaged_file_never_raises(all_samples, which, edits):
    for item in items_of(edited(all_samples[which], edits)):
        assert item.segment >= 1
        if isinstance(item, IntakeClaim):
            assert item.claim.claim_id
            assert item.claim.lines
            claim_pb2.Claim.FromString(item.claim.SerializeToString())
        else:
            assert item.level in {"error", "warning"}
            assert item.message


@settings(
    max_examples=300, deadline=20_000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=POSITIONS, byte=st.integers(0, 255))
def test_one_wrong_byte_never_gives_a_claim_to_another_patient(professional, position, byte):
    owners = {
        item.claim.patient_account_number: (item.claim.person_id, item.claim.patient_first_name)
        for item in items_of(professional)
    }
    at = position % len(professional)

    items = items_of(professional[:at] + bytes([byte]) + professional[at + 1 :])

    for claim in (item.claim for item in items if isinstance(item, IntakeClaim)):
        account = claim.patient_account_number
        others = {owner for other, owner in owners.items() if other != account}
        if account in owners:
            assert (claim.person_id, claim.patient_first_name) not in others


@pytest.mark.parametrize("size", [1, 7, 105, 106, 107, 4096, 65_535, 65_537])
def test_the_size_of_reads_changes_nothing(all_samples, size):
    content = b"\n".join(all_samples)

    class Dripping(io.RawIOBase):
        """A stream that gives no more than `size` bytes at once."""

        def __init__(self):
            self.rest = io.BytesIO(content)

        def read(self, count=-1):
            return self.rest.read(min(size, count))

    dripped = list(read_837(Dripping(), file_name="x.837", ingest_date=DAY))

    assert dripped == items_of(content)


class Endless(io.RawIOBase):
    """One interchange of many claims, made while it is read."""

    def __init__(self, professional, claim_count):
        start = professional.index(b"HL*2*")
        end = professional.index(b"HL*3*")
        self.claim = professional[start:end].replace(b"REF*D9*DEMO-P-0001", b"REF*D9*%08d")
        self.claim_count = claim_count
        self.given = 0
        self.byte_count = 0
        self.buffer = professional[:start]

    def read(self, count=-1):
        while len(self.buffer) < count and self.given < self.claim_count:
            first, self.given = self.given, min(self.given + 500, self.claim_count)
            self.buffer += b"".join(self.claim % n for n in range(first, self.given))
            if self.given == self.claim_count:
                self.buffer += b"SE*1*0001~\nGE*1*1~\nIEA*1*000000001~\n"
        chunk, self.buffer = self.buffer[:count], self.buffer[count:]
        self.byte_count += len(chunk)
        return chunk


def rss_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="reads the memory in use of Linux"
)
@pytest.mark.parametrize(
    ("claim_count", "growth_bytes_max"),
    [(20_000, 6_000_000), pytest.param(130_000, 20_000_000, marks=pytest.mark.full)],
)
def test_memory_does_not_grow_with_the_file(professional, claim_count, growth_bytes_max):
    """Only the ids given out (about 100 bytes a claim) and the values remembered may add up."""
    stream = Endless(professional, claim_count)
    items = read_837(stream, file_name="big.837", ingest_date=DAY)
    warm = [next(items) for _ in range(2000)]
    start_bytes = rss_bytes()
    growth_bytes = 0
    del warm

    claims = 2000
    for claims, _ in enumerate(items, 2001):
        if claims % 1000 == 0:
            growth_bytes = max(growth_bytes, rss_bytes() - start_bytes)

    assert claims == claim_count + 1
    assert stream.byte_count > claim_count * 450
    assert growth_bytes < growth_bytes_max
