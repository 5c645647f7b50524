"""Codes as integers: nothing is lost, nothing collides."""

from hypothesis import given
from hypothesis import strategies as st

from engine.codes import ABSENT, UNCODABLE, Code36, code36, text36

CODES = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=11)


@given(CODES)
def test_code_comes_back(text: str) -> None:
    assert text36(code36(text)) == text


@given(CODES, CODES)
def test_different_codes_are_different_integers(one: str, other: str) -> None:
    assert (code36(one) == code36(other)) == (one == other)


@given(CODES)
def test_eleven_characters_fit_in_int64(text: str) -> None:
    assert 0 < code36(text) < 2**63


def test_blank_is_absent_and_nonsense_is_uncodable() -> None:
    assert code36("  ") == ABSENT
    assert code36("99-13") == UNCODABLE
    assert code36("É1234") == UNCODABLE
    assert code36("123456789012") == UNCODABLE


def test_case_and_blanks_do_not_matter() -> None:
    assert code36(" g0378 ") == code36("G0378")


def test_memory_does_not_keep_nonsense() -> None:
    memory = Code36()

    assert memory["123-45-6789"] == UNCODABLE
    assert "123-45-6789" not in memory
