"""Tables are updated as docs/operating.md says, command by command."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from claimgate import Client

PROJECT = Path(__file__).parents[1]
QUARTERS = ("tables-2026q1", "tables-2026q2")


def commands() -> list[str]:
    """The commands of the section on new tables."""
    page = (PROJECT / "docs" / "operating.md").read_text()
    section = re.search(r"^## New tables\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    assert section
    return re.findall(r"^\$ (.*)$", section[1], re.MULTILINE)


def prepare(folder: Path) -> None:
    """Lay out the two quarters that the page speaks of; the second allows fewer units."""
    for quarter in QUARTERS:
        shutil.copytree(PROJECT / "ops" / "reference-sample", folder / quarter)
    limits = folder / QUARTERS[1] / "ncci" / "MCR_MUE_PractitionerServices_sample.csv"
    content = limits.read_bytes()
    assert b"\r\n97110,6," in content
    limits.write_bytes(content.replace(b"\r\n97110,6,", b"\r\n97110,1,"))
    (folder / "ops").symlink_to(PROJECT / "ops")


async def in_use(address: str) -> str:
    async with Client(address) as client:
        return (await client.list_releases()).reference_release


def becomes(address: str, release: str) -> None:
    async def wait() -> None:
        async with asyncio.timeout(20):
            while await in_use(address) != release:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.02)

    asyncio.run(wait())


def test_tables_are_built_compared_swapped_and_rolled_back_as_documented(tmp_path):
    prepare(tmp_path)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CLAIMGATE_LISTEN": "127.0.0.1:0",
        "CLAIMGATE_METRICS_LISTEN": "",
        "CLAIMGATE_MODEL_ADDRESS": "disabled",
        "CLAIMGATE_REFERENCE_POLL_MS": "0",
    }
    texts, service, address = {}, None, ""
    built = {}
    try:
        for command in commands():
            if command.startswith("claimgate serve"):
                service = subprocess.Popen(
                    command.split(), cwd=tmp_path, env=environment, stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL, text=True,
                )  # fmt: skip
                address = service.stdout.readline().split()[1]
                continue
            done = subprocess.run(
                ["bash", "-c", command.replace("PID", str(service.pid) if service else "")],
                cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{command}: {done.stderr}"
            texts[command] = done.stdout
            if " build " in command:
                built[command.split("--out ")[1].split()[0]] = re.search(
                    r'"snapshot": "(\w+)"', done.stdout
                )[1]
            if command.startswith("kill"):
                becomes(address, built[(tmp_path / "current").readlink().name])
    finally:
        if service:
            service.terminate()
            service.communicate()

    assert list(built) == ["snapshot-2026q1", "snapshot-2026q2"]
    assert len(set(built.values())) == 2
    assert (tmp_path / "current").readlink().name == "snapshot-2026q1"
    [compared] = [text for command, text in texts.items() if " diff " in command]
    assert "limit 6 -> 1" in compared
    assert "finding NCCI_MUE appears" in compared
    assert service.returncode == 0
