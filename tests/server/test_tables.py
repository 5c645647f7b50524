"""Tables are replaced under load: each answer rests on one snapshot, and no call is lost."""

import asyncio
import json
import shutil
import signal
import socket
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from claimgate import Client
from claimgate.v1 import score_pb2

from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.reference import Reference
from engine.tables.snapshot import SnapshotError
from loader.snapshot.build import build
from loader.synthetic import synthetic_claims
from server.tables import fingerprint, open_tables

SAMPLE = Path(__file__).parents[2] / "ops" / "reference-sample"
MESSAGES = 40
VIEW = score_pb2.VIEW_EVIDENCE


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    """A snapshot of the sample tables."""
    folder = tmp_path_factory.mktemp("tables") / "first"
    build(SAMPLE, folder)
    return folder


@pytest.fixture(scope="module")
def second(tmp_path_factory) -> Path:
    """A snapshot that prices lower and allows fewer units."""
    folder = tmp_path_factory.mktemp("tables")
    shutil.copytree(SAMPLE, folder / "source")
    for name, old, new in (
        ("mpfs/PPRRVU_sample.csv", "32.3465", "31.0000"),
        ("ncci/MCR_MUE_PractitionerServices_sample.csv", "\r\n97110,6,", "\r\n97110,1,"),
    ):
        path = folder / "source" / name
        content = path.read_bytes()
        assert old.encode() in content
        path.write_bytes(content.replace(old.encode(), new.encode()))
    build(folder / "source", folder / "second")
    return folder / "second"


@pytest.fixture(scope="module")
def messages() -> list[score_pb2.ClaimBatch]:
    """Small messages of claims."""
    claims = list(synthetic_claims(MESSAGES * 4, seed=23))
    return [score_pb2.ClaimBatch(claims=claims[at::MESSAGES]) for at in range(MESSAGES)]


@pytest.fixture
def current(tmp_path, first) -> Path:
    """A link that leads to the first snapshot."""
    link = tmp_path / "current"
    link.symlink_to(first)
    return link


def lead(link: Path, target: Path) -> None:
    """Have a link lead elsewhere in one step."""
    new = link.with_name("new")
    new.symlink_to(target)
    new.replace(link)


def answers_of(folder: Path, messages: list[score_pb2.ClaimBatch]) -> tuple[str, list[bytes]]:
    """Return a snapshot's id and what its engine answers to each message by itself."""
    engine = Engine.with_all_rules(Reference.open(folder))
    answers = []
    for message in messages:
        gathered = Gathered(ModelAnswer.disabled())
        [answer] = engine.score(engine.read([message]), gathered, [VIEW])
        answers.append(bits(answer.results, answer.provenance))
    return engine.reference.release, answers


def bits(results, provenance) -> bytes:
    parts = [*results, provenance]
    return b"".join(part.SerializeToString(deterministic=True) for part in parts)


async def stream(address: str, messages, found: list[tuple[int, str, bytes]], stop: asyncio.Event):
    """Send messages without end until told to stop; note which snapshot answered what."""

    async def endless() -> AsyncIterator[score_pb2.ClaimBatch]:
        while not stop.is_set():
            for message in messages:
                yield message

    async with Client(address) as client:
        async for answer in client.score(endless()):
            at = answer.sequence % len(messages)
            release = answer.provenance.reference_release
            found.append((at, release, bits(answer.results, answer.provenance)))


async def in_use(address: str) -> str:
    async with Client(address) as client:
        return (await client.list_releases()).reference_release


@pytest.mark.parametrize("workers", [1, 2])
async def test_tables_are_replaced_under_load_and_no_answer_mixes_them(
    started, current, first, second, messages, until, workers
):
    expected = dict([answers_of(first, messages), answers_of(second, messages)])
    [a, b] = expected
    found: list[tuple[int, str, bytes]] = []
    stop = asyncio.Event()

    async with started(
        current, reference_poll_ms="0", batch_claims_max="64", workers=str(workers)
    ) as service:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2 * workers):
                tasks.create_task(stream(service.address, messages, found, stop))
            await until(lambda: found)
            for swaps, (folder, release) in enumerate(((second, b), (first, a)) * 3, start=1):
                lead(current, folder)
                service.process.send_signal(signal.SIGHUP)
                replaced = workers * swaps
                await until(lambda n=replaced: len(service.logged("tables_replaced")) == n)
                sent = len(found)
                await until(lambda r=release, n=sent: any(each[1] == r for each in found[n:]))
                assert await in_use(service.address) == release
            stop.set()
        code = await service.stop()

    assert code == 0
    assert {release for _, release, _ in found} == {a, b}
    assert all(answer == expected[release][at] for at, release, answer in found)
    assert expected[a] != expected[b]


async def test_tables_are_replaced_when_the_link_is_seen_to_lead_elsewhere(
    started, current, second, until
):
    async with started(current, reference_poll_ms="50") as service:
        lead(current, second)
        await until(lambda: service.logged("tables_replaced"))

        assert await in_use(service.address) == Reference.open(second).release


async def test_tables_are_replaced_when_the_folder_is_another(
    started, tmp_path, first, second, until
):
    folder = tmp_path / "snapshot"
    shutil.copytree(first, folder)
    shutil.copytree(second, tmp_path / "incoming")
    async with started(folder, reference_poll_ms="0") as service:
        folder.rename(tmp_path / "outgoing")
        (tmp_path / "incoming").rename(folder)
        service.process.send_signal(signal.SIGHUP)
        await until(lambda: service.logged("tables_replaced"))

        assert await in_use(service.address) == Reference.open(second).release


async def test_old_tables_are_let_go_of(started, current, first, second, messages, until):
    async with started(current, reference_poll_ms="0") as service:
        async with Client(service.address) as client:
            await client.score_batch(messages[0])
        mapped = mapped_files(service.process.pid)
        lead(current, second)
        service.process.send_signal(signal.SIGHUP)
        await until(lambda: service.logged("tables_replaced"))
        async with Client(service.address) as client:
            await client.score_batch(messages[0])
        await until(lambda: str(first) not in mapped_files(service.process.pid))
        mapped_after = mapped_files(service.process.pid)

    assert str(first) in mapped
    assert str(second) in mapped_after


def mapped_files(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def cut(folder: Path) -> str:
    column = folder / "mpfs" / "work_e2.npy"
    column.write_bytes(column.read_bytes()[:-1])
    return "work_e2.npy: it has"


def flip(folder: Path) -> str:
    column = folder / "mpfs" / "work_e2.npy"
    content = bytearray(column.read_bytes())
    content[-8] ^= 1
    column.write_bytes(content)
    return "work_e2.npy: its hash is"


def remove(folder: Path) -> str:
    (folder / "leie" / "key.npy").unlink()
    return "key.npy: it cannot be read"


def no_manifest(folder: Path) -> str:
    (folder / "manifest.json").unlink()
    return "no snapshot in"


def no_json(folder: Path) -> str:
    (folder / "manifest.json").write_text('{"format": 1')
    return "manifest.json: it is no manifest"


def another_format(folder: Path) -> str:
    change_manifest(folder, format=0)
    return "format 0"


def another_id(folder: Path) -> str:
    change_manifest(folder, snapshot="0" * 64)
    return "its id is not the hash"


def change_manifest(folder: Path, **changes: object) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


DAMAGES = [cut, flip, remove, no_manifest, no_json, another_format, another_id]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_tables_are_refused_by_file_and_reason(tmp_path, second, damage):
    folder = tmp_path / "damaged"
    shutil.copytree(second, folder)
    reason = damage(folder)

    with pytest.raises(SnapshotError, match=reason):
        open_tables(folder)


async def test_damaged_tables_change_nothing(
    started, current, tmp_path, first, second, messages, until
):
    release, expected = answers_of(first, messages)
    port = free_port()
    found: list[tuple[int, str, bytes]] = []
    stop = asyncio.Event()

    async with started(
        current, reference_poll_ms="0", metrics_listen=f"127.0.0.1:{port}"
    ) as service:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stream(service.address, messages, found, stop))
            for number, damage in enumerate(DAMAGES, start=1):
                folder = tmp_path / damage.__name__
                shutil.copytree(second, folder)
                damage(folder)
                lead(current, folder)
                service.process.send_signal(signal.SIGHUP)
                await until(lambda number=number: len(service.logged("tables_refused")) == number)
                assert await in_use(service.address) == release
            stop.set()
        text = await asyncio.to_thread(page, f"http://127.0.0.1:{port}/metrics")
        ready = await asyncio.to_thread(page, f"http://127.0.0.1:{port}/ready")

    assert found
    assert all(each == (each[0], release, expected[each[0]]) for each in found)
    assert f'claimgate_reference_reload_total{{result="refused"}} {len(DAMAGES)}.0' in text
    assert 'claimgate_reference_reload_total{result="loaded"} 0.0' in text
    assert f'claimgate_reference_info{{release="{release}"}} 1.0' in text
    assert '"ready"' in ready
    refused = service.logged("tables_refused")
    assert "work_e2.npy: it has" in refused[0]["reason"]
    assert all(each["reference_release"] == release for each in refused)


async def test_tables_that_lack_a_dataset_are_refused(started, current, tmp_path, until):
    source = tmp_path / "source"
    shutil.copytree(SAMPLE, source)
    toml = source / "releases.toml"
    entries = toml.read_text().split("[[release]]")
    toml.write_text("[[release]]".join(each for each in entries if '"leie"' not in each))
    build(source, tmp_path / "fewer")
    async with started(current, reference_poll_ms="0") as service:
        lead(current, tmp_path / "fewer")
        service.process.send_signal(signal.SIGHUP)
        await until(lambda: service.logged("tables_refused"))

        assert "lacks leie" in service.logged("tables_refused")[0]["reason"]


async def test_refused_tables_are_tried_again_when_they_changed(
    started, tmp_path, first, second, until
):
    folder = tmp_path / "snapshot"
    shutil.copytree(first, folder)
    async with started(folder, reference_poll_ms="30") as service:
        shutil.copytree(second, folder, dirs_exist_ok=True)
        await until(lambda: service.logged("tables_replaced"))

        assert await in_use(service.address) == Reference.open(second).release


async def test_the_same_tables_again_are_no_change(started, current, first, until):
    port = free_port()
    async with started(
        current, reference_poll_ms="0", metrics_listen=f"127.0.0.1:{port}"
    ) as service:
        service.process.send_signal(signal.SIGHUP)
        text = ""
        async with asyncio.timeout(10):
            while 'claimgate_reference_reload_total{result="unchanged"} 1.0' not in text:
                text = await asyncio.to_thread(page, f"http://127.0.0.1:{port}/metrics")

    assert service.logged("tables_replaced") == []


async def test_every_worker_takes_the_new_tables(started, current, first, second, messages, until):
    port = free_port()
    before, after = (Reference.open(folder).release for folder in (first, second))
    async with started(
        current, workers="2", reference_poll_ms="0", metrics_listen=f"127.0.0.1:{port}"
    ) as service:
        lead(current, second)
        service.process.send_signal(signal.SIGHUP)
        await until(lambda: len(service.logged("tables_replaced")) == 2)
        text = await asyncio.to_thread(page, f"http://127.0.0.1:{port}/metrics")
        code = await service.stop()

    assert f'claimgate_reference_info{{release="{after}"}} 2.0' in text
    assert f'claimgate_reference_info{{release="{before}"}} 0.0' in text
    assert 'claimgate_reference_reload_total{result="loaded"} 2.0' in text
    assert code == 0


def test_a_link_that_is_led_elsewhere_meanwhile_is_followed(monkeypatch, current, first, second):
    opened = Reference.open

    def open_slowly(path: Path, **options: bool) -> Reference:
        reference = opened(path, **options)
        if path == first.resolve():
            lead(current, second)
        return reference

    monkeypatch.setattr(Reference, "open", open_slowly)

    tables = open_tables(current)

    assert tables.fingerprint.target == second.resolve()
    assert tables.reference.release == opened(second).release


def test_a_folder_that_keeps_changing_is_refused(monkeypatch, current, first):
    opened = Reference.open

    def touch(path: Path, **options: bool) -> Reference:
        (first / "manifest.json").touch()
        time.sleep(0.001)
        return opened(path, **options)

    monkeypatch.setattr(Reference, "open", touch)

    with pytest.raises(SnapshotError, match="changes while it is opened"):
        open_tables(current)


def test_a_folder_that_is_gone_has_a_fingerprint(tmp_path):
    assert fingerprint(tmp_path / "gone").files == ()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own page
        return answer.read().decode()
