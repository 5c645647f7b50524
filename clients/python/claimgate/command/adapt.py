"""A plain function as a command: arguments and options by signature, help by docstring."""

import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, get_type_hints

import typer

_SECTION: Final = re.compile(r"^(Args|Returns|Raises|Yields):$", re.MULTILINE)
_PARAMETER: Final = re.compile(r"^    (\w+): (.*(?:\n        .*)*)", re.MULTILINE)


def adapt(function: Callable[..., int | None]) -> Callable[..., None]:
    """Return the function in the form that typer takes; what it returns becomes the exit status."""
    summary, texts = _documentation(function)
    hints = get_type_hints(function, include_extras=True)
    parameters = [
        parameter.replace(annotation=_annotated(parameter, hints[name], texts.get(name, "")))
        for name, parameter in inspect.signature(function).parameters.items()
    ]

    def command(**values: Any) -> None:
        raise typer.Exit(
            function(*_positional(parameters, values), **_named(parameters, values)) or 0
        )

    command.__doc__ = summary
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _is_argument(parameter: inspect.Parameter) -> bool:
    return parameter.kind is not inspect.Parameter.KEYWORD_ONLY


def _positional(parameters: list[inspect.Parameter], values: dict[str, Any]) -> list[Any]:
    return [values[p.name] for p in parameters if _is_argument(p)]


def _named(parameters: list[inspect.Parameter], values: dict[str, Any]) -> dict[str, Any]:
    return {p.name: values[p.name] for p in parameters if not _is_argument(p)}


def _annotated(parameter: inspect.Parameter, hint: Any, text: str) -> Any:
    if _is_argument(parameter):
        return Annotated[hint, typer.Argument(help=text)]
    flag = "--" + parameter.name.removeprefix("as_").strip("_").replace("_", "-")
    return Annotated[hint, typer.Option(flag, help=text)]


def _documentation(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Split a Google-style docstring into its text and the texts of its parameters."""
    text = inspect.getdoc(function) or ""
    found = _SECTION.search(text)
    body = text[: found.start()] if found else text
    arguments = text[found.end() :] if found and found.group(1) == "Args" else ""
    return body.strip(), {
        name: re.sub(r"\s+", " ", help_text).strip()
        for name, help_text in _PARAMETER.findall(arguments)
    }
