"""Which core each worker keeps to."""

import os

import pytest

from server.cores import NoCoresError, cores_of


@pytest.fixture
def cores(monkeypatch):
    def allow(*allowed):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(allowed), raising=False)

    return allow


@pytest.mark.parametrize(
    ("allowed", "workers", "pinned", "expected"),
    [
        ((0, 1), 2, None, [0, 1]),
        ((5, 3), 2, None, [3, 5]),
        ((0, 1, 2, 3), 2, None, [None, None]),
        ((0, 1), 3, None, [None, None, None]),
        ((0,), 1, None, [None]),
        ((0, 1), 2, False, [None, None]),
        ((0, 1, 2, 3), 2, True, [0, 1]),
        ((4, 6), 3, True, [4, 6, 4]),
    ],
)
def test_workers_are_pinned_where_each_has_a_core(cores, allowed, workers, pinned, expected):
    cores(*allowed)

    assert cores_of(workers, pinned=pinned) == expected


def test_system_without_cores_to_choose_pins_none_by_itself(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)

    assert cores_of(2, pinned=None) == [None, None]
    with pytest.raises(NoCoresError, match="set it to false, or serve on Linux"):
        cores_of(2, pinned=True)
