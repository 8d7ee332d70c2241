"""Names with settings, as the command line takes them: ``arcface:0.3``, ``lfs:lr=0.1,replacement=False``."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from autofr.exceptions import AutofrError, UnknownNameError

T = TypeVar("T")


def build(
    kind: str,
    spec: str,
    known: Mapping[str, Callable[..., T]],
    context: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> T:
    """What ``spec`` describes: ``NAME``, or ``NAME:`` and settings, by place or as ``key=value``, between commas.

    A class may also be called as it prints itself, which is how tables name losses: ``ArcFace(m=0.3)``.

    Args:
        kind: what it is, for errors: ``"loss"``, ``"policy"``.
        spec: the description. Values are Python literals; what is none is a string. Nothing is executed.
        known: the makers by name.
        context: arguments of the maker that a description cannot set.
        defaults: arguments that it can. Of both, those that the maker does not take are left out.

    Raises:
        AutofrError: no such name, a setting that the maker does not have, or a value that it refuses.
    """
    if not isinstance(spec, str):
        raise AutofrError(f"a {kind} is described by a string, such as {next(iter(known))}:..., got {spec!r}")
    name, maker, rest = _maker(kind, spec, known)
    parameters = inspect.signature(maker).parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    context = {k: v for k, v in (context or {}).items() if k in parameters}
    settings = [n for n, p in parameters.items() if n not in context and p.kind is not inspect.Parameter.VAR_KEYWORD]
    places, named = _arguments(kind, spec, rest)
    if len(places) > len(settings):
        raise AutofrError(f"{kind} '{spec}' has {len(places)} settings by place; '{name}' takes {_listed(settings)}")
    given = dict(zip(settings, places, strict=False))
    for key, value in named.items():
        if key not in settings and not (open_ended and key not in context):
            raise AutofrError(f"{kind} '{name}' has no setting '{key}'; it takes {_listed(settings)}")
        if key in given:
            raise AutofrError(f"{kind} '{spec}' sets '{key}' twice")
        given[key] = value
    hints = _hints(maker)
    for key, value in given.items():
        if not _fits(value, hints.get(key, Any)):
            raise AutofrError(f"{kind} '{spec}': {key} is {_wanted(hints[key])}, got {value!r}")
    given = {k: v for k, v in (defaults or {}).items() if k in parameters} | given
    lacking = [n for n in settings if n not in given and parameters[n].default is inspect.Parameter.empty]
    if lacking:
        raise AutofrError(f"{kind} '{name}' needs a value of '{lacking[0]}': {name}:{lacking[0]}=...")
    try:
        return maker(**context, **given)
    except (TypeError, ValueError) as error:
        raise AutofrError(f"{kind} '{spec}': {error}") from error


def settings_of(option: Any) -> dict[str, Any]:
    """Return the settings of an option of a search space by name, numbers as Python's own; none, if it has none.

    Raises:
        AutofrError: its ``settings()`` is no dictionary of single values.
    """
    method = getattr(option, "settings", None)
    given = method() if callable(method) else {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        kind = type(option).__name__
        raise AutofrError(f"{kind}.settings() has to return a dictionary, its arguments by name, got {given!r:.80}")
    return {name: _single(f"{type(option).__name__}.settings()['{name}']", value) for name, value in given.items()}


def _single(what: str, value: Any) -> Any:
    """Return a number of numpy or torch as Python's own, and anything else that is no array as it is."""
    if not hasattr(value, "item"):
        return value
    try:
        return value.item()
    except (ValueError, RuntimeError, TypeError) as error:
        raise AutofrError(f"{what} has to be one value, got an array") from error


def settings_text(settings: Mapping[str, Any]) -> list[str]:
    """Return ``settings`` as descriptions have them: ``["m=0.3", "kind=arc"]``."""
    return [f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in settings.items()]


def _hints(maker: Callable[..., Any]) -> dict[str, Any]:
    """The types of a maker's settings; none of another library's whose annotations are for type checkers alone."""
    try:
        return get_type_hints(getattr(maker, "__init__", maker) if isinstance(maker, type) else maker)
    except NameError:
        return {}


def _maker(kind: str, spec: str, known: Mapping[str, Callable[..., T]]) -> tuple[str, Callable[..., T], str]:
    called = re.fullmatch(r"\s*(\w+)\((.*)\)\s*", spec, re.DOTALL)
    if called:
        for name, maker in known.items():
            if called[1] in (name, getattr(maker, "__name__", None)):
                return name, maker, called[2]
    name, _, rest = spec.partition(":")
    name = name.strip()
    if name not in known:
        raise UnknownNameError(kind, called[1].lower() if called else name, known)
    return name, known[name], rest


def _arguments(kind: str, spec: str, text: str) -> tuple[list[Any], dict[str, Any]]:
    places: list[Any] = []
    named: dict[str, Any] = {}
    for part in _parts(text) if text.strip() else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not key or (equals and not value):
            raise AutofrError(f"{kind} '{spec}' has an empty setting; write {kind} settings as value or key=value")
        if key in named:
            raise AutofrError(f"{kind} '{spec}' sets '{key}' twice")
        if equals:
            named[key] = _literal(value)
        elif named:
            raise AutofrError(f"{kind} '{spec}' has '{key}' after a setting with a key; settings by place come first")
        else:
            places.append(_literal(key))
    return places, named


def _parts(text: str) -> list[str]:
    """``text`` between its commas; one within brackets parts nothing."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _fits(value: Any, hint: Any) -> bool:
    """Whether ``value`` is of the annotated type: a float may be written as a whole number, but must be finite."""
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        return isinstance(value, tuple | list) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return type(value) is hint if hint in (int, bool, str, NoneType) else True


def _wanted(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_wanted(option) for option in get_args(hint))
    if get_origin(hint) is tuple:
        return f"({', '.join(_wanted(kind) for kind in get_args(hint))})"
    return {float: "a number", int: "a whole number", bool: "True or False", str: "a word", NoneType: "None"}[hint]


def _listed(settings: list[str]) -> str:
    return ", ".join(settings) or "none"
