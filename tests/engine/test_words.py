"""Ids as integers: case and blanks around them do not count, and nothing else is lost."""

from hypothesis import given
from hypothesis import strategies as st

from engine.words import BLANK, word_key


def test_blanks_are_no_word():
    assert word_key("") == word_key("  \t") == BLANK


def test_case_and_blanks_around_do_not_count():
    assert word_key(" plan-a7 ") == word_key("PLAN-A7")


def test_the_key_is_the_64_bit_hash_of_the_capital_letters():
    assert word_key("foobar") == 0x6D91FADFA4BBF528


@given(st.text(min_size=1).filter(str.strip))
def test_every_word_is_positive(text):
    assert word_key(text) > 0
