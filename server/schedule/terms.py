"""The words of the schedule: messages, priorities, limits, refusals."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol, TypeVar

from server.schedule.quota import Quota


class Priority(Enum):
    """Who waits for an answer."""

    INTERACTIVE = "interactive"
    """Somebody: a page, a clearinghouse."""
    BULK = "bulk"
    """A file or a nightly run."""

    # A member is one object; the hash of its name, the default, is reckoned in Python each time.
    __hash__ = object.__hash__


PRIORITIES: Final = tuple(Priority)
"""Every priority: to go over the class itself takes several times as long."""


class Message(Hashable, Protocol):
    """What the schedule needs to know of a message; two messages are never equal."""

    @property
    def tenant(self) -> str:
        """Whose claims they are."""

    @property
    def lane(self) -> Hashable:
        """What the messages of one pass have in common; the tenant is a part of it."""

    @property
    def claims(self) -> int:
        """How many claims it has, at least one."""

    @property
    def priority(self) -> Priority:
        """Who waits for the answer."""

    @property
    def expires_at(self) -> float:
        """When nobody waits any more; infinity if never."""


M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How passes form, and how much may wait. Times are seconds, sizes are claims."""

    claims_max: int
    """Most claims in a pass; a larger message goes alone."""
    claims_short: int
    """Most claims in a pass while interactive messages come beside others."""
    wait_s: float
    """Longest that a pass waits for more claims while another is under way."""
    interactive_memory_s: float
    """How long passes stay short after an interactive message."""
    bulk_wait_s: float
    """Bulk that waited longer takes every other turn, before interactive messages."""
    queue_claims_max: int
    """Most claims that wait."""
    interactive_share: float
    """Share of the queue, and of a quota's burst, that bulk leaves to interactive messages."""
    tenant_share: float
    """Share of the queue that one tenant may hold."""
    retry_s: float
    """Shortest time after which a refused caller is told to come again."""
    retry_s_max: float
    """Longest such time."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Share of the engine by tenant, beside others; 1 where none is named."""
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    """Quotas by tenant; `*` is for each tenant that is not named."""

    def weight(self, tenant: str) -> float:
        """Return a tenant's share of the engine beside others."""
        return self.weights.get(tenant, 1.0)

    def quota(self, tenant: str) -> Quota | None:
        """Return a tenant's quota; None where it has none."""
        return self.quotas.get(tenant, self.quotas.get("*"))


class Why(Enum):
    """Why a message was refused."""

    FULL = "full"
    """The queue is full, or the part of it that the message's priority may use."""
    TENANT_FULL = "tenant_full"
    """The tenant holds as much of the queue as one tenant may."""
    QUOTA = "quota"
    """The tenant sent more claims than its quota allows."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that was not taken."""

    why: Why
    claims: int
    """Claims that count against the bound: waiting ones, or of the message where it is a quota."""
    claims_max: int
    """The bound: of the queue, of the tenant's part, or the claims a second of the quota."""
    retry_s: float
    """When the same may be sent again."""
