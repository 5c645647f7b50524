"""Examples of rules: claims in short, which the tests run and the documentation prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class LineExample:
    """A service line of an example.

    What is left out is plain: one unit, 100 dollars, office, the claim's day.
    """

    code: str
    modifiers: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `ServiceLine` by name."""

    def __str__(self) -> str:
        """Return the line in short, such as `45380-59` or `97110 [units 2]`."""
        said = "-".join((self.code, *self.modifiers)) or "no code"
        facts = ", ".join(f"{name} {_field_text(value)}" for name, value in self.fields.items())
        return f"{said} [{facts}]" if facts else said


@dataclass(frozen=True, slots=True)
class Example:
    """A claim that shows what a rule does; a test runs it and the documentation prints it."""

    name: str
    lines: tuple[LineExample, ...]
    hit: bool
    hit_lines: tuple[int, ...] | None
    """Numbers of the lines on which the action falls, over all hits of the rule.

    None where that is left open.
    """
    variant: str | None
    fields: Mapping[str, Any]
    """Fields of `Claim` by name."""
    earlier: tuple["Example", ...] = ()
    """Claims of the same member before this one."""
    on_file: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Rows about member and biller, by the name of their table in `engine.members.Members` or
    `engine.history.History`."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the rule that the example changes."""

    def __str__(self) -> str:
        """Return the claim in short, such as `45385 | 45380-59`."""
        facts = [f"{name} {_field_text(value)}" for name, value in self.fields.items()]
        before = "".join(f"{each}, then " for each in self.earlier)
        facts += [f"{name} = {value}" for name, value in self.params.items()]
        facts += [f"{table} on file: {_rows_text(rows)}" for table, rows in self.on_file.items()]
        lines = " | ".join(map(str, self.lines))
        return before + lines + (f" ({', '.join(facts)})" if facts else "")


def _field_text(value: Any) -> str:
    """Return what an example gives a field: a value, a message's fields, or a list of either."""
    if value is None:
        return "left out"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_value_text(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return _list_text(value) or "none"
    return str(value) or "blank"


def _rows_text(rows: Sequence[Mapping[str, Any]]) -> str:
    return _list_text(rows) or "none"


def _list_text(values: Sequence[Any]) -> str:
    return "; ".join(
        " ".join(f"{name} {_value_text(part)}" for name, part in value.items())
        if isinstance(value, Mapping)
        else str(value)
        for value in values
    )


def _value_text(value: Any) -> str:
    return f"[{_list_text(value)}]" if isinstance(value, list) else str(value)


def line(text: str, **fields: Any) -> LineExample:
    """Return a line of an example: code and modifiers as `45380-59`, more fields by name.

    Names are those of `ServiceLine`; `units`, `charge` (dollars), `pos`, `day` (ISO date), `dx`
    (pointers) and `npi` (rendering) are short forms.
    """
    code, *modifiers = text.split("-")
    return LineExample(code, tuple(modifiers), fields)


def example(
    name: str,
    *lines: LineExample,
    hit: bool = False,
    hit_lines: tuple[int, ...] | None = None,
    variant: str | None = None,
    earlier: Sequence[Example] = (),
    on_file: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    params: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Example:
    """Return a named example: its lines, whether the rule fires, and fields of `Claim` by name.

    `day` (of service), `received`, `birth`, `npi` (billing), `tob`, `dx` (codes), `total` (dollars)
    and `institutional=True` are short forms. `earlier` are claims of the same member before it,
    of `claim_before`; `on_file` are rows about the member, by table and column of `engine.members`,
    or about billers (`engine.history`), with days in ISO form, codes and ids as texts; `params` are
    parameters of the rule under a policy that changes them.
    """
    return Example(
        name,
        lines,
        hit,
        hit_lines,
        variant,
        fields,
        tuple(earlier),
        on_file or {},
        params or {},
    )


def claim_before(*lines: LineExample, **fields: Any) -> Example:
    """Return an earlier claim of an example's member; fields as for `example`."""
    return Example("", lines, hit=False, hit_lines=None, variant=None, fields=fields)
