"""A rule's documentation, from the fields that the engine runs by."""

from collections.abc import Iterable
from typing import Any, Final

from engine.rules.rule import Case, Rule

_HEAD: Final = """# Rules

This page is written by `make docs` from the rules themselves; each example is also a test.
`claimgate rules show ID` prints one entry, `ReferenceService.GetRule` serves it.

A hit weighs between 0 and 1: the probability mass of a real problem if this rule alone fires.
Only hits with certainty *apply* may deny by themselves; *advise* asks for a person.
What a rule could not judge is said in the answer's `not_evaluated`, never passed over.
"""


def rule_facts(rule: Rule) -> dict[str, Any]:
    """Return everything that a rule declares, as plain values."""
    first = rule.cases[0]
    return {
        "id": rule.id,
        "summary": rule.summary,
        "category": rule.category.name.lower(),
        "scope": rule.scope.name.lower(),
        "severity": rule.severity.name.lower(),
        "weight": max(case.weight for case in rule.cases),
        "action": first.action.name.lower(),
        "certainty": first.certainty.name.lower(),
        "cases": [_case(case) for case in rule.cases],
        "citation": rule.cites,
        "carc": rule.carc,
        "datasets": list(rule.datasets),
        "needs": list(rule.needs),
        "uses_history": rule.uses_history,
        "parameters": {name: _plain(value) for name, value in rule.params.items()},
        "evidence": {name: kind.value for name, kind in rule.evidence.items()},
        "examples": [
            {"name": each.name, "claim": str(each), "hit": each.hit} for each in rule.examples
        ],
        "caveat": rule.caveat,
    }


def rules_markdown(rules: Iterable[Rule], *, with_head: bool = False) -> str:
    """Return the rules as a page."""
    return ("\n".join([_HEAD] if with_head else []) + "\n".join(map(_entry, rules))).strip() + "\n"


def _entry(rule: Rule) -> str:
    facts = rule_facts(rule)
    lines = [f"## {rule.id}", "", rule.summary, ""]
    lines += ["| case | action | certainty | weight |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {case['name'] or '-'} | {case['action']} | {case['certainty']} | {case['weight']:.2f} |"
        for case in facts["cases"]
    ]
    lines += ["", f"- Rests on: {rule.cites}"]
    lines.append(f"- Field, severity: {facts['category']}, {facts['severity']}")
    if rule.carc:
        lines.append(f"- Suggested CARC: {rule.carc}")
    if rule.datasets:
        lines.append(f"- Tables: {', '.join(rule.datasets)}")
    if rule.params:
        values = ", ".join(f"`{name}` = {value}" for name, value in facts["parameters"].items())
        lines.append(f"- Parameters: {values}")
    if rule.evidence:
        lines.append(f"- Evidence: {', '.join(rule.evidence)}")
    if rule.uses_history:
        lines.append(
            "- Earlier claims of the member count too; without history the answer says so."
        )
    if rule.caveat:
        lines.append(f"- To be confirmed: {rule.caveat}")
    lines += ["", "| example | claim | fires |", "| --- | --- | --- |"]
    lines += [
        f"| {each.name} | `{str(each).replace('|', '·')}` | {'yes' if each.hit else 'no'} |"
        for each in rule.examples
    ]
    return "\n".join([*lines, ""])


def _case(case: Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "weight": case.weight,
        "action": case.action.name.lower(),
        "certainty": case.certainty.name.lower(),
    }


def _plain(value: Any) -> Any:
    return (
        sorted(value)
        if isinstance(value, set | frozenset)
        else list(value)
        if isinstance(value, tuple)
        else value
    )
