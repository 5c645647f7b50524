"""Who calls is told by the connection alone."""

from types import SimpleNamespace

import pytest

from server.errors import UnauthenticatedError
from server.principal import identify


def calling_from(peer: str):
    return SimpleNamespace(peer=lambda: peer)


@pytest.mark.parametrize(
    "peer", ["ipv4:127.0.0.1:5000", "ipv6:%5B::1%5D:5000", "ipv6:[::ffff:127.0.0.1]:5000"]
)
def test_caller_on_this_machine_is_the_development_tenant(peer):
    assert identify(calling_from(peer)).tenant == "demo"


@pytest.mark.parametrize(
    "peer",
    ["ipv4:10.0.0.7:5000", "ipv6:%5B2001:db8::1%5D:5000", "ipv6:[::ffff:10.0.0.7]:1", "unix:", ""],
)
def test_caller_from_elsewhere_is_refused(peer):
    with pytest.raises(UnauthenticatedError):
        identify(calling_from(peer))
