"""A policy as plain values: what a TOML file, a JSON column and the API hold, and back.

Keys are the names of the fields of `Policy`, `Override` and `Match`; enumerations are words, days
are ISO dates. What is left out has its default.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import date, datetime
from enum import IntEnum
from math import isfinite
from typing import Any, Final, TypeVar

from engine.match import Match, PolicyError
from engine.policy import THRESHOLDS, Override, Policy, Tier
from engine.rules.rule import Action, Certainty, Severity

T = TypeVar("T")
Read = Callable[[str, Any], Any]
"""Turns the value at a path into that of a field, or says what was expected there."""

_ISO_LENGTH: Final = len("2025-10-31")


def policy_of(document: Mapping[str, Any]) -> Policy:
    """Return the policy of a document.

    Raises:
        PolicyError: names the field at fault by its path and says what was expected there.
    """
    return Policy(**_table(_POLICY, "", document))


def document_of(policy: Policy) -> dict[str, Any]:
    """Return the document of a policy: its name, and what differs from the defaults."""
    differs = {each.name for each in fields(policy) if getattr(policy, each.name) != each.default}
    whole = whole_document_of(policy)
    return {name: value for name, value in whole.items() if name in {"name", *differs}}


def whole_document_of(policy: Policy) -> dict[str, Any]:
    """Return the document of a policy with every field given."""
    document = {each.name: getattr(policy, each.name) for each in fields(policy)}
    return document | {"overrides": [_override_document(each) for each in policy.overrides]}


def _override_document(override: Override) -> dict[str, Any]:
    document: dict[str, Any] = {"tier": override.tier.name.lower()}
    if override.rule_id:
        document["rule_id"] = override.rule_id
    match = {name: _plain(getattr(override.match, name)) for name in override.match.given}
    if match:
        document["match"] = match
    document |= {name: _plain(value) for name, value in override.given.items() if "." not in name}
    if override.params:
        document["params"] = {name: _plain(value) for name, value in override.params.items()}
    if override.locked:
        document["locked"] = list(override.locked)
    return document


def _plain(value: Any) -> Any:
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, tuple):
        return list(value)
    return value.isoformat() if isinstance(value, date) else value


def _table(readers: Mapping[str, Read], path: str, value: Any) -> dict[str, Any]:
    """Read each key of a table with its reader; a key without one is an error."""
    if not isinstance(value, Mapping):
        raise PolicyError(path or "policy", "a table of fields")
    prefix = f"{path}." if path else ""
    for key in value:
        if key not in readers:
            raise PolicyError(f"{prefix}{key}", f"one of {', '.join(readers)}")
    return {key: readers[key](f"{prefix}{key}", each) for key, each in value.items()}


def _number(path: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise PolicyError(path, "a number")
    return value


def _exactly(kind: type[T], expected: str) -> Callable[[str, Any], T]:
    def read(path: str, value: Any) -> T:
        if type(value) is not kind:
            raise PolicyError(path, expected)
        return value

    return read


_text: Final = _exactly(str, "a text")
_flag: Final = _exactly(bool, "true or false")
_whole: Final = _exactly(int, "a whole number")


def _list(path: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise PolicyError(path, "a list")
    return value


def _texts(path: str, value: Any) -> tuple[str, ...]:
    return tuple(_text(f"{path}[{at}]", each) for at, each in enumerate(_list(path, value)))


def _word(kind: type[IntEnum]) -> Read:
    words = {each.name.lower(): each for each in kind}

    def read(path: str, value: Any) -> IntEnum:
        if not (isinstance(value, str) and value in words):
            raise PolicyError(path, f"one of {', '.join(words)}")
        return words[value]

    return read


def _day(path: str, value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str) and len(value) == _ISO_LENGTH:
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise PolicyError(path, "an ISO date such as 2025-10-31")


def _params(path: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise PolicyError(path, "a table of parameters")
    return {
        name: _texts(f"{path}.{name}", each)
        if isinstance(each, list)
        else _number(f"{path}.{name}", each)
        for name, each in value.items()
    }


def _match(path: str, value: Any) -> Match:
    return Match(**_table(_MATCH, path, value))


def _overrides(path: str, value: Any) -> tuple[Override, ...]:
    return tuple(
        Override(**_table(_OVERRIDE, f"{path}[{at}]", each))
        for at, each in enumerate(_list(path, value))
    )


def _by_default(kind: type[Any], names: Iterable[str]) -> dict[str, Read]:
    """Return readers by the type of the fields' defaults."""
    of_type: dict[type, Read] = {float: _number, bool: _flag, int: _whole, str: _text}
    defaults = {each.name: each.default for each in fields(kind)}
    return {name: of_type[type(defaults[name])] for name in names}


_MATCH: Final[Mapping[str, Read]] = {
    each.name: _texts if each.default == () else _day for each in fields(Match)
}
_OVERRIDE: Final[Mapping[str, Read]] = {
    "rule_id": _text,
    "tier": _word(Tier),
    "match": _match,
    "enabled": _flag,
    "weight": _number,
    "severity": _word(Severity),
    "action": _word(Action),
    "certainty": _word(Certainty),
    "carc": _text,
    "shadow": _flag,
    "params": _params,
    **dict.fromkeys(THRESHOLDS, _number),
    "locked": _texts,
}
_POLICY: Final[Mapping[str, Read]] = {
    **_by_default(Policy, [each.name for each in fields(Policy) if each.name != "overrides"]),
    "overrides": _overrides,
}
