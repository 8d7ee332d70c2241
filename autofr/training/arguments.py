"""The settings of a recipe as arguments of a function: in its signature, its help and its types."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar, get_type_hints

from autofr.training.recipe import Recipe

F = TypeVar("F", bound=Callable[..., Any])


class RecipeArguments(TypedDict, total=False):
    """Settings of :class:`Recipe`, each of which may be left out or ``None``: what suits the size of the set."""

    backbone: str | None
    image_size: int | None
    embedding_dim: int | None
    epochs: float | None
    segment: float | None
    explore: float | None
    batch_size: int | None
    lr: float | None
    momentum: float | None
    weight_decay: float | None
    schedule: str | None
    warmup: float | None
    clip: float | None
    average: bool | None
    scale: float | None
    mask_prob: float | None
    fmr: float | None
    reward: str | None
    distil: float | None
    class_rate: float | None
    precision: str | None
    compile: bool | None


def with_recipe_arguments(function: F) -> F:
    """Show the settings of a recipe in the signature and the help of ``function``, which takes them as ``**recipe``."""
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    types = get_type_hints(Recipe)
    settings = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=f"{types[name].__name__} | None"
        )
        for name in Recipe.__dataclass_fields__
    ]
    function.__signature__ = signature.replace(parameters=[*own, *settings])  # type: ignore[attr-defined]
    _, _, described = inspect.cleandoc(Recipe.__doc__ or "").partition("Attributes:\n")
    function.__doc__ = (
        f"{inspect.cleandoc(function.__doc__ or '')}\n\n"
        f"Settings of the recipe (None: what suits the size of the set):\n{described}\n"
    )
    return function
