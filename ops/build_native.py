"""Compiles the sources in C while the package is installed or its wheel is built.

Without a C compiler nothing is built: Python does the same, several times slower.
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


def native() -> Any:
    """Return the module engine.native, without importing the engine: numpy may not be there."""
    spec = importlib.util.spec_from_file_location("engine_native", FOLDER / "__init__.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{FOLDER} holds no __init__.py; build from a whole checkout")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(spec.name, module)  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


def compile_native(part: Any, target: Path | None = None, *options: str) -> str:
    """Compile one source, and return a line that says what became of it.

    Args:
        part: The source, as `engine.native` has it.
        target: The library to write; left out, the one that the engine loads.
        options: Further options of the compiler.
    """
    target = target or part.built
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not shutil.which(compiler[0]):
        target.unlink(missing_ok=True)
        return f"no C compiler ({compiler[0]}): {part.does} in Python"
    made = target.with_suffix(f".{os.getpid()}")
    command = [
        *(*compiler, "-std=c99", "-O2", "-shared", "-fPIC", f"-DSOURCE_ID={part.source_id()}"),
        *(*options, "-o", str(made), str(part.source)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        made.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        return f"{shlex.join(command)} failed: {part.does} in Python\n{done.stderr}"
    made.replace(target)
    return f"compiled {target.name}"


class NativeBuildHook(BuildHookInterface[Any]):
    """Puts what was compiled beside its source, and into the wheel."""

    def initialize(self, _: str, build_data: dict[str, Any]) -> None:
        """Compile; a wheel that holds the result is for this platform only."""
        if self.target_name != "wheel":
            return
        for part in native().EVERY:
            self.app.display_info(compile_native(part))
            if part.built.is_file():
                build_data["artifacts"].append(str(part.built.relative_to(FOLDER.parents[1])))
                build_data["pure_python"] = False
                build_data["infer_tag"] = True


if __name__ == "__main__":
    for each in native().EVERY:
        sys.stdout.write(compile_native(each) + "\n")
