"""Names with settings, as the command line takes them: ``arcface:0.3``, ``lfs:lr=0.1,replacement=False``."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from autofr.exceptions import AutofrError, unknown

T = TypeVar("T")


def build(kind: str, spec: str, known: Mapping[str, Callable[..., T]], **context: Any) -> T:
    """What ``spec`` describes: ``NAME``, or ``NAME:`` and settings, by place or as ``key=value``, between commas.

    Args:
        kind: what it is, for errors: ``"loss"``, ``"policy"``.
        spec: the description. Values are Python literals; what is none is a string. Nothing is executed.
        known: the makers by name.
        context: further keyword arguments of the maker; those that it does not take are left out.

    Raises:
        AutofrError: no such name, a setting that the maker does not have, or a value that it refuses.
    """
    name, _, rest = spec.partition(":")
    if name not in known:
        raise unknown(kind, name, known)
    maker = known[name]
    parameters = inspect.signature(maker).parameters
    settings = [p for p in parameters if p not in context]
    places, named = _arguments(rest)
    if len(places) > len(settings):
        raise AutofrError(f"{kind} '{spec}' has {len(places)} settings by place; '{name}' takes {_listed(settings)}")
    given = dict(zip(settings, places, strict=False))
    for key, value in named.items():
        if key not in settings:
            raise AutofrError(f"{kind} '{name}' has no setting '{key}'; it takes {_listed(settings)}")
        if key in given:
            raise AutofrError(f"{kind} '{spec}' sets '{key}' twice")
        given[key] = value
    lacking = [p for p in settings if p not in given and parameters[p].default is inspect.Parameter.empty]
    if lacking:
        raise AutofrError(f"{kind} '{name}' needs a value of '{lacking[0]}': {name}:{lacking[0]}=...")
    try:
        return maker(**{k: v for k, v in context.items() if k in parameters}, **given)
    except (TypeError, ValueError) as error:
        raise AutofrError(f"{kind} '{spec}': {error}") from error


def _arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    places: list[Any] = []
    named: dict[str, Any] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, equals, value = part.partition("=")
        if equals:
            named[key.strip()] = _literal(value.strip())
        else:
            places.append(_literal(part))
    return places, named


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _listed(settings: list[str]) -> str:
    return ", ".join(settings) or "none"
