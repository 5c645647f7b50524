"""The process's own cache: bounded, and each value for a while."""

from hypothesis import given
from hypothesis import strategies as st

from server.fee_cache import ProcessCache


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_value_is_kept_until_its_time_is_over():
    clock = Clock()
    cache = ProcessCache(10_000, 5, clock)
    cache.put(b"a", b"1")

    clock.now = 4.9
    held = cache.get(b"a")
    clock.now = 5.0

    assert (held, cache.get(b"a"), cache.size) == (b"1", None, 0)


def test_what_was_not_used_for_longest_goes_first():
    cache = ProcessCache(3 * 310, 5)
    for name in (b"a", b"b", b"c"):
        cache.put(name, b"0123456789")
    cache.get(b"a")

    cache.put(b"d", b"0123456789")

    assert [name for name in (b"a", b"b", b"c", b"d") if cache.get(name)] == [b"a", b"c", b"d"]


def test_no_rows_are_a_value_too():
    cache = ProcessCache(1_000, 5)
    cache.put(b"a", b"")

    assert cache.get(b"a") == b""


@given(st.lists(st.tuples(st.sampled_from(b"abcdefgh"), st.binary(max_size=900)), max_size=60))
def test_it_never_holds_more_than_it_may(values):
    cache = ProcessCache(2_000, 5)

    for key, value in values:
        cache.put(bytes([key]), value)
        assert cache.size <= 2_000
        assert cache.size == sum(300 + len(each) for _, each in cache._entries.values())
