"""A tenant's fees for a pass: from the process, memcached or Postgres, always of one version."""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from engine.codes import code36
from loader import embedded
from loader.fees import load_fees
from loader.synthetic import synthetic_claims
from server.database import open_database
from server.errors import DatabaseUnavailableError
from server.fee_cache import ProcessCache
from server.fee_database import FeeDatabase
from server.fee_metrics import FeeMetrics
from server.fee_values import key_of, opened, prefix_of, sealed
from server.fee_versions import FeeVersions
from server.fees import FeesClient
from server.memcached import Memcached
from server.metrics import Metrics

HEADER = "code,contract,setting,rate_kind,rate,net,effective_from,effective_to"
CODES = ("99213", "99214", "99215")


def asked(*texts):
    return np.array(sorted(map(code36, texts)), np.int64)


def rates(found):
    """Code and rate of each row that was found."""
    return {row["code"]: int(row["rate"]) for row in found.fees.rows}


class Store(FeeDatabase):
    """The database, with a count of its questions, a gate before them and faults on demand."""

    def __init__(self, database):
        super().__init__(database)
        object.__setattr__(self, "asked", [])
        object.__setattr__(self, "gate", asyncio.Event())
        object.__setattr__(self, "fault", [])
        self.gate.set()

    async def rows(self, tenant, version, codes):
        self.asked.append((version, sorted(codes)))
        await self.gate.wait()
        if self.fault:
            raise self.fault[0]
        return await super().rows(tenant, version, codes)

    async def version(self, tenant, number=None):
        if self.fault:
            raise self.fault[0]
        return await super().version(tenant, number)


@pytest.fixture
def load(postgres, tenant, tmp_path):
    """Load a fee schedule: a rate in dollars for each code."""

    async def load(of=tenant, **dollars):
        path = tmp_path / "fees.csv"
        lines = (f"{code[1:]},,any,cents_per_unit,{rate},no,," for code, rate in dollars.items())
        path.write_text("\n".join((HEADER, *lines)))
        connection = await asyncpg.connect(postgres.loading_url(embedded.PRODUCTION))
        try:
            return await load_fees(connection, of, path)
        finally:
            await connection.close()

    return load


class Opened:
    """A client, and what it is made of."""

    def __init__(self, client, store, registry):
        self.client, self.store, self.registry = client, store, registry

    def sample(self, name, **labels):
        return self.registry.get_sample_value(name, labels) or 0

    async def of(self, tenant, *codes, number=None):
        return await self.client.of(asked(*(codes or CODES)), tenant, number)


@pytest.fixture
def open_client(postgres):
    """Open a client as a process of the service does."""

    @asynccontextmanager
    async def opened(*nodes, deadline_s=5.0, poll_ms=20, ttl_s=60.0):
        registry = CollectorRegistry()
        metrics, fee_metrics = Metrics(registry, 0.8), FeeMetrics(registry)
        url = postgres.loading_url(embedded.PRODUCTION)
        async with open_database(url, connections_max=2, query_s=5) as database:
            store = Store(database)
            memcached = Memcached.at(nodes, 2, fee_metrics) if nodes else None
            cache = ProcessCache(1_000_000, ttl_s)
            versions = FeeVersions(store, fee_metrics, poll_ms)
            async with FeesClient(
                versions, store, cache, memcached, deadline_s, metrics, fee_metrics
            ) as client:
                yield Opened(client, store, registry)

    return opened


async def test_rows_of_the_codes_come_back_with_the_version(open_client, load, tenant):
    await load(c99213=90, c99214=120, c93000=20)

    async with open_client() as opened:
        found = await opened.of(tenant)

    assert rates(found) == {code36("99213"): 90_0000, code36("99214"): 120_0000}
    assert (found.fees.version, found.degraded, len(found.fees.unknown)) == (1, (), 0)


async def test_tenant_without_a_schedule_is_asked_nothing(open_client, tenant):
    async with open_client() as opened:
        found = await opened.of(tenant)

        assert (found.fees.version, len(found.fees.rows), found.degraded) == (0, 0, ())
        assert len(found.fees.unknown) == 0
        assert opened.store.asked == []


async def test_second_pass_asks_nobody_also_for_codes_without_a_row(open_client, load, tenant):
    await load(c99213=90)

    async with open_client() as opened:
        first = await opened.of(tenant)
        second = await opened.of(tenant)

        assert rates(first) == rates(second) == {code36("99213"): 90_0000}
        assert len(opened.store.asked) == 1
        assert opened.sample("claimgate_cache_hits_total", cache_type="process") == 3
        assert opened.sample("claimgate_cache_misses_total", cache_type="process") == 3


async def test_another_process_finds_in_memcached_what_the_first_one_read(
    open_client, load, tenant, memcached_process, until
):
    nodes = [memcached_process().address for _ in range(2)]
    await load(c99213=90, c99214=120)

    async with open_client(*nodes) as first, open_client(*nodes) as second:
        read = await first.of(tenant)
        await until(lambda: sets(first) == len(CODES))
        shared = await second.of(tenant)

        assert rates(shared) == rates(read)
        assert second.store.asked == []
        assert second.sample("claimgate_cache_hits_total", cache_type="memcached") == 3


def sets(opened):
    return opened.sample("claimgate_memcached_duration_seconds_count", operation="set")


async def test_memcached_that_dies_costs_no_answer(open_client, load, tenant, memcached_process):
    process = memcached_process()
    await load(c99213=90, c99214=120)

    async with open_client(process.address, ttl_s=0.0) as opened:
        before = await opened.of(tenant)
        process.stop()
        during = [await opened.of(tenant) for _ in range(3)]
        process.start()
        after = await opened.of(tenant)

        assert [rates(each) for each in (*during, after)] == [rates(before)] * 4
        assert {each.degraded for each in (before, *during, after)} == {()}
        assert opened.sample("claimgate_memcached_errors_total", node=process.address) >= 1


async def test_damaged_value_and_one_of_another_key_are_read_anew(
    open_client, load, tenant, memcached_process
):
    node = memcached_process().address
    await load(c99213=90, c99214=120)

    async with open_client(node) as opened:
        version = await opened.store.version(tenant)
        keys = [key_of(prefix_of(tenant, version), code) for code in asked(*CODES).tolist()]
        cut, moved, fine = keys
        other = sealed(fine, b"")
        await opened.client._memcached.set({cut: b"abc", moved: other, fine: other})

        found = await opened.of(tenant)

        assert rates(found) == {code36("99213"): 90_0000, code36("99214"): 120_0000}
        assert opened.store.asked == [(1, asked("99213", "99214").tolist())]
        assert opened.sample("claimgate_fees_faults_total", fault="checksum") == 2


async def test_passes_that_miss_the_same_codes_share_one_question(open_client, load, tenant, until):
    await load(c99213=90)

    async with open_client() as opened:
        await opened.client._versions.of(tenant)
        opened.store.gate.clear()
        passes = [asyncio.create_task(opened.of(tenant)) for _ in range(5)]
        more = asyncio.create_task(opened.of(tenant, "99213", "93000"))
        await until(lambda: len(opened.store.asked) == 2)
        opened.store.gate.set()
        found = await asyncio.gather(*passes, more)

        questions = sorted(codes for _, codes in opened.store.asked)
        assert questions == sorted([asked(*CODES).tolist(), asked("93000").tolist()])
        assert all(rates(each) == {code36("99213"): 90_0000} for each in found)


async def test_pass_that_is_cancelled_spoils_no_other(open_client, load, tenant, until):
    await load(c99213=90)

    async with open_client() as opened:
        opened.store.gate.clear()
        given_up, patient = (asyncio.create_task(opened.of(tenant)) for _ in range(2))
        await until(lambda: opened.store.asked)
        given_up.cancel()
        opened.store.gate.set()

        assert rates(await patient) == {code36("99213"): 90_0000}
        assert len(opened.store.asked) == 1


async def test_late_answer_is_said_and_serves_the_next_pass(open_client, load, tenant, until):
    await load(c99213=90)

    async with open_client(deadline_s=0.1) as opened:
        await opened.of(tenant, "93000")
        opened.store.gate.clear()
        late = await opened.of(tenant, "93000", "99213")
        up = opened.sample("claimgate_dependency_up", dependency="fees")
        opened.store.gate.set()
        await until(lambda: not opened.client._pending)
        after = await opened.of(tenant, "93000", "99213")

        assert (late.degraded, late.fees.unknown.tolist()) == (
            ("fees: timeout",),
            [code36("99213")],
        )
        assert (up, late.fees.version) == (0, 1)
        assert (after.degraded, rates(after)) == ((), {code36("99213"): 90_0000})
        assert opened.sample("claimgate_dependency_up", dependency="fees") == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (DatabaseUnavailableError("OSError"), "unavailable"),
        (asyncpg.PostgresError("no"), "error"),
    ],
)
async def test_fault_of_the_database_leaves_codes_unknown_that_no_cache_has(
    open_client, load, tenant, fault, reason
):
    await load(c99213=90)

    async with open_client() as opened:
        await opened.of(tenant, "99213")
        opened.store.fault.append(fault)
        found = await opened.of(tenant)
        stranger = await opened.of("somebody-else")
        opened.store.fault.clear()
        after = await opened.of(tenant)

    assert rates(found) == {code36("99213"): 90_0000}
    assert found.fees.unknown.tolist() == asked("99214", "99215").tolist()
    assert found.degraded == stranger.degraded == (f"fees: {reason}",)
    assert stranger.fees.unknown.tolist() == asked(*CODES).tolist()
    assert (after.degraded, len(after.fees.unknown)) == ((), 0)


async def test_new_version_is_taken_up_and_earlier_ones_can_be_asked_for(
    open_client, load, tenant, until
):
    await load(c99213=90)

    async with open_client() as opened:
        watching = asyncio.create_task(opened.client.watch())
        first = await opened.of(tenant)
        await load(c99213=91, c99214=120)
        await until(lambda: opened.client._versions._held[tenant].number == 2)
        second = await opened.of(tenant)
        again = await opened.of(tenant, number=1)
        never = await opened.of(tenant, number=9)
        watching.cancel()

    assert (first.fees.version, rates(first)) == (1, {code36("99213"): 90_0000})
    assert (second.fees.version, rates(second)[code36("99213")]) == (2, 91_0000)
    assert (again.fees.version, rates(again)) == (1, rates(first))
    assert (never.degraded, len(never.fees.unknown)) == (("fees: no_such_version",), 3)


async def test_database_that_is_out_leaves_the_version_in_use(open_client, load, tenant, until):
    await load(c99213=90)

    async with open_client() as opened:
        watching = asyncio.create_task(opened.client.watch())
        await opened.of(tenant)
        opened.store.fault.append(DatabaseUnavailableError("OSError"))
        fault = {"fault": "version_unread"}
        await until(lambda: opened.sample("claimgate_fees_faults_total", **fault) > 1)
        found = await opened.of(tenant)
        watching.cancel()

    assert (found.fees.version, found.degraded) == (1, ())


async def test_no_answer_mixes_two_versions_while_schedules_change(
    open_client, load, tenant, memcached_process
):
    """Every code has the number of its version as its rate."""
    node = memcached_process().address
    codes = [f"c{number}" for number in range(99201, 99216)]
    await load(**dict.fromkeys(codes, 1))
    seen = []

    async with open_client(node, poll_ms=10) as one, open_client(node, poll_ms=15) as other:
        watching = [asyncio.create_task(each.client.watch()) for each in (one, other)]

        async def ask(opened):
            while not done.is_set():
                seen.append(await opened.of(tenant, *(code[1:] for code in codes)))
                await asyncio.sleep(0)

        done = asyncio.Event()
        asking = [asyncio.create_task(ask(each)) for each in (one, other, one)]
        for version in range(2, 12):
            assert (await load(**dict.fromkeys(codes, version))).version == version
        async with asyncio.timeout(10):
            while seen[-1].fees.version < 11:  # noqa: ASYNC110 - until the last was taken up
                await asyncio.sleep(0.01)
        done.set()
        await asyncio.gather(*asking)
        for task in watching:
            task.cancel()

    assert all(set(rates(each).values()) == {each.fees.version * 10_000} for each in seen)
    assert {len(each.fees.rows) for each in seen} == {len(codes)}
    assert len({each.fees.version for each in seen}) > 3


async def test_demo_mix_finds_most_codes_in_a_cache(open_client, load, tenant):
    """The share includes the first passes of a process, which find nothing."""
    await load(c80053=11, c85025=8)
    claims = list(synthetic_claims(10_000, seed=1))
    passes = [claims[at : at + 200] for at in range(0, len(claims), 200)]

    async with open_client() as opened:
        for each in passes:
            codes = {line.procedure_code for claim in each for line in claim.lines}
            found = await opened.of(tenant, *(code for code in codes if code36(code) > 0))
            assert found.degraded == ()
        hits = opened.sample("claimgate_cache_hits_total", cache_type="process")
        misses = opened.sample("claimgate_cache_misses_total", cache_type="process")

    share = hits / (hits + misses)
    print(f"{hits + misses:.0f} codes asked for, {share:.1%} found in the process")  # noqa: T201
    assert share > 0.95


async def test_another_tenant_never_sees_the_rows(open_client, load, tenant, memcached_process):
    node = memcached_process().address
    other = f"{tenant}-other"
    await load(c99213=90)
    await load(of=other, c99213=10, c99215=30)

    async with open_client(node, ttl_s=0.0) as opened:
        found = [await opened.of(of) for _ in range(3) for of in (tenant, other)]

    assert [rates(each) for each in found] == 3 * [
        {code36("99213"): 90_0000},
        {code36("99213"): 10_0000, code36("99215"): 30_0000},
    ]


async def test_keys_and_values_name_no_tenant_and_no_two_share_a_key(open_client, load, tenant):
    await load(c99213=90)

    async with open_client() as opened:
        version = await opened.store.version(tenant)
    prefix = prefix_of(tenant, version)
    renumbered = prefix_of(tenant, version._replace(number=2))
    restored = prefix_of(tenant, version._replace(stamp="0"))

    assert tenant.encode() not in prefix
    assert len({prefix, renumbered, restored, prefix_of("other", version)}) == 4
    assert len(key_of(prefix_of("a b\n" * 16, version), 60_466_175)) < 250


def test_value_is_opened_only_under_its_own_key():
    value = sealed(b"key-1", b"")

    assert (opened(b"key-1", value), opened(b"key-2", value)) == (b"", None)
    assert opened(b"key-1", value + b"x") is None
    assert opened(b"key-1", b"") is None
