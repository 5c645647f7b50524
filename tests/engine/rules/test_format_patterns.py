"""Patterns of codes agree with the published ones."""

import re
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.codes import code36
from engine.rules.format import patterns

WRITTEN = {
    patterns.is_procedure: r"[0-9]{5}|[0-9]{4}[AFMTU]|[A-V][0-9]{4}",
    patterns.is_diagnosis: r"[A-Z][0-9][0-9A-Z]([0-9A-Z]{0,4})",
    partial(patterns.matches, pattern=patterns.ICD_PROCEDURE): r"[0-9A-HJ-NP-Z]{7}",
    partial(patterns.matches, pattern=patterns.REVENUE): r"[0-9]{4}",
    partial(patterns.matches, pattern=patterns.TYPE_OF_BILL): r"0[0-9A-Z]{3}",
    partial(patterns.matches, pattern=patterns.MODIFIER): r"[0-9A-Z]{2}",
    partial(patterns.matches, pattern=patterns.DRG): r"[0-9]{3}",
    partial(patterns.matches, pattern=patterns.NDC): r"[0-9]{11}",
    partial(patterns.matches, pattern=patterns.TAXONOMY): r"[0-9A-Z]{9}X",
    partial(patterns.matches, pattern=patterns.DENTAL): r"D[0-9]{4}",
}


def coded(texts):
    return np.array([code36(text) for text in texts], np.int64)


@pytest.mark.parametrize(("matches", "regex"), WRITTEN.items(), ids=WRITTEN.values())
@given(data=st.data())
def test_pattern_takes_what_its_expression_takes(matches, regex, data):
    any_code = st.text("0123456789ADEFIMOTUVWXZ", min_size=1, max_size=12)
    texts = data.draw(st.lists(any_code | st.from_regex(regex, fullmatch=True), max_size=20))
    texts = [text for text in texts if text.isascii()]

    found = matches(coded(texts)).tolist()

    assert found == [re.fullmatch(regex, text) is not None for text in texts]


@pytest.mark.parametrize("matches", WRITTEN, ids=WRITTEN.values())
def test_no_code_and_what_cannot_be_one_match_nothing(matches):
    found = matches(coded(["", "A-1", "TWELVELETTERS"]))

    assert not found.any()
