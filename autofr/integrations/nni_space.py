"""NNI's ``search_space.json``, in and out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autofr.exceptions import AutofrError
from autofr.io.files import write_json
from autofr.space.dimensions import Choice, Range
from autofr.space.space import SearchSpace


def space_from_nni(search_space: Mapping[str, Any]) -> SearchSpace:
    """The space that an NNI search space describes: a dimension a parameter, its values as options.

    Args:
        search_space: NNI's: ``{"loss": {"_type": "choice", "_value": ["arcface:0.1", "arcface:0.3"]}}``.

    Raises:
        AutofrError: a parameter is no ``choice``, or has no values.
    """
    if not isinstance(search_space, Mapping) or not search_space:
        raise AutofrError('an NNI search space is an object like {"loss": {"_type": "choice", "_value": [...]}}')
    dimensions: dict[str, Choice | Range] = {}
    for name, entry in search_space.items():
        kind = entry.get("_type") if isinstance(entry, Mapping) else None
        if kind != "choice":
            raise AutofrError(
                f"NNI parameter '{name}' is {kind!r}; the policies choose among options: write it as choice"
            )
        values = entry.get("_value")
        if not isinstance(values, list):
            raise AutofrError(f"NNI parameter '{name}' has no list of values in _value")
        if any(isinstance(value, dict) for value in values):
            raise AutofrError(
                f"NNI parameter '{name}' has choices within choices; name every combination as one choice"
            )
        try:
            dimensions[name] = Choice(values)
        except AutofrError as error:
            raise AutofrError(f"NNI parameter '{name}': {error}") from error
    return SearchSpace.of(dimensions)


def space_to_nni(space: SearchSpace) -> dict[str, Any]:
    """``space`` as an NNI search space. A loss becomes its name. :func:`autofr.losses.create_loss` reads the names of
    autofr's losses; those of your own your trial has to read itself.

    Raises:
        AutofrError: a dimension is a :class:`Range`, which the tuner could not choose from.
    """
    for name, dimension in space.dimensions.items():
        if isinstance(dimension, Range):
            raise AutofrError(f"dimension '{name}' is a Range; NNI gets choices only: name its values in a Choice")
    return {name: {"_type": "choice", "_value": list(d.names)} for name, d in space.dimensions.items()}


def read_search_space(path: str | Path) -> SearchSpace:
    """:func:`space_from_nni` of a file.

    Raises:
        AutofrError: no such file, no JSON, or no space of choices.
    """
    try:
        return space_from_nni(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise AutofrError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise AutofrError(f"{path} is no JSON: {error}") from error


def write_search_space(space: SearchSpace, path: str | Path) -> None:
    """:func:`space_to_nni` to a file."""
    write_json(Path(path), space_to_nni(space))
