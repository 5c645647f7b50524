"""The service as a process: it says where it serves, and ends as it should."""

import asyncio
import contextlib
import os
import signal
import socket
import urllib.request
from collections import defaultdict
from pathlib import Path
from random import Random

import grpc
import psutil
import pytest
from claimgate import CallError, Client
from claimgate.v1 import claim_pb2, score_pb2

from loader.snapshot.build import build
from loader.synthetic import synthetic_claims

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory) -> Path:
    """A snapshot of the project's sample tables."""
    folder = tmp_path_factory.mktemp("reference") / "snapshot"
    build(PROJECT / "ops" / "reference-sample", folder)
    return folder


@pytest.fixture(scope="module")
def claims() -> list[claim_pb2.Claim]:
    return list(synthetic_claims(40, seed=11))


async def test_service_scores_and_stops_when_told(snapshot, claims, started):
    async with started(snapshot) as service:
        async with Client(service.address) as client:
            response = await client.score_batch(claims)
        code = await service.stop()

    assert [each.claim_id for each in response.results] == [claim.claim_id for claim in claims]
    assert response.provenance.reference_release
    assert {each.model_status for each in response.results if not each.violations} == {
        score_pb2.MODEL_STATUS_DISABLED
    }
    assert code == 0


async def test_embedded_model_answers_and_ends_with_the_service(snapshot, claims, started):
    async with started(snapshot, model_address="embedded") as service:
        model = service.children
        async with Client(service.address) as client:
            response = await client.score_batch(claims)
        code = await service.stop()

    assert {each.model_status for each in response.results if not each.violations} == {
        score_pb2.MODEL_STATUS_OK
    }
    assert response.provenance.model_version
    assert code == 0
    assert len(model) == 1
    assert not any(child.is_running() for child in model.values())


async def test_service_without_its_model_says_so_and_goes_on(snapshot, claims, started):
    async with (
        started(snapshot, model_address="127.0.0.1:1") as service,
        Client(service.address) as client,
    ):
        response = await client.score_batch(claims)

    scored = [each for each in response.results if not each.violations]
    assert {each.model_status for each in scored} == {score_pb2.MODEL_STATUS_UNAVAILABLE}
    assert all(each.degraded for each in scored)
    assert not any(each.HasField("approval_probability") for each in scored)


async def test_workers_share_a_port_their_metrics_and_their_end(snapshot, claims, until, started):
    port = free_port()
    pages = f"127.0.0.1:{port}"
    async with started(snapshot, workers="2", metrics_listen=pages) as service:
        workers = service.children
        for _ in range(6):
            async with Client(service.address) as client:
                await client.score_batch(claims)
        text = await asyncio.to_thread(page, f"http://{pages}/metrics")
        ready = await asyncio.to_thread(page, f"http://{pages}/ready")
        code = await service.stop()

    assert len(workers) == 2
    assert "claimgate_batch_size_sum 240.0" in text
    assert '"engine": "ok"' in ready
    assert code == 0
    assert not any(child.is_running() for child in workers.values())


def cores_of_threads(pid: int) -> set[tuple[int, ...]]:
    """Return the cores that the threads of a process may run on."""
    return {
        tuple(os.sched_getaffinity(int(thread.name)))
        for thread in Path(f"/proc/{pid}/task").iterdir()
    }


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="this system does not let a process choose a core"
)
async def test_every_thread_of_a_worker_keeps_to_its_core(snapshot, started):
    allowed = sorted(os.sched_getaffinity(0))

    async with started(snapshot, workers="2", pin_workers="true") as service:
        found = [cores_of_threads(pid) for pid in service.children]

    assert all(len(cores) == 1 for cores in found)
    assert set().union(*found) == {(core,) for core in allowed[:2]}


@pytest.fixture(scope="module")
def messages() -> list[score_pb2.ClaimBatch]:
    """Messages of many claims and of few, each member's claims in one."""
    random, by_member = Random(3), defaultdict(list)
    for claim in synthetic_claims(1_200, seed=23):
        by_member[claim.person_id].append(claim)
    found, members = [], list(by_member.values())
    while members:
        size = random.choice((1, 1, 2, 5, 40))
        found.append(score_pb2.ClaimBatch(claims=[c for each in members[:size] for c in each]))
        del members[:size]
    return found


async def streamed(
    address: str, messages: list[score_pb2.ClaimBatch], order: list[int]
) -> dict[int, bytes]:
    """The answers to some messages over a stream of their own, by the message's number."""
    async with Client(address) as client:
        answers = {}
        async for each in client.score([messages[number] for number in order]):
            number, each.sequence = order[each.sequence], 0
            answers[number] = each.SerializeToString(deterministic=True)
        return answers


async def test_answers_depend_neither_on_workers_nor_on_streams_nor_on_order(
    snapshot, messages, started
):
    in_order = list(range(len(messages)))
    async with started(snapshot, workers="1") as service:
        once = await streamed(service.address, messages, in_order)
    assert set(once) == set(in_order)

    for seed, streams in ((1, 2), (2, 7)):
        order = Random(seed).sample(in_order, len(in_order))
        async with started(snapshot, workers="2") as service:
            parts = await asyncio.gather(
                *(
                    streamed(service.address, messages, order[start::streams])
                    for start in range(streams)
                )
            )
        again = {number: answer for part in parts for number, answer in part.items()}
        assert again == once


async def test_worker_that_dies_is_started_again(snapshot, claims, until, started):
    async with started(snapshot, workers="2") as service:
        before = service.children
        next(iter(before.values())).kill()
        await until(lambda: len(service.children) == 2 and service.children != before)
        async with Client(service.address) as client:
            answers = [
                answer async for answer in client.score([score_pb2.ClaimBatch(claims=claims)] * 5)
            ]

    assert len(answers) == 5


async def test_workers_do_not_outlive_a_killed_supervisor(snapshot, until, started):
    async with started(snapshot, workers="2", model_address="embedded") as service:
        children = service.children
        await service.stop(signal.SIGKILL)
        await until(lambda: not any(running(child) for child in children.values()))

    assert len(children) == 3


async def test_process_that_is_told_to_stop_under_load_ends_cleanly(snapshot, claims, started):
    batches = [score_pb2.ClaimBatch(claims=claims)] * 30
    answered = []
    async with started(snapshot) as service, Client(service.address) as client:
        stream = client.score(batches, window=8)
        answered.append(await anext(stream))
        stopping = asyncio.create_task(service.stop())
        with contextlib.suppress(Exception):
            async for answer in stream:
                answered.append(answer)  # noqa: PERF401 - those before the end are wanted
        code = await stopping

    assert code == 0
    assert len({answer.sequence for answer in answered}) == len(answered)
    assert all(len(answer.results) == len(claims) for answer in answered)


async def test_port_that_is_taken_is_named(snapshot, started, failed_start):
    async with started(snapshot) as service:
        code, errors = await failed_start(snapshot, listen=service.address)

    assert code == 1
    assert f"cannot listen on {service.address}: Address already in use" in errors
    assert "Traceback" not in errors


async def test_port_that_is_taken_is_named_with_several_workers_too(
    snapshot, started, failed_start
):
    async with started(snapshot) as service:
        code, errors = await failed_start(snapshot, listen=service.address, workers="2")

    assert code == 1
    assert "Address already in use" in errors
    assert "Traceback" not in errors


async def test_folder_that_is_no_snapshot_is_named(tmp_path, failed_start):
    code, errors = await failed_start(tmp_path)

    assert code == 1
    assert str(tmp_path) in errors
    assert "Traceback" not in errors


async def test_reference_is_shown_as_it_is_used(snapshot, started):
    async with started(snapshot) as service, Client(service.address) as client:
        releases = await client.list_releases()
        procedure = await client.get_procedure("99213", "2025-10-15")
        rules = await client.list_rules()
        rule = await client.get_rule(rules[0].rule_id)
        policy = await client.get_policy()
        scored = await client.score_batch([claim_pb2.Claim(claim_id="x")])
        refused = {
            call: await code_of(client, *arguments)
            for call, arguments in {
                "no such rule": ("get_rule", "NO_SUCH_RULE"),
                "no such procedure": ("get_procedure", "ZZZZZ", "2025-10-15"),
                "no date": ("get_procedure", "99213", "15.10.2025"),
                "no code": ("get_procedure", "9921", "2025-10-15"),
            }.items()
        }

    assert releases.reference_release == scored.provenance.reference_release
    assert policy.policy_version == scored.provenance.policy_version
    assert {release.dataset for release in releases.releases} >= {"mpfs", "leie"}
    assert (procedure.status, procedure.global_days) == ("A", "XXX")
    assert procedure.work_rvu_e2 > 0
    assert rule == rules[0]
    assert all(each.summary and each.citation and each.examples for each in rules)
    assert refused == {
        "no such rule": grpc.StatusCode.NOT_FOUND,
        "no such procedure": grpc.StatusCode.NOT_FOUND,
        "no date": grpc.StatusCode.INVALID_ARGUMENT,
        "no code": grpc.StatusCode.INVALID_ARGUMENT,
    }


async def code_of(client: Client, method: str, *arguments: str) -> grpc.StatusCode:
    with pytest.raises(CallError) as raised:
        await getattr(client, method)(*arguments)
    return raised.value.code


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own page
        return answer.read().decode()


def running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
