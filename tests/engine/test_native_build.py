"""What is in C is compiled where there is a compiler; without one, nothing else changes."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from engine import native, wire_tables
from engine.answers import WRITER
from engine.decode import READER, decode
from engine.wire_tables import Tables, Texts

PROJECT = Path(__file__).parents[2]
MUTATIONS = Path(__file__).with_name("mutations.py")
WRITING = Path(__file__).with_name("writing.py")
DAMAGED_ROWS = Path(__file__).parents[1] / "loader" / "damaged_rows.py"


def build_hook():
    spec = importlib.util.spec_from_file_location("build", PROJECT / "ops" / "build_native.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def compiler(skip_or_fail) -> None:
    """What a test asks for that compiles."""
    if not shutil.which(os.environ.get("CC", "cc")):
        skip_or_fail("no C compiler (cc, or CC)")


each_part = pytest.mark.parametrize("part", native.EVERY, ids=lambda part: part.name)


@pytest.mark.usefixtures("compiler")
def test_installed_checkout_reads_and_writes_with_what_was_compiled():
    assert (READER, WRITER) == ("native", "native"), "engine/native is stale; run `make install`"


@pytest.mark.usefixtures("compiler")
@each_part
def test_source_compiles_without_a_warning(tmp_path, part):
    built = tmp_path / "built.so"

    said = build_hook().compile_native(part, built, "-Wall", "-Wextra", "-pedantic", "-Werror")

    assert said == "compiled built.so"
    assert part.load(built)


@pytest.mark.usefixtures("compiler")
@each_part
def test_library_of_another_source_is_not_used(tmp_path, part):
    built = tmp_path / "built.so"
    build_hook().compile_native(part, built, "-USOURCE_ID", "-DSOURCE_ID=1")

    assert built.is_file()
    assert part.load(built) is None


@each_part
def test_file_that_is_no_library_is_not_used(tmp_path, part):
    wrong = tmp_path / "built.so"
    wrong.write_bytes(b"not a library")

    assert part.load(wrong) is None
    assert part.load(tmp_path / "missing.so") is None


@each_part
def test_without_a_compiler_nothing_is_built_and_the_reason_is_told(tmp_path, monkeypatch, part):
    monkeypatch.setenv("CC", "no-such-compiler")
    built = tmp_path / "built.so"
    built.write_bytes(b"of another day")

    said = build_hook().compile_native(part, built)

    assert said == f"no C compiler (no-such-compiler): {part.does} in Python"
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("compiler")
@each_part
def test_failed_build_leaves_nothing_and_tells_the_command(tmp_path, part):
    said = build_hook().compile_native(part, tmp_path / "built.so", "-DSOURCE_ID=(")

    assert f"failed: {part.does} in Python" in said
    assert f"{part.name}.c" in said
    assert not list(tmp_path.iterdir())


def test_compiled_reader_is_refused_where_there_is_none(monkeypatch):
    from engine import fields_native

    monkeypatch.setattr(fields_native, "LIBRARY", None)

    with pytest.raises(RuntimeError, match="was not built"):
        decode([], allow_zero_charge=True, reader="native")


def test_compiled_writer_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(wire_tables, "LIBRARY", None)

    with pytest.raises(RuntimeError, match="was not built"):
        Tables(Texts()).write(0, 0, 1)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a build needs, so that nothing changes under the other tests."""
    for name in ("engine", "loader", "server", "migrations", "ops", "clients"):
        ignored = shutil.ignore_patterns("__pycache__", "_*.so")
        shutil.copytree(PROJECT / name, tmp_path / "copy" / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", ".gitignore"):
        shutil.copy(PROJECT / name, tmp_path / "copy" / name)
    return tmp_path / "copy"


def wheel_of(checkout: Path, **environment: str) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"],
        cwd=checkout, check=True, capture_output=True, env={**os.environ, **environment},
    )  # fmt: skip
    return next((checkout / "dist").glob("*.whl"))


@pytest.mark.full
@pytest.mark.usefixtures("compiler")
def test_wheel_with_what_was_compiled_is_for_one_platform(checkout):
    wheel = wheel_of(checkout)

    names = zipfile.ZipFile(wheel).namelist()
    for part in ("fields", "answers", "checks", "rows"):
        assert {f"engine/native/_{part}.so", f"engine/native/{part}.c"} <= set(names)
    assert not wheel.name.endswith("-any.whl")


@pytest.mark.full
def test_wheel_without_a_compiler_is_for_every_platform(checkout):
    wheel = wheel_of(checkout, CC="no-such-compiler")

    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
    assert wheel.name.endswith("-py3-none-any.whl")


@pytest.mark.full
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("part", "script", "count", "what"),
    [
        (native.FIELDS, MUTATIONS, 20_000, "buffers"),
        (native.CHECKS, MUTATIONS, 20_000, "buffers"),
        (native.ANSWERS, WRITING, 20_000, "claims"),
        (native.ROWS, DAMAGED_ROWS, 20_000, "claims"),
    ],
    ids=["fields", "checks", "answers", "rows"],
)
def test_address_sanitizer_finds_nothing(tmp_path, skip_or_fail, part, script, count, what):
    sanitizer = subprocess.run(
        ["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(sanitizer).is_file():
        skip_or_fail("cc has no AddressSanitizer (libasan.so)")
    built = tmp_path / "built.so"
    build_hook().compile_native(part, built, "-g", "-fsanitize=address,undefined")
    environment = {
        **os.environ,
        "LD_PRELOAD": sanitizer,
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "halt_on_error=1",
        "PYTHONMALLOC": "malloc",
    }

    done = subprocess.run(
        [sys.executable, str(script), "2", str(count), part.name, str(built)],
        capture_output=True, text=True, timeout=600, check=False, env=environment,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-4000:]
    assert f"{count} {what}" in done.stdout
