"""Subcommands of `claimgate` that serve, and that explain the rules; see `claimgate.command`."""

import json
from os import environ
from pathlib import Path
from typing import Any, Final

from claimgate.command import display

from engine.documentation import rule_facts, rules_markdown
from engine.rules import all_rules

_NOT_FOUND: Final = 1


def serve(
    *,
    listen: str | None = None,
    workers: int | None = None,
    reference: Path | None = None,
    policy_folder: Path | None = None,
    model: str | None = None,
    metrics: str | None = None,
    plaintext_anywhere: bool = False,
    with_parent: bool = False,
) -> int:
    """Serve scoring over gRPC until SIGTERM; prints `ready HOST:PORT` when it does.

    Every option is also an environment variable; docs/operating.md lists all of them.

    Args:
        listen: Address of the gRPC port, HOST:PORT; port 0 takes a free one. [127.0.0.1:50051]
        workers: Processes that share the port, one core each. [1]
        reference: Folder made by `reference build`; left out, the sample tables.
        policy_folder: Folder of policies, TENANT.toml each; left out, from the database if any.
        model: Addresses of TensorFlow Serving servers, with commas between them, or `disabled`;
            left out, the embedded one.
        metrics: Address of /metrics, /health and /ready; empty for none. [127.0.0.1:9464]
        plaintext_anywhere: Allow a port without TLS on an address that other machines reach.
        with_parent: Stop when standard input closes, so as not to outlive who started it.
    """
    import uvloop  # noqa: PLC0415 - each command loads what it needs

    from server.__main__ import say_ready  # noqa: PLC0415
    from server.app import serve as serve_settings  # noqa: PLC0415

    given: dict[str, Any] = {
        "listen": listen,
        "workers": workers,
        "reference": reference,
        "policy_folder": policy_folder,
        "model_address": model,
        "metrics_listen": metrics,
        "plaintext_anywhere": plaintext_anywhere or None,
    }
    settings = _settings({name: value for name, value in given.items() if value is not None})
    uvloop.run(serve_settings(settings, say_ready, with_parent=with_parent))
    return 0


def _settings(given: dict[str, Any]) -> Any:
    """Settings of environment and command line; the sample tables where neither names others."""
    from loader.places import prepared_snapshot  # noqa: PLC0415
    from server.settings import Settings  # noqa: PLC0415

    if "reference" not in given and "CLAIMGATE_REFERENCE" not in environ:
        display.warn("no --reference: serving the sample tables, which are not for real claims")
        given["reference"] = prepared_snapshot()
    return Settings.from_environment(**given)


def model_server(
    *, listen: str = "127.0.0.1:8500", model: Path | None = None, labels: str = ""
) -> int:
    """Serve the exported model over the TensorFlow Serving protocol; prints `ready HOST:PORT`.

    Looks at the folder again on SIGHUP.

    Args:
        listen: Address of the port, HOST:PORT; port 0 takes a free one.
        model: Folder of an exported model, or of its versions, such as 1/ and 2/; left out, the one
            that comes with ClaimGate.
        labels: Names of versions, such as stable=1,canary=2.
    """
    import uvloop  # noqa: PLC0415
    from claimgate import resources  # noqa: PLC0415

    from server.__main__ import say_ready  # noqa: PLC0415
    from server.model_server import labels_of, run_model_server  # noqa: PLC0415
    from server.telemetry import configure_logging  # noqa: PLC0415

    configure_logging("info")
    folder = model or resources.find("model")
    uvloop.run(run_model_server(listen, folder, say_ready, labels_of(labels)))
    return 0


def rules_list(*, as_json: bool = False) -> int:
    """List every rule: what it finds, what it asks for, what it rests on.

    Args:
        as_json: One JSON array.
    """
    facts = [rule_facts(rule) for rule in all_rules()]
    if as_json:
        display.show(json.dumps(facts, indent=1))
        return 0
    rows = [
        (f["id"], f["category"], f["action"], f"{f['weight']:.2f}", f["summary"]) for f in facts
    ]
    display.show_table(
        f"{len(rows)} rules", ("id", "category", "action", "weight", "fires when"), rows, right=(3,)
    )
    return 0


def rules_show(rule_id: str, *, as_json: bool = False) -> int:
    """Show one rule: its cases, grounds, parameters and examples.

    Args:
        rule_id: Id of the rule, such as NCCI_PTP.
        as_json: One JSON object.
    """
    found = [rule for rule in all_rules() if rule.id == rule_id.upper()]
    if not found:
        display.warn(f"there is no rule {rule_id!r}; `claimgate rules list` shows them")
        return _NOT_FOUND
    display.show(json.dumps(rule_facts(found[0]), indent=1) if as_json else rules_markdown(found))
    return 0


def rules_document() -> int:
    """Print the rules as docs/rules.md."""
    display.show(rules_markdown(all_rules(), with_head=True))
    return 0
