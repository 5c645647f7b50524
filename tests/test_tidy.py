"""What a reader would notice: generated files are fresh, the wheel is whole, links lead on."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import pytest
from grpc_tools import protoc

from engine.documentation import rules_markdown
from engine.rules import all_rules
from engine.tables.listings import LISTINGS
from loader.snapshot.listing_docs import document

PROJECT = Path(__file__).parents[1]
GENERATED = PROJECT / "clients" / "python"
TOP_LEVEL = {
    "CHANGELOG.md", "Makefile", "README.md", "clients", "docs", "engine", "loader", "migrations",
    "ops", "proto", "pyproject.toml", "server", "tests",
}  # fmt: skip


def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True, text=True
    ).stdout
    return [PROJECT / name for name in listing.split("\0") if name and (PROJECT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content[:1024]:
            found.append((path.relative_to(PROJECT), content.decode(errors="replace")))
    return found


def test_generated_messages_are_fresh(tmp_path: Path) -> None:
    sources = Path(str(files("grpc_tools") / "_proto"))
    protos = sorted(str(path) for path in (PROJECT / "proto").rglob("*.proto"))
    plugin = Path(sys.executable).parent / "protoc-gen-mypy"
    if not plugin.is_file():
        pytest.fail("mypy-protobuf is not installed beside this Python; run `make install`")
    outs = [f"--{kind}_out={tmp_path}" for kind in ("python", "grpc_python")]
    outs += [f"--{kind}_out=quiet:{tmp_path}" for kind in ("mypy", "mypy_grpc")]
    plugins = [
        f"--plugin=protoc-gen-{name}={plugin.parent}/protoc-gen-{name}"
        for name in ("mypy", "mypy_grpc")
    ]

    include = ["protoc", f"-I{PROJECT / 'proto'}", f"-I{sources}"]
    assert protoc.main([*include, *plugins, *outs, *protos]) == 0

    made = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert made
    for path in made:
        committed = GENERATED / path.relative_to(tmp_path)
        assert committed.read_text() == path.read_text(), f"{committed} is stale; run `make proto`"


def test_rules_page_is_fresh() -> None:
    page = (PROJECT / "docs" / "rules.md").read_text()

    assert page == rules_markdown(all_rules(), with_head=True), "run `make docs`"


def test_listings_page_is_fresh() -> None:
    page = (PROJECT / "docs" / "listings.md").read_text()

    assert page.rstrip() == document(LISTINGS.values()).rstrip(), "run `make docs`"


def test_top_level_is_what_the_readme_says() -> None:
    names = {path.relative_to(PROJECT).parts[0] for path in tracked()}

    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


def test_readme_is_one_page_and_names_the_two_commands() -> None:
    readme = (PROJECT / "README.md").read_text()

    assert "make demo" in readme
    assert "make test" in readme
    assert len(readme.splitlines()) <= 120


def test_links_of_the_documentation_lead_somewhere() -> None:
    for page in [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page} links to {target}"


def test_no_path_of_a_machine_and_no_download_address_is_tracked() -> None:
    machine = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/")
    download = re.compile(
        r'"resolved":\s*"http|registry\s*=\s*"?https?|files\.pythonhosted|/simple/'
    )
    for path, text in texts():
        if path.name != "test_tidy.py":
            assert not machine.search(text), f"{path} names a path of one machine"
            assert not download.search(text), f"{path} names a download address"


def test_no_lock_file_is_tracked() -> None:
    locks = {"uv.lock", "poetry.lock", "package-lock.json", "Pipfile.lock", "go.sum", "pdm.lock"}

    assert not locks & {path.name for path in tracked()}


def test_every_command_is_there_and_documented() -> None:
    points = entry_points(group="claimgate.commands")

    assert {"serve", "score", "demo", "rules.list", "reference.build"} <= points.names
    for point in points:
        assert (point.load().__doc__ or "").strip(), f"{point.name} has no help"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=PROJECT, check=True, capture_output=True,
    )  # fmt: skip
    return next(folder.glob("*.whl"))


def test_wheel_holds_our_four_names_and_what_travels_with_them(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"claimgate", "engine", "loader", "server"}
    for part in (
        *("migrations/staging", "migrations/production"),
        *("reference-sample", "model", "claims-sample", "fees-sample"),
    ):
        assert any(name.startswith(f"claimgate/resources/{part}") for name in names), part


def test_constraints_pin_every_requirement() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["server"], *extras["loader"], *extras["dev"]]
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (PROJECT / "ops" / "constraints.txt").read_text().splitlines()
        if "==" in line
    }

    names = {re.split(r"[\[<>=;~! ]", each)[0].lower().replace("_", "-") for each in wanted}

    assert names <= pinned


def test_python_of_the_readme_runs(served) -> None:
    """The call that the README shows, against a service on another port."""
    code = re.search(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)
    assert code
    shown = re.search(r"asyncio\.run\(main\(\)\)  # (.*)", code[1])
    assert shown

    with served("--listen", "127.0.0.1:0") as address:
        done = subprocess.run(
            [sys.executable, "-c", code[1].replace("127.0.0.1:50051", address)],
            cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == shown[1]
