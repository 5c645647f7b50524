"""Consistent hashing: equal shares, and few keys that move with a node."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.ring import Ring

KEYS = [f"claimgate:fees:1:tenant:1-a:{number}".encode() for number in range(20_000)]
NODES = [f"10.0.0.{number}:11211" for number in range(1, 6)]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_node_has_about_its_share(count):
    ring = Ring.of(NODES[:count])

    shares = Counter(map(ring.node, KEYS))

    assert len(shares) == count
    assert max(shares.values()) < 1.25 * len(KEYS) / count
    assert min(shares.values()) > 0.75 * len(KEYS) / count


@pytest.mark.parametrize("gone", NODES)
def test_keys_of_the_other_nodes_stay_when_one_leaves(gone):
    whole, less = Ring.of(NODES), Ring.of([node for node in NODES if node != gone])

    moved = [key for key in KEYS if whole.node(key) != less.node(key)]

    assert {whole.node(key) for key in moved} == {gone}
    assert len(moved) < 1.25 * len(KEYS) / len(NODES)
    assert len({less.node(key) for key in moved}) == len(NODES) - 1


def test_order_of_the_nodes_does_not_matter():
    ring, turned = Ring.of(NODES), Ring.of(NODES[::-1])

    assert [ring.node(key) for key in KEYS[:2_000]] == [turned.node(key) for key in KEYS[:2_000]]


@given(st.binary(max_size=250))
def test_every_key_has_a_node(key):
    assert Ring.of(NODES).node(key) in NODES
