"""The `claimgate` command: subcommands are plain functions that packages offer by entry points.

In the group `claimgate.commands`, `reference.build = "loader.commands:reference_build"` becomes
`claimgate reference build`. Positional parameters are arguments, keyword-only ones options; the
docstring is the help; what the function returns is the exit status.
"""

import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import typer

from claimgate import __version__
from claimgate.command.adapt import adapt

GROUP: Final = "claimgate.commands"
_GROUP_HELP: Final = {
    "bench": "Measure on this machine, beside a reference in the same minute.",
    "batches": "Batches of submitters: list, show, watch, cancel.",
    "claims": "Claims that were loaded: history, show, amend.",
    "failed": "Claims that could not be loaded: list, show, repair, retry, assign, resolve.",
    "members": "What a payer keeps on file about members: load, show.",
    "policy": "How claims are decided: show, check, set, versions.",
    "reference": "Published tables: build, compare, list, show.",
    "rules": "What is checked, and on what grounds.",
    "shards": "Several pairs of databases: show, check, where, move, remove.",
    "storage": "Years of claims: partitions, archives, summaries, retention, backups.",
    "storage.partitions": "Monthly partitions: make, list, adopt.",
    "storage.holds": "Legal holds: place, release, list.",
    "storage.retention": "What becomes of old data: set, show, apply, actions.",
    "storage.summaries": "Summaries by day and by rule: refresh, check.",
}
_EXTRAS: Final = {"server": "server", "loader": "server,loader"}
EXIT_FAILED: Final = 1


def main() -> None:
    """Run the command line."""
    # Programs are started as another user where Postgres needs that, which forks first; gRPC's own
    # handlers would run in the child and crash it. Nothing here goes on in a forked child.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        _app()(prog_name="claimgate")
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(EXIT_FAILED)
    except Exception as error:
        if os.environ.get("CLAIMGATE_TRACEBACK"):
            raise
        typer.echo(f"claimgate: {_told(error)}", err=True)
        if not str(error):
            typer.echo("CLAIMGATE_TRACEBACK=1 shows where.", err=True)
        sys.exit(EXIT_FAILED)


def _told(error: Exception) -> str:
    """Return what an error says, and what to do where what raised it could not know."""
    from claimgate.client import CallError  # noqa: PLC0415 - it is slow to import

    if isinstance(error, CallError) and error.code.name == "UNAVAILABLE" and not error.reason:
        return f"{error}; start the service (`claimgate serve`), or name the one that runs"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename} cannot be used: {error.strerror}; name another, or put it right"
    return str(error) or type(error).__name__


def _app() -> typer.Typer:
    app = typer.Typer(
        help=f"ClaimGate {__version__}: scores healthcare claims before they are paid.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    groups = {"": app}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        group, _, name = point.name.rpartition(".")
        _add(_group(groups, group), name, point)
    return app


def _group(groups: dict[str, typer.Typer], name: str) -> typer.Typer:
    """Return the group of a name; where it is new, it becomes a part of the one that it is in."""
    if name not in groups:
        outer, _, own = name.rpartition(".")
        groups[name] = typer.Typer(help=_GROUP_HELP.get(name), no_args_is_help=True)
        _group(groups, outer).add_typer(groups[name], name=own)
    return groups[name]


def _add(app: typer.Typer, name: str, point: EntryPoint) -> None:
    try:
        app.command(name)(adapt(point.load()))
    except ModuleNotFoundError as error:
        app.command(name, help=f"Needs more packages: {_install(point)}")(_missing(point, error))


def _install(point: EntryPoint) -> str:
    extra = _EXTRAS.get(point.module.split(".")[0], "server,loader")
    return f"pip install 'claimgate[{extra}]'"


def _missing(point: EntryPoint, error: ModuleNotFoundError) -> Callable[[], None]:
    def explain() -> None:
        typer.echo(f"claimgate: needs {error.name}; run {_install(point)}", err=True)
        raise typer.Exit(EXIT_FAILED)

    return explain
