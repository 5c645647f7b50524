"""What a seed stands for: limits, and messages that come, expire and are given up."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from random import Random

from server.schedule.quota import Quota
from server.schedule.terms import Limits, Priority


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """A message of the simulated traffic."""

    number: int
    tenant: str
    claims: int
    priority: Priority
    sent_at: float
    history: bool = True
    expires_at: float = inf
    cancelled_at: float = inf
    unary: bool = False

    @property
    def lane(self) -> tuple[str, bool]:
        return self.tenant, self.history


@dataclass(frozen=True, slots=True)
class Engine:
    """What a pass takes of the one engine, and how long it waits between reading and scoring."""

    pass_s: float
    claim_s: float
    gather_s: float
    read_share: float = 0.25

    def busy_s(self, claims: int) -> float:
        return self.pass_s + claims * self.claim_s


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that happens from outside."""

    limits: Limits
    engine: Engine
    messages: list[Sent]
    late_s: float = 0.0
    """How late a wake-up comes at most; without lateness moments are checked exactly."""
    drained_at: float = inf


def scenario(seed: int) -> Scenario:
    """Return what a seed stands for."""
    random = Random(seed)
    tenants = "abcd"[: random.randint(1, 4)]
    limits = _limits(random, tenants)
    pass_s = random.choice([0.0, 0.001, 0.01])
    engine = Engine(pass_s, random.choice([1e-5, 1e-4, 1e-3]), random.choice([0, 1e-3, 0.03]))
    messages = sorted(_messages(random, tenants, limits, engine), key=lambda each: each.sent_at)
    return Scenario(
        limits,
        engine,
        messages,
        late_s=random.choice([0.0, 0.0, 0.005]),
        drained_at=random.uniform(0, messages[-1].sent_at) if random.random() < 0.1 else inf,
    )


def _limits(random: Random, tenants: str) -> Limits:
    claims_max = random.choice([4, 10, 32])
    quotas = {}
    if random.random() < 0.4:
        for tenant in random.sample([*tenants, "*"], random.randint(1, len(tenants))):
            rate = random.choice([20.0, 300.0, 5000.0])
            quotas[tenant] = Quota(rate, random.choice([1.0, 12.5, 60.0]))
    return Limits(
        claims_max=claims_max,
        claims_short=random.choice([claims_max, max(1, claims_max // 4)]),
        wait_s=random.choice([0.0, 0.002, 0.02]),
        interactive_memory_s=random.choice([0.0, 0.05, 1.0]),
        bulk_wait_s=random.choice([0.0, 0.02, 0.5]),
        queue_claims_max=random.choice([40, 80, 400]),
        interactive_share=random.choice([0.0, 0.125, 0.25]),
        tenant_share=random.choice([0.25, 0.5, 1.0]),
        retry_s=0.01,
        retry_s_max=5.0,
        weights={tenant: random.choice([0.5, 1.0, 4.0]) for tenant in tenants},
        quotas=quotas,
    )


def _messages(random: Random, tenants: str, limits: Limits, engine: Engine) -> Iterator[Sent]:
    size_max = random.choice([1, 6, 30])
    bulk = random.choice([0.0, 0.5, 0.9, 1.0])
    hurried = random.random() < 0.3
    given_up = random.random() < 0.3
    load = random.choice([0.3, 1.0, 4.0, 50.0])
    shares = [random.choice([1, 1, 8]) for _ in tenants]
    sent_at = 0.0
    for number in range(random.randint(10, 60)):
        claims = random.randint(1, size_max)
        sent_at += random.expovariate(1) * engine.busy_s(claims) / load
        if random.random() < 0.03:
            sent_at += random.uniform(0, 1.5)
        yield Sent(
            number=number,
            tenant=random.choices(tenants, shares)[0],
            history=random.random() < 0.8,
            claims=claims,
            priority=Priority.BULK if random.random() < bulk else Priority.INTERACTIVE,
            sent_at=sent_at,
            expires_at=sent_at + random.expovariate(20)
            if hurried and random.random() < 0.5
            else inf,
            cancelled_at=sent_at + random.expovariate(20)
            if given_up and random.random() < 0.5
            else inf,
            unary=random.random() < 0.3,
        )
