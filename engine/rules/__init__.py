"""The rules.

One file each, found by walking this package. To add one, copy a neighbour and run `make check`.
"""

from functools import cache
from importlib import import_module
from pkgutil import walk_packages

from engine.rules.rule import Rule, RuleDeclarationError


@cache
def all_rules() -> tuple[Rule, ...]:
    """Return every rule, by id."""
    found: dict[str, Rule] = {}
    for module in walk_packages(__path__, f"{__name__}."):
        rule = getattr(import_module(module.name), "find", None)
        if isinstance(rule, Rule):
            if rule.id in found:
                raise RuleDeclarationError(f"two rules have the id {rule.id}; ids are for ever")
            found[rule.id] = rule
    return tuple(found[rule_id] for rule_id in sorted(found))
