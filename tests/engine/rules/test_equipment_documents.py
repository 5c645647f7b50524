"""Documents of several members over many claims at once."""

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.codes import code36
from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.members import Documents, Members
from engine.policy import Params
from engine.rules.rule import example, line
from engine.rules.specialty.dme_no_cmn import find as no_cmn
from engine.words import word_key

MISSING, ATTACHED, ABOLISHED = range(3)
NONE, NOT_YET, EXPIRED, WITH_THE_CLAIM = range(4)
WHEELCHAIR = "K0856-RR"
ORDER, VISIT = "written order", "face-to-face visit"
OPEN = "NaT"


def documents(*rows):
    """Rows of (member, kind, first code, first day, last day)."""
    member, kind, first, effective, termination = zip(*rows, strict=True)
    codes = np.array([code36(each) if each else 0 for each in first], np.int64)
    return Documents(
        member=np.array(member, np.int64),
        document=np.array([word_key(each) for each in kind], np.int64),
        code_first=codes,
        code_last=codes.copy(),
        effective=np.array(effective, "datetime64[D]"),
        termination=np.array(termination, "datetime64[D]"),
    )


@pytest.fixture
def found(sample_reference):
    def find(on_file, *claims, **params):
        batch = decode(
            [score_pb2.ClaimBatch(claims=[claim_of(c, str(n)) for n, c in enumerate(claims)])],
            allow_zero_charge=True,
        )
        return no_cmn.find(
            batch,
            sample_reference,
            look_up(batch, sample_reference),
            Members(documents=on_file),
            Params({**no_cmn.params, **params}, len(batch.claims)),
        )

    return find


def told(hits):
    """Claim, row of the line, variant, document and status of each hit."""
    names = [each.decode() for each in hits.evidence["document"].tolist()]
    columns = (hits.claim, hits.line, hits.variant, hits.evidence["status"])
    claim, row, variant, status = (column.tolist() for column in columns)
    return sorted(zip(claim, row, variant, names, status, strict=True))


def test_each_member_has_documents_of_its_own(found):
    one = example("", line(WHEELCHAIR), person_id="ONE", pos="12")
    other = example("", line("99213"), line(WHEELCHAIR), person_id="OTHER", pos="12")
    on_file = documents((0, ORDER, "K0856", OPEN, OPEN), (1, VISIT, "", OPEN, OPEN))

    hits = found(on_file, one, other, one)

    assert told(hits) == [
        (0, 0, MISSING, VISIT, NONE),
        (1, 2, MISSING, ORDER, NONE),
        (2, 3, MISSING, VISIT, NONE),
    ]


def test_of_several_documents_one_that_holds_is_enough(found):
    wheelchair = example("", line(WHEELCHAIR), pos="12")
    on_file = documents(
        (0, VISIT, "", OPEN, "2025-10-14"),
        (0, VISIT, "", "2025-10-15", "2025-10-15"),
        (0, ORDER, "", "2025-10-16", OPEN),
        (0, ORDER, "", OPEN, "2025-10-14"),
        (0, ORDER, "", "2025-10-17", OPEN),
    )

    hits = found(on_file, wheelchair)

    assert told(hits) == [(0, 0, MISSING, ORDER, EXPIRED)]
    assert hits.evidence["valid_to"].tolist() == np.array(["2025-10-14"], "M8[D]").tolist()


def test_what_is_missing_and_what_should_not_be_there_are_told_in_one_pass(found):
    certified = line("E0424-RR", has_medical_necessity_certificate=True)
    on_file = documents((0, ORDER, "", OPEN, OPEN))

    hits = found(
        on_file,
        example("", line(WHEELCHAIR, has_documentation=True), certified, pos="12"),
        example("", certified, pos="12", insurance_type="CI"),
    )

    assert told(hits) == [(0, 0, ATTACHED, VISIT, NONE), (0, 1, ABOLISHED, "", WITH_THE_CLAIM)]


def test_payer_may_leave_no_document_out(found):
    oxygen = example("", line("E0424-RR"), pos="12")
    on_file = documents((0, ORDER, "", OPEN, OPEN))

    assert told(found(on_file, oxygen)) == []
    assert told(found(on_file, oxygen, abolished_documents=())) == [(0, 0, MISSING, "CMN", NONE)]


def test_certificate_is_told_of_where_no_documents_are_known(found):
    certified = line("E0424-RR", has_medical_necessity_certificate=True)

    hits = found(None, example("", line(WHEELCHAIR), certified, pos="12"))

    assert told(hits) == [(0, 1, ABOLISHED, "", WITH_THE_CLAIM)]
    assert [gap.reason for gap in hits.not_evaluated] == ["no_dataset"]
    assert len(found(None)) == 0
