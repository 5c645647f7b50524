"""Requests are served in order, and one that does not fit takes nothing."""

import numpy as np
import pytest

from engine.rules.eligibility.consume import fitting, taken_before


def one_by_one(group, request, left):
    left, fits = list(left), []
    for g, r in zip(group, request, strict=True):
        fits.append(r <= left[g])
        left[g] -= r if fits[-1] else 0
    return fits


def test_what_does_not_fit_leaves_room_for_a_later_one() -> None:
    fits = fitting(np.zeros(4, int), np.array([2, 5, 1, 1]), np.array([3]))

    assert fits.tolist() == [True, False, True, False]


@pytest.mark.parametrize("seed", range(20))
def test_it_is_the_same_as_one_after_another(seed: int) -> None:
    random = np.random.default_rng(seed)
    group, request = random.integers(0, 6, 200), random.integers(0, 5, 200)
    left = random.integers(0, 40, 6)

    assert fitting(group, request, left).tolist() == one_by_one(group, request, left)


def test_nothing_is_left_of_a_debt() -> None:
    assert fitting(np.array([0]), np.array([1]), np.array([-3])).tolist() == [False]


def test_what_was_taken_before_is_counted_by_group() -> None:
    before = taken_before(np.array([1, 0, 1, 1]), np.array([5, 7, 2, 1]))

    assert before.tolist() == [0, 0, 5, 7]


def test_no_request_at_all() -> None:
    none = np.empty(0, np.int64)

    assert not len(fitting(none, none, none))
    assert not len(taken_before(none, none))
