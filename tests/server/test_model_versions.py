"""A candidate beside the model: who answers a message, what shadow costs, and what is counted."""

import asyncio
import shutil
import socket
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from claimgate import Client, resources
from prometheus_client import CollectorRegistry

from engine.columns import Received
from loader.places import prepared_snapshot
from loader.synthetic import synthetic_claims
from server.claims_model import load_model
from server.model_client import ModelClient, ModelLimits
from server.model_metrics import CANDIDATE, PRIMARY, ModelMetrics
from server.model_server import serve_model
from server.model_spec import ModelChoice
from server.model_split import Shares
from server.model_versions import Candidate, ModelVersions

ONE, TWO = "1/litert-int8", "2/litert-int8"


@pytest.fixture(scope="module")
def vectors():
    with np.load(resources.find("model") / "validation_vectors.npz") as arrays:
        return arrays["features"]


@pytest.fixture
async def server(two_versions):
    async with await serve_model("127.0.0.1:0", two_versions) as server:
        yield server


@pytest.fixture
def models(two_versions):
    """What each version says, computed apart from any server."""
    return {f"{name}/litert-int8": load_model(two_versions / name) for name in "12"}


@pytest.fixture
def silent():
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def received(sizes: Sequence[int], prefix="claim") -> Received:
    ids = [f"{prefix}-{message}-{n}" for message, size in enumerate(sizes) for n in range(size)]
    return Received(ids, [1] * len(ids), [False] * len(ids), list(sizes))


def pass_of(features, sizes, unscorable=()):
    """A pass of messages of these sizes, of which some have no claim that can be scored."""
    message = np.repeat(np.arange(len(sizes)), sizes)
    keep = ~np.isin(message, unscorable)
    batch = SimpleNamespace(received=received(sizes), claims=SimpleNamespace(message=message[keep]))
    return SimpleNamespace(batch=batch, features=SimpleNamespace(values=features[keep]))


class Side:
    """Two versions side by side, and what is counted."""

    def __init__(self, address, *, answered=0.0, shadow=0.0, candidate=None, model="claims/2"):
        self.registry = CollectorRegistry()
        metrics = ModelMetrics(self.registry, 0.8)
        limits = ModelLimits(timeout_s=2)
        tried = ModelClient(
            [candidate or address], ModelChoice.parse(model), limits, metrics, CANDIDATE
        )
        self.models = ModelVersions(
            ModelClient([address], ModelChoice("claims", 1), limits, metrics, PRIMARY),
            metrics,
            Candidate(tried, Shares(answered, shadow)),
        )

    async def __aenter__(self):
        await self.models.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self.models.__aexit__(*error)

    def sample(self, name, **labels):
        return self.registry.get_sample_value(f"claimgate_model_{name}", labels) or 0.0


def test_share_is_kept_and_each_message_has_its_side():
    messages = received([2] * 20_000)

    answered, shadow = Shares(0.1, 0.5).split(messages, "acme")
    again, _ = Shares(0.1, 0.5).split(messages, "acme")
    other, _ = Shares(0.1, 0.5).split(messages, "other")

    assert 0.09 < answered.mean() < 0.11
    assert 0.43 < shadow.mean() < 0.47
    assert not (answered & shadow).any()
    assert (answered == again).all()
    assert (answered != other).any()


def test_a_larger_share_keeps_the_messages_that_it_had():
    messages = received([1] * 5_000)

    small, _ = Shares(0.05).split(messages, "acme")
    large, _ = Shares(0.20).split(messages, "acme")

    assert small.any()
    assert (large | ~small).all()


def test_side_of_a_message_does_not_depend_on_its_company():
    messages = received([1, 3, 2, 5] * 50)
    whole, _ = Shares(0.5).split(messages, "acme")
    start = 0
    for number, size in enumerate(messages.message_claims):
        ids = messages.claim_ids[start : start + size]
        alone, _ = Shares(0.5).split(Received(ids, [1] * size, [False] * size, [size]), "acme")
        start += size
        assert alone[0] == whole[number]


def test_sides_are_the_same_in_every_release():
    """A replay by a later release has to meet the same models."""
    answered, shadow = Shares(0.5, 0.5).split(received([1] * 24), "acme")

    sides = np.select([answered, shadow], ["candidate", "shadow"], "-")
    assert "".join(side[0] for side in sides) == "sc-cccsccc--scccsc-cc-cc"


def test_whole_and_no_share_are_exact():
    messages = received([1] * 1_000)

    assert Shares(1.0).split(messages, "acme")[0].all()
    assert not Shares(0.0, 0.0).split(messages, "acme")[0].any()
    assert Shares(0.0, 1.0).split(messages, "acme")[1].all()


async def test_each_message_is_answered_by_the_version_that_it_names(server, vectors, models):
    sizes = [3, 1, 4, 2] * 10
    features = vectors[: sum(sizes)]
    async with Side(server.address, answered=0.5) as side:
        answer = await side.models.answer(pass_of(features, sizes), "acme")

    versions = [answer.to_message(number).version for number in range(len(sizes))]
    assert set(versions) == {ONE, TWO}
    by_row = np.repeat(versions, sizes)
    for version, model in models.items():
        rows = by_row == version
        assert answer.probability[rows].tobytes() == model.predict(features[rows]).tobytes()
    assert side.sample("probability_count", version=TWO, use="answer") == (by_row == TWO).sum()


async def test_answer_to_a_message_is_the_same_alone_and_in_company(server, vectors):
    sizes = [2] * 20
    features = vectors[:40]
    async with Side(server.address, answered=0.5) as side:
        together = await side.models.answer(pass_of(features, sizes, unscorable=[3, 7]), "acme")
        kept = np.cumsum([0 if n in {3, 7} else 2 for n in range(20)])
        for number in range(20):
            rows = slice(0, 0) if number in {3, 7} else slice(kept[number] - 2, kept[number])
            read = SimpleNamespace(
                batch=SimpleNamespace(
                    received=Received(
                        [f"claim-{number}-0", f"claim-{number}-1"], [1] * 2, [False] * 2, [2]
                    ),
                    claims=SimpleNamespace(message=np.zeros(rows.stop - rows.start, np.int64)),
                ),
                features=SimpleNamespace(
                    values=features[:0]
                    if number in {3, 7}
                    else features[2 * number : 2 * number + 2]
                ),
            )
            alone = await side.models.answer(read, "acme")
            said = together.to_message(number)
            assert (alone.status, alone.version) == (said.status, said.version)
            assert alone.probability.tobytes() == together.probability[rows].tobytes()


async def test_candidate_that_is_out_degrades_its_own_messages_alone(server, vectors, models):
    sizes = [2] * 20
    features = vectors[:40]
    async with Side(server.address, answered=0.5, model="claims/9") as side:
        answer = await side.models.answer(pass_of(features, sizes), "acme")

    said = [answer.to_message(number) for number in range(20)]
    out = np.repeat([each.status == "unavailable" for each in said], 2)
    assert {each.reason for each in said} == {"", "candidate_not_found"}
    assert np.isnan(answer.probability[out]).all()
    assert answer.probability[~out].tobytes() == models[ONE].predict(features[~out]).tobytes()
    assert side.models.up


async def test_shadow_is_counted_and_never_used(server, vectors, models, until):
    features = vectors[:200]
    read = pass_of(features, [10] * 20)
    async with Side(server.address, shadow=1.0) as side:
        answer = await side.models.answer(read, "acme")
        await until(lambda: side.sample("shadow_passes_total", outcome="ok") == 1)

    one, two = models[ONE].predict(features), models[TWO].predict(features)
    assert answer.version == ONE
    assert answer.by_message == ()
    assert answer.probability.tobytes() == one.tobytes()
    counted = {
        who: side.sample("shadow_claims_total", approved_by=who)
        for who in ("both", "neither", "primary", "candidate")
    }
    assert counted == {
        "both": ((one >= 0.8) & (two >= 0.8)).sum(),
        "neither": ((one < 0.8) & (two < 0.8)).sum(),
        "primary": ((one >= 0.8) & (two < 0.8)).sum(),
        "candidate": 0,
    }
    assert counted["primary"] > 0
    assert side.sample("probability_count", version=TWO, use="shadow") == 200
    assert side.sample("shadow_difference_count") == 200
    assert side.sample("shadow_difference_sum") == pytest.approx(np.abs(one - two).sum(), rel=1e-4)


async def test_shadow_that_does_not_answer_neither_delays_nor_degrades(
    server, silent, vectors, until
):
    loop = asyncio.get_running_loop()
    async with Side(server.address, shadow=1.0, candidate=silent) as side:
        started = loop.time()
        answers = [
            await side.models.answer(pass_of(vectors[:20], [10, 10]), "acme") for _ in range(10)
        ]
        elapsed = loop.time() - started
        skipped = side.sample("shadow_passes_total", outcome="skipped")
        await until(lambda: side.sample("shadow_passes_total", outcome="timeout") == 2)

    assert {(each.status, each.version) for each in answers} == {("ok", ONE)}
    assert elapsed < 1.5
    assert skipped == 8


async def test_fault_in_shadow_is_logged_and_ends_nothing(
    server, vectors, until, monkeypatch, logged
):
    async def faulty(_features):
        raise ValueError("member 123-45-6789")

    async with Side(server.address, shadow=1.0) as side:
        monkeypatch.setattr(side.models._candidate.client, "predict", faulty)
        answer = await side.models.answer(pass_of(vectors[:20], [20]), "acme")
        await until(lambda: side.sample("shadow_passes_total", outcome="fault") == 1)
        again = await side.models.answer(pass_of(vectors[:20], [20]), "acme")

    assert (answer.status, again.status) == ("ok", "ok")
    record = next(each for each in logged() if each["event"] == "model_fault")
    assert record["error_type"] == "ValueError"
    assert "123-45-6789" not in str(record)


async def test_no_answer_names_a_version_that_did_not_score_it(
    two_versions, vectors, models, until
):
    """Versions come and go on the server while passes run."""
    folder = two_versions.parent / "served"
    shutil.copytree(two_versions / "1", folder / "1")
    metrics = ModelMetrics(CollectorRegistry(), 0.8)
    async with await serve_model("127.0.0.1:0", folder) as server:
        client = ModelClient([server.address], ModelChoice("claims"), ModelLimits(2.0), metrics)
        seen = []
        async with ModelVersions(client, metrics) as asked:
            stop = asyncio.Event()

            async def ask(first: int) -> None:
                features = vectors[first : first + 100]
                while not stop.is_set():
                    answer = await asked.answer(pass_of(features, [100]), "acme")
                    assert answer.status == "ok", answer.reason
                    expected = models[answer.version].predict(features)
                    assert answer.probability.tobytes() == expected.tobytes()
                    seen.append(answer.version)

            async with asyncio.TaskGroup() as tasks:
                for first in range(0, 400, 100):
                    tasks.create_task(ask(first))
                for _ in range(5):
                    shutil.copytree(two_versions / "2", folder / "2")
                    await server.reload()
                    await until(lambda: seen[-1:] == [TWO])
                    shutil.rmtree(folder / "2")
                    await server.reload()
                    await until(lambda: seen[-1:] == [ONE])
                stop.set()

    assert set(seen) == {ONE, TWO}
    assert sum(one != other for one, other in pairwise(seen)) >= 9


def test_every_metric_is_on_the_page_of_operating():
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    registry = CollectorRegistry()
    ModelMetrics(registry, 0.8)

    kinds = {"counter": "_total"}
    names = [f"{each.name}{kinds.get(each.type, '')}" for each in registry.collect()]
    assert len(names) == 11
    assert [name for name in names if f"`{name}`" not in page] == []


async def test_messages_meet_the_same_model_on_every_worker_and_every_time(two_versions, started):
    claims = [each for each in synthetic_claims(120, seed=11) if each.claim_id and each.lines]
    messages = [claims[first : first + 5] for first in range(0, len(claims), 5)]
    settings = {
        "workers": "2",
        "model_address": "embedded",
        "model_folder": str(two_versions),
        "model_name": "claims/1",
        "model_candidate": "claims/2",
        "model_candidate_share": "0.5",
    }

    rounds = []
    async with started(Path(prepared_snapshot()), **settings) as service:
        for _ in range(4):
            async with Client(service.address) as client:
                calls = (client.score_batch(message) for message in messages)
                rounds.append(await asyncio.gather(*calls))

    answers = {tuple(each.SerializeToString(deterministic=True) for each in r) for r in rounds}
    assert len(answers) == 1
    ids = [claim.claim_id for message in messages for claim in message]
    sizes = [len(message) for message in messages]
    flags = [1] * len(ids), [False] * len(ids)
    by_candidate, _ = Shares(0.5).split(Received(ids, *flags, sizes), "demo")
    assert [each.provenance.model_version for each in rounds[0]] == [
        TWO if candidate else ONE for candidate in by_candidate
    ]
    assert 0 < by_candidate.sum() < len(messages)
    assert all(
        result.HasField("approval_probability")
        for each in rounds[0]
        for result in each.results
        if not result.violations
    )
