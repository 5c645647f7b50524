"""Compiles the reader of fields while the package is installed or its wheel is built.

Without a C compiler nothing is built: the Python reader does the same, several times slower.
By hand, after a change of the source: `python ops/build_native.py`.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path(__file__).parents[1] / "engine" / "native"


def _native() -> Any:
    """Return the module engine.native, without importing the engine: numpy may not be there."""
    spec = importlib.util.spec_from_file_location("native", FOLDER / "__init__.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{FOLDER} holds no __init__.py; build from a whole checkout")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compile_native(target: Path | None = None, *options: str) -> str:
    """Compile the reader of fields, and return a line that says what became of it.

    Args:
        target: The library to write; left out, the one that the engine loads.
        options: Further options of the compiler.
    """
    native = _native()
    target = target or native.BUILT
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not shutil.which(compiler[0]):
        target.unlink(missing_ok=True)
        return f"no C compiler ({compiler[0]}): fields are read in Python"
    made = target.with_suffix(f".{os.getpid()}")
    command = [
        *(*compiler, "-std=c99", "-O2", "-shared", "-fPIC", f"-DSOURCE_ID={native.source_id()}"),
        *(*options, "-o", str(made), str(native.SOURCE)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        made.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        return f"{shlex.join(command)} failed: fields are read in Python\n{done.stderr}"
    made.replace(target)
    return f"compiled {target.name}"


class NativeBuildHook(BuildHookInterface[Any]):
    """Puts the compiled reader beside its source, and into the wheel."""

    def initialize(self, _: str, build_data: dict[str, Any]) -> None:
        """Compile; a wheel that holds the result is for this platform only."""
        if self.target_name != "wheel":
            return
        self.app.display_info(compile_native())
        built: Path = _native().BUILT
        if built.is_file():
            build_data["artifacts"].append(str(built.relative_to(FOLDER.parents[1])))
            build_data["pure_python"] = False
            build_data["infer_tag"] = True


if __name__ == "__main__":
    sys.stdout.write(compile_native() + "\n")
